"""Servers that refuse a conversation in one form and take it in another: what they want back with calls and answers,
ids, system prompts. Each looks at the whole request and refuses as the real one does.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tests.faults.bodies import calling, shaped, shell_entry
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers, fails

from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import HttpError, Reply, ScriptedCall, Step, StepMaker

_SIGNATURE = "c2lnbmVk"
_EXTRA = {"google": {"thought_signature": _SIGNATURE}}

_BACK = "Return it unchanged with each request, to this server only."
_MEND = "Send the conversation in the form that the server requires; repeat no command."


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="tool calls", advice=advice, script=script, expects=outcomes, **members)


def _answers_in(request: RecordedRequest) -> list[dict[str, Any]]:
    return [message for message in request.messages if message["role"] == "assistant"]


def _calls_in(request: RecordedRequest) -> list[dict[str, Any]]:
    return [call for answer in _answers_in(request) for call in answer.get("tool_calls") or ()]


def _server(
    refusal: HttpError, is_good: Callable[[RecordedRequest], bool], *steps: Step | StepMaker
) -> tuple[StepMaker, ...]:
    """Plays the step for the number of answers in the history, as long as it accepts the request."""

    def answer(request: RecordedRequest) -> Step:
        if not is_good(request):
            return refusal
        said = len(_answers_in(request))
        step = steps[said] if said < len(steps) else ANSWERED
        return step(request) if callable(step) else step

    return (answer,)


def _wants(
    name: str,
    refusal: HttpError,
    is_good: Callable[[RecordedRequest], bool],
    *steps: Step | StepMaker,
    requests: int | tuple[int, int],
    ran: tuple[str, ...] = ("once",),
    advice: str = _MEND,
    text: str | None = ANSWER,
) -> Fault:
    script = _server(refusal, is_good, *steps)
    return _fault(name, advice, *script, expects=answers(text, requests=requests, ran=ran), repeats=True)


_NO_SIGNATURE = HttpError(
    400,
    body={
        "error": {
            "code": 400,
            "message": "Function call is missing a thought_signature in functionCall parts. This is required for tools "
            "to work correctly. Please refer to https://ai.google.dev/gemini-api/docs/thought-signatures.",
            "status": "INVALID_ARGUMENT",
        }
    },
)
_SKIP = {"google": {"thought_signature": "skip_thought_signature_validator"}}
_ONCE = Reply(tool_calls=(ScriptedCall("shell", {"command": "echo once >> runs"}),))
_TWICE = calling(shell_entry("first", extra_content=_EXTRA), shell_entry("second", index=1))


def _signed_by(extra: dict[str, Any]) -> Callable[[RecordedRequest], bool]:
    """Whether the first call of each message has this signature, and no other call has one."""

    def is_good(request: RecordedRequest) -> bool:
        calls = [answer["tool_calls"] for answer in _answers_in(request) if answer.get("tool_calls")]
        return all(first.get("extra_content") == extra for first, *_ in calls) and not any(
            "extra_content" in call for _, *rest in calls for call in rest
        )

    return is_good


def _has_function_fields(request: RecordedRequest) -> bool:
    fields = {"thought_signature": _SIGNATURE}
    return all(call["function"].get("provider_specific_fields") == fields for call in _calls_in(request))


_UNKNOWN_EXTRA = HttpError(
    400, "Unknown parameter: 'messages[2].tool_calls[0].extra_content'.", code="unknown_parameter"
)
_CORRUPTED = HttpError(400, body={"error": {"message": "Corrupted thought signature.", "status": "INVALID_ARGUMENT"}})

SIGNATURES = (
    _wants(
        "signature-of-a-call",
        _NO_SIGNATURE,
        _signed_by(_EXTRA),
        calling(shell_entry("once", extra_content=_EXTRA)),
        calling(shell_entry("twice", extra_content=_EXTRA)),
        requests=3,
        ran=("once", "twice"),
        advice=_BACK,
    ),
    _wants(
        "signature-of-the-first-of-two-calls",
        _NO_SIGNATURE,
        _signed_by(_EXTRA),
        _TWICE,
        requests=2,
        ran=("first", "second"),
        advice=_BACK,
    ),
    _wants(
        "signature-beside-an-answer",
        _NO_SIGNATURE,
        lambda request: all(answer.get("extra_content") == _EXTRA for answer in _answers_in(request)),
        shaped(
            {
                "role": "assistant",
                "content": "",
                "extra_content": _EXTRA,
                "tool_calls": [shell_entry("once")],
            },
            finish="tool_calls",
        ),
        requests=2,
        advice=_BACK,
    ),
    _wants(
        "signature-of-a-proxy",
        _NO_SIGNATURE,
        _has_function_fields,
        calling(
            shell_entry(
                "once",
                function={
                    "name": "shell",
                    "arguments": '{"command": "echo once >> runs"}',
                    "provider_specific_fields": {"thought_signature": _SIGNATURE},
                },
            )
        ),
        requests=2,
        advice=_BACK,
    ),
    _wants(
        "signature-that-was-never-given",
        _NO_SIGNATURE,
        _signed_by(_SKIP),
        _ONCE,
        requests=3,
        advice="Send Google's placeholder for calls of other models, and retry.",
    ),
    _wants(
        "signature-refused",
        _UNKNOWN_EXTRA,
        lambda request: not any("extra_content" in call for call in _calls_in(request)),
        calling(shell_entry("once", extra_content=_EXTRA)),
        requests=3,
        advice="Leave out what this server rejects from then on.",
    ),
    _wants(
        "signature-corrupted",
        _CORRUPTED,
        lambda request: not any("extra_content" in call for call in _calls_in(request)),
        calling(shell_entry("once", extra_content=_EXTRA)),
        requests=3,
    ),
    _fault(
        "signature-wanted-for-ever",
        "Do not retry forever when a server accepts no form: report its message.",
        *_server(_NO_SIGNATURE, lambda request: not _calls_in(request), _ONCE),
        expects=fails("thought_signature", requests=(2, 4), ran=("once",)),
        repeats=True,
    ),
    _wants(
        "signature-of-odd-types",
        _NO_SIGNATURE,
        lambda _: True,
        calling(shell_entry("once", extra_content=[1, {"deep": "\ud800\x00"}], provider_specific_fields="x")),
        requests=2,
        advice="Make sure that the next request is valid.",
    ),
)

_NO_REASONING = HttpError(
    400,
    "The `reasoning_content` in the thinking mode must be passed back to the API.",
    code="invalid_request_error",
)
_NO_REASONING_OF_KIMI = HttpError(
    400, "thinking is enabled but reasoning_content is missing in assistant tool call message at index 2"
)


def _has_reasoning(request: RecordedRequest) -> bool:
    given = ["I think \ufffd.", ""]
    sent = [answer.get("reasoning_content") for answer in _answers_in(request)]
    return sent == given[: len(sent)]


_THOUGHT = Reply(
    reasoning="I think \ud800.", tool_calls=(ScriptedCall("shell", {"command": "echo once >> runs"}, id="call_a"),)
)
_WITHOUT_THOUGHT = Reply("So. ", tool_calls=(ScriptedCall("shell", {"command": "echo twice >> runs"}, id="call_b"),))

REASONING = tuple(
    _wants(
        f"reasoning-of-every-answer-{name}",
        refusal,
        _has_reasoning,
        _THOUGHT,
        _WITHOUT_THOUGHT,
        requests=4,
        ran=("once", "twice"),
        advice="Send it with every message from now on, empty if it is missing.",
        text="So. " + ANSWER,
    )
    for name, refusal in (("deepseek", _NO_REASONING), ("moonshot", _NO_REASONING_OF_KIMI))
)

_LONG = "call_" + "a" * 60


def _ids(name: str, pattern: str, refusal: HttpError, given: str | None, *, requests: int = 3) -> Fault:
    def is_good(request: RecordedRequest) -> bool:
        sent = [call["id"] for call in _calls_in(request)]
        answered = [message["tool_call_id"] for message in request.messages if message["role"] == "tool"]
        return sent == answered and all(re.fullmatch(pattern, call_id) for call_id in sent)

    step = Reply(
        tool_calls=(
            ScriptedCall("shell", {"command": "echo first >> runs"}, id=given),
            ScriptedCall("shell", {"command": "echo second >> runs"}, id=f"{given}b" if given else None),
        )
    )
    return _wants(f"ids-{name}", refusal, is_good, step, requests=requests, ran=("first", "second"))


IDS = (
    _ids(
        "of-nine-characters",
        "[a-zA-Z0-9]{9}",
        HttpError(
            400,
            body={
                "object": "error",
                "message": "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.",
                "type": "invalid_function_call",
                "code": "3280",
            },
        ),
        None,
    ),
    _ids(
        "of-nine-characters-as-a-failure",
        "[a-zA-Z0-9]{9}",
        HttpError(500, "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9"),
        "call_1",
    ),
    _ids(
        "of-at-most-40-characters",
        ".{1,40}",
        HttpError(
            400,
            body={
                "error": {
                    "message": "Invalid 'messages[2].tool_calls[0].id': string too long. Expected a string with "
                    "maximum length 40, but got a string with length 65 instead.",
                    "type": "invalid_request_error",
                    "param": "messages[2].tool_calls[0].id",
                    "code": "string_above_max_length",
                }
            },
        ),
        _LONG,
    ),
    _ids(
        "of-a-pattern",
        "[a-zA-Z0-9_-]+",
        HttpError(400, "messages.1.content.0.tool_use.id: String should match pattern '^[a-zA-Z0-9_-]+$'"),
        "functions.shell:0",
    ),
    _ids(
        "of-at-most-64-characters",
        "[a-zA-Z0-9_-]{1,64}",
        HttpError(
            400,
            body={
                "message": "1 validation error detected: Value at 'messages.2.member.content.1.member.toolUse."
                "toolUseId' failed to satisfy constraint: Member must have length less than or equal to 64"
            },
        ),
        _LONG,
    ),
    _ids(
        "behind-a-router",
        "[a-zA-Z0-9]{9}",
        HttpError(
            400,
            body={
                "error": {
                    "message": "Provider returned error",
                    "code": 400,
                    "metadata": {
                        "raw": '{"object":"error","message":"Tool call id was call_1 but must be a-z, A-Z, 0-9, with a '
                        'length of 9.","code":"3280"}',
                        "provider_name": "Mistral",
                    },
                }
            },
        ),
        "call_1",
    ),
)


def _takes_no_system(request: RecordedRequest) -> bool:
    first = request.messages[0]
    return first["role"] == "user" and "VMPilot" in str(first["content"]) and "Do it." in str(first["content"])


def _system(name: str, refusal: HttpError) -> Fault:
    return _wants(
        f"system-role-{name}",
        refusal,
        _takes_no_system,
        _ONCE,
        requests=3,
        advice="Put the system prompt into the first user message from now on.",
    )


def _in_turns_only(request: RecordedRequest) -> Step:
    """A chat template without system prompts and tools."""
    if {message["role"] for message in request.messages} - {"user", "assistant"}:
        return _IN_TURNS
    return ANSWERED if _answers_in(request) else _ONCE


_IN_TURNS = HttpError(400, "Conversation roles must alternate user/assistant/user/assistant/...")

SYSTEM = (
    _system(
        "vllm",
        HttpError(
            400,
            body={"object": "error", "message": "System role not supported", "type": "BadRequestError", "code": 400},
        ),
    ),
    _system(
        "llama-cpp",
        HttpError(
            500,
            "System role not supported at row 1, column 57:\n{% if messages[0]['role'] == 'system' %}"
            "{{ raise_exception('System role not supported') }}{% endif %}",
            kind="server_error",
        ),
    ),
    _system("google", HttpError(400, "Developer instruction is not enabled for models/gemma-3-27b-it")),
    _system(
        "openai",
        HttpError(
            400,
            body={
                "error": {
                    "message": "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
                    "type": "invalid_request_error",
                    "param": "messages[0].role",
                    "code": "unsupported_value",
                }
            },
        ),
    ),
    _system(
        "amazon",
        HttpError(
            400,
            body={"message": "This model doesn't support system messages. Try again without system messages."},
        ),
    ),
    _system("template", _IN_TURNS),
    _fault(
        "roles-in-turns-only",
        "If tool messages are rejected too, describe the tools in the prompt.",
        _in_turns_only,
        expects=answers(None, requests=(4, 5), ran=("once",)),
        repeats=True,
    ),
)

WANTED_BACK = (*SIGNATURES, *REASONING, *IDS, *SYSTEM)
