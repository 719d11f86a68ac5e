"""The differences between a replayed turn and its recording. Pure functions over messages and events."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

import msgspec

from vmpilot.contract import AssistantMessage, Event, MessageCompleted, ToolFinished, TurnEnded

_BOUNDARY = re.compile(r"</?output-[0-9a-f]{12}>\n?|\n(?=</output-[0-9a-f]{12}>)")
"""The marks around tool output, which differ in each conversation."""


class Difference(msgspec.Struct, frozen=True):
    """A difference from the recording; a text is empty if its side has nothing of this kind."""

    what: str
    recorded: str
    now: str


def compare_messages(number: int, recorded: list[dict[str, Any]], now: list[dict[str, Any]]) -> Iterator[Difference]:
    for at, (old, new) in enumerate(zip_longest(recorded, now), 1):
        before, after = _shown(old), _shown(new)
        if before != after:
            yield Difference(f"request {number}, message {at}", before, after)


def _shown(message: dict[str, Any] | None) -> str:
    """The parts of a message that matter, as lines, without the marks around tool output."""
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
    """How the turns differ in answers, tool results and end."""
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
                pass  # part of an interrupted answer; the recording has no deltas
            case MessageCompleted():
                answers += 1
                found[f"answer {answers}"] = _answer(event.message)
            case ToolFinished():
                found[f"result of {event.result.call_id}"] = event.result.text
            case TurnEnded(reason="answered" | "denied"):  # denials do not come from the backend
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
    """The canonical JSON of arguments."""
    return json.dumps(arguments, sort_keys=True)


def canonical_arguments(arguments: str) -> str:
    """The canonical JSON of arguments as a model wrote them; invalid JSON is returned as it is."""
    try:
        return canonical(json.loads(arguments or "{}"))
    except (ValueError, RecursionError):
        return arguments
