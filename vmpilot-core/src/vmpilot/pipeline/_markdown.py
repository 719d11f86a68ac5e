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


def markdown(event: Event) -> str:
    """The event's part of the answer; empty if it is not shown."""
    match event:
        case TextDelta():
            return event.text
        case ToolStarted():
            return f"\n\n{_fenced(event.title)}\n"
        case ToolFinished():
            return f"\n{_fenced(_first_lines(event.result.text))}\n\n"
        case Retrying(why=text) | Notice(text=text) | LimitReached(text=text) | TurnEnded(error=str(text)):
            return f"\n\n*{text}*\n\n"
        case _:
            return ""


def _first_lines(text: str, *, most: int = 10) -> str:
    lines = text.splitlines()
    hidden = len(lines) - most
    return "\n".join(lines[:most] + ([f"(and {hidden} more lines)"] if hidden > 0 else []))


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
