"""The jobs tool: lists, reads, writes to and ends what the shell tool started in the background."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from vmpilot.contract import Acts, LooksUp, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.secrets.masking import MASK
from vmpilot.tools.job import Job
from vmpilot.tools.jobs import Jobs
from vmpilot.tools.kept_jobs import KeptJob

_SETTLING = 0.3
"""Seconds in which a job may answer what was written to it, so that the answer comes at once."""

JOBS_SPEC = ToolSpec(
    name="jobs",
    description=(
        "Look after commands that were started with the tool shell and background: true. Actions: list; output (what "
        "a job printed since it was last read, or its last lines); input (write to its standard input); kill (end it "
        "with all its processes)."
    ),
    parameters={
        "type": "object",
        "properties": {
            "action": {"enum": ["list", "output", "input", "kill"]},
            "job_id": {"type": "integer", "minimum": 1, "description": "Which job; needed for all but list."},
            "lines": {
                "type": "integer",
                "minimum": 1,
                "maximum": 1_000,
                "description": "For output: this many last lines, also those that were read before.",
            },
            "text": {"type": "string", "description": "For input: what to write; end a line with a line break."},
            "close": {"type": "boolean", "description": "For input: close the standard input afterwards."},
        },
        "required": ["action"],
        "additionalProperties": False,
    },
)


class JobsTool:
    """Shows and steers the jobs of a conversation."""

    spec = JOBS_SPEC
    folder = None

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

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
            raise ToolError(f"{action} needs a job_id; the action list shows them.")
        if action == "input" and not (arguments.get("text") or arguments.get("close")):
            raise ToolError("input needs a text, or close: true.")
        if MASK in arguments.get("text", ""):
            raise ToolError(f"{MASK} stands for a secret that you cannot see; the user has to give it.")
        return LooksUp() if action in {"list", "output"} else Acts(f"{action} {number}")

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002  nothing is live here
        if arguments["action"] == "list":
            self._jobs.take_news()
            return ToolOutcome("\n".join(self._jobs.describe()) or "There are no jobs.")
        job = self._jobs.find(arguments["job_id"])
        match arguments["action"]:
            case "input" if isinstance(job, KeptJob):
                raise ToolError(f"The input of job {job.number} was closed when the VMPilot that started it ended.")
            case "input":
                assert isinstance(job, Job)  # noqa: S101  mypy does not see that the case above takes the others
                await job.write(arguments.get("text", ""), close=arguments.get("close", False))
                await job.wait(_SETTLING)
            case "kill":
                await self._kill(job)
        return self._report(job, arguments.get("lines"))

    async def _kill(self, job: Job | KeptJob) -> None:
        if job.over and not (isinstance(job, KeptJob) and job.strayed):
            raise ToolError(f"Job {job.number} is over already: {job.state}.")
        if isinstance(job, KeptJob):
            if not await asyncio.to_thread(job.stop):
                raise ToolError(f"Job {job.number} could not be ended.")
            return
        if unended := await job.end():
            raise ToolError(f"{unended} processes of job {job.number} could not be ended: are they another user's?")

    def _report(self, job: Job | KeptJob, lines: int | None) -> ToolOutcome:
        text = job.read(lines)
        if isinstance(job, Job):
            job.told = job.told or job.over
        news = "".join(f"\n[{line}]" for line in self._jobs.take_news())
        border = "" if not text or text.endswith("\n") else "\n"
        return ToolOutcome(f"{text}{border}[job {job.number}: {job.state}]{news}", exit_code=job.exit_code)
