"""Fixtures for the file tools: a workspace, its tools, and a way to call them as the toolbox does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import pytest

from vmpilot.contract import Tool, ToolError, ToolOutcome, ToolUse
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.files import FileMemory, file_tools


def names(folder: Path) -> list[str]:
    """The contents of the folder, including hidden files."""
    return sorted(path.name for path in folder.iterdir())


class Call(Protocol):
    async def __call__(
        self, tool: str, arguments: dict[str, Any], *, meanwhile: Callable[[], None] = ..., titled: bool = True
    ) -> ToolOutcome: ...


class Refused(Protocol):
    async def __call__(self, tool: str, arguments: dict[str, Any], *, meanwhile: Callable[[], None] = ...) -> str: ...


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """In a folder that every user can access, unlike pytest's own."""
    with TemporaryDirectory(prefix="vmpilot-test-") as name:
        Path(name).chmod(0o755)
        (Path(name) / "work").mkdir()
        yield Workspace.at(Path(name) / "work")


@pytest.fixture
def root(workspace: Workspace) -> Path:
    return workspace.root


@pytest.fixture
def memory() -> FileMemory:
    return FileMemory()


@pytest.fixture
def tools(workspace: Workspace, memory: FileMemory) -> dict[str, Tool]:
    return {tool.spec.name: tool for tool in file_tools(workspace, memory, {})}


@pytest.fixture
def call(tools: dict[str, Tool]) -> Call:
    """Calls a tool as the toolbox does: effect, title, effect again, `meanwhile`, run."""

    async def call(
        tool: str, arguments: dict[str, Any], *, meanwhile: Callable[[], None] = lambda: None, titled: bool = True
    ) -> ToolOutcome:
        effect = tools[tool].effect(arguments)
        if titled:
            tools[tool].title(arguments)
        assert tools[tool].effect(arguments) == effect
        meanwhile()
        return await tools[tool].run(arguments, ToolUse(lambda _: None))

    return call


@pytest.fixture
def refused(call: Call) -> Refused:
    """Calls a tool that must fail, and returns its error message."""

    async def refused(tool: str, arguments: dict[str, Any], *, meanwhile: Callable[[], None] = lambda: None) -> str:
        with pytest.raises(ToolError) as problem:
            await call(tool, arguments, meanwhile=meanwhile)
        return str(problem.value)

    return refused
