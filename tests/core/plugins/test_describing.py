"""Descriptions of installed backends, which are not imported into this process."""

from __future__ import annotations

import sys
from collections.abc import Callable

from vmpilot.plugins import DescribedBackend, describe_backends, installed_backends

Install = Callable[..., None]


def described(*, seconds: float = 60.0) -> dict[str, DescribedBackend]:
    return {one.installed.name: one for one in describe_backends(installed_backends(), seconds=seconds)}


def test_backends_are_described_without_importing_them(installed_samples: Install) -> None:
    installed_samples("echo", "claims_too_much", "raises_at_import", "exits_at_import", alone=True)
    found = described()
    info = found["claims_too_much"].info
    assert info is not None
    assert (info.version, info.capabilities) == ("1.0", frozenset({"streaming", "usage"}))
    echo = found["echo"].info
    assert echo is not None
    assert echo.capabilities == frozenset()
    assert not [name for name in sys.modules if name.startswith("vmpilot_sample_")]


def test_a_broken_backend_has_a_reason_and_does_not_affect_others(installed_samples: Install) -> None:
    names = ("echo", "raises_at_import", "exits_at_import", "kills_its_process", "missing_module", "other_contract")
    installed_samples(*names, alone=True)
    found = described()
    broken = {name: one.problem for name, one in found.items() if one.info is None}
    assert len(broken) == len(names) - 1
    assert found["echo"].problem == ""
    assert "exit code 7" in broken["kills_its_process"]
    assert all("vmpilot-sample-" in problem and "--upgrade" in problem for problem in broken.values())


def test_an_import_that_hangs_times_out(installed_samples: Install) -> None:
    installed_samples("sleeps_at_import", "echo", alone=True)
    found = described(seconds=5.0)
    assert "cannot be imported within 5 s" in found["sleeps_at_import"].problem
    assert found["echo"].info is not None
