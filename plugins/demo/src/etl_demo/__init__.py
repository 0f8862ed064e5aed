"""A demonstration of etl-core: a private PostgreSQL, a small shop, a crash, a comparison."""
