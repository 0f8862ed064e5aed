"""Move tables and change streams as Apache Arrow batches; the public names, loaded when first used."""
