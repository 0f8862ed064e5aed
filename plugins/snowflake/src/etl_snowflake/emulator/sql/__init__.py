"""The SQL front: Snowflake's statements, carried out by DuckDB."""
