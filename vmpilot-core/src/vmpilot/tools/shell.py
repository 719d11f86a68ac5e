"""The tool `shell`: runs a bash command line in the conversation's working folder."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from vmpilot.contract import RunsCommand, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import CommandOutcome
from vmpilot.machine.workspace import Workspace
from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools._questions import explain_question

DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 3_600.0
_FIRST_LOOK = 0.3
"""Seconds to wait for a job that fails at once."""

_COMMAND = {"type": "string", "minLength": 1, "description": "The command line."}
_TIMEOUT = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": LONGEST_TIMEOUT,
    "description": f"Seconds after which the command is ended; default: {DEFAULT_TIMEOUT:g}.",
}
_DESCRIPTION = (
    "Run a command line with bash on this machine and get its output (standard output and error together) and exit "
    "code. The working folder carries over from call to call. There is no terminal and no standard input. "
    "Processes left in the background are ended with the command"
)

BARE_SHELL_SPEC = ToolSpec(
    name="shell",
    description=f"{_DESCRIPTION}.",
    parameters={
        "type": "object",
        "properties": {"command": _COMMAND, "timeout": _TIMEOUT},
        "required": ["command"],
        "additionalProperties": False,
    },
)
"""The tool without jobs."""

SHELL_SPEC = ToolSpec(
    name="shell",
    description=f"{_DESCRIPTION}: start servers and long tasks with background: true.",
    parameters={
        "type": "object",
        "properties": {
            "command": _COMMAND,
            "timeout": _TIMEOUT | {"description": f"{_TIMEOUT['description']} With background: no limit by default."},
            "background": {
                "type": "boolean",
                "description": "Return at once with a job id for the tool jobs. The job stops when VMPilot exits.",
            },
            "keep": {
                "type": "boolean",
                "description": "With background: keep running after VMPilot exits. Only if the user wants that.",
            },
        },
        "required": ["command"],
        "additionalProperties": False,
    },
)


class ShellTool:
    """Runs commands in a workspace, which moves to the folder in which a command ends.

    With an environment instead of a runner, it is the basic tool without jobs.
    """

    def __init__(self, workspace: Workspace, runner: CommandRunner | Mapping[str, str]) -> None:
        self.spec = SHELL_SPEC if isinstance(runner, CommandRunner) else BARE_SHELL_SPEC
        self._workspace = workspace
        self._runner = runner if isinstance(runner, CommandRunner) else CommandRunner(runner, lasting=False)

    @property
    def folder(self) -> str:
        return str(self._workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        kept = ", keeps running after VMPilot exits" if arguments.get("keep") else ""
        background = f" (in the background{kept})" if arguments.get("background") else ""
        return f"$ {arguments['command']}{background}"

    def effect(self, arguments: Mapping[str, Any]) -> RunsCommand:
        background = arguments.get("background", False)
        if arguments.get("keep") and not background:
            raise ToolError("keep requires background: true.")
        return RunsCommand(arguments["command"], self._workspace.folder, background=background)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        try:
            outcome = await (self._start(arguments, use) if arguments.get("background") else self._run(arguments, use))
        except (ValueError, OSError) as error:
            raise ToolError(f"The command could not be started: {error}") from error
        if not (ended := self._runner.take_ended_jobs()):
            return outcome
        text = "\n".join([outcome.text, *(f"[ended in the meantime: {line}]" for line in ended)])
        return replace(outcome, text=text)

    async def _run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        timeout = float(arguments.get("timeout", DEFAULT_TIMEOUT))
        outcome = await self._runner.run(
            arguments["command"],
            folder=self._workspace.folder,
            timeout=timeout,
            confinement=use.confinement,
            on_output=use.on_output,
        )
        moved_to = None
        if outcome.working_folder not in (None, self._workspace.folder):
            self._workspace.move_to(outcome.working_folder)
            moved_to = str(outcome.working_folder)
        text = _report(outcome, timeout, moved_to)
        return ToolOutcome(text, is_error=outcome.exit_code != 0, exit_code=outcome.exit_code, folder=moved_to)

    async def _start(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        job = self._runner.start_job(
            arguments["command"],
            folder=self._workspace.folder,
            timeout=arguments.get("timeout"),
            confinement=use.confinement,
            keep=arguments.get("keep", False),
        )
        await job.wait(_FIRST_LOOK)
        if job.problem is not None:
            self._runner.forget_job(job)
            raise job.problem
        if job.over:
            job.reported = True
            text = _closed(job.read(), f"job {job.number} has already ended: {job.state}")
            return ToolOutcome(text, is_error=job.exit_code != 0, exit_code=job.exit_code)
        until = "keeps running after VMPilot exits" if job.keep else "stops when VMPilot exits"
        remark = f" ({job.remark})" if job.remark else ""
        return ToolOutcome(f"Job {job.number} started; it {until}.{remark}")


def _report(outcome: CommandOutcome, timeout: float, moved_to: str | None) -> str:
    """The output, followed by how the command ended."""
    facts = [_ending(outcome, timeout)]
    if outcome.left_running:
        were = (
            "process left in the background was"
            if outcome.left_running == 1
            else "processes left in the background were"
        )
        facts.append(f"{outcome.left_running} {were} ended")
    if outcome.unended:
        facts.append(f"{outcome.unended} process{'' if outcome.unended == 1 else 'es'} could not be ended")
    if outcome.exit_code != 0 and (hint := explain_question(outcome.output.text)):
        facts.append(hint)
    if outcome.exit_code != 0 and outcome.remark is not None:
        facts.append(outcome.remark)
    if outcome.notice is not None:
        facts.append(outcome.notice)
    if moved_to is not None:
        facts.append(f"working folder is now {moved_to}")
    return _closed(outcome.output.text, "; ".join(facts))


def _closed(text: str, facts: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}[{facts}]"


def _ending(outcome: CommandOutcome, timeout: float) -> str:
    if outcome.timed_out:
        return f"timed out after {timeout:g} s: use a longer timeout, or split the work"
    if outcome.flooded:
        return f"ended because its output exceeded {OutputLimits().flood >> 20} MiB: filter it, or write it to a file"
    if outcome.signal is not None:
        name = ""
        with suppress(ValueError):  # a real-time signal has no name
            name = f" ({signal.Signals(outcome.signal).name})"
        return f"ended by signal {outcome.signal}{name}"
    return f"exit code {outcome.exit_code}" if outcome.exit_code is not None else "no exit code"
