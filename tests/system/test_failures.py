"""Failures of the provider: one plain message, the right exit code, and an intact conversation."""

from __future__ import annotations

import re
import socket
from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import LimitReached, ReasoningDelta, Retrying, TextDelta, ToolCallDelta
from vmpilot.testing import Drop, Framing, HttpError, Raw, Reply, ScriptedCall, ScriptedServer, Stall, Step

if TYPE_CHECKING:
    from tests.system.conftest import Machine

KEY = "sk-system-0123456789abcdef"

FOR_GOOD = [
    pytest.param(HttpError(401, f"Incorrect API key provided: {KEY}."), "key", id="401"),
    pytest.param(HttpError(403, f"The key {KEY} may not do this."), "key|permission|allow", id="403"),
    pytest.param(HttpError(404, "The model `scripted` does not exist", code="model_not_found"), "scripted", id="404"),
    pytest.param(
        HttpError(400, "This model's maximum context length is 8192 tokens.", code="context_length_exceeded"),
        "context|long",
        id="400 context",
    ),
    pytest.param(HttpError(400, "Unknown parameter: 'foo'."), "foo", id="400"),
    pytest.param(
        HttpError(400, "Rejected by the content policy.", code="content_policy_violation"),
        "content|policy",
        id="policy",
    ),
    pytest.param(
        HttpError(429, "You exceeded your current quota.", code="insufficient_quota", kind="insufficient_quota"),
        "quota|credit",
        id="429 quota",
    ),
    pytest.param(HttpError(429, "Slow down.", headers={"Retry-After": "3600"}), "rate|many|limit", id="429 far ahead"),
    pytest.param(HttpError(307, body="", headers={"Location": "http://127.0.0.1:9/v1"}), "", id="redirect"),
]

PASSING = [
    pytest.param(HttpError(500, "Oops."), id="500"),
    pytest.param(HttpError(503, body="<html>Overloaded</html>"), id="503 html"),
    pytest.param(HttpError(529, body=""), id="529 empty"),
    pytest.param(HttpError(429, "Slow down.", headers={"Retry-After": "0.6"}), id="429"),
    pytest.param(Drop(after="request", reset=True), id="reset"),
    pytest.param(Drop(after=3), id="cut in the text"),
    pytest.param(
        Drop(after=4, reply=Reply(tool_calls=(ScriptedCall("shell", {"command": "touch x"}),))), id="cut call"
    ),
    pytest.param(Reply("Cut", framing=Framing(finish=False, done=False)), id="no end"),
    pytest.param(Reply(""), id="empty answer"),
    pytest.param(Reply("", reasoning="Only thoughts."), id="only reasoning"),
    pytest.param(Raw(text="<html><title>Login</title></html>", content_type="text/html"), id="html"),
    pytest.param(Raw(text="", content_type="text/event-stream"), id="nothing"),
    pytest.param(Raw(text='data: {"error": {"message": "overloaded", "code": 503}}\n\n'), id="error event"),
]


def is_plain(sentence: str) -> bool:
    """One short line for the user: no traceback, no object, no key."""
    return 10 < len(sentence) < 500 and not re.search(r"\n|Traceback|<[a-z_.]+ object|Error\(|sk-system", sentence)


@pytest.mark.parametrize(("step", "told"), FOR_GOOD)
async def test_a_permanent_error_ends_the_turn(machine: Machine, step: Step, told: str) -> None:
    with ScriptedServer([step, Reply("Back.")]) as server:
        async with machine.agent(server) as agent:
            failed = await machine.play(agent, "First.")
            assert server.requests[-1].number == 1
            await machine.play(agent, "Second.")
    assert (failed.end.reason, failed.end.exit_code) == ("failed", 1)
    assert is_plain(failed.error), failed.error
    assert re.search(told, failed.error, re.IGNORECASE), failed.error
    assert failed.of(Retrying) == []
    roles = [message["role"] for message in server.requests[1].messages]
    assert roles == ["system", "user", "assistant", "user"]


@pytest.mark.parametrize("step", PASSING)
async def test_a_temporary_error_is_retried_and_no_text_is_repeated(machine: Machine, step: Step) -> None:
    with ScriptedServer([step, Reply("Here it is.")]) as server:
        seen = await machine.ask(server)
    (retrying,) = seen.of(Retrying)
    assert retrying.attempt == 2
    assert retrying.delay >= (0.6 if isinstance(step, HttpError) and step.status == 429 else 0.025)
    assert is_plain(retrying.why), retrying.why
    before = seen.events[: seen.events.index(retrying)]
    assert retrying.discard == any(isinstance(event, TextDelta | ReasoningDelta | ToolCallDelta) for event in before)
    assert seen.text == "Here it is."
    assert [message.text for message in seen.messages] == ["Here it is."]
    assert (seen.end.reason, seen.end.exit_code) == ("answered", 0)
    assert server.requests[0].messages == server.requests[1].messages
    assert list(machine.folder.iterdir()) == []


