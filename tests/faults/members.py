"""Answers with missing, odd or many members; the required ones are present."""

from __future__ import annotations

from typing import Any

from tests.faults.bodies import (
    DONE,
    as_asked,
    chunk,
    completion,
    document,
    event,
    shaped,
    stream,
    text_chunks,
)
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers

from vmpilot.testing.script import Raw, Reply, Step, StepMaker


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="shapes", advice=advice, script=script, expects=outcomes, **members)


def _read(name: str, step: Step | StepMaker, text: str = ANSWER) -> Fault:
    return _fault(name, "Read it: the required members are present.", step, expects=answers(text))


def _said(content: object, finish: object = "stop") -> StepMaker:
    return shaped({"role": "assistant", "content": content}, finish=finish)


_TEXT = {"role": "assistant", "content": ANSWER}


def _usage(name: str, usage: object) -> Fault:
    return _read(f"usage-{name}", shaped(_TEXT, usage=usage))


MEMBERS = (
    _read("usage-missing", Reply(ANSWER, usage=None)),
    _usage("null", None),
    _usage("empty", {}),
    _usage("a-list", [1, 2]),
    _usage("a-string", "12 tokens"),
    _usage("of-strings", {"prompt_tokens": "12", "completion_tokens": "3"}),
    _usage("of-nulls", {"prompt_tokens": None, "completion_tokens": None, "prompt_tokens_details": None}),
    _usage("negative", {"prompt_tokens": -5, "completion_tokens": -1}),
    _usage("of-fractions", {"prompt_tokens": 12.7, "completion_tokens": 1e3}),
    _usage("huge", {"prompt_tokens": 10**18, "completion_tokens": 10**30}),
    _usage("with-odd-details", {"prompt_tokens": 1, "completion_tokens": 1, "prompt_tokens_details": [1]}),
    _fault(
        "usage-not-a-number",
        "NaN is not JSON: read the required members, or retry.",
        as_asked(
            stream(text_chunks(ANSWER) + 'data: {"choices": [], "usage": {"prompt_tokens": NaN}}\n\n' + DONE),
            Raw(
                text='{"choices": [{"index": 0, "message": {"role": "assistant", "content": "'
                + ANSWER
                + '"}, "finish_reason": "stop"}], "usage": {"prompt_tokens": NaN}}'
            ),
        ),
        ANSWERED,
        expects=(answers(), answers(requests=2)),
    ),
    _read(
        "usage-first",
        as_asked(
            stream(
                chunk({}, choices=[], usage={"prompt_tokens": 5, "completion_tokens": 2}) + text_chunks(ANSWER) + DONE
            ),
            ANSWERED,
        ),
    ),
    _read("usage-in-each-chunk", shaped(_TEXT, usage={"prompt_tokens": 5, "completion_tokens": 2})),
    _read(
        "bare-members",
        as_asked(
            stream(
                event({"choices": [{"delta": {"content": ANSWER}}]})
                + event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
                + DONE
            ),
            document({"choices": [{"message": _TEXT, "finish_reason": "stop"}]}),
        ),
    ),
    _read(
        "null-members",
        shaped(
            {
                "role": None,
                "content": ANSWER,
                "refusal": None,
                "tool_calls": None,
                "function_call": None,
                "reasoning_content": None,
                "audio": None,
            },
            id=None,
            created=None,
            model=None,
            system_fingerprint=None,
            error=None,
        ),
    ),
    _read(
        "unknown-members",
        shaped({**_TEXT, "mood": "good"}, provider="x", citations=[{"url": "https://example.com"}], x_groq={"id": 1}),
    ),
    _read("another-model", Reply(ANSWER, model="scripted-2026-11-23-preview")),
    _read("odd-envelope", shaped(_TEXT, id=17, created="now", object="text_completion")),
    _read("content-in-parts", _said([{"type": "text", "text": "Here "}, {"type": "text", "text": "it is."}])),
    _read(
        "content-in-parts-with-thinking",
        _said([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": ANSWER}]),
    ),
    _fault(
        "content-as-a-number",
        "The content is not text: report it, or retry.",
        _said(42),
        ANSWERED,
        expects=(answers(requests=2), answers("42")),
    ),
    _fault(
        "content-as-an-object",
        "The content is not text: report it, or retry.",
        _said({"text": "x"}),
        ANSWERED,
        expects=answers(requests=2),
    ),
    _read("reasoning-beside-text", Reply(ANSWER, reasoning="I know this one.")),
    _read("reasoning-by-another-name", shaped({**_TEXT, "reasoning": "I know this one."})),
    _read(
        "two-choices",
        as_asked(
            stream(
                "".join(
                    chunk({}, choices=[{"index": at, "delta": {"content": piece}, "finish_reason": None}])
                    for piece in ("Here ", "it ", "is.")
                    for at in (0, 1)
                )
                + "".join(chunk({}, choices=[{"index": at, "delta": {}, "finish_reason": "stop"}]) for at in (0, 1))
                + DONE
            ),
            document(
                completion(_TEXT, choices=[{"index": at, "message": _TEXT, "finish_reason": "stop"} for at in (0, 1)])
            ),
        ),
    ),
    _read(
        "message-for-delta",
        as_asked(stream(chunk({}, choices=[{"index": 0, "message": _TEXT, "finish_reason": "stop"}]) + DONE), ANSWERED),
    ),
    _read(
        "role-in-each-chunk",
        as_asked(
            stream(
                "".join(chunk({"role": "assistant", "content": piece}) for piece in ("Here ", "it ", "is."))
                + chunk({"role": "assistant"}, finish="stop")
                + DONE
            ),
            ANSWERED,
        ),
    ),
)
