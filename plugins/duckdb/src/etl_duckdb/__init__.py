"""DuckDB as an exactly-once destination for etl-core."""
