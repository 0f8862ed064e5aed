"""Tells the conformance kit how to try this connector; the tests and `etl-core certify` use it."""

from etl_core.testing import ExecutorConformance

from etl_acme.plugin import etl_register_executor


class AcmeConformance(ExecutorConformance):
    registration = etl_register_executor()[0]
