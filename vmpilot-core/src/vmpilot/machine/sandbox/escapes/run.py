"""Runs the probes that a plan names, each in a child process, and prints the results."""

import json
import os
import signal
import sys
from pathlib import Path

from .files import PROBES as FILES
from .kernel import PROBES as KERNEL
from .probe import NotTried, Plan, Probe
from .processes import PROBES as PROCESSES

PROBES = (*FILES, *PROCESSES, *KERNEL)
_PATIENCE = 5  # seconds


def _attempt(probe: Probe, plan: Plan) -> tuple[str, str]:
    try:
        done = probe.attempt(plan)
    except OSError as error:
        return "blocked", error.strerror or type(error).__name__
    except NotTried as reason:
        return "not tried", str(reason)
    return ("open", done) if done else ("blocked", "")


def _attempt_apart(probe: Probe, plan: Plan) -> tuple[str, str]:
    """In a child process, because a probe may change or kill its process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE)
        verdict, detail = _attempt(probe, plan)
        os.write(writing, f"{verdict}\0{detail}"[:4000].encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as answers:
        answer = answers.read().decode()
    _, status = os.waitpid(child, 0)
    if answer:
        verdict, _, detail = answer.partition("\0")
        return verdict, detail
    return "blocked", f"the probe was ended by signal {os.WTERMSIG(status)}"


def main() -> None:
    """Run the probes that the plan names and print the results as one JSON object."""
    plan: Plan = json.loads(Path(sys.argv[1]).read_text())
    names = set(plan["probes"])
    sys.stdout.write(json.dumps({probe.name: _attempt_apart(probe, plan) for probe in PROBES if probe.name in names}))
