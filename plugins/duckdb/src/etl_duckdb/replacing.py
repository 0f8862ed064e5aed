"""A table put in the place of another, whose rows all go, also those that others add meanwhile."""

from __future__ import annotations

import re

from etl_duckdb.client import Database
from etl_duckdb.names import fold, quote

__all__ = ["replace"]

#: What follows the name in a table's definition; a quoted name may hold anything.
_DEFINITION = re.compile(r'CREATE TABLE (?:"(?:[^"]|"")*"|[^"(])*(\(.*)', re.DOTALL)

#: Tables, with their definition and whether something hangs on them that the definition does not tell:
#: an index, a trigger, a foreign key, a comment.
_TABLES = """
SELECT schema_name, table_name, sql, index_count > 0 OR comment IS NOT NULL OR cardinality(tags) > 0
  OR table_oid IN (SELECT objid FROM duckdb_dependencies())
  OR table_oid IN (
    SELECT table_oid FROM duckdb_columns() WHERE comment IS NOT NULL OR cardinality(tags) > 0
  )
FROM duckdb_tables()
WHERE database_name = ? AND lower(schema_name) = lower(?) AND lower(table_name) IN (lower(?), lower(?))
"""


def replace(db: Database, schema: str, table: str, by: str) -> bool:
    """Put the table `by` in the place of `table`, in constant time, and say True.

    Do nothing and say False where that would lose what others gave the table: constraints, defaults,
    indexes, triggers, comments.
    """
    found = {
        fold(name): (name, _DEFINITION.fullmatch(sql), bound)
        for where, name, sql, bound in db.rows(_TABLES, [db.catalog, schema, table, by])
        if fold(where) == fold(schema)
    }
    name, old, bound = found[fold(table)]
    _, new, _ = found[fold(by)]
    if bound or old is None or new is None or old[1] != new[1]:
        return False
    db.run(f"DROP TABLE {db.named(schema, table)}")
    db.run(f"ALTER TABLE {db.named(schema, by)} RENAME TO {quote(name)}")
    return True
