"""Answers with oddly framed bytes: server-sent events, and the JSON of answers without streaming."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.bodies import (
    DONE,
    JSON,
    STREAM,
    as_asked,
    chunk,
    completion,
    document,
    event,
    marking,
    shell,
    shell_entry,
    stream,
    text_chunks,
)
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers, fails

from vmpilot.testing.script import Flood, Framing, Raw, Reply, Step, StepMaker

_ROLE = chunk({"role": "assistant", "content": ""})
_HELLO = chunk({"content": "Hello, "})
_MESSAGE = {"role": "assistant", "content": ANSWER}
_WHOLE = json.dumps(completion(_MESSAGE))
_WIDE = "Grüße, 東京 🙂, done."
_CALL = {"role": "assistant", "content": None, "tool_calls": [shell_entry("once")]}

_OVERLOADED = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}

_AGAIN = "The answer has no proper end: withdraw its text, and retry."
_READ = "Accept it: the format allows it."


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="streams", advice=advice, script=script, expects=outcomes, **members)


def _again(name: str, step: Step | StepMaker, advice: str = _AGAIN) -> Fault:
    return _fault(name, advice, step, ANSWERED, expects=answers(requests=2))


def _read(name: str, step: Step | StepMaker, text: str = ANSWER, *, advice: str = _READ) -> Fault:
    return _fault(name, advice, step, expects=answers(text))


def _streamed(text: str) -> StepMaker:
    """Such a stream; without streaming, the JSON in one piece with whitespace around it."""
    return as_asked(stream(text), Raw(text=f"\r\n\t {_WHOLE} \r\n"))


_LINES = text_chunks("Here ", "it ", "is.")

FRAMED = (
    _read("crlf", Reply(ANSWER, framing=Framing(line_end="\r\n"))),
    _read("carriage-returns", Reply(ANSWER, framing=Framing(line_end="\r"))),
    _read("mixed-line-ends", _streamed(_LINES.replace("\n\n", "\r\n\n", 1).replace("\n\n", "\r\r", 1) + DONE)),
    _read("byte-order-mark", Reply(ANSWER, framing=Framing(byte_order_mark=True))),
    _read("split-utf-8", Reply(_WIDE, framing=Framing(packet_bytes=1)), _WIDE),
    _read("three-bytes-a-packet", Reply(_WIDE, framing=Framing(packet_bytes=3)), _WIDE),
    _read("one-blob", Reply(ANSWER, framing=Framing(one_blob=True))),
    _fault(
        "one-byte-packets-with-a-call",
        _READ,
        Reply(tool_calls=(shell("once"),), framing=Framing(packet_bytes=1)),
        ANSWERED,
        expects=answers(requests=2, ran=("once",)),
    ),
    _read("no-blank-behind-data", _streamed((_LINES + DONE).replace("data: ", "data:"))),
    _read("data-in-two-lines", _streamed(_LINES.replace(', "created"', ',\ndata: "created"') + DONE)),
    _read(
        "ids-and-events",
        _streamed("".join(f"id: 1\nevent: x\nretry: 9\n{one}\n\n" for one in _LINES.split("\n\n")[:-1]) + DONE),
    ),
    _read("comments-between", _streamed(_LINES.replace("\n\n", "\n\n: OPENROUTER PROCESSING\n\n") + DONE)),
    _read("empty-data", _streamed(_LINES.replace("\n\n", "\n\ndata:\n\ndata: \n\n") + DONE)),
    _read("more-behind-done", _streamed(_LINES + DONE + chunk({"content": "ghost"}) + DONE)),
    _read("last-line-unended", as_asked(stream((_LINES + DONE).rstrip("\n")), Raw(text=_WHOLE))),
    _read("no-done", Reply(ANSWER, framing=Framing(done=False))),
    _read("no-content-type", as_asked(Raw(text=_LINES + DONE, content_type=""), Raw(text=_WHOLE, content_type=""))),
    _read(
        "wrong-content-type",
        as_asked(Raw(text=_LINES + DONE, content_type="text/plain"), Raw(text=_WHOLE, content_type="text/html")),
    ),
    _read(
        "the-other-form",
        as_asked(document(completion(_MESSAGE)), stream(_LINES + DONE)),
        advice="Read JSON instead of a stream, or a stream instead of JSON.",
    ),
    _fault(
        "the-other-form-with-a-call",
        "Read JSON instead of a stream, or a stream instead of JSON; run the call once.",
        as_asked(
            document(completion(_CALL, finish="tool_calls")),
            stream(chunk(_CALL) + chunk({}, finish="tool_calls") + DONE),
        ),
        ANSWERED,
        expects=answers(requests=2, ran=("once",)),
    ),
    _fault(
        "open-behind-done",
        "The answer ends at its end marker, whatever the connection does.",
        as_asked(
            Flood(": bye\n\n", opening=_LINES + DONE, interval=0.1),
            Flood("\n", opening=_WHOLE, interval=0.05, times=6, content_type=JSON),
        ),
        expects=answers(),
    ),
)

_INVALID = b"\xff\xfe\xc3("


def _invalid(text: str) -> bytes:
    return text.encode().replace(b"@", _INVALID)


_BAD_CALL = json.dumps({"command": f"{marking('once')} # @"})
_BAD_ENTRY = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "shell", "arguments": _BAD_CALL}}
_BAD_MESSAGE = {"role": "assistant", "content": None, "tool_calls": [_BAD_ENTRY]}

BROKEN = (
    _again("cut-in-an-event", Reply("This was going to be longer.", framing=Framing(truncate_at=330))),
    _again("cut-at-the-beginning", Reply("This was going to be longer.", framing=Framing(truncate_at=30))),
    _again(
        "cut-in-arguments",
        as_asked(
            stream(
                _ROLE
                + chunk(
                    {
                        "tool_calls": [
                            {
                                **shell_entry("half"),
                                "function": {"name": "shell", "arguments": '{"command": "echo half >> ru'},
                            }
                        ]
                    }
                )
            ),
            Raw(text=json.dumps(completion(_CALL))[:-180]),
        ),
        "Never run half a call: retry.",
    ),
    _again("no-finish", Reply("This has no proper end", framing=Framing(finish=False))),
    _again("no-finish-no-done", Reply("This has no proper end", framing=Framing(finish=False, done=False))),
    _again("only-done", as_asked(stream(DONE), Raw(text="{}"))),
    _again("only-comments", as_asked(stream(": wait\n\n: wait\n\n"), Raw(text="\n\n"))),
    _again("only-a-role", as_asked(stream(_ROLE + DONE), document(completion({"role": "assistant"}, finish=None)))),
    _again(
        "bad-json",
        as_asked(stream(_ROLE + _HELLO + 'data: {"choices": [{"del\n\n' + DONE), Raw(text=_WHOLE.replace(":", "=", 3))),
    ),
    _again(
        "words-for-json",
        as_asked(stream(_ROLE + _HELLO + "data: upstream timed out\n\n"), Raw(text="upstream timed out")),
    ),
    _again(
        "error-event",
        as_asked(
            stream(event({"error": {"message": "Overloaded", "code": 503}})),
            document({"error": {"message": "Overloaded", "code": 503}}),
        ),
    ),
    _again(
        "error-event-in-text",
        as_asked(
            stream(
                _ROLE + _HELLO + event({"error": {"message": "The server had an error", "type": "server_error"}}) + DONE
            ),
            document({"error": {"message": "The server had an error", "type": "server_error"}}),
        ),
    ),
    _again(
        "error-event-of-vllm",
        as_asked(
            stream(_ROLE + _HELLO + event({"object": "error", "message": "Engine died", "code": 500})),
            document({"object": "error", "message": "Engine died", "code": 500}),
        ),
    ),
    _again(
        "named-error-event",
        as_asked(
            stream(_ROLE + _HELLO + f"event: error\n{event(_OVERLOADED)}"),
            document(_OVERLOADED),
        ),
    ),
    _fault(
        "error-event-for-good",
        "Report a permanent failure at once, even in mid-stream; keep the text.",
        as_asked(
            stream(_ROLE + _HELLO + event({"error": {"message": "No credit.", "code": "insufficient_quota"}})),
            document({"error": {"message": "No credit.", "code": "insufficient_quota"}}),
        ),
        ANSWERED,
        expects=fails("credit", text=None),
    ),
    _fault(
        "invalid-bytes-in-text",
        "Replace invalid characters with a mark, or retry.",
        as_asked(
            Raw(_invalid(text_chunks("Here @ it is.") + DONE), content_type=STREAM),
            Raw(_invalid(json.dumps(completion({"role": "assistant", "content": "Here @ it is."})))),
        ),
        ANSWERED,
        expects=(answers(requests=2), answers(None)),
    ),
    _fault(
        "invalid-bytes-in-arguments",
        "Never run invalid text: report an error to the model, or retry.",
        as_asked(
            Raw(_invalid(chunk(_BAD_MESSAGE) + chunk({}, finish="tool_calls") + DONE), content_type=STREAM),
            Raw(_invalid(json.dumps(completion(_BAD_MESSAGE, finish="tool_calls")))),
        ),
        ANSWERED,
        expects=answers(requests=2, problems=None),
    ),
    _fault(
        "events-that-run-together",
        "Accept the calls if they can be separated, or retry.",
        as_asked(
            stream(_LINES.replace("\n\n", "\n") + "data: [DONE]\n"),
            Raw(text=f"{_WHOLE}\n{_WHOLE}"),
        ),
        ANSWERED,
        expects=(answers(requests=2), answers()),
    ),
    _fault(
        "bad-json-for-ever",
        "After three attempts, report an invalid answer.",
        as_asked(stream('data: {"choices": [{"del\n\n'), Raw(text='{"choices": [{"mes')),
        expects=fails("invalid answer|complete|middle", requests=3),
        repeats=True,
    ),
)

STREAMS = (*FRAMED, *BROKEN)
