"""Text that terminals, logs and providers have trouble with, and text that never ends."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.bodies import DONE, JSON, as_asked, chunk, completion, document, shell_entry, stream
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers, fails, stops

from vmpilot.testing.script import Flood, Reply, Step, StepMaker


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="text", advice=advice, script=script, expects=outcomes, **members)


def _kept(name: str, text: str, *, advice: str = "Keep it unchanged.", chunks: tuple[str, ...] | None = None) -> Fault:
    return _fault(name, advice, Reply(text, chunks=chunks), expects=answers(text))


_SENDABLE = "Keep the rest; send and store valid text."

ODD = (
    _fault(
        "half-a-character",
        _SENDABLE,
        Reply("Half \ud83d of it."),
        expects=(answers("Half \ud83d of it."), answers("Half \ufffd of it.")),
    ),
    _fault("half-a-character-in-reasoning", _SENDABLE, Reply(ANSWER, reasoning="Hm \udc00."), expects=answers()),
    _fault(
        "a-character-in-two-pieces",
        "Join the halves into one character.",
        Reply(chunks=("Good \ud83d", "\ude42 day.")),
        expects=(answers("Good \U0001f642 day."), answers("Good \ufffd\ufffd day."), answers("Good \ud83d\ude42 day.")),
    ),
    _fault("nul", _SENDABLE, Reply("A\x00B"), expects=(answers("A\x00B"), answers("A\ufffdB"), answers("AB"))),
    _fault("only-nul", _SENDABLE, Reply("\x00"), ANSWERED, expects=(answers(None), answers(requests=2))),
    _kept(
        "terminal-escapes",
        "\x1b[2J\x1b]0;title\x07\x1b[31mred\x1b[0m \x9b1m",
        advice="Keep it in the log; escape it on a terminal.",
    ),
    _kept("bidirectional-controls", "a\u202eb\u2066c\u200fd"),
    _kept("odd-line-ends", "one\rtwo\u2028three\u2029four\x85five\x0bsix"),
    _kept("looks-like-a-stream", 'He said\n\ndata: [DONE]\n\ndata: {"choices": []}\n\nand left.'),
    _kept(
        "looks-like-a-call",
        'Run this:\n\n```json\n{"name": "shell", "arguments": {"command": "echo text >> runs"}}\n```\nor not.',
        advice="Treat text as text if the model has native tool calls: run nothing in it.",
    ),
    _kept("only-an-emoji", "\U0001f44d"),
    _kept("one-character-a-piece", "0123456789" * 300, chunks=tuple("0123456789" * 300)),
)

_ROLE = chunk({"role": "assistant", "content": ""})
_PIECE = "x" * 1_023 + "\n"
_LONG = 2_000_000

_BOUNDED = "Stop at a size limit: close the connection, keep the text, and report that it was too long."


def _cut() -> tuple[Outcome, ...]:
    says = "VMPilot|characters|bytes|size"
    return (
        fails(says, requests=(1, 3), text=None),
        stops("tokens", requests=1, says=says),
        stops("broken_answers", requests=3),
    )


def _endless(
    name: str, piece: str, opening: str, whole: str, *, times: int | None = None, closing: str = "", **members: Any
) -> Fault:
    """An answer that repeats such pieces: in a stream, or in a whole answer whose string never ends."""
    script = as_asked(
        Flood(piece, opening=opening, closing=closing, times=times),
        Flood(
            "x" * 65_536,
            opening=whole,
            times=None if times is None else 320,
            closing=_CLOSING if times else "",
            content_type=JSON,
        ),
    )
    return _fault(
        name,
        _BOUNDED,
        script,
        expects=_cut(),
        repeats=True,
        seconds=120.0,
        settings={"attempts": 1, "call_timeout": 60.0},
        **members,
    )


_OPENING, _CLOSING = json.dumps(completion({"role": "assistant", "content": "@"})).split("@")
_REASONING = json.dumps(completion({"role": "assistant", "content": None, "reasoning_content": "@"})).split("@")[0]
_ENTRY = {**shell_entry("x"), "function": {"name": "shell", "arguments": '{"command": "@'}}
_ARGUMENTS = json.dumps(completion({"role": "assistant", "content": None, "tool_calls": [_ENTRY]})).split("@")[0]
_CALL = chunk({"tool_calls": [{**shell_entry("x"), "function": {"name": "shell", "arguments": '{"command": "'}}]})
_ENOUGH = 150

LONG = (
    _fault(
        "a-megabyte-of-text",
        "The answer is long but valid: keep all of it.",
        as_asked(
            Flood(chunk({"content": _PIECE}), opening=_ROLE, times=900, closing=chunk({}, finish="stop") + DONE),
            document(completion({"role": "assistant", "content": _PIECE * 900})),
        ),
        expects=answers(_PIECE * 900),
        megabytes=_ENOUGH,
    ),
    _fault(
        "a-line-of-8-megabytes",
        _BOUNDED,
        as_asked(
            stream(_ROLE + chunk({"content": "x" * 8_000_000}, finish="stop") + DONE),
            document(completion({"role": "assistant", "content": "x" * 8_000_000})),
        ),
        expects=_cut(),
        repeats=True,
        settings={"attempts": 1},
        seconds=120.0,
        megabytes=_ENOUGH,
    ),
    _endless(
        "20-megabytes-in-small-pieces",
        chunk({"content": "x" * 500}),
        _ROLE,
        _OPENING,
        times=40_000,
        closing=chunk({}, finish="stop") + DONE,
        megabytes=_ENOUGH,
    ),
    _endless("text-for-ever", chunk({"content": _PIECE}), _ROLE, _OPENING, megabytes=_ENOUGH),
    _endless("blanks-for-ever", chunk({"content": " " * 2_000}), _ROLE, _OPENING),
    _endless("reasoning-for-ever", chunk({"reasoning_content": _PIECE}), _ROLE, _REASONING),
    _endless(
        "arguments-for-ever",
        chunk({"tool_calls": [{"index": 0, "function": {"arguments": "x" * 2_000}}]}),
        _ROLE + _CALL,
        _ARGUMENTS,
    ),
    _endless(
        "one-event-for-ever",
        "x" * 65_536,
        'data: {"choices": [{"index": 0, "delta": {"content": "',
        _OPENING,
        megabytes=_ENOUGH,
    ),
)

TEXT = (*ODD, *LONG)
