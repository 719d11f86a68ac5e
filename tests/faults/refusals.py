"""Failures sent with status 200, redirects, context windows that are too small, and requests that a server rejects."""

from __future__ import annotations

import json
from typing import Any

from tests.faults.bodies import STREAM, document, marking
from tests.faults.fault import ANSWERED, Fault, Outcome, answers, fails, once

from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import HttpError, Raw, Reply, ScriptedCall, Step, StepMaker

ELSEWHERE = "http://elsewhere.invalid"
"""Placeholder in a redirect for the origin of a second server, which only records requests."""

_LOGIN = "<!doctype html><html><title>Log in</title><body>Please log in to the network.</body></html>"


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="statuses", advice=advice, script=script, expects=outcomes, **members)


def _odd(name: str, step: Step) -> Fault:
    advice = "The status is 200 but the body is not an answer: retry."
    return _fault(f"200-{name}", advice, *once(step), expects=answers(requests=2))


ODD = (
    _odd("error", document({"error": {"message": "Overloaded", "type": "overloaded_error", "code": 503}})),
    _odd("error-of-vllm", document({"object": "error", "message": "Engine died", "code": 500})),
    _odd("error-in-words", document({"error": "internal server error"})),
    _odd("html", Raw(text=_LOGIN, content_type="text/html")),
    _odd("html-as-json", Raw(text=_LOGIN)),
    _odd("nothing", Raw()),
    _odd("blanks", Raw(text="\n \n")),
    _odd("words", Raw(text="upstream connect error", content_type="text/plain")),
    _odd("other-json", document({"status": "ok"})),
    _odd("null", document(None)),
    _odd("list", document([])),
    _odd("string", document("OK")),
    _odd("number", document(0)),
    _odd("broken-json", Raw(text='{"id": "chatcmpl-1", "choices": [{')),
    _odd("deep-json", Raw(text='{"choices":' + "[" * 100_000)),
    _odd("not-gzip", Raw(text="plain, whatever the header says", headers={"Content-Encoding": "gzip"})),
    _fault(
        "204",
        "The status is 200 but the body is not an answer: retry.",
        *once(Raw(status=204)),
        expects=answers(requests=2),
    ),
    _fault(
        "200-quota",
        "Waiting cannot fix it, whatever the status: report it at once.",
        document({"error": {"message": "No credit.", "type": "insufficient_quota", "code": None}}),
        ANSWERED,
        expects=fails("credit|quota"),
    ),
    _fault(
        "200-html-for-ever",
        "After three attempts, report a web page in place of an answer, so that the user checks the base URL.",
        Raw(text=_LOGIN, content_type="text/html"),
        expects=fails("page.*base URL", requests=3),
        repeats=True,
    ),
    _fault(
        "200-nothing-for-ever",
        "After three attempts, report an empty answer.",
        Raw(content_type=STREAM),
        expects=fails("empty|nothing", requests=3),
        repeats=True,
    ),
)


def _redirect(status: int) -> Fault:
    place = f"{ELSEWHERE}/v1/chat/completions"
    return _fault(
        f"{status}-elsewhere",
        "Never send the key to another origin: name the new location, or follow without the key.",
        HttpError(status, body="", headers={"Location": place}),
        ANSWERED,
        expects=fails("redirect|moved"),
    )


_PLAINLY = "Report the redirect, and do not follow it in circles."

REDIRECTS = (
    *map(_redirect, (301, 302, 303, 307, 308)),
    _fault(
        "307-in-circles",
        _PLAINLY,
        HttpError(307, body="", headers={"Location": "/v1/chat/completions"}),
        expects=fails("redirect", requests=(1, 25)),
        repeats=True,
    ),
    _fault("302-nowhere", _PLAINLY, HttpError(302, body=""), ANSWERED, expects=fails("redirect|302")),
    _fault(
        "302-to-a-file",
        "Never read a local file for a server.",
        HttpError(302, body="", headers={"Location": "file:///etc/passwd"}),
        ANSWERED,
        expects=fails("redirect|302"),
    ),
    _fault("304", _PLAINLY, Raw(status=304), ANSWERED, expects=fails("304|redirect")),
)


def _refusing(member: str, refusal: HttpError) -> StepMaker:
    return lambda request: refusal if member in request.body else ANSWERED


def _member(
    name: str, member: str, refusal: HttpError, *, advice: str = "Retry without the parameter.", **settings: Any
) -> Fault:
    # Without streaming there are no stream_options to reject: the first request is answered.
    least = 1 if member == "stream_options" else 2
    script = _refusing(member, refusal)
    return _fault(name, advice, script, expects=answers(requests=(least, 2)), repeats=True, settings=settings)


