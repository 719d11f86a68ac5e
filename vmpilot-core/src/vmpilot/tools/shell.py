"""The shell tool: a command line for bash, run in the conversation's working folder."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmpilot.contract import RunsCommand, ToolOutcome, ToolProblem, ToolSpec, ToolUse
from vmpilot.tools.output import OutputLimits
from vmpilot.tools.process import CommandOutcome, run_command
from vmpilot.workspace import Workspace

DEFAULT_TIMEOUT = 120.0
LONGEST_TIMEOUT = 3_600.0

SHELL_SPEC = ToolSpec(
    name="shell",
    description=(
        "Run a command line with bash on this machine and get its output (standard output and error together) and exit "
        "code. The working folder carries over from call to call. There is no terminal and no standard input. "
        "Processes that are left in the background are ended with the command."
    ),
    parameters={
        "type": "object",
        "properties": {
            "command": {"type": "string", "minLength": 1, "description": "The command line."},
            "timeout": {
                "type": "number",
                "exclusiveMinimum": 0,
                "maximum": LONGEST_TIMEOUT,
                "description": f"Seconds after which the command is ended; {DEFAULT_TIMEOUT:g} if left out.",
            },
        },
        "required": ["command"],
        "additionalProperties": False,
    },
)


class ShellTool:
    """Runs commands in a workspace with a given environment; a command moves the workspace when it ends elsewhere."""

    spec = SHELL_SPEC

    def __init__(self, workspace: Workspace, environment: Mapping[str, str]) -> None:
        self._workspace = workspace
        self._environment = environment

    @property
    def folder(self) -> str:
        return str(self._workspace.folder)

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"$ {arguments['command']}"

    def effect(self, arguments: Mapping[str, Any]) -> RunsCommand:
        return RunsCommand(arguments["command"], self._workspace.folder)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        timeout = float(arguments.get("timeout", DEFAULT_TIMEOUT))
        try:
            outcome = await run_command(
                arguments["command"],
                folder=self._workspace.folder,
                environment=self._environment,
                timeout=timeout,
                limits=OutputLimits(),
                on_output=use.on_output,
            )
        except (ValueError, OSError) as error:
            raise ToolProblem(f"The command could not be started: {error}") from error
        moved_to = self._follow(outcome)
        text = _report(outcome, timeout, moved_to)
        failed = outcome.exit_code != 0
        return ToolOutcome(text, is_error=failed, exit_code=outcome.exit_code, folder=moved_to)

    def _follow(self, outcome: CommandOutcome) -> str | None:
        folder = outcome.working_folder
        if folder is None or folder == self._workspace.folder:
            return None
        self._workspace.move_to(folder)
        return str(folder)


def _report(outcome: CommandOutcome, timeout: float, moved_to: str | None) -> str:
    """The output for the model, the way the command ended behind it."""
    text = outcome.output.text
    facts = [_ending(outcome, timeout)]
    if outcome.left_running:
        facts.append(f"{_processes(outcome.left_running)} left in the background, ended with it")
    if outcome.unended:
        facts.append(f"{_processes(outcome.unended)} could not be ended")
    if outcome.remark is not None:
        facts.append(outcome.remark)
    if moved_to is not None:
        facts.append(f"working folder from here on: {moved_to}")
    return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}[{'; '.join(facts)}]"


def _processes(count: int) -> str:
    return "1 process" if count == 1 else f"{count} processes"


def _ending(outcome: CommandOutcome, timeout: float) -> str:
    if outcome.timed_out:
        return f"ended after {timeout:g} s, its time limit: give a longer timeout, or split the work"
    if outcome.flooded:
        return "ended because it wrote without end: filter its output or send it to a file"
    if outcome.signal is not None:
        return f"ended by signal {outcome.signal}"
    return f"exit code {outcome.exit_code}"
