"""`vmpilot jobs`: the background jobs that keep running when VMPilot has ended."""

from __future__ import annotations

import argparse
import json
import sys

from vmpilot.cli.log import shown_time
from vmpilot.cli.style import printable
from vmpilot.cli.table import print_table
from vmpilot.config import current_environment
from vmpilot.contract import ToolError, UsageError
from vmpilot.tools.kept_jobs import KeptJob, KeptJobs, shorten


def list_jobs(options: argparse.Namespace) -> int:
    """A row for each job, those that have ended included."""
    jobs = _kept_jobs().all()
    if options.output == "json":
        print(json.dumps([_facts(job) for job in jobs]))
    elif jobs:
        print_table((str(job.number), shown_time(job.started)[:-3], job.state, shorten(job.command)) for job in jobs)
    else:
        print("vmpilot: There are no kept jobs.", file=sys.stderr)
    return 0


def show_output(options: argparse.Namespace) -> int:
    """What the job has printed, as far as it is kept, and how it is."""
    if options.lines is not None and options.lines < 1:
        raise UsageError(f"--lines takes a number above 0, not {options.lines}")
    job = _find(options.id)
    text = job.read(options.lines or sys.maxsize)
    print(printable(text), end="" if not text or text.endswith("\n") else "\n")
    print(printable(f"vmpilot: job {job.number}: {job.state}"), file=sys.stderr)
    return 0


def stop_job(options: argparse.Namespace) -> int:
    """End a job with all its processes; exit code 1 if that is not possible."""
    job = _find(options.id)
    if job.over and not job.strayed:
        print(printable(f"vmpilot: job {job.number} is over: {job.state}"), file=sys.stderr)
        return 0
    if not job.stop():
        print(f"vmpilot: job {job.number} could not be stopped", file=sys.stderr)
        return 1
    print(printable(f"stopped job {job.number}: {shorten(job.command)}"))
    return 0


def _kept_jobs() -> KeptJobs:
    return KeptJobs(current_environment().jobs_folder)


def _find(number: int) -> KeptJob:
    try:
        return _kept_jobs().find(number)
    except ToolError as problem:
        raise UsageError(str(problem)) from problem


def _facts(job: KeptJob) -> dict[str, object]:
    return {
        "id": job.number,
        "command": job.command,
        "conversation_id": job.conversation,
        "started": job.started,
        "running": not job.over or job.strayed,
        "exit_code": job.exit_code,
        "state": job.state,
    }
