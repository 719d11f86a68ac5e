"""Bodies of chat completions in odd shapes, streamed or not as the request asks, or deliberately the other way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.faults.fault import MARKS

from vmpilot.testing.answers import wants_stream
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import Raw, ScriptedCall, Step, StepMaker

STREAM = "text/event-stream; charset=utf-8"
JSON = "application/json"
USAGE = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
DONE = "data: [DONE]\n\n"

_ENVELOPE = {"id": "chatcmpl-fault", "created": 1, "model": "scripted"}


def as_asked(streamed: Step, whole: Step) -> StepMaker:
    """One of two answers, depending on whether the request wants a stream."""

    def choose(request: RecordedRequest) -> Step:
        return streamed if wants_stream(request.body) else whole

    return choose


def event(data: object) -> str:
    """One server-sent event with this JSON."""
    return f"data: {json.dumps(data)}\n\n"


def chunk(delta: object, *, finish: object = None, **members: Any) -> str:
    """One event of a streamed answer; `members` are added to the chunk or override its members."""
    choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
    return event({**_ENVELOPE, "object": "chat.completion.chunk", "choices": choices, **members})


def text_chunks(*pieces: str, finish: object = "stop") -> str:
    """The events of a text, from the role to the finish reason, without `[DONE]`."""
    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": piece}) for piece in pieces)]
    return "".join(events) + (chunk({}, finish=finish) if finish is not None else "")


def stream(text: str) -> Raw:
    """These events as a body."""
    return Raw(text=text, content_type=STREAM)


def completion(message: object, *, finish: object = "stop", **members: Any) -> dict[str, Any]:
    """The object of a whole answer; `members` are added to it or override its members."""
    choices = [{"index": 0, "message": message, "finish_reason": finish}]
    return {**_ENVELOPE, "object": "chat.completion", "choices": choices, "usage": USAGE, **members}


def document(content: object, **members: Any) -> Raw:
    """JSON as a body."""
    return Raw(text=json.dumps(content), content_type=JSON, **members)


def shaped(message: Mapping[str, Any], *, finish: object = "stop", **members: Any) -> StepMaker:
    """An answer whose only message, or delta, is this; the `members` are those of the whole answer or of each chunk."""
    streamed = chunk(message, **members) + chunk({}, finish=finish, **members) + DONE
    return as_asked(stream(streamed), document(completion(message, finish=finish, **members)))


def calling(*calls: Mapping[str, Any], finish: object = "tool_calls", content: str | None = None) -> StepMaker:
    """An answer with these entries of `tool_calls`, exactly as they are; a stream has one chunk for each."""
    deltas = [chunk({"role": "assistant", "content": content}), *(chunk({"tool_calls": [call]}) for call in calls)]
    streamed = "".join(deltas) + chunk({}, finish=finish) + DONE
    message = {"role": "assistant", "content": content, "tool_calls": list(calls)}
    return as_asked(stream(streamed), document(completion(message, finish=finish)))


def marking(*marks: str) -> str:
    """A command that writes a line for each mark."""
    return "; ".join(f"echo {mark} >> {MARKS}" for mark in marks)


def shell(mark: str, **members: Any) -> ScriptedCall:
    """A shell call that writes a mark."""
    return ScriptedCall("shell", {"command": marking(mark)}, **members)


def shell_entry(mark: str, **members: Any) -> dict[str, Any]:
    """The same as an entry of `tool_calls`; `members` override its own, and None removes one."""
    function = {"name": "shell", "arguments": json.dumps({"command": marking(mark)})}
    entry = {"index": 0, "id": f"call_{mark}", "type": "function", "function": function, **members}
    return {name: value for name, value in entry.items() if value is not None}


def cut(text: str, sizes: Sequence[int]) -> tuple[str, ...]:
    """The text in pieces of these sizes, and the rest."""
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return (*pieces, text[at:])