async def test_retry_after_is_the_minimum_wait(machine: Machine) -> None:
    with ScriptedServer([HttpError(429, "Slow down.", headers={"Retry-After": "1.2"}), Reply("Now.")]) as server:
        await machine.ask(server)
    first, second = server.requests
    assert second.arrived_at - first.arrived_at >= 1.2


@pytest.mark.parametrize("step", [HttpError(500, "Oops."), Drop(after=3), Reply(""), Stall(after=3)])
async def test_the_last_failure_is_reported(machine: Machine, step: Step) -> None:
    with ScriptedServer([step]) as server:
        seen = await machine.ask(server, attempts=1, gap_timeout=0.3)
    assert (seen.end.reason, seen.end.exit_code) == ("failed", 1)
    assert is_plain(seen.error), seen.error


async def test_a_refused_connection(machine: Machine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    seen = await machine.ask(f"http://127.0.0.1:{port}/v1", attempts=1)
    assert (seen.end.reason, seen.end.exit_code) == ("failed", 1)
    assert is_plain(seen.error), seen.error
    assert "reach" in seen.error


@pytest.mark.parametrize(
    ("stall", "told"),
    [
        pytest.param(Stall(after="request"), "sent nothing for 0.3 s", id="headers"),
        pytest.param(Stall(after="headers"), "sent nothing for 0.3 s", id="first content"),
        pytest.param(Stall(after=1, keep_alive_comments=True), "sent nothing for 0.3 s", id="comments"),
        pytest.param(Stall(after=3), "stopped mid-answer and sent nothing for 0.3 s", id="mid-answer"),
    ],
)
async def test_a_stall_times_out(machine: Machine, stall: Stall, told: str) -> None:
    with ScriptedServer([stall]) as server:
        seen = await machine.ask(server, first_content_timeout=0.3, gap_timeout=0.3, attempts=1)
        server.wait_for_hangup()
    assert (seen.end.reason, seen.end.exit_code) == ("failed", 1)
    assert told in seen.error


async def test_a_slow_answer_that_progresses_is_kept(machine: Machine) -> None:
    reply = Reply("Slow but alive.", tool_calls=(), gap=0.15)
    with ScriptedServer([reply]) as server:
        seen = await machine.ask(server, first_content_timeout=0.5, gap_timeout=0.5, attempts=1)
    assert seen.text == "Slow but alive."


async def test_long_arguments_restart_the_timeout(machine: Machine) -> None:
    call = ScriptedCall("shell", {"command": "true " + "word " * 20})
    with ScriptedServer([Reply(tool_calls=(call,), gap=0.1), Reply("Done.")]) as server:
        seen = await machine.ask(server, first_content_timeout=1.5, gap_timeout=1.5, attempts=1)
    assert seen.end.reason == "answered"


async def test_a_call_that_drips_forever_is_ended(machine: Machine) -> None:
    with ScriptedServer([Reply("drip " * 100, gap=0.1)]) as server:
        seen = await machine.ask(server, call_timeout=0.6, attempts=1)
    assert "did not finish within 0.6 s" in seen.error


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        pytest.param(Reply("Half an", finish="length"), ("limit", 3, None), id="length"),
        pytest.param(Reply("Half an", finish="content_filter"), ("failed", 1, "content filter"), id="content filter"),
        pytest.param(Reply("", finish="content_filter"), ("failed", 1, "content filter"), id="filtered at once"),
        pytest.param(Reply("", refusal="I will not."), ("failed", 1, "refused"), id="refusal"),
    ],
)
async def test_an_answer_cut_by_the_provider_is_kept_and_reported(
    machine: Machine, reply: Reply, expected: tuple[str, int, str | None]
) -> None:
    reason, exit_code, told = expected
    with ScriptedServer([reply, Reply("Again.")]) as server:
        async with machine.agent(server) as agent:
            seen = await machine.play(agent)
            await machine.play(agent, "Go on.")
    assert (seen.end.reason, seen.end.exit_code) == (reason, exit_code)
    assert (told or "") in (seen.end.error or "")
    assert seen.text == reply.text + reply.refusal
    assert bool(seen.of(LimitReached)) == (reason == "limit")
    assert seen.of(Retrying) == []


async def test_a_failure_after_tools_keeps_their_results(machine: Machine) -> None:
    call = ScriptedCall("shell", {"command": "echo once >> runs"})
    script: list[Any] = [Reply(tool_calls=(call,)), HttpError(500, "Oops."), Reply("Done.")]
    with ScriptedServer(script) as server:
        seen = await machine.ask(server)
    assert (machine.folder / "runs").read_text() == "once\n"
    assert len(seen.of(Retrying)) == 1
    assert seen.end.reason == "answered"
