"""The settings of the executor."""

from attrs import frozen


@frozen
class AcmeConfig:
    """There is nothing to set yet."""
