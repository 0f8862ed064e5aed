"""What the Postgres packages of etl-core share: connections, types, text to Arrow."""
