"""A tool plugin: one tool in ten lines, and one that uses the whole protocol."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmpilot.contract import (
    ChangesFiles,
    SimpleTool,
    Tool,
    ToolContext,
    ToolError,
    ToolOutcome,
    ToolSpec,
    ToolUse,
    hookimpl,
)

NAME = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}


def greet(arguments: Mapping[str, Any]) -> str:
    return f"Hello, {arguments['name']}!"


class Visitors:
    """Records visitors in the user's working folder."""

    spec = ToolSpec("note_visitor", "Write a visitor down.", NAME)

    def __init__(self, folder: Path) -> None:
        self._file = folder / "visitors.txt"

    @property
    def folder(self) -> str | None:
        return str(self._file.parent)

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"note {arguments['name']}"

    def effect(self, arguments: Mapping[str, Any]) -> ChangesFiles:
        return ChangesFiles((self._file,))

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        if not arguments["name"]:
            raise ToolError("A visitor has a name: ask for it.")
        use.on_output("writing\n")
        with self._file.open("a", encoding="utf-8") as file:
            file.write(f"{arguments['name']}\n")
        return ToolOutcome("written", folder=str(self._file.parent))


@hookimpl
def provide_tools(context: ToolContext) -> list[Tool]:
    return [SimpleTool(ToolSpec("greet", "Greet a person by name.", NAME), greet), Visitors(context.folder)]
