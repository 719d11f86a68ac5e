"""Models that never stop calling tools: many at once, the same call each time, or a different one each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.faults.bodies import marking, shell
from tests.faults.fault import ANSWERED, Fault, Outcome, answers, fails, stops

from vmpilot.contract.messages import Usage
from vmpilot.testing.recording import RecordedRequest
from vmpilot.testing.script import Reply, ScriptedCall, Step, StepMaker

_STEPS = {"max_steps": 8}


def _fault(
    name: str, advice: str, *script: Step | StepMaker, expects: Outcome | tuple[Outcome, ...], **members: Any
) -> Fault:
    outcomes = expects if isinstance(expects, tuple) else (expects,)
    return Fault(name=name, family="loops", advice=advice, script=script, expects=outcomes, **members)


def _round(request: RecordedRequest) -> int:
    """The number of results that the model has received in this conversation."""
    return sum(message["role"] == "tool" for message in request.messages)


def _varied(make: Callable[[int], Reply]) -> StepMaker:
    return lambda request: make(_round(request))


def _many(count: int) -> Reply:
    return Reply(tool_calls=tuple(shell(f"m{number}") for number in range(count)))


_BOUNDED = "Limit the calls of one message; report the limit to the model, and let it answer."

MANY = (
    _fault(
        "calls-by-the-dozen",
        "Run each call once.",
        _many(12),
        ANSWERED,
        expects=answers(requests=2, ran=tuple(f"m{number}" for number in range(12))),
    ),
    _fault(
        "calls-by-the-thousand",
        _BOUNDED,
        _many(2_000),
        ANSWERED,
        expects=(answers(None, requests=(2, 3), ran=None, problems=None), fails("calls", requests=(1, 3))),
        seconds=120.0,
    ),
)

_STOP = "Warn the model, then stop: report the limit and how to continue."

ENDLESS = (
    _fault(
        "the-same-call-for-ever",
        "Warn the model on the third identical call; stop on the fifth.",
        Reply(tool_calls=(shell("again"),)),
        expects=stops("repeated_calls", requests=(3, 6), says="same|repeat", ran=None, most_runs=5),
        repeats=True,
    ),
    _fault(
        "two-calls-in-turn-for-ever",
        _STOP,
        _varied(lambda at: Reply(tool_calls=(ScriptedCall("shell", {"command": "true" if at % 2 else "true;"}),))),
        expects=(stops("repeated_calls", requests=(3, 10)), stops("steps", requests=8)),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "varied-calls-for-ever",
        "Stop at the step limit.",
        _varied(lambda at: Reply(tool_calls=(shell(f"v{at}"),))),
        expects=stops("steps", requests=8, says="steps", ran=tuple(f"v{at}" for at in range(8))),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "the-same-broken-call-for-ever",
        _STOP,
        Reply(tool_calls=(ScriptedCall("shell", '{"command": "echo half >> ru'),)),
        expects=(stops("broken_answers", requests=(3, 4)), stops("repeated_calls", requests=(3, 6))),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "varied-broken-calls-for-ever",
        "Stop after three consecutive broken answers.",
        _varied(lambda at: Reply(tool_calls=(ScriptedCall("shell", f'{{"command": "echo {at} >> ru'),))),
        expects=stops("broken_answers", requests=(3, 4)),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "unknown-tools-for-ever",
        "Stop after three consecutive broken answers.",
        _varied(lambda at: Reply(tool_calls=(ScriptedCall(f"tool_{at}", {}),))),
        expects=stops("broken_answers", requests=(3, 4)),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "text-with-each-call-for-ever",
        "Stop at the step limit, and keep the text.",
        _varied(lambda at: Reply(f"Step {at}. ", tool_calls=(shell(f"v{at}"),))),
        expects=stops(
            "steps", requests=8, text="".join(f"Step {at}. " for at in range(8)), ran=tuple(f"v{at}" for at in range(8))
        ),
        repeats=True,
        settings=_STEPS,
    ),
    _fault(
        "broken-calls-between-good-ones",
        "A good call resets the count of broken ones: let the model continue.",
        _varied(
            lambda at: (
                ANSWERED
                if at == 5
                else Reply(tool_calls=(shell(f"g{at}") if at % 2 else ScriptedCall("shell", f"{{oops {at}"),))
            )
        ),
        expects=answers(requests=6, ran=("g1", "g3"), problems=("JSON", "JSON", "JSON")),
        repeats=True,
    ),
    _fault(
        "tokens-for-ever",
        "Stop at the user's token limit.",
        _varied(lambda at: Reply(tool_calls=(shell(f"t{at}"),), usage=Usage(4_000, 1_000))),
        expects=stops("tokens", requests=(3, 4), says="token", ran=None, most_runs=4),
        repeats=True,
        settings={"max_total_tokens": 15_000},
    ),
    _fault(
        "seconds-for-ever",
        "Stop at the user's time limit.",
        _varied(lambda at: Reply(tool_calls=(ScriptedCall("shell", {"command": f"sleep 0.2; {marking(f's{at}')}"}),))),
        expects=stops("seconds", requests=(1, 24), says="second", ran=None, most_runs=24),
        repeats=True,
        settings={"max_seconds": 1.5},
    ),
)

LOOPS = (*MANY, *ENDLESS)
