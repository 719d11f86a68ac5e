"""The benchmark runs and reports plausible figures."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


def run_bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "bench" / "run.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    file = tmp_path_factory.mktemp("bench") / "results.json"
    measures = ["help", "answer", "steps", "stream-text", "parallel"]
    done = run_bench("--only", *measures, "--programs", "bare stdlib", "--runs", "1", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 of 0 aims met" in done.stdout
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def median_of(results: dict[str, Any], measure: str, figure: str) -> float:
    (line,) = [line for line in results["lines"] if (line["measure"], line["figure"]) == (measure, figure)]
    value: float = line["programs"]["bare stdlib"]["median"]
    return value


@pytest.mark.parametrize(
    ("measure", "figure", "least", "most"),
    [
        ("help", "cpu", 2, 200),
        ("answer", "first_cpu", 10, 1_000),
        ("answer", "memory", 10, 40),  # not more than the interpreter: measuring must not count
        ("steps", "wall", 0.5, 200),
        ("steps", "cpu", 0.1, 50),
        ("stream-text", "cpu", 5_000, 1_000_000),
        ("parallel", "wall", 1.0, 4.0),  # side by side
    ],
)
def test_figures_are_plausible(results: dict[str, Any], measure: str, figure: str, least: float, most: float) -> None:
    assert least <= median_of(results, measure, figure) <= most


def test_first_request_precedes_the_end(results: dict[str, Any]) -> None:
    assert median_of(results, "answer", "first_wall") < median_of(results, "answer", "whole_wall") * 1e3


def test_growth_is_measured_on_both_databases(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    done = run_bench("--only", "growth", "--runs", "1", "--json", str(file))
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line["figure"]: line["programs"] for line in json.loads(file.read_text())["growth"]}
    for database in ("SQLite", "PostgreSQL"):
        figures = {name: programs[database]["median"] for name, programs in lines.items()}
        assert 0.05 <= figures["wall_10"] <= 200
        assert figures["opening"] > figures["fetching"] > 0.5
        assert figures["beyond"] == pytest.approx(figures["opening"] - figures["fetching"])


def test_unknown_measure_is_rejected() -> None:
    done = run_bench("--only", "no-such-measure")
    assert done.returncode == 2
    assert "no-such-measure" in done.stderr
