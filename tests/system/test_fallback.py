"""Fallback models, and servers that reject part of a request; on both backends."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import HistoryCompacted, MessageCompleted, Notice, Retrying, TextDelta, TurnEnded
from vmpilot.testing import Drop, HttpError, RecordedRequest, Reply, ScriptedCall, ScriptedServer, Stall, Step

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.system.conftest import Machine, Seen


def said(seen: Seen) -> list[str]:
    return [notice.text for notice in seen.of(Notice)]


def models_of(server: ScriptedServer) -> list[str]:
    return [request.body["model"] for request in server.requests]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(HttpError(401, "Incorrect API key provided."), id="key"),
        pytest.param(HttpError(404, "The model `scripted` does not exist", code="model_not_found"), id="model"),
        pytest.param(HttpError(429, "Quota.", code="insufficient_quota", kind="insufficient_quota"), id="quota"),
        pytest.param(HttpError(429, "Slow down.", headers={"Retry-After": "3600"}), id="an hour"),
        pytest.param(HttpError(500, "Oops."), id="500"),
        pytest.param(Drop(after=3), id="drop"),
        pytest.param(Stall(after=3), id="stall"),
    ],
)
async def test_a_fallback_model_answers(machine: Machine, step: Step) -> None:
    with ScriptedServer([step, Reply("Here it is.")]) as server:
        seen = await machine.ask(server, fallback=["second"], attempts=1, gap_timeout=0.3)
    assert models_of(server) == ["scripted", "second"]
    assert (seen.text, seen.end.reason) == ("Here it is.", "answered")
    (notice,) = said(seen)
    assert notice.startswith("Switching from scripted to second: ")
    assert [event.model for event in seen.of(MessageCompleted)] == ["second"]
    before = seen.events[: [type(event) for event in seen.events].index(Notice)]
    taken_back = [event.discard for event in before if isinstance(event, Retrying)]
    assert taken_back == ([True] if any(isinstance(event, TextDelta) for event in before) else [])


async def test_the_fallback_is_used_for_the_rest_of_the_turn(machine: Machine) -> None:
    call = ScriptedCall("shell", {"command": "echo once >> runs"})
    script: list[Step] = [
        HttpError(401, "No."),
        Reply("I look.", tool_calls=(call,)),
        Reply("Done."),
        Reply("Me again."),
    ]
    with ScriptedServer(script) as server:
        async with machine.agent(server, fallback=["second"]) as agent:
            seen = await machine.play(agent)
            await machine.play(agent, "And now?")
    assert models_of(server) == ["scripted", "second", "second", "scripted"]
    assert (machine.folder / "runs").read_text() == "once\n"
    assert seen.messages[-1].text == "Done."


async def test_every_model_has_its_own_attempts(machine: Machine) -> None:
    script: list[Step] = [HttpError(500, "One."), HttpError(500, "Two."), HttpError(500, "Three."), Reply("Fine.")]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server, fallback=["second"], attempts=2)
    assert models_of(server) == ["scripted", "scripted", "second", "second"]
    assert [event.attempt for event in seen.of(Retrying)] == [2, 2]
    assert seen.text == "Fine."


async def test_the_last_error_is_reported_if_all_models_fail(machine: Machine) -> None:
    with ScriptedServer([HttpError(401, "One."), HttpError(404, "Two.")]) as server:
        seen = await machine.ask(server, fallback=["second"])
    assert (seen.end.reason, seen.end.exit_code) == ("failed", 1)
    assert "Two" in seen.error
    assert "One" in said(seen)[0]


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(HttpError(400, "Unknown parameter: 'foo'."), id="request"),
        pytest.param(HttpError(400, "Rejected.", code="content_policy_violation"), id="policy"),
    ],
)
async def test_an_error_about_the_request_does_not_use_a_fallback(machine: Machine, step: Step) -> None:
    with ScriptedServer([step]) as server:
        seen = await machine.ask(server, fallback=["second"])
    assert models_of(server) == ["scripted"]
    assert seen.end.reason == "failed"


async def test_a_missing_local_model_is_skipped(machine: Machine, tmp_path: Path) -> None:
    missing = f"local:{tmp_path / 'missing.gguf'}"
    with ScriptedServer([HttpError(401, "No."), Reply("Fine."), Reply("Fine, too.")]) as server:
        seen = await machine.ask(server, fallback=[missing, "second"])
        first = await machine.ask(server, model=missing, fallback=["second"])
    assert models_of(server) == ["scripted", "second", "second"]
    assert [notice.partition(":")[0] for notice in said(seen)] == [
        "Switching from scripted to local",
        "Switching from local",
    ]
    assert said(first)[0].startswith(f"Switching from {missing} to second")
    assert (seen.text, first.text) == ("Fine.", "Fine, too.")


def date_in(seconds: float) -> dict[str, str]:
    now = datetime.now(UTC)
    return {"Retry-After": format_datetime(now + timedelta(seconds=seconds), usegmt=True)}


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("headers", "told"),
    [
        pytest.param({"Retry-After": "3300"}, "in 55 minutes", id="seconds"),
        pytest.param({"Retry-After-Ms": "3300000"}, "in 55 minutes", id="milliseconds"),
        pytest.param(date_in(7_000), "minutes", id="a date"),
    ],
)
async def test_a_long_wait_is_reported_as_a_time_of_day(
    machine: Machine, status: int, headers: dict[str, str], told: str
) -> None:
    with ScriptedServer([HttpError(status, "Slow down.", headers=headers)]) as server:
        seen = await machine.ask(server)
    assert (seen.end.reason, seen.of(Retrying)) == ("failed", [])
    assert len(server.requests) == 1
    assert "try again at" in seen.error
    assert told in seen.error


def refusing(member: str, message: str) -> Callable[[RecordedRequest], Step]:
    def answer(request: RecordedRequest) -> Step:
        if member in request.body:
            return HttpError(400, message)
        return Reply("Fine.", usage=None)

    return answer


@pytest.mark.parametrize(
    ("member", "settings", "told"),
    [
        ("stream_options", {}, ["scripted does not accept stream_options, so its token usage is unknown."]),
        ("temperature", {"temperature": 0.5}, ["scripted does not accept temperature, so it uses its default."]),
        ("max_tokens", {"max_tokens": 50}, []),
    ],
)
async def test_a_request_is_repeated_without_rejected_parameters(
    machine: Machine, member: str, settings: dict[str, Any], told: list[str]
) -> None:
    answer = refusing(member, f"Unsupported parameter: '{member}' is not supported with this model.")
    with ScriptedServer([answer] * 3) as server:
        async with machine.agent(server, attempts=1, **settings) as agent:
            seen, again = await machine.play(agent), await machine.play(agent, "And now?")
    assert [member in request.body for request in server.requests] == [True, False, False]
    assert (said(seen), said(again)) == (told, [])
    assert (seen.text, again.text) == ("Fine.", "Fine.")
    assert seen.of(Retrying) == []


def without_tools(request: RecordedRequest) -> Step:
    if "tools" in request.body:
        return HttpError(400, "scripted does not support tools")
    return Reply("Fine.")


async def test_a_model_without_native_tools_gets_text_tools(machine: Machine) -> None:
    with ScriptedServer([without_tools] * 3) as server:
        async with machine.agent(server) as agent:
            seen, again = await machine.play(agent), await machine.play(agent, "And now?")
    assert ["tools" in request.body for request in server.requests] == [True, False, False]
    assert said(seen) == ["scripted does not support tool calls, so it writes them in its text."]
    assert said(again) == []
    assert "shell" in server.requests[1].messages[0]["content"]
    assert seen.text == "Fine."


async def test_rejected_tools_in_native_mode_are_an_error(machine: Machine) -> None:
    with ScriptedServer([without_tools]) as server:
        seen = await machine.ask(server, tool_mode="native")
    assert seen.end.reason == "failed"
    assert "--tool-mode auto" in seen.error


async def test_text_tools_from_the_start(machine: Machine) -> None:
    with ScriptedServer([without_tools]) as server:
        seen = await machine.ask(server, tool_mode="text")
    assert (seen.text, said(seen)) == ("Fine.", [])


async def test_a_model_with_a_smaller_window_gets_a_compacted_conversation_once(machine: Machine) -> None:
    overflow = HttpError(400, "This model's maximum context length is 100 tokens.", code="context_length_exceeded")
    script: list[Step] = [Reply("Yes. " * 400), HttpError(401, "No."), overflow, Reply("They talked."), Reply("Fine.")]
    with ScriptedServer(script) as server:
        async with machine.agent(server, fallback=["second"]) as agent:
            await machine.play(agent, "Tell me all. " * 400)
            seen = await machine.play(agent, "Go on.")
    assert models_of(server) == ["scripted", "scripted", "second", "second", "second"]
    assert len(seen.of(HistoryCompacted)) == 1
    assert seen.text == "Fine."


async def test_an_overflow_that_compaction_does_not_resolve_is_reported(machine: Machine) -> None:
    overflow = HttpError(400, "This model's maximum context length is 10 tokens.", code="context_length_exceeded")
    with ScriptedServer([HttpError(401, "No."), overflow]) as server:
        seen = await machine.ask(server, fallback=["second", "third"])
    assert set(models_of(server)) == {"scripted", "second"}
    assert seen.end.reason == "failed"
    assert "compacting" in seen.error


async def test_a_fallback_is_used_if_the_summary_fails(machine: Machine) -> None:
    overflow = HttpError(400, "This model's maximum context length is 100 tokens.", code="context_length_exceeded")
    script: list[Step] = [Reply("Yes. " * 400), overflow, HttpError(500, "Down."), Reply("Fine.")]
    with ScriptedServer(script) as server:
        async with machine.agent(server, fallback=["second"], attempts=1) as agent:
            await machine.play(agent, "Tell me all. " * 400)
            seen = await machine.play(agent, "Go on.")
    assert models_of(server) == ["scripted", "scripted", "scripted", "second"]
    (notice,) = said(seen)
    assert "could not be summarized" in notice
    assert seen.text == "Fine."


async def test_each_model_is_charged_at_its_own_price(machine: Machine) -> None:
    call = ScriptedCall("shell", {"command": "true"})
    script: list[Step] = [Reply(tool_calls=(call,)), HttpError(401, "No."), Reply("Done.")]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server, model="gpt-4o", fallback=["gpt-4o-mini"])
    assert models_of(server) == ["gpt-4o", "gpt-4o", "gpt-4o-mini"]
    assert (seen.end.usage.input_tokens, seen.end.usage.output_tokens) == (200, 40)
    dollars = (100 * 2.5 + 20 * 10 + 100 * 0.15 + 20 * 0.6) / 1e6
    assert seen.end.cost == pytest.approx(dollars)


async def test_a_complete_call_in_a_broken_stream_is_retried_and_runs_once(machine: Machine) -> None:
    reply = Reply(tool_calls=(ScriptedCall("shell", {"command": "echo once >> runs"}, chunks=1),))
    with ScriptedServer([Drop(after=3, reply=reply), reply, Reply("Done.")]) as server:
        seen = await machine.ask(server)
    assert [event.discard for event in seen.of(Retrying)] == [True]
    assert (machine.folder / "runs").read_text() == "once\n"
    assert seen.end.reason == "answered"


async def test_the_wait_before_a_retry_can_be_interrupted(machine: Machine, wait_for: Callable[..., Any]) -> None:
    with ScriptedServer([HttpError(503, "Busy.", headers={"Retry-After": "50"})]) as server:
        async with machine.agent(server) as agent:
            events = agent.run("Do it.")
            await wait_for(events, Retrying)
            agent.stop()
            end = await wait_for(events, TurnEnded)
            await events.aclose()
    assert (end.reason, end.exit_code) == ("interrupted", 130)
