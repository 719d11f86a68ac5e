"""A turn's events as Markdown, for chat clients that show nothing else."""

from __future__ import annotations

from vmpilot.contract import (
    Event,
    LimitReached,
    Notice,
    Retrying,
    TextDelta,
    ToolFinished,
    ToolStarted,
    TurnEnded,
)

_MAX_LINES = 10
"""Lines of a tool's output that are shown."""


def markdown(event: Event) -> str:
    """The event's part of the answer; empty if it is not shown."""
    match event:
        case TextDelta():
            return event.text
        case ToolStarted():
            return f"\n\n{_fenced(event.title)}\n"
        case ToolFinished():
            lines = event.result.text.splitlines()
            more = [f"(and {len(lines) - _MAX_LINES} more lines)"] if len(lines) > _MAX_LINES else []
            return "\n{}\n\n".format(_fenced("\n".join([*lines[:_MAX_LINES], *more])))
        case Retrying(why=text) | Notice(text=text) | LimitReached(text=text) | TurnEnded(error=str(text)):
            return f"\n\n*{text}*\n\n"
        case _:
            return ""


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
