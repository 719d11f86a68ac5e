"""Tool calls as models and servers garble them: arguments, names, ids, positions; and too many of them."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.bodies import (
    DONE,
    STREAM,
    as_asked,
    calling,
    chunk,
    completion,
    document,
    event,
    marking,
    shell,
    shell_entry,
    stream,
)
from tests.faults.fault import ANSWERED, Fault, Outcome, answers, fails, once

from vmpilot.testing.script import HttpError, Raw, Reply, ScriptedCall, Step, StepMaker

_ERROR = "Run nothing; report the invalid call to the model, and let it answer."
_ONCE = "The meaning is clear: run the call once."


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="tool calls", advice=advice, script=script, expects=outcomes, **members)


def _problem(name: str, arguments: str, pattern: str, **members: Any) -> Fault:
    """Arguments that must not run."""
    step = Reply(tool_calls=(ScriptedCall("shell", arguments),))
    expected = answers(requests=2, problems=(pattern,))
    return _fault(f"arguments-{name}", _ERROR, *once(step), expects=expected, **members)


_COMMAND = json.dumps(marking("bad"))
_GOOD = f'{{"command": {_COMMAND}}}'
_NO_OBJECT = "not an object|not a valid JSON object|JSON"
_NO_JSON = "JSON"
_NO_FIT = "fit|command"

ARGUMENTS = (
    _problem("not-json", marking("bad"), _NO_JSON),
    _problem("truncated", '{"command": "echo bad >> runs', _NO_JSON),
    _problem("truncated-behind-a-string", f'{{"command": {_COMMAND}', _NO_JSON),
    _problem("a-list", f"[{_COMMAND}]", _NO_OBJECT),
    _problem("a-string", _COMMAND, _NO_OBJECT),
    _problem("json-in-a-string", json.dumps(_GOOD), _NO_OBJECT),
    _problem("a-number", "42", _NO_OBJECT),
    _problem("true", "true", _NO_OBJECT),
    _problem("null", "null", _NO_OBJECT),
    _problem("empty", "", _NO_FIT),
    _problem("blank", "   ", "JSON|fit|command"),
    _problem("without-members", "{}", _NO_FIT),
    _problem("of-the-wrong-type", '{"command": 5}', _NO_FIT),
    _problem("with-a-list-for-a-string", f'{{"command": ["bash", "-c", {_COMMAND}]}}', _NO_FIT),
    _problem("nested", f'{{"command": {{"command": {_COMMAND}}}}}', _NO_FIT),
    _problem("wrapped", f'{{"arguments": {_GOOD}}}', _NO_FIT),
    _problem("with-a-null", '{"command": null}', _NO_FIT),
    _problem("with-an-unknown-member", f'{{"command": {_COMMAND}, "sudo": true}}', "fit|sudo"),
    _problem("deep", '{"command": ' + "[" * 900 + "]" * 900 + "}", "JSON|fit|deep|nested"),
    _problem("very-deep", '{"command": ' + "[" * 200_000 + "]" * 200_000 + "}", "JSON|deep|nested"),
    _problem("with-a-huge-number", f'{{"command": {_COMMAND}, "timeout": 1e999}}', "JSON|fit|timeout|number"),
    _problem(
        "with-a-long-number", f'{{"command": {_COMMAND}, "timeout": {"9" * 5000}}}', "JSON|fit|timeout|number|digit"
    ),
    _problem("with-nan", f'{{"command": {_COMMAND}, "timeout": NaN}}', "JSON|NaN"),
    _problem("with-half-a-character", f'{{"command": "{marking("bad")} # \\ud800"}}', "character|surrogate|JSON"),
    _problem("with-nul", f'{{"command": "{marking("bad")} # \\u0000"}}', "NUL|JSON"),
    _problem("with-raw-control-characters", f'{{"command": "{marking("bad")}\n\x01"}}', "JSON"),
    _problem("with-a-key-twice", f'{{"command": "true", "command": {_COMMAND}}}', "twice|double|JSON"),
    _problem(
        "of-a-megabyte", f'{{"command": "{marking("bad")} # {"x" * 1_100_000}"}}', "characters|large|long|at most"
    ),
    _problem("with-words-behind", f"{_GOOD} That should do it.", _NO_JSON),
    _problem("two-objects", _GOOD * 2, _NO_JSON),
    _problem("in-a-fence", f"```json\n{_GOOD}\n```", _NO_JSON),
    _problem("of-python", f"{{'command': '{marking('bad')}'}}", _NO_JSON),
    _problem("with-a-trailing-comma", f'{{"command": {_COMMAND},}}', _NO_JSON),
    _problem("with-a-comment", f'{{"command": {_COMMAND} /* now */}}', _NO_JSON),
    _problem("with-a-mark-before", f"\ufeff{_GOOD}", _NO_JSON),
    _fault(
        "arguments-as-an-object",
        "Some servers send an object instead of a string; the meaning is clear: run the call once.",
        calling(shell_entry("once", function={"name": "shell", "arguments": {"command": marking("once")}})),
        ANSWERED,
        expects=answers(requests=2, ran=("once",)),
    ),
    _fault(
        "arguments-as-a-null-member",
        _ERROR,
        calling(shell_entry("bad", function={"name": "shell", "arguments": None})),
        ANSWERED,
        expects=answers(requests=2, problems=(_NO_FIT,)),
    ),
    _fault(
        "a-broken-call-beside-a-good-one",
        "Run the valid call, and report the other one to the model.",
        Reply(tool_calls=(ScriptedCall("shell", "{oops"), shell("good"))),
        ANSWERED,
        expects=answers(requests=2, ran=("good",), problems=(_NO_JSON,)),
    ),
)


def _named(name: str, called: str | None) -> Fault:
    step = Reply(tool_calls=(ScriptedCall(called, _GOOD),))
    return _fault(f"name-{name}", _ERROR, *once(step), expects=answers(requests=2, problems=("tool|name",)))


NAMES = (
    _named("empty", ""),
    _named("missing", None),
    _named("unknown", "frobnicate"),
    _named("of-another-case", "SHELL"),
    _named("with-blanks", " shell "),
    _named("odd", "shell; rm -rf /"),
    _named("with-escapes", "\x1b[31mshell\x00\u202e"),
    _named("long", "shell" * 100),
    _named("of-a-function", "functions.shell"),
    _fault(
        "name-null",
        _ERROR,
        calling(shell_entry("bad", function={"name": None, "arguments": _GOOD})),
        ANSWERED,
        expects=answers(requests=2, problems=("tool|name",)),
    ),
    _fault(
        "function-null",
        _ERROR,
        calling({"index": 0, "id": "call_1", "type": "function", "function": None}),
        ANSWERED,
        expects=(answers(requests=2, problems=("tool|name",)), answers(requests=2)),
    ),
    _fault(
        "entry-null",
        "The answer contains no call: retry.",
        as_asked(
            stream(chunk({"tool_calls": [None]}) + chunk({}, finish="tool_calls") + DONE),
            document(completion({"role": "assistant", "content": None, "tool_calls": [None]}, finish="tool_calls")),
        ),
        ANSWERED,
        expects=(answers(requests=2), answers(requests=2, problems=("tool|name",))),
    ),
)


def _fragments(*fragments: dict[str, Any], whole: tuple[dict[str, Any], ...]) -> StepMaker:
    """Fragments of calls, one per chunk; without streaming, whole calls."""
    deltas = "".join(chunk({"tool_calls": [fragment]}) for fragment in fragments)
    message = {"role": "assistant", "content": None, "tool_calls": list(whole)}
    return as_asked(
        stream(deltas + chunk({}, finish="tool_calls") + DONE), document(completion(message, finish="tool_calls"))
    )


def _piece(arguments: str, **members: Any) -> dict[str, Any]:
    return {"function": {"arguments": arguments}, **members}


def _runs(name: str, step: Step | StepMaker, *marks: str, advice: str = _ONCE) -> Fault:
    return _fault(name, advice, step, ANSWERED, expects=answers(requests=2, ran=marks))


_ARGS = json.dumps({"command": marking("once")})
_TWO = (shell_entry("first"), shell_entry("second", index=1))
_BOTH = "Give each call its own id and result; run both once."


def _with_ids(first: str | None, second: str | None) -> Reply:
    return Reply(tool_calls=(shell("first", id=first), shell("second", id=second)))


IDS = (
    _runs("id-missing", _with_ids(None, None), "first", "second", advice=_BOTH),
    _runs("id-empty", _with_ids("", ""), "first", "second", advice=_BOTH),
    _runs("id-doubled", _with_ids("call_1", "call_1"), "first", "second", advice=_BOTH),
    _runs("id-null", calling({**shell_entry("once"), "id": None}), "once"),
    _runs("id-a-number", calling(shell_entry("once", id=7)), "once"),
    _runs("id-long", _with_ids("x" * 2_000, "y" * 2_000), "first", "second", advice=_BOTH),
    _runs("id-odd", _with_ids("call \x00\ud800", "\x1b[2J\n"), "first", "second", advice=_BOTH),
    _fault(
        "id-of-an-earlier-message",
        "Make ids unique across the history; run each call once.",
        Reply(tool_calls=(shell("first", id="call_0"),)),
        Reply(tool_calls=(shell("second", id="call_0"),)),
        ANSWERED,
        expects=answers(requests=3, ran=("first", "second")),
    ),
    _runs(
        "id-and-name-in-each-fragment",
        _fragments(
            shell_entry("x", id="call_1", function={"name": "shell", "arguments": _ARGS[:9]}),
            shell_entry("x", id="call_1", function={"name": "shell", "arguments": _ARGS[9:20]}),
            shell_entry("x", id="call_1", function={"name": "shell", "arguments": _ARGS[20:]}),
            whole=(shell_entry("once"),),
        ),
        "once",
    ),
    _runs(
        "id-in-a-later-fragment",
        _fragments(
            {"index": 0, "type": "function", "function": {"name": "shell", "arguments": ""}},
            _piece(_ARGS, index=0, id="call_late"),
            whole=(shell_entry("once"),),
        ),
        "once",
    ),
    _runs("type-missing", calling(shell_entry("once", type=None)), "once"),
    _runs("type-unknown", calling(shell_entry("once", type="tool")), "once"),
)

_FIRST, _SECOND = (entry["function"]["arguments"] for entry in _TWO)

PLACES = (
    _runs("index-missing", calling({**shell_entry("once"), "index": None}), "once"),
    _runs(
        "index-missing-twice",
        _fragments(
            {"id": "a", "type": "function", "function": {"name": "shell", "arguments": _FIRST}},
            {"id": "b", "type": "function", "function": {"name": "shell", "arguments": _SECOND}},
            whole=_TWO,
        ),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs(
        "index-repeated",
        calling(shell_entry("first", id="a"), shell_entry("second", id="b")),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs(
        "index-with-gaps",
        calling(shell_entry("first", index=3), shell_entry("second", index=7)),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs(
        "index-backwards",
        calling(shell_entry("first", index=1), shell_entry("second", index=0)),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs("index-huge", calling(shell_entry("once", index=10**12)), "once"),
    _runs("index-negative", calling(shell_entry("once", index=-1)), "once"),
    _runs("index-as-a-string", calling(shell_entry("once", index="0")), "once"),
    _runs(
        "fragments-interleaved",
        _fragments(
            shell_entry("x", index=0, id="a", function={"name": "shell", "arguments": _FIRST[:5]}),
            shell_entry("x", index=1, id="b", function={"name": "shell", "arguments": _SECOND[:5]}),
            _piece(_FIRST[5:], index=0),
            _piece(_SECOND[5:], index=1),
            whole=_TWO,
        ),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs(
        "both-in-one-chunk",
        as_asked(
            stream(
                chunk({"role": "assistant", "content": None, "tool_calls": list(_TWO)})
                + chunk({}, finish="tool_calls")
                + DONE
            ),
            document(completion({"role": "assistant", "content": None, "tool_calls": list(_TWO)}, finish="tool_calls")),
        ),
        "first",
        "second",
        advice=_BOTH,
    ),
    _runs("one-character-a-fragment", Reply(tool_calls=(shell("once", chunks=tuple(_ARGS)),)), "once"),
    _fault(
        "text-beside-a-call",
        "Keep the text, and run the call once.",
        Reply("I look at it. ", tool_calls=(shell("once"),)),
        ANSWERED,
        expects=answers("I look at it. Here it is.", requests=2, ran=("once",)),
    ),
)

_OLD: dict[str, Any] = {"name": "shell", "arguments": _ARGS}
_OLD_OBJECT = {**_OLD, "arguments": json.loads(_ARGS)}


def _of_old(*fragments: dict[str, Any], whole: dict[str, Any], calls: tuple[dict[str, Any], ...] = ()) -> StepMaker:
    """A call as `function_call`, OpenAI's deprecated form, with `calls` in the newer form next to it."""
    deltas = [*({"function_call": fragment} for fragment in fragments), *({"tool_calls": [call]} for call in calls)]
    streamed = "".join(map(chunk, deltas)) + chunk({}, finish="function_call") + DONE
    message = {"role": "assistant", "content": None, "function_call": whole}
    both = {**message, "tool_calls": list(calls)} if calls else message
    return as_asked(stream(streamed), document(completion(both, finish="function_call")))


