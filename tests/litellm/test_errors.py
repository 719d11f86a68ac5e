"""Every failure is one of the contract's errors: one request, one plain sentence, never the key."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from vmpilot.contract import (
    AuthenticationFailed,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    Secret,
    StreamInterrupted,
    TimeLimits,
)
from vmpilot.testing import Drop, Framing, HttpError, Raw, Reply, ScriptedCall, ScriptedServer, Step
from vmpilot_backend_litellm.refusals import read_retry_after

if TYPE_CHECKING:
    from tests.litellm.conftest import Player

KEY = "sk-test-0123456789abcdef"
ROUTES = ("openai/m", "hosted_vllm/m", "xai/m")
STREAM = "text/event-stream"
BEGINNING = (
    'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}]}\n\n'
)

STATUSES: dict[int, type[ModelError]] = {
    400: InvalidRequest,
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ModelTimeout,
    409: ProviderUnavailable,
    413: ContextOverflow,
    422: InvalidRequest,
    429: RateLimited,
    500: ProviderUnavailable,
    502: ProviderUnavailable,
    503: ProviderUnavailable,
    504: ProviderUnavailable,
    529: ProviderUnavailable,
}

REFUSALS: dict[str, tuple[HttpError, type[ModelError]]] = {
    "quota": (HttpError(429, "You exceeded your current quota.", code="insufficient_quota"), QuotaExhausted),
    "context": (
        HttpError(400, "This model's maximum context length is 10 tokens.", code="context_length_exceeded"),
        ContextOverflow,
    ),
    "llama.cpp's context": (
        HttpError(500, "the request exceeds the available context size, try increasing it"),
        ContextOverflow,
    ),
    "policy": (HttpError(400, "Your request was flagged.", code="content_policy_violation"), ContentFiltered),
    "model": (HttpError(400, "The model `m` does not exist.", code="model_not_found"), ModelNotFound),
    "parameter": (HttpError(400, "Unknown parameter: 'seed'.", code="unknown_parameter"), InvalidRequest),
    "no tools": (HttpError(400, "m does not support tools."), InvalidRequest),
    "roles": (HttpError(400, "Conversation roles must alternate user/assistant"), InvalidRequest),
    "page": (HttpError(502, body="<html><h1>Bad gateway</h1></html>"), ProviderUnavailable),
    "empty": (HttpError(503, body=""), ProviderUnavailable),
    "plain": (HttpError(400, body={"detail": "prompt is too long"}), ContextOverflow),
}

BROKEN: dict[str, tuple[Step, type[ModelError]]] = {
    "before headers": (Drop("request"), StreamInterrupted),
    "reset before headers": (Drop("request", reset=True), StreamInterrupted),
    "after headers": (Drop("headers"), StreamInterrupted),
    "in the text": (Drop(3), StreamInterrupted),
    "reset in the text": (Drop(3, reset=True), StreamInterrupted),
    "in the arguments": (
        Drop(3, Reply(tool_calls=(ScriptedCall("shell", {"command": "rm -rf /srv/old"}),))),
        StreamInterrupted,
    ),
    "no end": (Reply("half an answer", framing=Framing(finish=False, done=False)), StreamInterrupted),
    "cut in an event": (Reply("half an answer", framing=Framing(truncate_at=700)), StreamInterrupted),
    "nothing": (Raw(content_type=STREAM), BadResponse),
    "only the end": (Raw(text="data: [DONE]\n\n", content_type=STREAM), BadResponse),
    "only comments": (Raw(text=": wait\n\n: wait\n\n", content_type=STREAM), BadResponse),
    "a page": (Raw(text="<html><h1>Log in</h1></html>", content_type="text/html"), BadResponse),
    "an error in the stream": (
        Raw(text=BEGINNING + 'data: {"error": {"message": "boom", "type": "server_error"}}\n\n', content_type=STREAM),
        ProviderUnavailable,
    ),
}
"""Broken answers that every route sees alike."""

UNREADABLE: dict[str, tuple[Step, type[ModelError]]] = {
    "bad JSON": (Raw(text=BEGINNING + 'data: {"choi\n\ndata: [DONE]\n\n', content_type=STREAM), BadResponse),
    "no chunk": (Raw(text='data: {"choices": [{"delta": "text"}]}\n\n', content_type=STREAM), BadResponse),
    "a list": (Raw(text="data: [1]\n\n", content_type=STREAM), BadResponse),
    "an error as the answer": (
        Raw(text='{"error": {"message": "no credit", "type": "insufficient_quota", "code": null}}'),
        QuotaExhausted,
    ),
    "JSON without an answer": (Raw(text='{"ok": true}'), BadResponse),
    "vLLM's error": (
        Raw(text='data: {"object": "error", "message": "bad", "code": 400}\n\n', content_type=STREAM),
        InvalidRequest,
    ),
}


async def _fail(play: Player, step: Step, model: str, **options: Any) -> ModelError:
    with ScriptedServer([step], strict=False) as server:
        with pytest.raises(ModelError) as caught:
            await play(server.base_url, model=model, **options)
        assert len(server.requests) == 1
    error = caught.value
    assert model in str(error)
    assert server.base_url in str(error)
    assert KEY not in str(error)
    assert "\n" not in str(error)
    return error


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("status", STATUSES)
async def test_each_status_is_its_error(play: Player, model: str, status: int) -> None:
    error = await _fail(play, HttpError(status, "No luck.", headers={"Retry-After": "7"}), model)
    assert type(error) is STATUSES[status]
    assert f"status {status}: No luck." in str(error)
    assert error.__cause__ is not None
    if isinstance(error, RateLimited | ProviderUnavailable):
        assert error.retry_after == 7.0


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", REFUSALS)
async def test_what_a_refusal_says_counts(play: Player, model: str, name: str) -> None:
    step, kind = REFUSALS[name]
    assert type(await _fail(play, step, model)) is kind


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_answer_is_never_an_answer(play: Player, model: str, name: str) -> None:
    step, kind = BROKEN[name]
    assert type(await _fail(play, step, model)) is kind


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_answer_is_one_sentence(play: Player, model: str, name: str) -> None:
    step, kind = UNREADABLE[name]
    assert type(await _fail(play, step, model)) is kind


async def test_an_answer_without_a_reason_for_its_end_is_cut(play: Player) -> None:
    with ScriptedServer([Reply("an answer", framing=Framing(finish=False))]) as server:
        turn = await play(server.base_url)
    assert (turn.answer.text, turn.answer.finish) == ("an answer", "cut")


@pytest.mark.parametrize("reason", ["eos", "error"])
async def test_an_unknown_reason_for_the_end_is_cut(play: Player, reason: str) -> None:
    with ScriptedServer([Reply("an answer", finish=reason)]) as server:
        turn = await play(server.base_url)
    assert turn.answer.finish == "cut"


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m"])
async def test_a_whole_answer_where_a_stream_was_asked_for_is_read(play: Player, model: str) -> None:
    body = (
        '\n{"choices": [{"message": {"role": "assistant", "content": "whole", "tool_calls": ['
        '{"id": "a", "type": "function", "function": {"name": "shell", "arguments": "{}"}},'
        '{"id": "", "type": "function", "function": {"name": "shell", "arguments": "[]"}}]},'
        '"finish_reason": "tool_calls"}], "usage": {"prompt_tokens": 3, "completion_tokens": 2}}'
    )
    with ScriptedServer([Raw(text=body), Reply("ok")], strict=False) as server:
        turn = await play(server.base_url, model=model)
    assert turn.completed[0].message.text == "whole"
    assert [call.arguments for call in turn.toolbox.calls] == ["{}", "[]"]


async def test_a_connection_lost_after_the_end_was_told_is_an_answer(play: Player) -> None:
    with ScriptedServer([Drop(3, Reply("he"))]) as server:
        turn = await play(server.base_url)
    assert (turn.answer.text, turn.answer.finish) == ("he", "stop")


@pytest.mark.parametrize("model", ROUTES)
async def test_an_address_where_nobody_listens_is_unavailable(play: Player, model: str) -> None:
    with ScriptedServer([]) as server:
        address = server.base_url
    with pytest.raises(ProviderUnavailable, match="cannot be reached"):
        await play(address, model=model)


async def test_silence_beyond_the_clients_limit_is_a_timeout(play: Player) -> None:
    with ScriptedServer([Reply("late", delay=60.0)]) as server:
        limits = TimeLimits(whole=-59.8)  # the client waits for a minute more
        with pytest.raises(ModelTimeout, match="silent"):
            await play(server.base_url, time_limits=limits)


@pytest.mark.parametrize("model", ROUTES)
async def test_the_key_never_shows(play: Player, model: str) -> None:
    error = await _fail(play, HttpError(401, f"Incorrect API key provided: {KEY}; Bearer {KEY}"), model)
    assert "Incorrect API key provided" in str(error)


async def test_a_long_text_is_cut(play: Player) -> None:
    error = await _fail(play, HttpError(400, "x" * 5000), "openai/m")
    assert len(str(error)) < 600


@pytest.mark.parametrize("model", ROUTES)
async def test_a_redirect_is_not_followed(play: Player, model: str) -> None:
    with ScriptedServer([]) as elsewhere:
        location = f"{elsewhere.base_url}/chat/completions"
        error = await _fail(play, HttpError(307, headers={"Location": location}), model)
        assert elsewhere.requests == ()
    assert type(error) is InvalidRequest
    assert "redirect" in str(error)


@pytest.mark.parametrize(
    ("model", "variable"),
    [("gpt-4o", "OPENAI_API_KEY"), ("claude-sonnet-4-5", "ANTHROPIC_API_KEY")],
)
async def test_a_missing_key_names_its_variable(
    play: Player, model: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable, raising=False)
    for name in ("OPENAI_BASE_URL", "ANTHROPIC_API_BASE"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody is asked; if somebody were, not over the network
    with pytest.raises(AuthenticationFailed, match=f"set {variable} or VMPILOT_API_KEY"):
        await play(None, model=model, api_key=None)


async def test_an_earlier_try_does_not_change_what_a_later_one_is(play: Player) -> None:
    with ScriptedServer([HttpError(429, "slow down"), Drop("headers")]) as server:
        try:
            await play(server.base_url)
        except RateLimited:
            with pytest.raises(StreamInterrupted):
                await play(server.base_url)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "12"}, 12.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "soon"}, None),
    ],
)
def test_retry_after_is_read(headers: dict[str, str], seconds: float | None) -> None:
    assert read_retry_after(httpx.Headers(headers)) == seconds


def test_retry_after_as_a_date_to_come() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    seconds = read_retry_after(httpx.Headers({"retry-after": date}))
    assert seconds is not None
    assert 3500 < seconds <= 3600


def test_a_secret_is_masked_wherever_it_stands(play: Player) -> None:
    assert KEY not in repr(play.request("http://server/v1", api_key=Secret(KEY)))
