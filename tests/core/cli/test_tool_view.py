"""How a tool call is shown."""

from __future__ import annotations

from typing import Any

import pytest

from vmpilot.cli._style import Style
from vmpilot.cli._tool_view import ToolView
from vmpilot.contract import ToolCall, ToolFinished, ToolResult, ToolStarted


def lines(*live: str, title: str = "greet Ada", text: str = "Hello, Ada!\nWelcome.", **finished: Any) -> list[str]:
    """The lines shown for a call with this output and end."""
    started = ToolStarted(ToolCall("a", "greet", "{}"), title, "the user", 0.0)
    view = ToolView(started, Style(enabled=False), max_lines=1)
    for piece in live:
        view.add(piece)
    error = finished.pop("is_error", False)
    view.finish(ToolFinished(ToolResult("a", "greet", text, is_error=error), 0.1, **finished))
    return view.take_lines()


def test_a_tool_without_live_output_shows_its_result() -> None:
    assert lines() == ["Hello, Ada!", "(and 1 more line)"]


@pytest.mark.parametrize("live", [("seen\n",), ("se", "en")])
def test_live_output_is_not_repeated(live: tuple[str, ...]) -> None:
    assert lines(*live) == ["seen"]


def test_a_command_that_printed_nothing_shows_nothing() -> None:
    assert lines(text="[exit code 0]", exit_code=0) == []
    assert lines(text="[exit code 3]", exit_code=3) == ["(exit code 3)"]


def test_a_title_of_several_lines_is_not_repeated() -> None:
    assert lines(title="edit a\n-1\n+2") == []


def test_an_error_is_one_line() -> None:
    assert lines(is_error=True) == ["Welcome."]
