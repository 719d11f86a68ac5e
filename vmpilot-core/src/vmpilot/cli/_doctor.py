"""Runs and prints the checks of `vmpilot doctor`, and the escape probes of the sandbox."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from vmpilot.cli._doctor_checks import Check, check_installation
from vmpilot.cli._options import given_settings
from vmpilot.cli._style import Style, printable
from vmpilot.config import Environment, current_environment
from vmpilot.installation import install_command
from vmpilot.machine.sandbox import Level, Sandbox, search_sandbox
from vmpilot.machine.sandbox.escape_tests import Finding, probe_escapes

_LEVELS: tuple[Level, ...] = ("read", "workspace")


@dataclass(frozen=True, slots=True)
class Hold:
    """The result of one escape probe by level: `blocked`, `open` or `not tried`. `known`: an open one is expected."""

    probe: str
    holds: str
    verdicts: Mapping[str, str]
    details: Mapping[str, str]
    known: bool


def run_doctor(arguments: argparse.Namespace) -> int:
    """Check everything and print it; exit code 1 if something is broken."""
    return asyncio.run(_examine(arguments, Path(arguments.cwd).resolve()))


async def _examine(arguments: argparse.Namespace, folder: Path) -> int:
    environment = current_environment()
    checks = await check_installation(environment, folder, options=given_settings(arguments))
    found, holds = await _check_sandbox(environment, folder)
    checks += found
    if arguments.output == "text":
        _print(checks, holds)
    else:
        print(json.dumps({"checks": [asdict(check) for check in checks], "sandbox": [asdict(hold) for hold in holds]}))
    return int(any(check.state == "broken" for check in checks))


def _sandbox_fix() -> str:
    return (
        "install bubblewrap (apt install bubblewrap) and allow user namespaces "
        "(sysctl kernel.apparmor_restrict_unprivileged_userns=0, kernel.unprivileged_userns_clone=1), "
        f"or {install_command('vmpilot-core[sandlock]')} (Linux 6.12 or newer)"
    )


async def _check_sandbox(environment: Environment, folder: Path) -> tuple[list[Check], list[Hold]]:
    search = await search_sandbox(environment.variables, own_folders=environment.private_folders, apart_from=folder)
    if search.sandbox is None:
        why = f"none works, so every command needs approval: {search.reason}"
        return [Check("sandbox", "broken", why, mend=_sandbox_fix())], []
    sandbox = search.sandbox
    passed_over = [f"{attempt.name}: {attempt.problem}" for attempt in search.attempts if attempt.problem]
    checks = [Check("sandbox", "ok", "; not used: ".join((sandbox.name, *passed_over)))]
    checks += [Check("sandbox", "note", shortcoming.sentence) for shortcoming in sandbox.shortcomings]
    if refusal := sandbox.refusal(folder):
        checks.append(Check("sandbox", "note", f"commands in the sandbox cannot change this folder: {refusal}"))
    try:
        by_level = {level: await probe_escapes(sandbox, level) for level in _LEVELS}
    except (OSError, RuntimeError) as error:
        return [*checks, Check("escape probes", "broken", str(error), mend=_sandbox_fix())], []
    holds = _compare(sandbox, by_level)
    return [*checks, sum_up(holds)], holds


def _compare(sandbox: Sandbox, by_level: Mapping[Level, Iterable[Finding]]) -> list[Hold]:
    known = {shortcoming.probe for shortcoming in sandbox.shortcomings}
    levels = {level: {finding.probe: finding for finding in findings} for level, findings in by_level.items()}
    return [
        Hold(
            probe,
            first.holds,
            {level: findings[probe].verdict for level, findings in levels.items()},
            {level: findings[probe].detail for level, findings in levels.items()},
            known=probe in known,
        )
        for probe, first in levels["read"].items()
    ]


def sum_up(holds: list[Hold]) -> Check:
    """One line about all probes; broken if one escaped that is not known to."""
    escaped = [hold.probe for hold in holds if "open" in hold.verdicts.values() and not hold.known]
    if escaped:
        return Check(
            "escape probes",
            "broken",
            f"escaped from the sandbox: {', '.join(escaped)}",
            mend="report this to the VMPilot project, and until it is fixed use VMPilot only on a disposable machine",
        )
    return Check("escape probes", "ok", ", ".join(_count_blocked(holds, level) for level in _LEVELS))


def _count_blocked(holds: list[Hold], level: Level) -> str:
    """Counts the probes that were tried; the others do not apply at this level or on this machine."""
    tried = [hold.verdicts[level] for hold in holds if hold.verdicts[level] != "not tried"]
    return f"{tried.count('blocked')} of {len(tried)} blocked at level {level}"


def _print(checks: list[Check], holds: list[Hold]) -> None:
    style = Style(enabled=sys.stdout.isatty())
    width = max(len(check.name) for check in checks)
    for check in checks:
        state = check.state if check.state != "broken" else style.bold("BROKEN")
        print(f"{state:<7} {check.name:<{width}}  {printable(check.detail)}")
        if check.mend:
            print(f"{'':<7} {'':<{width}}  Fix: {printable(check.mend)}")
    if holds:
        print(f"\n{style.bold('Sandbox')}\n{'read':<10}{'workspace':<11}")
    for hold in holds:
        read, workspace = ({"blocked": "yes", "open": "NO"}.get(hold.verdicts[level], "-") for level in _LEVELS)
        line = f"{read:<10}{workspace:<11}{hold.holds}"
        escaped = next((hold.details[level] for level, verdict in hold.verdicts.items() if verdict == "open"), None)
        print(style.dim(line) if escaped is None else f"{line}{printable(f' (probe: {escaped})')}")
