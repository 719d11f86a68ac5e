"""The tools of an agent (built in, of MCP servers, of plugins) with their sandbox, masker and permission policy."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from vmpilot.app._memory import is_local
from vmpilot.app._model_resolver import TOOLS_FOR_LOCAL
from vmpilot.app._online_tools import online_tools
from vmpilot.config import Environment, Settings, saved_rules
from vmpilot.contract import Tool, ToolContext, UsageError
from vmpilot.machine.processes.output_file import tidy_outputs
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.sandbox import SandboxSearch, places_of_secrets, search_sandbox
from vmpilot.machine.secrets.masking import Masker
from vmpilot.machine.secrets.shell_environment import child_environment, secret_values
from vmpilot.machine.workspace import Workspace
from vmpilot.permissions import Mode, PermissionPolicy, Rules
from vmpilot.permissions.rule_syntax import FILE_TOOLS
from vmpilot.plugins import LoadedTools, load_tool_plugins
from vmpilot.tools import CommandRunner, JobsTool, ShellTool
from vmpilot.tools.files import FileMemory, file_tools
from vmpilot.tools.kept_jobs import KeptJobs
from vmpilot.tools.mcp import ACCEPT_TOOL, PREFIX, McpServers, ServerReport

BUILT_IN_TOOLS = frozenset({"shell", "jobs", "web_search", "web_fetch", "github", ACCEPT_TOOL}) | FILE_TOOLS
"""The tools of VMPilot itself, whether or not the machine and the settings offer them."""

_WHERE_RULES_ARE = "`vmpilot config show` shows where the rule comes from."

_log = logging.getLogger(__name__)

_PROGRAM = Path(__file__).parents[1]
"""VMPilot may be installed in the workspace, in a virtual environment; changing it needs approval."""


@dataclass(frozen=True, slots=True)
class ToolReport:
    """A tool as in `vmpilot tools`; `problem` is why the model cannot use it, None if it can."""

    name: str
    source: str
    problem: str | None = None


class ToolRegistry:
    """The tools that all conversations of an agent share. `aclose` stops the MCP servers."""

    def __init__(self, settings: Settings, environment: Environment, folder: Path) -> None:
        self._settings = settings
        self._environment = environment
        self._folder = folder
        self._mcp = McpServers(settings.mcp, folder=environment.data_folder / "mcp", environment=environment.variables)
        self._sandbox: SandboxSearch | None = None
        self._saved = Rules()
        self._policies: dict[Mode, PermissionPolicy] = {}
        self._plugins: LoadedTools | None = None
        self.masker = _masker(settings, environment)

    async def policy(self, mode: Mode) -> PermissionPolicy:
        """The permission policy for this mode. The first call searches for a sandbox if the mode needs one.

        Raises `UsageError` for an invalid rule or a rule on an unknown tool.
        """
        if mode not in self._policies:
            settings = self._settings
            try:
                written = Rules.read(
                    allow=settings.allow, allow_on_host=settings.allow_on_host, ask=settings.ask, deny=settings.deny
                )
            except ValueError as error:
                raise UsageError(f"{str(error).rstrip('.')}. {_WHERE_RULES_ARE}") from error
            await self._check_tools(written)
            rules = written + self._saved
            if mode != "full":
                await self.sandbox()
            prefix = Path(sys.prefix)
            own = (_PROGRAM, prefix) if prefix.is_relative_to(self._folder) else (_PROGRAM,)
            self._policies[mode] = PermissionPolicy(
                mode,
                workspace=self._folder,
                rules=rules,
                confines=lambda: self._sandbox is not None and self._sandbox.sandbox is not None,
                own=own,
                private=(*self._environment.private_folders, *places_of_secrets(self._environment.variables)),
                search_path=self._environment.variables.get("PATH", ""),
                home=self._environment.variables.get("HOME", ""),
            )
        return self._policies[mode]

    def add_rules(self, saved: tuple[str, ...]) -> None:
        """Apply these rules, too, even in a turn that is running."""
        rules = Rules.read(**saved_rules(saved))
        self._saved += rules
        for policy in self._policies.values():
            policy.keep(rules)

    async def sandbox(self) -> SandboxSearch:
        """The result of the search for a sandbox, which happens once."""
        if self._sandbox is None:
            self._sandbox = await search_sandbox(
                self._environment.variables, own_folders=self._environment.private_folders, apart_from=self._folder
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
        """The tools of plugins and MCP servers. `taken` are names that they cannot use."""
        plugins = await self._load_plugins(taken)
        return (*plugins.tools, *await self._mcp.tools())

    async def _load_plugins(self, taken: Iterable[str]) -> LoadedTools:
        if self._plugins is None:
            context = ToolContext(self._folder)
            self._plugins = await asyncio.to_thread(load_tool_plugins, context, taken=tuple(taken))
        return self._plugins

    async def _check_tools(self, rules: Rules) -> None:
        """Raises `UsageError` for a rule on an unknown tool, because a misspelled deny rule would deny nothing.

        Plugins are loaded only if a rule names a tool that may be theirs. Names of MCP tools are not checked: servers
        are not started for this.
        """
        unknown = {name for name in rules.tools - BUILT_IN_TOOLS if not name.startswith(PREFIX)}
        if not unknown:
            return
        taken = [tool.spec.name for tool in self.equip("report", Workspace(self._folder)).built_in]
        plugins = await self._load_plugins(taken)
        if plugins.problems:  # a broken plugin may provide the tool
            return
        try:
            known = BUILT_IN_TOOLS | {tool.spec.name for tool in plugins.tools}
            rules.check_tools(known | (rules.tools - unknown))
        except ValueError as error:
            raise UsageError(f"{error} {_WHERE_RULES_ARE}") from error

    def offers(self, tool: str, *, model: str) -> bool:
        """Whether the settings let the model use this tool."""
        settings = self._settings
        small = is_local(model)
        named = settings.tools if settings.tools is not None else TOOLS_FOR_LOCAL if small else None
        return named is None or tool in named

    async def report(self) -> tuple[ToolReport, ...]:
        """All tools, available or not. Starts the MCP servers whose tools are not known yet."""
        built_in = self.equip("report", Workspace(self._folder)).built_in
        shared = await self.shared_tools(tool.spec.name for tool in built_in)
        sources = {tool.spec.name: "built in" for tool in built_in}
        sources |= {tool.spec.name: "MCP server" if tool.spec.name.startswith("mcp") else "plugin" for tool in shared}
        missing = online_tools(self._settings, self._environment, Workspace(self._folder)).missing
        return (
            *(ToolReport(name, source, self._why_not(name)) for name, source in sources.items()),
            *(ToolReport(name, "built in", reason) for name, reason in missing.items()),
        )

    def _why_not(self, tool: str) -> str | None:
        if self.offers(tool, model=self._settings.model or ""):
            return None
        if self._settings.tools is not None:
            return "not listed in the setting tools"
        return "the local model gets only the shell; add more in the setting tools"

    @property
    def problems(self) -> tuple[str, ...]:
        """The problems of plugins and servers, a sentence each; complete after `shared_tools`."""
        plugins = () if self._plugins is None else self._plugins.problems
        return tuple(map(self.masker.mask, (*plugins, *self._mcp.problems)))

    def take_news(self) -> tuple[str, ...]:
        """News about MCP servers since the last call, a sentence each."""
        return tuple(map(self.masker.mask, self._mcp.take_news()))

    async def check_servers(self) -> tuple[ServerReport, ...]:
        """Start all MCP servers and report on each."""
        reports = await self._mcp.check()
        return tuple(replace(report, problems=tuple(map(self.masker.mask, report.problems))) for report in reports)

    async def aclose(self) -> None:
        """Stop the MCP servers."""
        await self._mcp.close()

    def _confine(
        self, launch: ShellLaunch, resources: ExitStack, level: Literal["read", "workspace"], folder: Path
    ) -> ShellLaunch:
        if self._sandbox is None or self._sandbox.sandbox is None:
            raise OSError("it is allowed only in a sandbox, and none works here")
        return self._sandbox.sandbox.confine(
            launch, confinement=level, folder=folder, root=self._folder, resources=resources
        )


class SessionTools:
    """The tools of one conversation, with its commands, jobs and file memory. `close` stops what runs."""

    def __init__(self, registry: ToolRegistry, runner: CommandRunner, built_in: tuple[Tool, ...]) -> None:
        self._registry = registry
        self._runner = runner
        self.built_in = built_in

    async def offered(self, model: str) -> tuple[Tool, ...]:
        """The tools for the next turn on this model. Starts the command runner ahead of the first command."""
        with suppress(OSError):  # the first command reports it
            self._runner.warm_up()
        shared = await self._registry.shared_tools(tool.spec.name for tool in self.built_in)
        return tuple(tool for tool in (*self.built_in, *shared) if self._registry.offers(tool.spec.name, model=model))

    def describe_jobs(self) -> list[str]:
        """A sentence for the user about each job that `close` stops or leaves running."""
        return self._runner.describe_end()

    async def close(self) -> None:
        """Stop the conversation's commands and jobs."""
        await self._runner.close()


def _masker(settings: Settings, environment: Environment) -> Masker:
    key = () if settings.api_key is None else (settings.api_key.reveal(),)
    addresses = {"VMPILOT_DATABASE_URL": settings.database_url, "VMPILOT_CACHE": settings.cache.url}
    urls = {name: address.reveal() for name, address in addresses.items() if address is not None}
    known = (*secret_values(environment.variables), *secret_values(urls), *key, *settings.mcp.secrets)
    return Masker(known)