FUNCTION_CALLS = (
    _runs("function-call-of-old", _of_old(_OLD, whole=_OLD), "once"),
    _runs(
        "function-call-of-old-in-pieces",
        _of_old(
            {"name": "shell", "arguments": ""},
            {"arguments": _ARGS[:9]},
            {"name": None, "arguments": _ARGS[9:]},
            whole=_OLD,
        ),
        "once",
    ),
    _runs(
        "function-call-beside-the-same-call",
        _of_old(_OLD, whole=_OLD, calls=(shell_entry("once"),)),
        "once",
        advice="Some servers send a call in both forms: run it once.",
    ),
    _runs(
        "function-call-as-an-object",
        _of_old(_OLD_OBJECT, whole=_OLD_OBJECT),
        "once",
    ),
    _fault(
        "function-call-cut",
        _ERROR,
        _of_old({**_OLD, "arguments": _ARGS[:-2]}, whole={**_OLD, "arguments": _ARGS[:-2]}),
        ANSWERED,
        expects=answers(requests=2, problems=(_NO_JSON,)),
    ),
)

_UNREADABLE = "The request is valid, but the provider could not read the model's call: retry."
_FAILED = {
    "message": "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
    "type": "invalid_request_error",
    "code": "tool_use_failed",
    "failed_generation": '<function=shell={"command": "echo half >> runs"}</function>',
}
_MISFIT = {
    **_FAILED,
    "message": "tool call validation failed: parameters for tool shell did not match schema: errors: [`/command`: "
    "expected string, but got array]",
}

