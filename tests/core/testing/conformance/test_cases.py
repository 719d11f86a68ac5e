"""Conventions of the cases: each is listed, says what it is about, and points to a section that there is."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from vmpilot.testing.conformance import CASES, LEVELS, Case, find_cases
from vmpilot.testing.conformance.pytest_class import method_of

DOCS = Path(__file__).parents[4] / "vmpilot-core" / "docs"


def anchors(page: str) -> set[str]:
    """The sections of a page, as Sphinx and GitHub name them."""
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_where_to_look_is_a_section(case: Case) -> None:
    page, _, anchor = case.where.partition("#")
    assert anchor in anchors(page)


def test_every_case_that_is_written_is_listed() -> None:
    modules = [import_module(f"vmpilot.testing.conformance.{level}") for level in LEVELS]
    written = [value for module in modules for value in vars(module).values() if isinstance(value, Case)]
    assert {case.id for case in written} == {case.id for case in CASES}
    assert len({method_of(case) for case in CASES}) == len(CASES)


def test_every_case_has_a_sentence_and_every_level_its_cases() -> None:
    assert not [case.id for case in CASES if not re.fullmatch(r"[A-Z`].+\.", case.sentence)]
    assert {case.level for case in CASES} == set(LEVELS)
    assert find_cases(["usage"]) == tuple(case for case in CASES if case.level == "usage")


def test_the_page_names_every_case() -> None:
    page = (DOCS / "conformance.md").read_text(encoding="utf-8")
    assert not [case.id for case in CASES if f"`{case.name}`" not in page]
