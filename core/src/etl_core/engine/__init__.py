"""The engine: runs pipelines. Private; its public names are those of `etl_core`."""
