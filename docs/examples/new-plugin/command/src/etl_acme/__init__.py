"""Lists what pipeline documents are made of."""
