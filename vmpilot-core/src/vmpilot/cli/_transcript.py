"""A conversation as a document to read: Markdown, or an HTML page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from html import escape

from vmpilot.cli._tool_view import denial_reason, describe_call
from vmpilot.contract import (
    Event,
    HistoryCompacted,
    HistoryImported,
    LimitReached,
    MessageCompleted,
    ToolCall,
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
    """The conversation as Markdown: a heading per speaker, a code block per command and output."""
    blocks = [f"# {title}"]
    for heading, text, is_code in _passages(events):
        blocks += [f"## {heading}", _fenced(text) if is_code else text]
    return "\n\n".join(blocks) + "\n"


def as_html(title: str, events: Iterable[Event]) -> str:
    """The conversation as a self-contained page; all text is escaped."""
    body = "\n".join(
        f"<h2>{escape(heading)}</h2>\n<pre{' class=code' if is_code else ''}>\n{_escaped(text)}</pre>"
        for heading, text, is_code in _passages(events)
    )
    return _PAGE.format(title=_escaped(title), body=body)


def _escaped(text: str) -> str:
    """HTML cannot represent control characters and lone surrogates."""
    return _CONTROL.sub("\ufffd", escape(text.replace("\r\n", "\n")))


def _passages(events: Iterable[Event]) -> Iterator[tuple[str, str, bool]]:
    """Heading, text, and whether the text is code."""
    waiting: dict[str, ToolCall] = {}  # calls without a `ToolStarted`
    for event in events:
        match event:
            case TurnStarted() if event.message.content:
                yield "User", event.message.text, False
            case HistoryImported():
                for message in event.messages:
                    yield ("User" if isinstance(message, UserMessage) else "Assistant"), message.text, False
            case MessageCompleted():
                waiting = {call.id: call for call in event.message.tool_calls}
                if event.message.text:
                    yield "Assistant", event.message.text, False
            case ToolStarted():
                waiting.pop(event.call.id, None)
                yield "Command", event.title, True
            case ToolFinished():
                yield from _result(event, waiting.pop(event.result.call_id, None))
            case HistoryCompacted() | LimitReached() | TurnEnded():
                yield from _remark(event)
            case _:
                pass


def _result(event: ToolFinished, not_started: ToolCall | None) -> Iterator[tuple[str, str, bool]]:
    if not_started is None:
        yield "Output", event.result.text, True
    else:
        title = event.denied.title if event.denied else describe_call(not_started)
        yield ("Denied" if event.result.denied else "Not run"), title, True
        yield "Reason", denial_reason(event.result.text), False


def _remark(event: HistoryCompacted | LimitReached | TurnEnded) -> Iterator[tuple[str, str, bool]]:
    match event:
        case LimitReached():
            yield "Limit", event.text, False
        case HistoryCompacted():
            yield "Compaction", "\n\n".join(filter(None, [f"({event.text})", event.summary])), False
        case TurnEnded(error=str(error)):
            yield "Error", error, False
        case TurnEnded(reason="interrupted"):
            yield "Interrupted", "The request was interrupted.", False
        case _:
            pass


def _fenced(text: str) -> str:
    """A code block with a fence longer than any run of backticks in it."""
    fence = "`" * 3
    while fence in text:
        fence += "`"
    return f"{fence}\n{text}\n{fence}"
