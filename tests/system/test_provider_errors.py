"""One table of providers' responses, through each backend's real HTTP stack: the same error, the same message.

Each failing call is made once, whether or not a stream is asked for: the libraries' own retries are off.
"""

from __future__ import annotations

import asyncio
import socket
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from itertools import product
from typing import Any, TypeAlias

import msgspec
import pytest

from vmpilot.contract import (
    AuthenticationFailed,
    BackendEvent,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    GenerationRequest,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ModelSettings,
    ModelTimeout,
    ParameterRefused,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    Secret,
    StreamInterrupted,
    TimeLimits,
    ToolsUnsupported,
    UserMessage,
)
from vmpilot.plugins import Backend, installed_backends, load_backend
from vmpilot.testing import Drop, Framing, HttpError, Raw, Reply, ScriptedCall, ScriptedServer, Step
from vmpilot.testing.fakes import PlainModelCalls, ScriptedToolbox

KEY = "sk-system-0123456789abcdef"
ROUTES = ("openai/m", "hosted_vllm/m", "xai/m")
"""The openai client; LiteLLM's own client; LiteLLM's translation. The LangChain backend has one route for all."""

BOTH_MODES = (True, False)
"""With and without streaming."""

STREAM = "text/event-stream"
BEGINNING = (
    'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m",'
    '"choices":[{"index":0,"delta":{"role":"assistant","content":"he"}}]}\n\n'
)
LATER = {"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 09:49:37 GMT"}

Listen: TypeAlias = Callable[[bytes], Awaitable[tuple[str, list[bytes]]]]
Row = tuple[Step, type[ModelError], str]

REFUSALS: dict[str, Row] = {
    "400": (HttpError(400, "No luck."), InvalidRequest, "rejected the request (status 400: No luck); check the model"),
    "401": (HttpError(401, f"Wrong: {KEY};\nBearer {KEY}"), AuthenticationFailed, "the key (status 401: Wrong: …"),
    "402": (HttpError(402, "Insufficient Balance"), QuotaExhausted, "has no credit left for this key (status 402: Ins"),
    "403": (HttpError(403, "Country not supported"), AuthenticationFailed, "does not permit this (status 403: Country"),
    "404": (HttpError(404, body="404 page not found"), ModelNotFound, "was not found (status 404: 404 page not found)"),
    "408": (HttpError(408, "Timed out"), ProviderUnavailable, "(status 408: Timed out); try again later"),
    "409": (HttpError(409, "Busy"), ProviderUnavailable, "(status 409: Busy)"),
    "413": (HttpError(413, "Too Large"), ContextOverflow, "has no room for this conversation (status 413: Too Large)"),
    "422": (HttpError(422, body={"detail": "Field required"}), InvalidRequest, "(status 422: Field required)"),
    "429": (HttpError(429, "Slow down."), RateLimited, "received too many requests (status 429: Slow down); try again"),
    "429, a link": (HttpError(429, "See https://example.com/account/billing"), RateLimited, "account/billing"),
    "429, empty": (HttpError(429, body=""), RateLimited, "received too many requests (status 429); try again later"),
    "500": (HttpError(500, "Oops."), ProviderUnavailable, "is unavailable or overloaded (status 500: Oops)"),
    "502, a page": (HttpError(502, body="<html><h1>Bad</h1>"), ProviderUnavailable, "overloaded (status 502); try"),
    "503, empty": (HttpError(503, body=""), ProviderUnavailable, "overloaded (status 503); try again later"),
    "504": (HttpError(504, "Late."), ProviderUnavailable, "(status 504: Late)"),
    "529": (HttpError(529, "Overloaded", kind="overloaded_error"), ProviderUnavailable, "(status 529: Overloaded)"),
    "quota": (HttpError(429, "Your quota.", code="insufficient_quota"), QuotaExhausted, "(status 429: Your quota)"),
    "context": (HttpError(400, "Too long", code="context_length_exceeded"), ContextOverflow, "larger window"),
    "context, in words": (HttpError(400, body={"detail": "prompt is too long"}), ContextOverflow, "start a new one"),
    "context of llama.cpp": (HttpError(500, "exceeds the available context size"), ContextOverflow, "no room"),
    "context of a proxy": (HttpError(500, "litellm.ContextWindowExceededError: x"), ContextOverflow, "no room"),
    "policy": (HttpError(400, "Flagged.", code="content_policy_violation"), ContentFiltered, "rephrase the request"),
    "model": (HttpError(400, "The model `m` does not exist.", code="model_not_found"), ModelNotFound, "model's name"),
    "parameter": (HttpError(400, "Unknown parameter: 'foo'", code="unknown_parameter"), InvalidRequest, "'foo'"),
    "tools": (HttpError(400, "m does not support tools."), ToolsUnsupported, "does not support tools (status 400: m"),
    "tools of llama.cpp": (HttpError(500, "tools param requires --jinja flag"), ToolsUnsupported, "tool_mode to"),
    "tools of OpenRouter": (
        HttpError(404, "No endpoints found that support tool use."),
        ToolsUnsupported,
        "does not support tools",
    ),
    "stream options": (
        HttpError(400, "Unknown parameter: 'stream_options'."),
        ParameterRefused,
        "parameter stream_options",
    ),
    "a body of pydantic": (
        HttpError(422, body={"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"]}]}),
        ParameterRefused,
        "does not support the parameter seed",
    ),
    "a long text": (HttpError(400, "y" * 9999), InvalidRequest, "yyy…); check the model"),
    "odd signs": (HttpError(400, "a \x1b[31mred\x00 light"), InvalidRequest, "(status 400: a [31mred light)"),
}

