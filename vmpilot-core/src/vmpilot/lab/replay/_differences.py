"""What of a replayed turn is not as it was recorded. Pure functions over messages and events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import msgspec

from vmpilot.contract import AssistantMessage, Event, MessageCompleted, ToolFinished, TurnEnded

_BOUNDARY = re.compile(r"</?output-[0-9a-f]{12}>\n?|\n(?=</output-[0-9a-f]{12}>)")
"""Of tool output as data; it is the conversation's own."""


class Difference(msgspec.Struct, frozen=True):
    """Something that is not as it was recorded; texts are empty where there was, or is, nothing of the kind."""

    what: str
    recorded: str
    now: str


def compare_messages(number: int, recorded: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[Difference]:
    for at, (old, new) in enumerate(zip_longest(recorded, now), 1):
        before, after = _shown(old), _shown(new)
        if before != after:
            yield Difference(f"request {number}, message {at}", before, after)


def _shown(message: dict[str, Any] | None) -> str:
    """What of a message matters, as lines; output marked as data without the marks."""
    if message is None:
        return ""
    content = message.get("content") or ""
    text = content if isinstance(content, str) else json.dumps(content, indent=1, sort_keys=True)
    calls = [
        f"{call['id']} {call['function']['name']} {canonical_arguments(call['function']['arguments'])}"
        for call in message.get("tool_calls") or ()
    ]
    return "\n".join([f"{message['role']} {message.get('tool_call_id', '')}".strip(), _BOUNDARY.sub("", text), *calls])


def compare_events(recorded: Iterable[Event], now: Iterable[Event]) -> Iterator[Difference]:
    """How the turns differ in what was said, what the tools gave, and how it ended."""
    old, new = _milestones(recorded), _milestones(now)
    for what in dict.fromkeys((*old, *new)):
        before, after = old.get(what, ""), new.get(what, "")
        if before != after:
            yield Difference(what, before, after)


def _milestones(events: Iterable[Event]) -> dict[str, str]:
    found: dict[str, str] = {}
    answers = 0
    for event in events:
        match event:
            case MessageCompleted(message=AssistantMessage(finish="cut")):
                pass  # what was said of an answer that was interrupted; the recording has no pieces
            case MessageCompleted():
                answers += 1
                found[f"answer {answers}"] = _answer(event.message)
            case ToolFinished():
                found[f"result of {event.result.call_id}"] = event.result.text
            case TurnEnded(reason="answered" | "denied"):  # it is not the backend that denies
                found["end"] = "an answer"
            case TurnEnded(reason="limit"):
                found["end"] = "a limit"
            case TurnEnded():
                found["end"] = "no answer"
            case _:
                pass
    return found


def _answer(message: AssistantMessage) -> str:
    calls = [f"{call.id} {call.name} {canonical_arguments(call.arguments)}" for call in message.tool_calls]
    return "\n".join([message.reasoning, message.text, *calls, message.finish]).strip()


def end_reason(events: Iterable[Event]) -> str | None:
    return next((event.reason for event in events if isinstance(event, TurnEnded)), None)


def canonical(arguments: Mapping[str, Any]) -> str:
    """One way to write arguments that mean the same."""
    return json.dumps(arguments, sort_keys=True)


def canonical_arguments(arguments: str) -> str:
    """The same for arguments as a model wrote them; broken ones stay as they are."""
    try:
        return canonical(json.loads(arguments or "{}"))
    except (ValueError, RecursionError):
        return arguments
