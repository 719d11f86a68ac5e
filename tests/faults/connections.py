"""Connections that close, reset, stall or never open, and slow ones that are alive."""

from __future__ import annotations

from typing import Any

from tests.faults.bodies import (
    DONE,
    as_asked,
    chunk,
    completion,
    event,
    marking,
    shell,
    text_chunks,
)
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers, fails, once

from vmpilot.testing.answers import dump_json
from vmpilot.testing.script import Drop, Flood, HttpError, Point, Reply, ScriptedCall, Stall, Step, StepMaker, Wire

_TEXT = Reply("This answer was going to be much longer than it is.")
_CALL = Reply(tool_calls=(ScriptedCall("shell", {"command": marking("half")}, chunks=6),))
_CALLS = Reply(tool_calls=(shell("first"), shell("second")))
_RAN_BEFORE = Reply(tool_calls=(shell("before"),))

_AGAIN = "Retry, and take back the text of the broken answer."
_NO_HALF = "Retry; run no call of the broken message."
_NOT_TWICE = "Retry, but never repeat a command that ran."
_END_DEAD = "Close the connection at the time limit, and retry."

_SHORT = {"first_content_timeout": 3.0, "gap_timeout": 3.0}
_QUICK = {"first_content_timeout": 0.5, "gap_timeout": 0.5, "attempts": 1}


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="connections", advice=advice, script=script, expects=outcomes, **members)


def _broken(where: str, after: Point, reply: Reply = _TEXT, *, advice: str = _AGAIN) -> tuple[Fault, Fault]:
    """The connection closes or is reset at this point."""
    closed, reset = Drop(after, reply), Drop(after, reply, reset=True)
    return (
        _fault(f"close-{where}", advice, *once(closed), expects=answers(requests=2)),
        _fault(f"reset-{where}", advice, *once(reset), expects=answers(requests=2)),
    )


BROKEN = (
    *_broken("before-headers", "request"),
    *_broken("after-headers", "headers"),
    *_broken("before-text", 1),
    *_broken("in-text", 4),
    *_broken("before-arguments", 2, _CALL, advice=_NO_HALF),
    *_broken("in-arguments", 5, _CALL, advice=_NO_HALF),
    *_broken("between-calls", 7, Reply(tool_calls=(shell("first", chunks=4), shell("second"))), advice=_NO_HALF),
    *_broken("before-finish", 8, _CALL, advice=_NO_HALF),
    _fault(
        "close-behind-finish",
        "The answer is complete: what is missing after it is no content.",
        as_asked(Drop(5, Reply(chunks=("Here ", "it ", "is."))), Drop(1, ANSWERED)),
        ANSWERED,
        expects=answers(requests=(1, 2)),
    ),
    _fault(
        "reset-behind-a-call",
        "Use the complete message or ask for it again: either way the call runs once.",
        Drop(9, _CALL, reset=True),
        as_asked(ANSWERED, _CALL),
        ANSWERED,
        expects=(answers(requests=(2, 3), ran=("half",)), answers(requests=2)),
    ),
    _fault(
        "close-for-ever",
        "After three attempts, keep the text and report that the connection broke.",
        Drop(3, _TEXT),
        expects=fails("connection|broke", requests=3, text=None),
        repeats=True,
    ),
    _fault(
        "close-after-a-tool",
        _NOT_TWICE,
        _RAN_BEFORE,
        Drop(3, _TEXT),
        ANSWERED,
        expects=answers(requests=3, ran=("before",)),
    ),
    _fault(
        "reset-in-arguments-after-a-tool",
        _NOT_TWICE,
        _RAN_BEFORE,
        Drop(5, _CALL, reset=True),
        ANSWERED,
        expects=answers(requests=3, ran=("before",)),
    ),
    _fault(
        "reset-of-a-kept-connection",
        "A reused connection may be dead: open a new one, and never repeat a command that ran.",
        _RAN_BEFORE,
        Drop("request", reset=True),
        ANSWERED,
        expects=answers(requests=3, ran=("before",)),
    ),
    _fault(
        "down-after-a-tool",
        "Keep the results of the commands that ran, and report the failure.",
        _RAN_BEFORE,
        HttpError(500, "It broke."),
        expects=fails("It broke", requests=4, ran=("before",)),
        repeats=True,
    ),
)


def _stalled(where: str, after: Point, reply: Reply = _TEXT, *, comments: bool = False) -> Fault:
    stall = Stall(after, reply, keep_alive_comments=comments)
    return _fault(f"stall-{where}", _END_DEAD, *once(stall), expects=answers(requests=2), settings=_SHORT, closes=True)


def _for_ever(name: str, advice: str, *script: Step | StepMaker, says: str, **settings: Any) -> Fault:
    return _fault(
        name,
        advice,
        *script,
        expects=fails(says, text=None),
        repeats=True,
        settings={**_QUICK, **settings},
        closes=True,
    )


_SILENT = "silent|nothing|did not finish|in time"
_NO_CONTENT = "Comments, empty chunks and whitespace do not count as content: close the connection at the time limit."
_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 900\r\n"
_ROLE = chunk({"role": "assistant", "content": ""})


def _flooded(piece: str, opening: str = "") -> StepMaker:
    """A stream that repeats such pieces; without streaming, a body that repeats whitespace."""
    return as_asked(
        Flood(piece, opening=opening, interval=0.05), Flood(" ", interval=0.05, content_type="application/json")
    )