WAITING: dict[str, tuple[dict[str, str], float | None]] = {
    "seconds": ({"Retry-After": "7"}, 7.0),
    "milliseconds": ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
    "a date": (LATER, 3600.0),
    "a date that is past": ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
    "no time": ({"Retry-After": "soon"}, None),
    "nothing": ({}, None),
}

BROKEN: dict[str, Row] = {
    "before headers": (Drop("request"), ProviderUnavailable, "closed the connection before it answered; try again"),
    "reset before headers": (Drop("request", reset=True), ProviderUnavailable, "closed the connection before"),
    "after headers": (Drop("headers"), StreamInterrupted, "closed the connection before its answer was complete"),
    "in the text": (Drop(3), StreamInterrupted, "closed the connection"),
    "reset in the text": (Drop(3, reset=True), StreamInterrupted, "closed the connection"),
    "in the arguments": (
        Drop(3, Reply(tool_calls=(ScriptedCall("shell", {"command": "rm -rf /srv/old"}),))),
        StreamInterrupted,
        "closed the connection",
    ),
    "no end": (Reply("half", framing=Framing(finish=False, done=False)), StreamInterrupted, "in the middle of its"),
    "cut in an event": (Reply("half an answer", framing=Framing(truncate_at=700)), StreamInterrupted, "in the middle"),
    "nothing": (Raw(content_type=STREAM), BadResponse, "sent an empty answer; try again or check the base URL"),
    "only the end": (Raw(text="data: [DONE]\n\n", content_type=STREAM), BadResponse, "sent an empty answer"),
    "only comments": (Raw(text=": wait\n\n: wait\n\n", content_type=STREAM), BadResponse, "sent an empty answer"),
}
"""Invalid answers that every route handles alike."""

UNREADABLE: dict[str, Row] = {
    "a page": (Raw(text="<html>Log in</html>", content_type="text/html"), BadResponse, "sent a web page instead of"),
    "a page as a stream": (Raw(text="<html>Log in</html>", content_type=STREAM), BadResponse, "sent a web page"),
    "an error event": (
        Raw(text=BEGINNING + 'data: {"error": {"message": "It broke."}}\n\n', content_type=STREAM),
        ProviderUnavailable,
        "is unavailable or overloaded (It broke); try again later",
    ),
    "an error event with a status": (
        Raw(text='data: {"error": {"message": "full", "code": 503}}\n\n'),
        ProviderUnavailable,
        "(status 503: full)",
    ),
    "vLLM's error event": (
        Raw(text='data: {"object": "error", "message": "bad", "code": 400}\n\n', content_type=STREAM),
        InvalidRequest,
        "rejected the request (status 400: bad)",
    ),
    "an error as the answer": (
        Raw(text='{"error": {"message": "no credit", "type": "insufficient_quota", "code": null}}'),
        QuotaExhausted,
        "has no credit left for this key (no credit)",
    ),
    "bad JSON": (
        Raw(text=BEGINNING + 'data: {"choi\n\n', content_type=STREAM),
        BadResponse,
        'an invalid answer ({"choi)',
    ),
    "no chunk": (
        Raw(text='data: {"choices": [{"delta": "text"}]}\n\n', content_type=STREAM),
        BadResponse,
        "an invalid answer",
    ),
    "a list": (Raw(text="data: [1]\n\n", content_type=STREAM), BadResponse, "an invalid answer ([1])"),
    "choices that are null": (
        Raw(text='data: {"choices":null}\n\n', content_type=STREAM),
        BadResponse,
        "an empty answer",
    ),
    "nesting without end": (Raw(text="data: " + "[" * 100_000, content_type=STREAM), BadResponse, "answer"),
    "bytes": (Raw(body=b"data: \xff\xfe\n\n", content_type=STREAM), BadResponse, "an invalid answer"),
    "JSON without an answer": (Raw(text='{"ok": true}'), BadResponse, 'an invalid answer ({"ok": true})'),
    "broken JSON": (Raw(text="oh {"), BadResponse, "an invalid answer (oh {)"),
}


