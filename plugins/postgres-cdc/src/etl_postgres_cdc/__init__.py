"""PostgreSQL snapshot and logical replication as a source for etl-core."""