STALLED = (
    _stalled("before-headers", "request"),
    _stalled("after-headers", "headers"),
    _stalled("before-text", 1),
    _stalled("in-text", 4),
    _stalled("in-arguments", 5, _CALL),
    _stalled("between-calls", 7, _CALLS),
    _for_ever("stall-for-ever", "After the last attempt, report that nothing arrived.", Stall("headers"), says=_SILENT),
    _for_ever("comments-for-ever", _NO_CONTENT, _flooded(": keep-alive\n\n"), says=_SILENT),
    _for_ever(
        "comments-in-text-for-ever",
        _NO_CONTENT,
        _flooded(": keep-alive\n\n", _ROLE + chunk({"content": "This was"})),
        says=_SILENT,
    ),
    _for_ever("empty-pieces-for-ever", _NO_CONTENT, _flooded(chunk({"content": ""}), _ROLE), says=_SILENT),
    _for_ever("empty-deltas-for-ever", _NO_CONTENT, _flooded(chunk({}), _ROLE), says=_SILENT),
    _for_ever("pings-for-ever", _NO_CONTENT, _flooded("event: ping\ndata: {}\n\n"), says=_SILENT),
    _for_ever("half-a-head", "Close the connection at the time limit.", Wire(text=_HEAD, then="stall"), says=_SILENT),
    _for_ever(
        "headers-for-ever",
        "Close the connection at the time limit.",
        Wire(text=_HEAD, drip="X-Wait: 1\r\n"),
        says=_SILENT,
    ),
    _for_ever(
        "body-shorter-than-told",
        "Close the connection at the time limit.",
        Wire(text=_HEAD + "\r\n{}", then="stall"),
        says=_SILENT,
    ),
    _for_ever(
        "drips-for-ever",
        "Wait for a live answer, but no longer than the limit for the whole call.",
        as_asked(
            Flood(chunk({"content": "drip "}), opening=_ROLE, interval=0.1),
            Flood(" ", interval=0.1, content_type="application/json"),
        ),
        says="did not finish|silent|nothing",
        first_content_timeout=5.0,
        gap_timeout=5.0,
        call_timeout=1.5,
    ),
)

_KEEP = "Keep reading: slow is not dead."
_PATIENT = {"first_content_timeout": 20.0, "gap_timeout": 20.0}
_WHOLE = dump_json(completion({"role": "assistant", "content": ANSWER})).decode()

SLOW = (
    _fault("slow-to-begin", _KEEP, Reply(ANSWER, delay=1.0), expects=answers(), settings=_PATIENT),
    _fault("slow-drips", _KEEP, Reply(ANSWER, chunks=8, gap=0.12), expects=answers(), settings=_PATIENT),
    _fault(
        "slow-arguments",
        _KEEP,
        Reply(tool_calls=(shell("slow", chunks=8),), gap=0.1),
        ANSWERED,
        expects=answers(requests=2, ran=("slow",)),
        settings=_PATIENT,
    ),
    _fault(
        "comments-then-text",
        _KEEP,
        as_asked(
            Flood(": wait\n\n", times=15, interval=0.05, closing=text_chunks(ANSWER) + DONE),
            Flood("\n", times=15, interval=0.05, closing=_WHOLE, content_type="application/json"),
        ),
        expects=answers(),
        settings=_PATIENT,
    ),
)


def _not_http(name: str, step: Wire) -> Fault:
    return _fault(name, "The answer is invalid: retry.", *once(step), expects=answers(requests=2))


_CHUNKED = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

ODD = (
    _not_http("not-http", Wire(text="SSH-2.0-OpenSSH_9.2p1 Debian-2\r\n")),
    _not_http("binary", Wire(body=bytes(range(256)))),
    _not_http("close-in-headers", Wire(text="HTTP/1.1 200 OK\r\nContent-Ty")),
    _not_http("close-before-the-told-length", Wire(text=f"{_HEAD}\r\n{_WHOLE[:60]}")),
    _not_http("bad-chunk-size", Wire(text=f"{_CHUNKED}zz\r\n{event({})}\r\n")),
    _not_http("header-without-end", Wire(text="HTTP/1.1 200 OK\r\nX: " + "x" * 200_000)),
    _fault(
        "body-longer-than-told",
        "Ignore everything after the declared length; the answer is cut, so retry.",
        Wire(text=_HEAD.replace("900", "40") + f"\r\n{_WHOLE}"),
        ANSWERED,
        expects=answers(requests=2),
    ),
    _fault(
        "closed-port",
        "Retry, then report that the connection was refused.",
        expects=fails("reach|refused|connect", requests=0),
        place="closed port",
        settings={"attempts": 2},
    ),
    _fault(
        "full-port",
        "Wait no longer than the connection's own time limit.",
        expects=fails("connect|reach", requests=0),
        place="full port",
        settings={"attempts": 1, "connect_timeout": 0.4},
    ),
    _fault(
        "https-where-http-is-spoken",
        "Report that no secure connection could be made.",
        expects=fails("connect|reach|TLS|SSL|secure", requests=0),
        place="https",
        settings={"attempts": 1, "connect_timeout": 0.6},
    ),
)

CONNECTIONS = (*BROKEN, *STALLED, *SLOW, *ODD)