UNREADABLE = (
    *(
        _fault(name, _UNREADABLE, HttpError(400, body={"error": error}), ANSWERED, expects=answers(requests=2))
        for name, error in (("call-that-groq-cannot-read", _FAILED), ("call-that-groq-finds-wrong", _MISFIT))
    ),
    _fault(
        "call-that-groq-cannot-read-in-a-stream",
        _UNREADABLE,
        as_asked(
            Raw(text=event({"error": {**_FAILED, "status_code": 400}}) + DONE, content_type=STREAM),
            HttpError(400, body={"error": _FAILED}),
        ),
        ANSWERED,
        expects=answers(requests=2),
    ),
    _fault(
        "call-that-ollama-cannot-read",
        _UNREADABLE,
        HttpError(
            500, body={"error": "error parsing tool call: raw='{\"command\": ' err=unexpected end of JSON input"}
        ),
        ANSWERED,
        expects=answers(requests=2),
    ),
    _fault(
        "unreadable-call-for-ever",
        "After three attempts, report that the model's call is unreadable.",
        HttpError(400, body={"error": _FAILED}),
        expects=fails("could not parse the model's tool call", requests=3),
        repeats=True,
    ),
)

TOOL_CALLS = (*ARGUMENTS, *NAMES, *IDS, *PLACES, *FUNCTION_CALLS, *UNREADABLE)
