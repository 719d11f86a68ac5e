"""VMPilot's conformance suite, run against this backend: no key, no network."""

from vmpilot.testing import BackendConformance

from vmpilot_backend_newbackend.agent import LEVELS, NAME


class TestConformance(BackendConformance):
    backend = NAME
    required = frozenset(LEVELS.split())
