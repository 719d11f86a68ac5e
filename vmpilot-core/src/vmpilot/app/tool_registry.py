"""The tools of an agent and what they share: built in, of MCP servers, of plugins; sandbox, masker, and the gate."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vmpilot.app.memory import is_local
from vmpilot.app.model_desk import TOOLS_FOR_LOCAL
from vmpilot.app.online import online_tools
from vmpilot.config import Environment, Settings, kept_rules
from vmpilot.contract import Tool, ToolContext, UsageError
from vmpilot.machine.processes.output_file import tidy_outputs
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox import SandboxSearch, places_of_secrets, search_sandbox
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.secrets.shell_environment import child_environment, secret_values
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import Gate, Mode, Rules
from vmpilot.permissions.written_rules import FILE_TOOLS
from vmpilot.plugins import LoadedTools, load_tool_plugins
from vmpilot.tools import CommandRunner, JobsTool, ShellTool
from vmpilot.tools.files import FileMemory, file_tools
from vmpilot.tools.kept_jobs import KeptJobs
from vmpilot.tools.mcp import ACCEPT_TOOL, PREFIX, McpServers, ServerReport

BUILT_IN_TOOLS = frozenset({"shell", "jobs", "web_search", "web_fetch", "github", ACCEPT_TOOL}) | FILE_TOOLS
"""The tools of VMPilot itself, whether or not the machine and the settings offer them."""

_log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).parents[1]
"""VMPilot itself may lie in the workspace, in a virtual environment: it is not changed unasked."""


@dataclass(frozen=True, slots=True)
class ToolReport:
    """A tool as `vmpilot tools` lists it; `problem` says why the model is not offered it, None where it is."""

    name: str
    source: str
    problem: str | None = None


class ToolRegistry:
    """What all conversations of an agent share. `aclose` ends what was started for it."""

    def __init__(self, settings: Settings, environment: Environment, folder: Path) -> None:
        self._settings = settings
        self._environment = environment
        self._folder = folder
        self._mcp = McpServers(settings.mcp, folder=environment.data_folder / "mcp", environment=environment.variables)
        self._sandbox: SandboxSearch | None = None
        self._kept = Rules()
        self._gates: dict[Mode, Gate] = {}
        self._plugins: LoadedTools | None = None
        self.masker = _masker(settings, environment)

    async def gate(self, mode: Mode) -> Gate:
        """The gate for calls in this mode; the first time a sandbox is looked for, if the mode needs one.

        Raises `UsageError` for a rule that cannot be read, or is about a tool that does not exist.
        """
        if mode not in self._gates:
            written = _rules(self._settings)
            await self._check_tools(written)
            rules = written + self._kept
            if mode != "full":
                await self.sandbox()
            self._gates[mode] = Gate(
                mode,
                workspace=self._folder,
                rules=rules,
                confines=self._confines,
                own=self._own_program,
                private=(*self._own_folders, *places_of_secrets(self._environment.variables)),
                search_path=self._environment.variables.get("PATH", ""),
                home=self._environment.variables.get("HOME", ""),
            )
        return self._gates[mode]

    def keep_rules(self, kept: tuple[str, ...]) -> None:
        """Go by these rules, too, also in a turn that is under way."""
        rules = Rules.read(**kept_rules(kept))
        self._kept += rules
        for gate in self._gates.values():
            gate.keep(rules)

    async def sandbox(self) -> SandboxSearch:
        """What came of looking for a sandbox; it is looked for once."""
        if self._sandbox is None:
            self._sandbox = await search_sandbox(
                self._environment.variables, own_folders=self._own_folders, apart_from=self._folder
            )
            found = self._sandbox.sandbox
            _log.debug("sandbox: %s", f"none, {self._sandbox.reason}" if found is None else found.name)
        return self._sandbox

    def equip(self, conversation_id: str, workspace: Workspace) -> SessionTools:
        """The tools for one conversation."""
        settings, environment = self._settings, self._environment
        outputs = environment.cache_folder / "outputs"
        tidy_outputs(outputs)
        variables = child_environment(environment.variables, let_through=settings.pass_environment)
        runner = CommandRunner(
            variables,
            masker=self.masker,
            outputs=outputs / conversation_id,
            confine=self._confine,
            kept=KeptJobs(environment.jobs_folder),
            conversation=conversation_id,
        )
        files = file_tools(workspace, FileMemory(), variables)
        online = online_tools(settings, environment, workspace).tools
        own = (ShellTool(workspace, runner), JobsTool(runner))
        return SessionTools(self, runner, (*own, *files, *online))

    async def shared_tools(self, taken: Iterable[str]) -> tuple[Tool, ...]:
        """The tools of plugins and MCP servers. `taken` are names that they cannot have."""
        plugins = await self._load_plugins(taken)
        return (*plugins.tools, *await self._mcp.tools())

    async def _load_plugins(self, taken: Iterable[str]) -> LoadedTools:
        if self._plugins is None:
            context = ToolContext(self._folder)
            self._plugins = await asyncio.to_thread(load_tool_plugins, context, taken=tuple(taken))
        return self._plugins

    async def _check_tools(self, rules: Rules) -> None:
        """Raises `UsageError` for a rule on a tool that does not exist: a misspelt rule would deny nothing.

        Plugins are loaded only if a rule names a tool that may be theirs. Any name of an MCP tool may be right:
        servers are not started for this.
        """
        unknown = {name for name in rules.tools - BUILT_IN_TOOLS if not name.startswith(PREFIX)}
        if not unknown:
            return
        taken = [tool.spec.name for tool in self.equip("report", Workspace(self._folder)).built_in]
        plugins = await self._load_plugins(taken)
        if plugins.problems:  # the tool may be one that a broken plugin would bring
            return
        try:
            known = BUILT_IN_TOOLS | {tool.spec.name for tool in plugins.tools}
            rules.check_tools(known | (rules.tools - unknown))
        except ValueError as error:
            raise UsageError(f"{error} See `vmpilot config show` for where the rule comes from.") from error

    def offers(self, tool: str, *, model: str) -> bool:
        """Whether the settings let the model be offered this tool."""
        settings = self._settings
        small = is_local(model)
        named = settings.tools if settings.tools is not None else TOOLS_FOR_LOCAL if small else None
        return named is None or tool in named

    async def report(self) -> tuple[ToolReport, ...]:
        """All tools that there are or could be. Starts the MCP servers whose tools are not known yet."""
        built_in = self.equip("report", Workspace(self._folder)).built_in
        shared = await self.shared_tools(tool.spec.name for tool in built_in)
        sourced = [(tool.spec.name, "built in") for tool in built_in]
        sourced += [(tool.spec.name, _source(tool)) for tool in shared]
        missing = online_tools(self._settings, self._environment, Workspace(self._folder)).missing
        return (
            *(ToolReport(name, source, self._why_not(name)) for name, source in sourced),
            *(ToolReport(name, "built in", reason) for name, reason in missing.items()),
        )

    def _why_not(self, tool: str) -> str | None:
        if self.offers(tool, model=self._settings.model or ""):
            return None
        if self._settings.tools is not None:
            return "the setting tools does not name it"
        return "the local model is offered the shell alone; the setting tools can name more"

    @property
    def problems(self) -> tuple[str, ...]:
        """What is wrong with plugins and servers, a sentence each; complete once `shared_tools` was asked."""
        plugins = () if self._plugins is None else self._plugins.problems
        return tuple(map(self.masker.mask, (*plugins, *self._mcp.problems)))

    def take_news(self) -> tuple[str, ...]:
        """What came up about MCP servers since this was called last, a sentence each."""
        return tuple(map(self.masker.mask, self._mcp.take_news()))

    async def check_servers(self) -> tuple[ServerReport, ...]:
        """Start all MCP servers and report on each."""
        reports = await self._mcp.check()
        return tuple(replace(report, problems=tuple(map(self.masker.mask, report.problems))) for report in reports)

    async def aclose(self) -> None:
        """End the MCP servers."""
        await self._mcp.close()

    @property
    def _own_program(self) -> tuple[Path, ...]:
        """VMPilot, and the environment that it is installed in where that lies in the workspace."""
        environment = Path(sys.prefix)
        return (_PROGRAM, environment) if environment.is_relative_to(self._folder) else (_PROGRAM,)

    @property
    def _own_folders(self) -> tuple[Path, ...]:
        return self._environment.private_folders

    def _confines(self) -> bool:
        return self._sandbox is not None and self._sandbox.sandbox is not None

    def _confine(
        self, launch: ShellLaunch, resources: ExitStack, level: Literal["read", "workspace"], folder: Path
    ) -> ShellLaunch:
        if self._sandbox is None or self._sandbox.sandbox is None:
            raise OSError("it was allowed in a sandbox only, and none works here")
        return self._sandbox.sandbox.confine(
            launch, confinement=level, folder=folder, root=self._folder, resources=resources
        )


class SessionTools:
    """The tools of one conversation, with its commands, jobs and memory of files. `close` ends what runs."""

    def __init__(self, kit: ToolRegistry, runner: CommandRunner, built_in: tuple[Tool, ...]) -> None:
        self._kit = kit
        self._runner = runner
        self.built_in = built_in

    async def offered(self, model: str) -> tuple[Tool, ...]:
        """The tools for the next turn by this model. Starts what runs commands, so that the first one need not wait."""
        with suppress(OSError):  # then the first command says so
            self._runner.warm_up()
        shared = await self._kit.shared_tools(tool.spec.name for tool in self.built_in)
        return tuple(tool for tool in (*self.built_in, *shared) if self._kit.offers(tool.spec.name, model=model))

    def describe_jobs(self) -> list[str]:
        """A sentence for the user about each job that `close` ends or leaves running."""
        return self._runner.describe_end()

    async def close(self) -> None:
        """End the conversation's commands and jobs."""
        await self._runner.close()


def _source(tool: Tool) -> str:
    return "MCP server" if tool.spec.name.startswith("mcp") else "plugin"


def _rules(settings: Settings) -> Rules:
    try:
        return Rules.read(
            allow=settings.allow, allow_on_host=settings.allow_on_host, ask=settings.ask, deny=settings.deny
        )
    except ValueError as error:
        raise UsageError(f"{error}; see `vmpilot config show` for where it stands") from error


def _masker(settings: Settings, environment: Environment) -> Masker:
    key = () if settings.api_key is None else (settings.api_key.reveal(),)
    addresses = {"VMPILOT_DATABASE_URL": settings.database_url, "VMPILOT_CACHE": settings.cache.url}
    urls = {name: address.reveal() for name, address in addresses.items() if address is not None}
    known = (*secret_values(environment.variables), *secret_values(urls), *key, *settings.mcp.secrets)
    return Masker(known)
