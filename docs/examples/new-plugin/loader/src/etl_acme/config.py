"""The settings: what a document may say under `use: acme`."""

from attrs import frozen


@frozen
class AcmeConfig:
    """There is nothing to set yet."""
