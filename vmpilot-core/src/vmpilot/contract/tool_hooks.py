"""The interface for third-party tools. A tool plugin is a module (or object) named by an entry point::

# pyproject.toml
[project.entry-points."vmpilot.tools"]
greeting = "my_package.tools"

# my_package/tools.py
from vmpilot.contract import SimpleTool, ToolSpec, hookimpl

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}

@hookimpl
def provide_tools():
    spec = ToolSpec("greet", "Greet a person by name.", NAME)
    return [SimpleTool(spec, lambda arguments: f"Hello, {arguments['name']}!")]
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from vmpilot.contract.hooks import hookspec
from vmpilot.contract.request import ToolSpec
from vmpilot.contract.tools import Acts, Tool, ToolOutcome, ToolUse

TOOL_ENTRY_POINT_GROUP = "vmpilot.tools"

Work: TypeAlias = Callable[[Mapping[str, Any]], "str | ToolOutcome | Awaitable[str | ToolOutcome]"]


@dataclass(frozen=True, slots=True)
class ToolContext:
    """The context of a tool plugin: `folder` is the user's working folder, an absolute path."""

    folder: Path


@hookspec
def provide_tools(context: ToolContext) -> Iterable[Tool]:
    """Return the tools, new ones for each call; `context` may be left out.

    Each is a `SimpleTool` or implements `Tool`. Names are up to 64 of `a-z A-Z 0-9 _ -`, parameters the JSON Schema of
    an object. The user is asked before each call, unless a rule or the mode allows it: VMPilot does not rely on
    `effect` and `title`.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class SimpleTool:
    """A tool from a specification and a function that does the work: a coroutine function, or one to run in a thread.

    It receives arguments that match the specification, and returns the text for the model, or a `ToolOutcome`. It
    raises `ToolError` with advice for the model.
    """

    spec: ToolSpec
    work: Work

    @property
    def folder(self) -> None:
        """It has no working folder."""

    def title(self, arguments: Mapping[str, Any]) -> str:
        """The name and the complete arguments."""
        return f"{self.spec.name} {json.dumps(dict(arguments))}"

    def effect(self, arguments: Mapping[str, Any]) -> Acts:
        """Any effect: rules refer to the tool by its name."""
        del arguments
        return Acts(self.spec.name)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        """Do the work."""
        import asyncio

        del use
        if inspect.iscoroutinefunction(self.work):
            done: Any = await self.work(arguments)
        else:
            done = await asyncio.to_thread(self.work, arguments)
            if inspect.isawaitable(done):
                done = await done
        return ToolOutcome(done) if isinstance(done, str) else done
