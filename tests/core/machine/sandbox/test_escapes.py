"""The escape probes in each sandbox, at each level, as root and as an ordinary user."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest

from vmpilot.machine.sandbox import Level, Sandbox
from vmpilot.machine.sandbox.engine import Engine
from vmpilot.machine.sandbox.escape_tests import Finding, probe_escapes
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock

from .conftest import PROBES, As, Nothing, miss

ALWAYS_BLOCKED = {"sysrq", "descriptors", "kernel-crypto", "kernel-module", "x32-calls"}
"""Blocked without a sandbox, by this machine or because nothing is open."""


def named(findings: Iterable[Finding], verdict: str) -> set[str]:
    return {finding.probe for finding in findings if finding.verdict == verdict}


@pytest.mark.parametrize("level", ["read", "workspace"])
def test_probes_that_succeed_are_known(engine: Engine, level: Level, as_user: As, own: HiddenPaths) -> None:
    sandbox = Sandbox(as_user.engine(engine), own)
    findings = as_user(lambda: probe_escapes(sandbox, level, python=as_user.python))
    known = {"see-processes", *({"times"} if level == "workspace" else ())} if isinstance(engine, Sandlock) else set()
    assert named(findings, "open") == known
    assert named(findings, "not tried") == ({"write-workspace"} if level == "workspace" else set())
    assert len(findings) == PROBES


def test_the_shortcomings_name_the_probes_that_succeed(engine: Engine) -> None:
    told = {shortcoming.probe for shortcoming in engine.shortcomings} - {""}
    assert told == ({"see-processes", "times"} if isinstance(engine, Sandlock) else set())


async def test_every_probe_succeeds_without_a_sandbox(own: HiddenPaths) -> None:
    if os.geteuid() != 0:
        miss("an ordinary user is held without a sandbox, too")
    findings = await probe_escapes(Sandbox(Nothing(), own), "read")
    assert named(findings, "blocked") <= ALWAYS_BLOCKED
    assert len(named(findings, "open")) >= PROBES - len(ALWAYS_BLOCKED)


async def test_only_the_requested_probes_run(engine: Engine, own: HiddenPaths, reachable_python: str) -> None:
    findings = await probe_escapes(Sandbox(engine, own), "read", python=reachable_python, probes={"mount", "loopback"})
    assert [(finding.probe, finding.verdict) for finding in findings] == [("loopback", "blocked"), ("mount", "blocked")]
    assert all(finding.holds for finding in findings)


async def test_probes_that_cannot_run_are_an_error(engine: Engine, own: HiddenPaths) -> None:
    with pytest.raises(RuntimeError, match="could not run in the sandbox"):
        await probe_escapes(Sandbox(engine, own), "read", python="/bin/false")
