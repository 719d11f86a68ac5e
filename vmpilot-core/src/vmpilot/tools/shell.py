"""The shell tool: a command line for bash, run in the conversation's working folder."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from typing import Any

from vmpilot.contract import RunsCommand, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.processes.process import CommandOutcome
from vmpilot.machine.workspace import Workspace
from vmpilot.tools._command_runner import CommandRunner
from vmpilot.tools.questions import explain_question

DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 3_600.0
_FIRST_LOOK = 0.3
"""Seconds in which a job that fails at once is seen to fail."""

_COMMAND = {"type": "string", "minLength": 1, "description": "The command line."}
_TIMEOUT = {
    "type": "number",
    "exclusiveMinimum": 0,
    "maximum": LONGEST_TIMEOUT,
    "description": f"Seconds after which the command is ended; {DEFAULT_TIMEOUT:g} if left out.",
}
_DESCRIPTION = (
    "Run a command line with bash on this machine and get its output (standard output and error together) and exit "
    "code. The working folder carries over from call to call. There is no terminal and no standard input. "
    "Processes that are left in the background are ended with the command"
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
    description=f"{_DESCRIPTION}: start a server, or what takes long, with background: true.",
    parameters={
        "type": "object",
        "properties": {
            "command": _COMMAND,
            "timeout": _TIMEOUT
            | {"description": f"{_TIMEOUT['description']} With background there is no limit if left out."},
            "background": {
                "type": "boolean",
                "description": "Do not wait: give a job id for the tool jobs. The job ends with VMPilot.",
            },
            "keep": {
                "type": "boolean",
                "description": "With background: let it go on when VMPilot ends. Only where the user wants that.",
            },
        },
        "required": ["command"],
        "additionalProperties": False,
    },
)


class ShellTool:
    """Runs commands in a workspace; a command moves the workspace when it ends elsewhere.

    With an environment in place of an runner it is the bare tool, which starts no jobs.
    """

    def __init__(self, workspace: Workspace, runner: CommandRunner | Mapping[str, str]) -> None:
        self.spec = SHELL_SPEC if isinstance(runner, CommandRunner) else BARE_SHELL_SPEC
        self._workspace = workspace
        self._runner = runner if isinstance(runner, CommandRunner) else CommandRunner(runner, lasting=False)

    @property
    def folder(self) -> str:
        return str(self._workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        kept = " (goes on when VMPilot ends)" if arguments.get("keep") else ""
        background = f" (in the background{kept})" if arguments.get("background") else ""
        return f"$ {arguments['command']}{background}"

    def effect(self, arguments: Mapping[str, Any]) -> RunsCommand:
        background = arguments.get("background", False)
        if arguments.get("keep") and not background:
            raise ToolError("keep goes with background: true.")
        return RunsCommand(arguments["command"], self._workspace.folder, background=background)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        try:
            outcome = await (self._start(arguments, use) if arguments.get("background") else self._run(arguments, use))
        except (ValueError, OSError) as error:
            raise ToolError(f"The command could not be started: {error}") from error
        return _with_news(outcome, self._runner.jobs.take_news())

    async def _run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        timeout = float(arguments.get("timeout", DEFAULT_TIMEOUT))
        outcome = await self._runner.run(
            arguments["command"],
            folder=self._workspace.folder,
            timeout=timeout,
            confinement=use.confinement,
            on_output=use.on_output,
        )
        moved_to = self._follow(outcome)
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
            self._runner.jobs.forget(job)
            raise job.problem
        if job.over:
            job.told = True
            text = _closed(job.read(), f"job {job.number} is over already: {job.state}")
            return ToolOutcome(text, is_error=job.exit_code != 0, exit_code=job.exit_code)
        until = "until it is ended, also when VMPilot has ended" if job.keep else "until VMPilot ends at the latest"
        remark = f"; {job.remark}" if job.remark else ""
        return ToolOutcome(f"[job {job.number} runs {until}: read, write to and end it with the tool jobs{remark}]")

    def _follow(self, outcome: CommandOutcome) -> str | None:
        folder = outcome.working_folder
        if folder is None or folder == self._workspace.folder:
            return None
        self._workspace.move_to(folder)
        return str(folder)


def _with_news(outcome: ToolOutcome, news: list[str]) -> ToolOutcome:
    if not news:
        return outcome
    text = "\n".join([outcome.text, *(f"[meanwhile ended: {line}]" for line in news)])
    return ToolOutcome(text, is_error=outcome.is_error, exit_code=outcome.exit_code, folder=outcome.folder)


def _report(outcome: CommandOutcome, timeout: float, moved_to: str | None) -> str:
    """The output for the model, the way the command ended behind it."""
    facts = [_ending(outcome, timeout)]
    if outcome.left_running:
        facts.append(f"{_processes(outcome.left_running)} left in the background, ended with it")
    if outcome.unended:
        facts.append(f"{_processes(outcome.unended)} could not be ended")
    if outcome.exit_code != 0 and (hint := explain_question(outcome.output.text)):
        facts.append(hint)
    if outcome.exit_code != 0 and outcome.remark is not None:
        facts.append(outcome.remark)
    if outcome.notice is not None:
        facts.append(outcome.notice)
    if moved_to is not None:
        facts.append(f"working folder from here on: {moved_to}")
    return _closed(outcome.output.text, "; ".join(facts))


def _closed(text: str, facts: str) -> str:
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}[{facts}]"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _ending(outcome: CommandOutcome, timeout: float) -> str:
    if outcome.timed_out:
        return f"no exit code: ended after {timeout:g} s, its time limit: give a longer timeout, or split the work"
    if outcome.flooded:
        return "no exit code: ended because it wrote without end: filter its output or send it to a file"
    if outcome.signal is not None:
        return f"no exit code: ended by signal {outcome.signal}{_signal_name(outcome.signal)}"
    return f"exit code {outcome.exit_code}" if outcome.exit_code is not None else "no exit code"


def _signal_name(number: int) -> str:
    try:
        return f" ({signal.Signals(number).name})"
    except ValueError:  # a real-time one
        return ""
