"""No test fails because the machine is busy: none asserts that something took less than some wall-clock time."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
CLOCKS = {"monotonic", "perf_counter", "time", "monotonic_ns", "perf_counter_ns"}
"""Clocks that also run while others use the processor; `time.process_time` does not."""


def has_upper_bound(tree: ast.AST) -> bool:
    """Whether a module asserts that a difference from a wall clock is below something."""
    return any(
        isinstance(compare, ast.Compare)
        and isinstance(compare.left, ast.BinOp)
        and isinstance(compare.left.op, ast.Sub)
        and _reads_clock(compare.left.left)
        and isinstance(compare.ops[0], ast.Lt | ast.LtE)
        for statement in ast.walk(tree)
        if isinstance(statement, ast.Assert)
        for compare in ast.walk(statement)
    )


def _reads_clock(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS


def test_no_test_has_a_wall_clock_bound() -> None:
    found = {
        path.relative_to(TESTS).as_posix()
        for path in TESTS.rglob("*.py")
        if has_upper_bound(ast.parse(path.read_text(encoding="utf-8")))
    }
    assert found == set()


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("assert time.monotonic() - started < 5", True),
        ("assert a and perf.perf_counter() - started <= limit", True),
        ("assert time.monotonic() - started >= 5", False),
        ("assert time.process_time() - started < 5", False),
        ("assert time.monotonic() < give_up", False),  # a poll that gives up
    ],
)
def test_a_bound_is_seen(code: str, expected: bool) -> None:
    assert has_upper_bound(ast.parse(code)) is expected