WHOLE: dict[str, Row] = {
    "after headers": (Drop("headers"), StreamInterrupted, "closed the connection before its answer was complete"),
    "in the text": (Drop(3), StreamInterrupted, "closed the connection"),
    "reset in the text": (Drop(3, reset=True), StreamInterrupted, "closed the connection"),
    "cut": (Raw(text='{"choices": [{"mess'), BadResponse, 'sent an invalid answer ({"choices": [{"mess)'),
    "nothing": (Raw(), BadResponse, "sent an empty answer"),
    "no choices": (Raw(text='{"choices": []}'), BadResponse, 'an invalid answer ({"choices": []})'),
    "a message that is a string": (Raw(text='{"choices": [{"message": "hi"}]}'), BadResponse, "an invalid answer"),
    "an error event": UNREADABLE["an error event"],
}
"""Bodies instead of an unstreamed answer, and bodies that are parsed differently only there."""


@pytest.fixture(scope="module")
def backends() -> list[Backend]:
    """Both backends, loaded as by the core."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [load_backend(backend) for backend in installed_backends() if backend.name in {"litellm", "langchain"}]


@pytest.fixture
async def listen() -> AsyncIterator[Listen]:
    """Opens servers that answer any path with the same bytes; returns each one's URL and the heads that it received."""
    async with AsyncExitStack() as stack:

        async def start(answer: bytes) -> tuple[str, list[bytes]]:
            heads: list[bytes] = []

            async def answer_one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                head = await reader.readuntil(b"\r\n\r\n")
                heads.append(head)
                size = next(
                    int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
                )
                await reader.readexactly(size)
                writer.write(answer)
                writer.close()

            server = await stack.enter_async_context(await asyncio.start_server(answer_one, "127.0.0.1", 0))
            return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads

        yield start


def _request(model: str, base_url: str | None, **settings: Any) -> GenerationRequest:
    return GenerationRequest(
        conversation_id="c",
        turn_id="t",
        messages=(UserMessage.from_text("Do it."),),
        system="",
        model=model,
        settings=ModelSettings(base_url=base_url, **{"api_key": Secret(KEY), **settings}),
    )


async def _fail(
    backends: list[Backend], request: GenerationRequest, modes: tuple[bool, ...] = BOTH_MODES
) -> ModelError:
    """The error with which both backends end the turn, streaming or not; its message and class are the same."""
    errors: list[ModelError] = []
    for backend, streaming in product(backends, modes):
        settings = msgspec.structs.replace(request.settings, streaming=streaming)
        with pytest.raises(ModelError) as caught:
            await _run(backend, msgspec.structs.replace(request, settings=settings))
        errors.append(caught.value)
    first = errors[0]
    assert {(type(error), str(error), getattr(error, "retry_after", None)) for error in errors} == {
        (type(first), str(first), getattr(first, "retry_after", None))
    }
    assert KEY not in str(first)
    assert str(first).isprintable()
    assert len(str(first)) < 500
    return first


async def _run(backend: Backend, request: GenerationRequest) -> None:
    async def take(_event: BackendEvent) -> None:
        pass

    await backend.run(request, ScriptedToolbox(), PlainModelCalls(request), take)


async def _fail_at(backends: list[Backend], step: Step, model: str, modes: tuple[bool, ...] = BOTH_MODES) -> ModelError:
    calls = len(backends) * len(modes)
    with ScriptedServer([step] * calls) as server:
        error = await _fail(backends, _request(model, server.base_url), modes)
        assert len(server.requests) == calls
    assert str(error).startswith(f"{model} at {server.base_url} ")
    return error


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", REFUSALS)
async def test_an_http_error(backends: list[Backend], model: str, name: str) -> None:
    step, kind, words = REFUSALS[name]
    error = await _fail_at(backends, step, model)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", WAITING)
