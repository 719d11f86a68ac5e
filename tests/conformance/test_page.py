"""The documentation lists every fault in the catalog."""

from __future__ import annotations

from tests.faults import FAULTS

from .page import PAGE, write_page


def test_the_page_is_generated_from_the_catalog() -> None:
    assert PAGE.read_text(encoding="utf-8") == write_page() + "\n", "run: python -m tests.conformance.table --page"


def test_each_fault_has_a_unique_name_and_advice() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS) >= 144
    for fault in FAULTS:
        assert fault.advice.endswith("."), fault.name
        assert "|" not in fault.advice + fault.name, fault.name
