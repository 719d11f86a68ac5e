"""Tools from other distributions. Each plugin is loaded separately, and a broken one is reported by name."""

from __future__ import annotations

import json
from collections.abc import Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NoReturn

from vmpilot.contract import (
    Acts,
    Tool,
    ToolContext,
    ToolError,
    ToolOutcome,
    ToolSpec,
    ToolUse,
    find_spec_fault,
)
from vmpilot.installation import uninstall_command, upgrade_command
from vmpilot.plugins._installed import InstalledPlugin, installed_tool_plugins
from vmpilot.plugins._loading import PluginError, load_hooks

RESERVED_PREFIX = "mcp_"
"""The prefix of tool names that is reserved for MCP servers."""

_LONGEST_TEXT = 40_000
"""Characters of a result for the model."""


@dataclass(frozen=True, slots=True)
class LoadedTools:
    """The tools of all working plugins, and a sentence for the user about each broken one."""

    tools: tuple[Tool, ...]
    problems: tuple[str, ...]


def load_tool_plugins(context: ToolContext, *, taken: Collection[str] = ()) -> LoadedTools:
    """Import all installed tool plugins and get their tools. `taken` are names of tools that exist already.

    If a plugin has one bad tool, none of its tools are used. Blocks until all plugins are loaded.
    """
    tools: dict[str, PluginTool] = {}
    problems: list[str] = []
    for installed in installed_tool_plugins():
        try:
            provided = _provided(installed, context)
            for name in provided:
                if name in taken:
                    raise PluginError(f'provides a tool "{name}", which is the name of a tool of VMPilot')
                if name in tools:
                    raise PluginError(f'provides a tool "{name}", and so does {tools[name].distribution}')
        except PluginError as fault:
            problems.append(
                f'Tool plugin "{installed.name}" of {installed.distribution} {installed.version} {fault}. '
                f"Run `{upgrade_command(installed.distribution)}` or `{uninstall_command(installed.distribution)}`."
            )
        else:
            tools |= provided
    return LoadedTools(tuple(tools.values()), tuple(problems))


class PluginTool:
    """A plugin's tool for the core, which determines its effect and title itself."""

    folder = None

    def __init__(self, tool: Tool, spec: ToolSpec, installed: InstalledPlugin) -> None:
        self._tool = tool
        self.spec = spec
        self.distribution = installed.distribution

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"{self.spec.name} {json.dumps(dict(arguments))}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:  # noqa: ARG002  the same for all
        return Acts(self.spec.name)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        try:
            outcome: object = await self._tool.run(arguments, use)
        except SystemExit as error:
            raise ToolError(
                f"The tool of {self.distribution} tried to exit VMPilot (exit code {error.code})"
            ) from error
        if not isinstance(outcome, ToolOutcome) or not isinstance(outcome.text, str):
            raise ToolError(f"The tool of {self.distribution} is broken: it did not return a ToolOutcome with text")
        text, over = outcome.text, len(outcome.text) - _LONGEST_TEXT
        if over > 0:
            half = _LONGEST_TEXT // 2
            text = f"{text[:half]}\n[… {over:,} characters cut …]\n{text[-half:]}"
        return replace(outcome, text=text, folder=None)


def _provided(installed: InstalledPlugin, context: ToolContext) -> dict[str, PluginTool]:
    hooks = load_hooks(installed, needed="provide_tools")
    try:
        given = [tool for part in hooks.provide_tools(context=context) for tool in _listed(part)]
        wrapped = [PluginTool(tool, _checked_spec(tool), installed) for tool in given]
    except PluginError:
        raise
    except (Exception, SystemExit) as error:  # third-party code may raise anything
        raise PluginError(f"failed in provide_tools ({type(error).__name__}: {error})") from error
    if not wrapped:
        raise PluginError("provides no tools")
    tools = {tool.spec.name: tool for tool in wrapped}
    if len(tools) < len(wrapped):
        raise PluginError("provides two tools with the same name")
    return tools


def _listed(given: object) -> list[Any]:
    if isinstance(given, Coroutine):
        given.close()
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        raise PluginError(f"provides a {type(given).__name__} instead of a list of tools")
    return list(given)


def _checked_spec(tool: Any) -> ToolSpec:
    """The tool's specification. Raises `PluginError`."""
    spec = getattr(tool, "spec", None)
    if not isinstance(spec, ToolSpec) or not callable(getattr(tool, "run", None)):
        raise PluginError(f"provides a {type(tool).__name__} that is not a tool (no spec or no run)")
    if fault := find_spec_fault(spec) or _find_schema_fault(spec):
        raise PluginError(f"provides an invalid tool ({str(spec.name)[:80]!r}: {fault})")
    if spec.name.startswith(RESERVED_PREFIX):
        raise PluginError(
            f'provides an invalid tool ("{spec.name}": the prefix {RESERVED_PREFIX} is reserved for MCP servers)'
        )
    return spec


def _find_schema_fault(spec: ToolSpec) -> str | None:
    from jsonschema_rs import ValidationError, validator_for

    try:
        validator_for(dict(spec.parameters), retriever=_refuse_to_fetch)
    except (ValidationError, ValueError) as error:
        return f"its parameters are not valid JSON Schema: {str(error).splitlines()[0]}"
    return None


def _refuse_to_fetch(address: str) -> NoReturn:
    raise ValueError(f"remote reference {address} is not supported")
