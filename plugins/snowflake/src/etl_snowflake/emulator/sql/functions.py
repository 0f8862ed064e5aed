"""Functions of Snowflake that DuckDB has not, or that do something else there, as macros."""

from __future__ import annotations

_SQL = """
SF_TO_VARIANT(x) AS (
    CASE typeof(x) WHEN 'BLOB' THEN to_json(hex(CAST(CAST(x AS VARCHAR) AS BLOB))) ELSE to_json(x) END
);
SF_TO_ARRAY(x) AS (
    CASE
        WHEN x IS NULL OR json_type(to_json(x)) = 'NULL' THEN NULL
        WHEN json_type(to_json(x)) = 'ARRAY' THEN to_json(x)
        ELSE json_array(x)
    END
);
SF_TO_OBJECT(x) AS (
    CASE
        WHEN x IS NULL OR json_type(to_json(x)) = 'NULL' THEN NULL
        WHEN json_type(to_json(x)) = 'OBJECT' THEN to_json(x)
        ELSE error('Failed to cast variant value to OBJECT')
    END
);
SF_TO_VARCHAR(x) AS (
    CASE typeof(x)
        WHEN 'JSON' THEN json_extract_string(to_json(x), '$')
        WHEN 'BLOB' THEN hex(CAST(CAST(x AS VARCHAR) AS BLOB))
        ELSE CAST(x AS VARCHAR)
    END
);
SF_TYPEOF(x) AS (
    CASE json_type(x)
        WHEN 'UBIGINT' THEN 'INTEGER'
        WHEN 'BIGINT' THEN 'INTEGER'
        WHEN 'DOUBLE' THEN 'DECIMAL'
        WHEN 'NULL' THEN 'NULL_VALUE'
        ELSE json_type(x)
    END
);
SF_GET(x, k) AS (
    json_extract(x, CASE WHEN typeof(k) = 'VARCHAR' THEN '$."' || k || '"' ELSE '$[' || k || ']' END)
);
SF_PAIR(k, v) AS (
    CASE WHEN v IS NOT NULL THEN CAST(to_json(k) AS VARCHAR) || ':' || CAST(to_json(v) AS VARCHAR) END
);
SF_TO_BINARY(x, f) AS (
    CASE upper(replace(f, '-', ''))
        WHEN 'HEX' THEN unhex(x)
        WHEN 'BASE64' THEN from_base64(x)
        ELSE encode(x)
    END
);
SF_ARRAY_CONTAINS(v, a) AS (list_contains(CAST(a AS JSON[]), to_json(v)));
SF_ARRAY_CAT(a, b) AS (to_json(list_concat(CAST(a AS JSON[]), CAST(b AS JSON[]))));
SF_ARRAY_APPEND(a, v) AS (to_json(list_append(CAST(a AS JSON[]), to_json(v))));
ARRAY_SIZE(x) AS (CASE WHEN json_type(x) = 'ARRAY' THEN json_array_length(x) END);
OBJECT_KEYS(x) AS (to_json(json_keys(x)));
IS_NULL_VALUE(x) AS (json_type(x) = 'NULL');
STRIP_NULL_VALUE(x) AS (CASE WHEN json_type(x) = 'NULL' THEN NULL ELSE x END);
HEX_DECODE_BINARY(x) AS (unhex(x));
BASE64_DECODE_BINARY(x) AS (from_base64(x))
"""

MACROS = tuple(each.strip() for each in _SQL.split(";\n"))
