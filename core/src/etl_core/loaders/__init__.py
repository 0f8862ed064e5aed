"""The write dispositions that come with the core: `append`, `upsert`, `replace`."""