MEMBERS = (
    _member(
        "stream-options-unknown",
        "stream_options",
        HttpError(400, body={"error": {"message": "Unrecognized request argument supplied: stream_options"}}),
    ),
    _member(
        "stream-options-extra",
        "stream_options",
        HttpError(
            422,
            body={"detail": [{"type": "extra_forbidden", "loc": ["body", "stream_options"], "msg": "Extra inputs"}]},
        ),
    ),
    _member(
        "stream-options-param",
        "stream_options",
        HttpError(400, body={"error": {"message": "Invalid value", "param": "stream_options", "code": None}}),
    ),
    _member(
        "temperature-unsupported",
        "temperature",
        HttpError(
            400,
            body={
                "error": {
                    "message": "Unsupported value: 'temperature' does not support 0.5 with this model. "
                    "Only the default (1) value is supported.",
                    "type": "invalid_request_error",
                    "param": "temperature",
                    "code": "unsupported_value",
                }
            },
        ),
        temperature=0.5,
    ),
    _member(
        "seed-unknown",
        "seed",
        HttpError(400, "Unknown parameter: 'seed'.", code="unknown_parameter"),
        seed=7,
    ),
    _member(
        "effort-unsupported",
        "reasoning_effort",
        HttpError(400, "reasoning_effort is not supported with this model"),
        reasoning_effort="low",
    ),
    _fault(
        "parameter-for-ever",
        "Do not retry forever when a server rejects a parameter that was never sent: report its message.",
        HttpError(400, "Unknown parameter: 'foo'.", code="unknown_parameter"),
        expects=fails("foo", requests=(1, 3)),
        repeats=True,
    ),
)

_TOOL_FREE = json.dumps({"name": "shell", "arguments": {"command": marking("text")}})


def _without_tools(refusal: HttpError) -> tuple[StepMaker, ...]:
    """Rejects tools; the model then writes its call as text, and answers after the result."""

    def answer(request: RecordedRequest) -> Step:
        if request.body.get("tools"):
            return refusal
        return ANSWERED if len(request.messages) > 2 else Reply(f"I do it.\n\n```json\n{_TOOL_FREE}\n```\n")

    return (answer,)


def _tools(name: str, refusal: HttpError) -> Fault:
    return _fault(
        f"tools-unsupported-{name}",
        "Describe the tools in the prompt, and read calls from the text.",
        *_without_tools(refusal),
        expects=answers(None, requests=3, ran=("text",)),
        repeats=True,
    )


TOOLS = (
    _tools("ollama", HttpError(400, body={"error": "registry.ollama.ai/library/m:latest does not support tools"})),
    _tools("llama-cpp", HttpError(500, "tools param requires --jinja flag", kind="server_error")),
    _tools(
        "vllm",
        HttpError(
            400,
            body={
                "object": "error",
                "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set',
                "type": "BadRequestError",
                "code": 400,
            },
        ),
    ),
    _tools(
        "openrouter",
        HttpError(404, body={"error": {"message": "No endpoints found that support tool use.", "code": 404}}),
    ),
    _tools("openai", HttpError(400, body={"error": {"message": "Unknown parameter: 'tools'.", "param": "tools"}})),
)


_CONTEXT = HttpError(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded")
_ROOM = 20_000
"""The size of the small model's context window, in bytes of messages."""


def _weigh(request: RecordedRequest) -> int:
    return len(json.dumps([message for message in request.messages if message["role"] != "system"]))


def _small_window(request: RecordedRequest) -> Step:
    """A model that requests large output three times, and has no room for all of it."""
    if _weigh(request) > _ROOM:
        return _CONTEXT
    if request.number <= 3:
        command = f"{marking(f'm{request.number}')}; seq 10000 11300"
        return Reply(tool_calls=(ScriptedCall("shell", {"command": command}),))
    return ANSWERED


CONTEXT = (
    _fault(
        "overflow-by-tool-output",
        "Shorten earlier tool results or compact the conversation, then retry; repeat no command.",
        _small_window,
        expects=answers(requests=(5, 8), ran=("m1", "m2", "m3")),
        repeats=True,
    ),
    _fault(
        "overflow-for-ever",
        "Compact once; if that does not help, report it.",
        Reply(tool_calls=(ScriptedCall("shell", {"command": f"{marking('once')}; seq 10000 11100"}),)),
        _CONTEXT,
        expects=fails("room|context|window", requests=(2, 5), ran=("once",)),
        repeats=True,
    ),
)

REFUSALS = (*ODD, *REDIRECTS, *MEMBERS, *TOOLS, *CONTEXT)
