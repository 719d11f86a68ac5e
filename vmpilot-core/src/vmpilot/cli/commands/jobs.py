"""`vmpilot jobs`: background jobs that keep running after VMPilot exits."""

from __future__ import annotations

import argparse
import json
import sys

from vmpilot.cli._options import add_common_options, add_debug
from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from vmpilot.tools.kept_jobs import KeptJob, KeptJobs


def add_parser(commands: Parser) -> None:
    """The actions on jobs."""
    jobs = commands.add_command("jobs", description="Manage background jobs that keep running after VMPilot exits.")
    add_common_options(jobs.add_command("list", "List running jobs and the last ones that ended"))
    log = jobs.add_command("log", "Print the output of a job")
    log.add_argument("id", type=int, metavar="ID", help="Number of the job")
    log.add_argument("-n", "--lines", type=int, metavar="N", help="Print only the last N lines")
    add_debug(log)
    stop = jobs.add_command("stop", "Stop a job and all its processes")
    stop.add_argument("id", type=int, metavar="ID", help="Number of the job")
    add_debug(stop)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action; exit code 1 if a job cannot be stopped. Raises `UsageError` for an unknown job."""
    from vmpilot.config import current_environment
    from vmpilot.contract import ToolError, UsageError
    from vmpilot.tools.kept_jobs import KeptJobs

    jobs = KeptJobs(current_environment().jobs_folder)
    if arguments.action == "list":
        _print_list(jobs, arguments)
        return 0
    if arguments.action == "log" and arguments.lines is not None and arguments.lines < 1:
        raise UsageError(f"--lines must be at least 1, not {arguments.lines}.")
    try:
        job = jobs.find(arguments.id)
    except ToolError as problem:
        raise UsageError(str(problem)) from problem
    if arguments.action == "stop":
        return _stop(job)
    _print_output(job, arguments.lines)
    return 0


def _print_list(kept: KeptJobs, arguments: argparse.Namespace) -> None:
    from vmpilot.cli._table import print_table, shown_time
    from vmpilot.tools.kept_jobs import shorten

    jobs = kept.all()
    if arguments.output == "json":
        print(json.dumps([_facts(job) for job in jobs]))
    elif jobs:
        print_table((str(job.number), shown_time(job.started)[:-3], job.state, shorten(job.command)) for job in jobs)
    else:
        print("vmpilot: No background jobs.", file=sys.stderr)


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


def _print_output(job: KeptJob, lines: int | None) -> None:
    from vmpilot.cli._style import printable

    text = job.read(lines or sys.maxsize)
    print(printable(text), end="" if not text or text.endswith("\n") else "\n")
    print(printable(f"vmpilot: Job {job.number}: {job.state}"), file=sys.stderr)


def _stop(job: KeptJob) -> int:
    from vmpilot.cli._style import printable
    from vmpilot.tools.kept_jobs import shorten

    if job.over and not job.strayed:
        print(printable(f"vmpilot: Job {job.number} has already ended: {job.state}"), file=sys.stderr)
        return 0
    if not job.stop():
        print(f"vmpilot: Cannot stop job {job.number}.", file=sys.stderr)
        return 1
    print(printable(f"Stopped job {job.number}: {shorten(job.command)}"))
    return 0
