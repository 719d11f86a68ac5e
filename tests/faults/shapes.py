"""Answers that are well-formed but unusual: empty, without a proper end, or with members of the wrong type."""

from __future__ import annotations

from typing import Any

from tests.faults.bodies import (
    DONE,
    as_asked,
    chunk,
    completion,
    document,
    marking,
    shaped,
    shell,
    shell_entry,
    stream,
    text_chunks,
)
from tests.faults.fault import ANSWER, ANSWERED, Fault, Outcome, answers, fails, stops

from vmpilot.testing.script import Framing, Reply, Step, StepMaker

_AGAIN = "The answer is empty: retry."
_READ = "Read it: the required members are present."
_SAY = "Keep the text, and report how it ended."

_HALF = "Half of an"


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="shapes", advice=advice, script=script, expects=outcomes, **members)


def _again(name: str, step: Step | StepMaker, advice: str = _AGAIN) -> Fault:
    return _fault(name, advice, step, ANSWERED, expects=answers(requests=2))


def _read(name: str, step: Step | StepMaker, text: str = ANSWER) -> Fault:
    return _fault(name, _READ, step, expects=answers(text))


def _bare(**members: Any) -> StepMaker:
    """An answer with these members instead of its choices."""
    streamed = chunk({"role": "assistant", "content": ""}, **members)
    return as_asked(stream(streamed + DONE), document(completion({"role": "assistant"}, **members)))


def _said(content: object, finish: object = "stop") -> StepMaker:
    return shaped({"role": "assistant", "content": content}, finish=finish)


EMPTY = (
    _again(
        "no-choices",
        as_asked(
            stream('data: {"id": "1", "object": "chat.completion.chunk"}\n\n' + DONE),
            document({"id": "1", "object": "chat.completion"}),
        ),
    ),
    _again("empty-choices", _bare(choices=[])),
    _again("null-choices", _bare(choices=None)),
    _again("choices-as-an-object", _bare(choices={"0": {"index": 0}})),
    _again("choices-of-null", _bare(choices=[None])),
    _again("null-message", as_asked(stream(chunk(None, finish="stop") + DONE), document(completion(None)))),
    _again("message-as-a-string", as_asked(stream(chunk("text", finish="stop") + DONE), document(completion("text")))),
    _again("null-content", _said(None)),
    _again("empty-content", _said("")),
    _again("blank-content", _said(" \n\t ")),
    _again("missing-content", shaped({"role": "assistant"})),
    _fault(
        "empty-for-ever",
        "After three attempts, report an empty answer.",
        Reply(""),
        expects=fails("empty|nothing|invalid answer", requests=3),
        repeats=True,
    ),
    _again("only-reasoning", Reply("", reasoning="I should look at the disk first.")),
    _fault(
        "only-reasoning-for-ever",
        "After three attempts, report that only reasoning arrived.",
        Reply("", reasoning="I should look at the disk first."),
        expects=fails("reasoning", requests=3),
        repeats=True,
    ),
    _again(
        "announced-calls-absent",
        Reply("", finish="tool_calls"),
        "The announced calls are missing: retry.",
    ),
    _again(
        "announced-calls-empty",
        shaped({"role": "assistant", "content": None, "tool_calls": []}, finish="tool_calls"),
        "The announced calls are missing: retry.",
    ),
    _fault(
        "announced-calls-absent-for-ever",
        "After three attempts, report an incomplete answer.",
        Reply("I will look.", finish="tool_calls"),
        expects=fails("call|end|complete|cut off", requests=3, text=None),
        repeats=True,
    ),
)

_LENGTH = "Keep the text, and report the model's token limit and how to continue."

ENDS = (
    _fault(
        "length",
        _LENGTH,
        Reply(_HALF, finish="length"),
        expects=stops("tokens", requests=1, text=_HALF, says="token|length|cut"),
    ),
    _fault(
        "length-at-once",
        _LENGTH,
        Reply("", finish="length"),
        expects=(
            stops("tokens", requests=1, text="", says="token|length|cut"),
            fails("token|length|empty", requests=(1, 3)),
        ),
    ),
    _fault(
        "length-in-reasoning",
        _LENGTH,
        Reply("", reasoning="Let me think", finish="length"),
        expects=stops("tokens", requests=1, text="", says="token|length|cut"),
    ),
    _fault(
        "length-in-arguments",
        "Never run a call of a cut answer, even if the call looks complete.",
        Reply(_HALF, tool_calls=(shell("cut"),), finish="length"),
        ANSWERED,
        expects=(stops("tokens", requests=1, text=_HALF), answers(None, requests=2, problems=None)),
    ),
    _fault(
        "length-in-half-arguments",
        "Never run or complete a call of a cut answer.",
        shaped(
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {**shell_entry("x"), "function": {"name": "shell", "arguments": f'{{"command": "{marking("half")}'}}
                ],
            },
            finish="length",
        ),
        ANSWERED,
        expects=(stops("tokens", requests=1, text=""), answers(None, requests=2, problems=None)),
    ),
    _fault("content-filter", _SAY, Reply(_HALF, finish="content_filter"), expects=fails("filter", text=_HALF)),
    _fault("content-filter-at-once", _SAY, Reply("", finish="content_filter"), expects=fails("filter")),
    _fault(
        "content-filter-with-a-call",
        "Never run a call of an answer that the provider cut.",
        Reply("", tool_calls=(shell("cut"),), finish="content_filter"),
        ANSWERED,
        expects=(fails("filter"), answers(None, requests=2, problems=None)),
    ),
    _fault(
        "refusal", _SAY, Reply("", refusal="I will not do this."), expects=fails("refus", text="I will not do this.")
    ),
    _fault(
        "refusal-as-reason", _SAY, Reply("I will not.", finish="refusal"), expects=fails("refus", text="I will not.")
    ),
    _again("finish-unknown", Reply(_HALF, finish="banana"), "The finish reason is unknown: retry."),
    _again("finish-error", Reply(_HALF, finish="error"), "The provider reports a failure: retry."),
    _again("finish-null", Reply(_HALF, framing=Framing(finish=False)), "The finish reason is missing: retry."),
    _again("finish-empty", _said(_HALF, ""), "The finish reason is missing: retry."),
    _again("finish-as-a-number", _said(_HALF, 1), "The finish reason is unreadable: retry."),
    _fault(
        "finish-unknown-for-ever",
        "After three attempts, keep the text and report that it has no proper end.",
        Reply(_HALF, finish="banana"),
        expects=fails("end|complete|cut off", requests=3, text=None),
        repeats=True,
    ),
    _fault(
        "finish-unknown-with-a-call",
        "Never run a call of an answer without a proper end.",
        Reply("", tool_calls=(shell("cut"),), finish="banana"),
        ANSWERED,
        expects=answers(requests=2, problems=None),
    ),
    _fault(
        "stop-with-a-call",
        "Local servers end calls with `stop`: run them once.",
        Reply("", tool_calls=(shell("once"),), finish="stop"),
        ANSWERED,
        expects=answers(requests=2, ran=("once",)),
    ),
    _read("finish-told-twice", as_asked(stream(text_chunks(ANSWER) + chunk({}, finish="stop") + DONE), ANSWERED)),
    _read(
        "finish-with-the-last-piece",
        as_asked(stream(chunk({"content": "Here "}) + chunk({"content": "it is."}, finish="stop") + DONE), ANSWERED),
    ),
)

SHAPES = (*EMPTY, *ENDS)
