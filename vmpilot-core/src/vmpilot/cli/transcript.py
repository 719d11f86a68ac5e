"""A conversation's events as a document to read: Markdown, or an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable
from html import escape

from vmpilot.contract import (
    Event,
    HistoryCompacted,
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
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ max-width: 50rem; margin: 2rem auto; padding: 0 1rem; font-family: sans-serif; line-height: 1.4 }}
h2 {{ margin: 1.5rem 0 .3rem; font-size: 1rem; opacity: .7 }}
pre {{ margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; font: inherit }}
pre.code {{ padding: .5rem; border: 1px solid #8886; border-radius: .3rem; font: .85rem monospace }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")


def as_markdown(title: str, events: Iterable[Event]) -> str:
    """The conversation with a heading for each speaker and a code block for each command and output."""
    blocks = [f"# {title}"]
    for heading, text, is_code in _passages(events):
        blocks += [f"## {heading}", _fenced(text) if is_code else text]
    return "\n\n".join(blocks) + "\n"


def as_html(title: str, events: Iterable[Event]) -> str:
    """The same as a page of its own that needs no other file; all text is escaped."""
    body = "\n".join(
        f"<h2>{escape(heading)}</h2>\n<pre{' class=code' if is_code else ''}>\n{_escaped(text)}</pre>"
        for heading, text, is_code in _passages(events)
    )
    return _PAGE.format(title=_escaped(title), body=body)


def _escaped(text: str) -> str:
    """HTML knows no way to write control characters and lone surrogates."""
    return _CONTROL.sub("\ufffd", escape(text.replace("\r\n", "\n")))


def _passages(events: Iterable[Event]) -> Iterable[tuple[str, str, bool]]:
    """Heading, text, and whether it is code."""
    for event in events:
        match event:
            case TurnStarted() if event.message.content:
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
            case HistoryCompacted() | LimitReached():
                yield _remark(event)
            case TurnEnded(error=str(error)):
                yield "Error", error, False
            case _:
                pass


def _remark(event: HistoryCompacted | LimitReached) -> tuple[str, str, bool]:
    if isinstance(event, LimitReached):
        return "Limit", event.text, False
    return "Compaction", "\n\n".join(filter(None, [f"({event.text})", event.summary])), False


def _fenced(text: str) -> str:
    """A code block whose fence is longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
