"""Real sample distributions, found by their metadata: listing, loading, and errors of broken ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.contract import BackendError, BackendInfo, TurnEnded, TurnStarted
from vmpilot.installation import upgrade_command
from vmpilot.plugins import InstalledBackend, choose_backend, installed_backends, load_backend

SAMPLES = sorted(
    path.parent.name
    for path in (Path(__file__).parents[2] / "samples").glob("*/pyproject.toml")
    if "vmpilot.backends" in path.read_text(encoding="utf-8")
)
BROKEN = sorted(set(SAMPLES) - {"echo", "bare"})


def find(name: str) -> InstalledBackend:
    return choose_backend(installed_backends(), name, asked_by="--backend").backend


def run_vmpilot(arguments: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "vmpilot", *arguments]
    return subprocess.run(
        command,
        env=environment,
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_backends_are_listed_without_importing_any(installed_samples: Callable[..., None]) -> None:
    installed_samples(*SAMPLES, alone=True)
    listed = [(found.name, found.distribution, found.version) for found in installed_backends()]
    assert listed == sorted(listed)
    assert ("bare", "vmpilot-sample-bare", "1.0") in listed
    assert [entry for entry in listed if entry[0] == "echo"] == [
        ("echo", "vmpilot-sample-echo", "1.0"),
        ("echo", "vmpilot-sample-second-echo", "1.0"),
    ]
    assert len(listed) == len(SAMPLES)
    assert not [name for name in sys.modules if name.startswith("vmpilot_sample_")]


def test_no_backend_at_all(installed_samples: Callable[..., None]) -> None:
    installed_samples(alone=True)
    assert installed_backends() == ()


def test_a_good_backend_is_loaded(installed_samples: Callable[..., None]) -> None:
    installed_samples("echo", *[name for name in BROKEN if name != "second_echo"], alone=True)
    backend = load_backend(find("echo"))
    assert backend.name == "echo"
    assert backend.info == BackendInfo("echo", "1.0")
    assert backend.model_info("gpt-4o") is None
    assert [name for name in sys.modules if name.startswith("vmpilot_sample_")] == ["vmpilot_sample_echo"]


@pytest.mark.parametrize(
    ("sample", "what"),
    [
        (
            "missing_module",
            "cannot be imported (vmpilot_sample_nowhere: "
            "ModuleNotFoundError: No module named 'vmpilot_sample_nowhere')",
        ),
        (
            "raises_at_import",
            "cannot be imported (vmpilot_sample_raises_at_import: RuntimeError: no licence found)",
        ),
        ("exits_at_import", "cannot be imported (vmpilot_sample_exits_at_import: SystemExit: set LICENCE first)"),
        (
            "missing_attribute",
            "cannot be imported (vmpilot_sample_missing_attribute:backend: "
            "AttributeError: module 'vmpilot_sample_missing_attribute' has no attribute 'backend')",
        ),
        ("forgotten_marker", "has no generate_responses marked with vmpilot.contract.hookimpl"),
        ("other_contract", "uses contract version 99, but this core has version 1"),
    ],
)
def test_the_error_of_a_broken_backend(installed_samples: Callable[..., None], sample: str, what: str) -> None:
    installed_samples(*SAMPLES, alone=True)
    distribution = f"vmpilot-sample-{sample.replace('_', '-')}"
    with pytest.raises(BackendError) as caught:
        load_backend(find(sample))
    assert str(caught.value) == (
        f'Backend "{sample}" of {distribution} 1.0 {what}. '
        f"Run `{upgrade_command(distribution)}`, or choose another backend with --backend."
    )


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        ("wrong_argument", ("wrong_argument", "'prompt'")),
        ("misspelt_hook", ("generate_response", "unknown hook")),
    ],
)
def test_the_error_of_mismatched_hooks(
    installed_samples: Callable[..., None], sample: str, words: tuple[str, ...]
) -> None:
    installed_samples(*SAMPLES, alone=True)
    with pytest.raises(BackendError) as caught:
        load_backend(find(sample))
    text = str(caught.value)
    assert text.startswith(f'Backend "{sample}" of vmpilot-sample-{sample.replace("_", "-")} 1.0 does not match the')
    upgrade = upgrade_command("vmpilot-sample-" + sample.replace("_", "-"))
    assert text.endswith(f"Run `{upgrade}`, or choose another backend with --backend.")
    for word in words:
        assert word in text


def test_two_distributions_with_the_same_name(installed_samples: Callable[..., None]) -> None:
    installed_samples("echo", "second_echo", alone=True)
    with pytest.raises(
        BackendError, match=r"provided by both vmpilot-sample-echo 1\.0 and vmpilot-sample-second-echo 1\.0"
    ):
        find("echo")


def test_only_the_chosen_backend_is_imported(sample_environment: Callable[..., dict[str, str]]) -> None:
    program = (
        "import sys, json\n"
        "from vmpilot.plugins import *\n"
        "load_backend(choose_backend(installed_backends(), 'echo').backend)\n"
        "print(json.dumps([name for name in sys.modules if 'sample' in name or 'backend_' in name]))"
    )
    names = [name for name in SAMPLES if name != "second_echo"]
    ran = subprocess.run(
        [sys.executable, "-c", program], env=sample_environment(*names), capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert json.loads(ran.stdout) == ["vmpilot_sample_echo"]


def test_broken_backends_do_not_affect_the_command_line(sample_environment: Callable[..., dict[str, str]]) -> None:
    names = [name for name in SAMPLES if name != "second_echo"]
    ran = run_vmpilot(["--backend", "echo", "hello there"], sample_environment(*names))
    assert (ran.returncode, ran.stdout) == (0, "You said: hello there\n"), ran.stderr


def test_a_broken_chosen_backend_exits_with_5(sample_environment: Callable[..., dict[str, str]]) -> None:
    environment = sample_environment("raises_at_import", "echo", VMPILOT_BACKEND="raises_at_import")
    ran = run_vmpilot(["hello"], environment)
    assert ran.returncode == 5
    assert ran.stdout == ""
    assert ran.stderr.startswith('vmpilot: Backend "raises_at_import" of vmpilot-sample-raises-at-import 1.0 cannot')
    assert len(ran.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("sample", "error"),
    [
        ("yields_number", "backend yields_number yielded a int, which is neither an event nor text"),
        ("raises_midway", "backend raises_midway failed: EngineError: the engine lost a wheel"),
        ("ends_silently", "backend ends_silently ended the turn without an answer"),
    ],
)
async def test_a_backend_that_fails_during_a_turn(
    installed_samples: Callable[..., None], tmp_path: Path, sample: str, error: str
) -> None:
    installed_samples(sample)
    environment = Environment({}, tmp_path / "config", tmp_path / "data", tmp_path / "cache", "tester")
    async with Agent(folder=tmp_path, backend=sample, environment=environment) as agent:
        events = [event async for event in agent.run("hello")]
    ended = events[-1]
    assert isinstance(events[0], TurnStarted)
    assert isinstance(ended, TurnEnded)
    assert (ended.reason, ended.error, ended.exit_code) == ("failed", error, 5)
