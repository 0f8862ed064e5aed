"""Every clause of the kit, as a test."""

from etl_acme import conformance


class TestAcme(conformance.AcmeConformance):
    """Write tests of your own beside it, as methods or functions."""
