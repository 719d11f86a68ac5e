"""`vmpilot backends list` and `check`: their output, the JSON report, and the exit codes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vmpilot.testing.conformance import CASES, LEVELS

Install = Callable[..., None]


def test_the_list_shows_all_backends_and_why_one_is_chosen(here: Any, installed_samples: Install) -> None:
    installed_samples("bare", "claims_too_much", "raises_at_import")
    outcome = here("backends", "list")
    assert outcome.code == 0
    rows = outcome.out.splitlines()
    used = next(row for row in rows if row.startswith("bare"))
    assert "chosen: VMPILOT_BACKEND" in used
    assert "vmpilot-sample-bare 1.0" in used
    assert "contract 1" in used
    assert outcome.out.count("chosen:") == 1
    assert "streaming, usage" in next(row for row in rows if row.startswith("claims_too_much"))
    assert next(row for row in rows if "broken" in row).startswith("raises")
    assert "cannot be imported" in " ".join(outcome.out.split())


def test_the_list_as_json(here: Any, installed_samples: Install) -> None:
    installed_samples("bare", "claims_too_much", "raises_at_import")
    rows = {row["distribution"]: row for row in json.loads(here("backends", "list", "--output", "json").out)}
    assert rows["vmpilot-sample-claims-too-much"] == {
        "name": "claims_too_much",
        "distribution": "vmpilot-sample-claims-too-much",
        "version": "1.0",
        "contract_version": 1,
        "levels": ["streaming", "usage"],
        "chosen": False,
        "note": "",
        "problem": None,
    }
    assert rows["vmpilot-sample-bare"]["note"] == "chosen: VMPILOT_BACKEND"
    assert "cannot be imported" in rows["vmpilot-sample-raises-at-import"]["problem"]


@pytest.mark.parametrize("asked", ["raises_at_import", "nobody"])
def test_a_choice_that_cannot_be_used_is_an_error(here: Any, installed_samples: Install, asked: str) -> None:
    installed_samples("bare", "raises_at_import", alone=True)
    name = json.loads(here("backends", "list", "--output", "json").out)[-1]["name"]
    outcome = here("backends", "list", "--backend", name if asked == "raises_at_import" else asked)
    assert outcome.code == 5
    assert outcome.err.startswith("vmpilot: Backend")
    assert "bare" in outcome.out


def test_two_backends_with_the_same_name_are_both_listed(here: Any, installed_samples: Install) -> None:
    installed_samples("echo", "second_echo", "bare")
    outcome = here("backends", "list")
    assert (outcome.out.count("\necho  ") + outcome.out.startswith("echo  "), outcome.code) == (2, 0)


def test_a_check_reports_failures_and_where_to_look(here: Any, installed_samples: Install) -> None:
    installed_samples("claims_too_much", alone=True)
    outcome = here("backends", "check", "claims_too_much", "--level", "streaming", "tools")
    assert outcome.code == 1
    head, titles, streaming, tools = outcome.out.splitlines()[:4]
    assert head == "claims_too_much 1.0 (vmpilot-sample-claims-too-much), contract 1"
    assert titles.split() == ["level", "cases", "claimed"]
    assert tools.split()[0::2] == ["tools", "no"]
    assert streaming.split()[0::2] == ["streaming", "yes"]
    assert "Failed: streaming.text_to_the_letter\n" in outcome.out
    assert "Failed: tools.one_call (in a level that is not claimed)" in outcome.out
    assert tools.split()[-1] == streaming.split()[-1] == "failed"
    assert "see: docs/contract.md#what-a-turn-is" in outcome.out
    assert outcome.out.endswith("Failed levels: streaming.\n")


def test_a_backend_that_exits_on_import_does_not_end_the_command(here: Any, installed_samples: Install) -> None:
    installed_samples("kills_its_process")
    outcome = here("backends", "check", "kills_its_process")
    assert (outcome.code, outcome.out) == (5, "")
    assert "ends the process that imports it" in outcome.err


def test_levels_that_are_not_claimed_do_not_fail_the_check(here: Any, installed_samples: Install) -> None:
    installed_samples("echo", alone=True)
    outcome = here("backends", "check", "echo", "--level", "usage")
    assert outcome.code == 0
    assert "it cannot fail them" in outcome.out


def test_the_report_as_json(here: Any, installed_samples: Install, tmp_path: Path) -> None:
    installed_samples("claims_too_much", alone=True)
    file = tmp_path / "report.json"
    assert here("backends", "check", "claims_too_much", "--level", "usage", "--json", str(file)).code == 1
    report = json.loads(file.read_text(encoding="utf-8"))
    assert (report["backend"], report["holds"]) == ("claims_too_much", False)
    (level,) = report["levels"]
    assert (level["level"], level["claimed"], level["holds"]) == ("usage", True, False)
    assert [case["case"] for case in level["cases"]] == [case.id for case in CASES if case.level == "usage"]
    told = level["cases"][0]
    assert (told["outcome"], told["see"]) == ("failed", "contract.md#events")
    printed = here("backends", "check", "claims_too_much", "--level", "usage", "--json", "-")
    assert json.loads(printed.out)["levels"][0]["level"] == "usage"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["echo", "--level", "tolls"], 2, "Unknown level 'tolls'. The levels are: core"),
        (["echo", "--repeat", "0"], 2, "must be at least 1"),
        (["echo", "--repeat", "many"], 2, "--repeat"),
        (["echo", "--json", "/no/such/folder/report"], 2, "Cannot write /no/such/folder/report"),
        (["echo", "--scripted-model", "nowhere:Model"], 2, "Cannot find --scripted-model 'nowhere:Model'"),
        (["echo", "--scripted-model", "json"], 2, "must be MODULE:NAME"),
        ([], 2, "NAME"),
        (["nobody"], 5, '"nobody" (backends check) is not installed'),
    ],
)
def test_wrong_usage(here: Any, installed_samples: Install, arguments: list[str], code: int, said: str) -> None:
    installed_samples("echo", alone=True)
    outcome = here("backends", "check", *arguments)
    assert outcome.code == code
    assert said in outcome.err


def test_a_backend_that_cannot_be_loaded_exits_with_5(here: Any, installed_samples: Install) -> None:
    installed_samples("raises_at_import", alone=True)
    name = json.loads(here("backends", "list", "--output", "json", "--backend", "x").out)[0]["name"]
    outcome = here("backends", "check", name)
    assert outcome.code == 5
    assert "cannot be imported" in outcome.err


def test_another_scripted_model_is_used(here: Any, installed_samples: Install) -> None:
    installed_samples("claims_too_much", "bare")
    own = ("--scripted-model", "vmpilot.testing:ServedModel")
    outcome = here("backends", "check", "bare", "--level", "parallel", *own)
    assert outcome.out.splitlines()[2].split() == ["parallel", "6/6", "no", "passed"]


@pytest.mark.parametrize("level", LEVELS)
def test_the_help_and_the_levels_agree(level: str) -> None:
    assert level in (Path(__file__).parents[3] / "vmpilot-core/docs/contract.md").read_text(encoding="utf-8")


def test_an_interrupt_ends_the_check(sample_environment: Callable[..., dict[str, str]]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "vmpilot.cli", "backends", "check", "bare", "--repeat", "100000"],
        env=sample_environment("bare", PATH=os.environ["PATH"]),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("bare")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
