"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from etl_core.testing import LoaderConformance

from etl_acme.plugin import etl_register_load


class AcmeConformance(LoaderConformance):
    registration = etl_register_load()[0]
