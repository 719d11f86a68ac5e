"""The tool `jobs`: lists, reads, writes to and ends background commands of the shell tool."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from vmpilot.contract import Acts, LooksUp, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.secrets.masking import MASK
from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools._job import Job
from vmpilot.tools.kept_jobs import KeptJob

_SETTLING = 0.3
"""Seconds to wait for a job's response to its input, so that it is in the same result."""

JOBS_SPEC = ToolSpec(
    name="jobs",
    description=(
        "Manage commands that the shell tool started with background: true. Actions: list; output (what a job printed "
        "since it was last read, or its last lines); input (write to its standard input); kill (end it with all its "
        "processes)."
    ),
    parameters={
        "type": "object",
        "properties": {
            "action": {"enum": ["list", "output", "input", "kill"]},
            "job_id": {"type": "integer", "minimum": 1, "description": "The job; required except for list."},
            "lines": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1_000,
                "description": "For output: the last lines, also those already read.",
            },
            "text": {"type": "string", "description": "For input: the text to write; end lines with a line break."},
            "close": {"type": "boolean", "description": "For input: close the standard input afterwards."},
        },
        "required": ["action"],
        "additionalProperties": False,
    },
)


class JobsTool:
    """Shows and controls the jobs of a conversation."""

    spec = JOBS_SPEC
    folder = None

    def __init__(self, runner: CommandRunner) -> None:
        self._runner = runner

    def title(self, arguments: Mapping[str, Any]) -> str:
        match arguments:
            case {"action": "list"}:
                return "jobs"
            case {"action": "input"}:
                text, close = arguments.get("text", ""), " and close its input" if arguments.get("close") else ""
                return f"job {arguments.get('job_id')}: input {text!r}{close}"
            case _:
                return f"job {arguments.get('job_id')}: {arguments['action']}"

    def effect(self, arguments: Mapping[str, Any]) -> LooksUp | Acts:
        action, number = arguments["action"], arguments.get("job_id")
        if action != "list" and number is None:
            raise ToolError(f"{action} requires job_id; the action list shows the jobs.")
        if action == "input" and not (arguments.get("text") or arguments.get("close")):
            raise ToolError("input requires text or close: true.")
        if MASK in arguments.get("text", ""):
            raise ToolError(f"{MASK} stands for a secret that you cannot see; the user has to enter it.")
        return LooksUp() if action in {"list", "output"} else Acts(f"{action} {number}")

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002  no live output
        if arguments["action"] == "list":
            self._runner.take_ended_jobs()
            return ToolOutcome("\n".join(self._runner.list_jobs()) or "There are no jobs.")
        job = self._runner.find_job(arguments["job_id"])
        match arguments["action"]:
            case "input" if isinstance(job, KeptJob):
                raise ToolError(f"The input of job {job.number} was closed when the VMPilot that started it exited.")
            case "input":
                assert isinstance(job, Job)  # noqa: S101  mypy does not see that the case above takes the others
                await job.write(arguments.get("text", ""), close=arguments.get("close", False))
                await job.wait(_SETTLING)
            case "kill":
                await _kill(job)
        text = job.read(arguments.get("lines"))
        if isinstance(job, Job):
            job.reported = job.reported or job.over
        ended = "".join(f"\n[{line}]" for line in self._runner.take_ended_jobs())
        border = "" if not text or text.endswith("\n") else "\n"
        return ToolOutcome(f"{text}{border}[job {job.number}: {job.state}]{ended}", exit_code=job.exit_code)


async def _kill(job: Job | KeptJob) -> None:
    if job.over and not (isinstance(job, KeptJob) and job.strayed):
        raise ToolError(f"Job {job.number} has already ended: {job.state}.")
    if isinstance(job, KeptJob):
        if not await asyncio.to_thread(job.stop):
            raise ToolError(f"Job {job.number} could not be ended.")
    elif unended := await job.end():
        raise ToolError(f"{unended} processes of job {job.number} could not be ended; they may be another user's.")
