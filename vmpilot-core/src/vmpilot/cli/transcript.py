"""A conversation's events as a document to read: Markdown, or an HTML page."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from vmpilot.contract import (
    Event,
    HistoryImported,
    LimitReached,
    MessageCompleted,
    ToolFinished,
    ToolStarted,
    TurnEnded,
    TurnStarted,
    UserMessage,
)

_PAGE = """\
<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><title>{title}</title>
<style>body {{ max-width: 50rem; margin: 2rem auto; font-family: sans-serif }} pre {{ white-space: pre-wrap }}</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>"""


def as_markdown(title: str, events: Iterable[Event]) -> str:
    """The conversation with a heading for each speaker and a code block for each command and output."""
    blocks = [f"# {title}"]
    for heading, text, is_code in _passages(events):
        blocks += [f"## {heading}", _fenced(text) if is_code else text]
    return "\n\n".join(blocks) + "\n"


def as_html(title: str, events: Iterable[Event]) -> str:
    """The same as a page of its own; all text is escaped."""
    body = "\n".join(
        f"<h2>{escape(heading)}</h2>\n<pre{' class=code' if is_code else ''}>{escape(text)}</pre>"
        for heading, text, is_code in _passages(events)
    )
    return _PAGE.format(title=escape(title), body=body) + "\n"


def _passages(events: Iterable[Event]) -> Iterable[tuple[str, str, bool]]:
    """Heading, text, and whether it is code."""
    for event in events:
        match event:
            case TurnStarted():
                yield "User", event.message.text, False
            case HistoryImported():
                for message in event.messages:
                    yield ("User" if isinstance(message, UserMessage) else "Assistant"), message.text, False
            case MessageCompleted() if event.message.text:
                yield "Assistant", event.message.text, False
            case ToolStarted():
                yield "Command", event.title, True
            case ToolFinished():
                yield "Output", event.result.text, True
            case LimitReached():
                yield "Limit", event.text, False
            case TurnEnded(error=str(error)):
                yield "Error", error, False
            case _:
                pass


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