async def test_the_retry_time_of_an_http_error(backends: list[Backend], model: str, name: str) -> None:
    headers, seconds = WAITING[name]
    for status in (429, 503):
        error = await _fail_at(backends, HttpError(status, "Wait.", headers=headers), model)
        assert isinstance(error, RateLimited | ProviderUnavailable)
        assert error.retry_after == seconds


@pytest.mark.parametrize("model", ["openai/m", "hosted_vllm/m", "xai/m", "anthropic/claude-opus-4-8", "azure/m"])
async def test_a_redirect_is_reported_and_not_followed(
    backends: list[Backend], model: str, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01")
    elsewhere, asked = await listen(_redirection("http://127.0.0.1:9/nowhere"))
    place = f"{elsewhere}/v1/messages"
    url, requests = await listen(_redirection(place))
    for backend, streaming in product(backends, BOTH_MODES):
        with pytest.raises(InvalidRequest, match=f"redirects to {place}, and the key must not be sent there"):
            await _run(backend, _request(model, url, streaming=streaming))
    assert [KEY.encode() in head for head in requests] == [True] * 4
    assert asked == []


def _redirection(place: str) -> bytes:
    return f"HTTP/1.1 307 Elsewhere\r\nLocation: {place}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode()


@pytest.mark.parametrize("model", ROUTES)
async def test_the_message_for_a_redirect(backends: list[Backend], model: str) -> None:
    with ScriptedServer([]) as elsewhere:
        place = f"{elsewhere.base_url}/chat/completions"
        error = await _fail_at(backends, HttpError(307, body="", headers={"Location": place}), model)
        assert elsewhere.requests == ()
    assert type(error) is InvalidRequest
    assert f"redirects to {place}, and the key must not be sent there (status 307); set the base URL" in str(error)


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", BROKEN)
async def test_an_invalid_streamed_answer(backends: list[Backend], model: str, name: str) -> None:
    step, kind, words = BROKEN[name]
    error = await _fail_at(backends, step, model, (True,))
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("model", ROUTES[:2])
@pytest.mark.parametrize("name", UNREADABLE)
async def test_an_unreadable_answer(backends: list[Backend], model: str, name: str) -> None:
    step, kind, words = UNREADABLE[name]
    error = await _fail_at(backends, step, model)
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("name", WHOLE)
async def test_an_invalid_unstreamed_answer(backends: list[Backend], model: str, name: str) -> None:
    step, kind, words = WHOLE[name]
    error = await _fail_at(backends, step, model, (False,))
    assert type(error) is kind
    assert words in str(error)


@pytest.mark.parametrize("model", ROUTES)
async def test_an_unreachable_server_is_an_error(backends: list[Backend], model: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        error = await _fail(backends, _request(model, url))
    assert type(error) is ProviderUnavailable
    assert str(error).startswith(f"{model} at {url} cannot be reached (")


@pytest.mark.parametrize("model", ROUTES)
async def test_a_server_that_accepts_no_connection(backends: list[Backend], model: str) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(full.getsockname())
        url = f"http://127.0.0.1:{full.getsockname()[1]}"
        error = await _fail(backends, _request(model, url, time_limits=TimeLimits(connect=0.05)))
        for client in clients:
            client.close()
    assert type(error) is ModelTimeout
    assert "did not accept the connection in time" in str(error)


@pytest.mark.parametrize("model", ROUTES)
@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://127.0.0.1/v1", "http://127.0.0.1:port/v1"])
async def test_an_invalid_base_url(backends: list[Backend], model: str, url: str) -> None:
    error = await _fail(backends, _request(model, url))
    assert type(error) is InvalidRequest
    assert str(error).startswith(f"{model} at {url} has a")


async def test_a_missing_key(backends: list[Backend], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9")  # no request is sent
    error = await _fail(backends, _request("gpt-4o", None, api_key=None))
    assert type(error) is AuthenticationFailed
    assert str(error) == "There is no key for openai/gpt-4o: set OPENAI_API_KEY or VMPILOT_API_KEY"


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "schlüssel"])
@pytest.mark.parametrize("model", ROUTES)
async def test_a_key_with_invalid_characters_is_an_error(backends: list[Backend], model: str, key: str) -> None:
    error = await _fail(backends, _request(model, "http://127.0.0.1:9", api_key=Secret(key)))
    assert type(error) is AuthenticationFailed
    assert "perhaps a line break: set VMPILOT_API_KEY" in str(error)


async def test_a_bare_name_of_an_unknown_family(backends: list[Backend]) -> None:
    error = await _fail(backends, _request("wizard", None))
    assert type(error) is ModelNotFound
    assert "provider/wizard" in str(error)
