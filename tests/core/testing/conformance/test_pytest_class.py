"""The class that pytest collects, run by a plain pytest on small backends."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import pytest

from vmpilot.testing import BackendConformance
from vmpilot.testing.conformance import CASES

BACKEND = """
from vmpilot.contract import BackendInfo, hookimpl
from vmpilot.testing import BackendConformance

class Yes:
    @hookimpl
    def describe_backend(self):
        return BackendInfo("Yes", "1", capabilities=frozenset({LEVELS}))

    @hookimpl
    def generate_responses(self):
        yield "All is "
        yield "well."

class TestYes(BackendConformance):
    backend = Yes()
"""


def run_pytest(folder: Path, body: str = "", *, levels: str = '["core"]', only: str = "") -> str:
    """Run pytest, without plugins, on the class with this body; return its output."""
    (folder / "test_yes.py").write_text(BACKEND.replace("{LEVELS}", f"{{*{levels}}}") + body, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-c", os.devnull, "test_yes.py", "-k", only],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "HOME": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


def test_each_case_is_a_test_and_only_claimed_levels_count(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, only="answers or usage_told or model_name or claims")
    assert "PASSED test_yes.py::TestYes::test_core_answers" in said
    assert "PASSED test_yes.py::TestYes::test_claims" in said
    assert "FAILED test_yes.py::TestYes::test_core_model_name" in said
    assert "XFAIL test_yes.py::TestYes::test_usage_told" in said
    assert "does not claim usage" in said
    assert "see: contract.md#what-a-turn-is" in said


def test_a_known_failure_is_expected_until_it_passes(tmp_path: Path) -> None:
    body = '    known_failures = {"core.model_name": "it calls no model", "core.answers": "it is shy"}\n'
    said = run_pytest(tmp_path, body, only="answers or model_name")
    assert "XFAIL test_yes.py::TestYes::test_core_model_name" in said
    assert "FAILED test_yes.py::TestYes::test_core_answers" in said
    assert "remove it" in said


@pytest.mark.parametrize("required", ["core", ("core", "telepathy")])
def test_required_levels_are_levels(required: Collection[str]) -> None:
    with pytest.raises(TypeError, match="required names unknown levels"):
        type("TestMine", (BackendConformance,), {"required": required})


def test_claiming_no_level_is_allowed(tmp_path: Path) -> None:
    said = run_pytest(tmp_path, "    required = ()\n", levels="[]", only="claims")
    assert "PASSED test_yes.py::TestYes::test_claims" in said


def test_required_levels_must_be_claimed(tmp_path: Path) -> None:
    assert "required levels are not claimed: core" in run_pytest(tmp_path, levels="[]", only="claims")


def test_a_replaced_case_runs_the_method_of_the_class(tmp_path: Path) -> None:
    body = """
    replaced = {"core.model_name": "it calls no model"}

    def test_core_model_name(self):
        assert self.subject().backend.name == "Yes"
"""
    said = run_pytest(tmp_path, body, only="model_name or turns_at_once")
    assert "PASSED test_yes.py::TestYes::test_core_model_name" in said


def test_an_undeclared_override_fails() -> None:
    for method in (lambda self: None, None):
        with pytest.raises(TypeError, match="overrides test_core_answers without a reason"):
            type("Silent", (BackendConformance,), {"backend": "echo", "test_core_answers": method})


def test_the_claims_are_always_tested() -> None:
    with pytest.raises(TypeError, match="overrides test_claims: set `required`"):
        type("Silent", (BackendConformance,), {"backend": "echo", "test_claims": None})


def test_an_intermediate_class_cannot_override_either() -> None:
    class Mixin:
        def test_core_answers(self) -> None:
            pass

    with pytest.raises(TypeError, match="without a reason"):
        type("Mixed", (Mixin, BackendConformance), {})


@pytest.mark.parametrize(
    ("declared", "complaint"),
    [
        ({"known_failures": {"core.no_such": "so"}}, "names unknown cases: core.no_such"),
        ({"known_failures": {"core.answers": " "}}, "gives no reason for core.answers"),
        ({"replaced": {"core.answers": "so"}}, "does not define test_core_answers"),
    ],
)
def test_declarations_must_be_true(declared: dict[str, object], complaint: str) -> None:
    with pytest.raises(TypeError, match=complaint):
        type("Declaring", (BackendConformance,), declared)


def test_the_class_is_not_collected_without_a_subclass() -> None:
    assert not BackendConformance.__name__.startswith("Test")
    assert len([name for name in vars(BackendConformance) if name.startswith("test_")]) == len(CASES) + 1
