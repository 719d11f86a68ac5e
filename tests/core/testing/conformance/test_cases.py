"""Conventions of the cases: each is listed, has a description, and points to an existing section."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from vmpilot.testing.conformance import CASES, LEVELS, Case, find_cases
from vmpilot.testing.conformance.pytest_class import method_of

DOCS = Path(__file__).parents[4] / "vmpilot-core" / "docs"


def anchors(page: str) -> set[str]:
    """The section anchors of a page, as Sphinx and GitHub generate them."""
    headings = re.findall(r"^#+ (.+)$", (DOCS / page).read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_each_case_points_to_an_existing_section(case: Case) -> None:
    page, _, anchor = case.where.partition("#")
    assert anchor in anchors(page)


def test_every_case_is_listed() -> None:
    modules = [import_module(f"vmpilot.testing.conformance.{level}") for level in LEVELS]
    written = [value for module in modules for value in vars(module).values() if isinstance(value, Case)]
    assert {case.id for case in written} == {case.id for case in CASES}
    assert len({method_of(case) for case in CASES}) == len(CASES)


def test_every_case_has_a_description_and_every_level_has_cases() -> None:
    assert not [case.id for case in CASES if not re.fullmatch(r"[A-Z`].+\.", case.sentence)]
    assert {case.level for case in CASES} == set(LEVELS)
    assert find_cases(["usage"]) == tuple(case for case in CASES if case.level == "usage")


def test_the_page_names_every_case() -> None:
    page = (DOCS / "conformance.md").read_text(encoding="utf-8")
    assert not [case.id for case in CASES if f"`{case.name}`" not in page]
