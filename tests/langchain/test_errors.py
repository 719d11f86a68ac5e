from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable

import httpx
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
    ModelName,
    ModelNotFound,
    ModelSettings,
    ModelTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    Secret,
    StreamInterrupted,
    TimeLimits,
    TurnStopped,
    UserMessage,
)
from vmpilot.testing import Drop, HttpError, Raw, ScriptedServer, Step
from vmpilot_backend_langchain.errors import translate_error, translated_errors
from vmpilot_backend_langchain.target import Target

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]

KEY = "sk-very-secret-0123456789"
HERE = Target(ModelName("openai", "m"), "http://127.0.0.1:1/v1", KEY)


async def fail(step: Step, make_request: RequestMaker, run_turn: TurnRunner) -> ModelError:
    with ScriptedServer([step]) as server:
        settings = ModelSettings(base_url=server.base_url, api_key=Secret(KEY))
        with pytest.raises(ModelError) as caught:
            await run_turn(make_request(settings=settings))
        assert len(server.requests) == 1
    sentence = str(caught.value)
    assert KEY not in sentence
    assert "\n" not in sentence
    assert len(sentence) < 600
    assert sentence.startswith(f"openai/scripted at {server.base_url}")
    return caught.value


@pytest.mark.parametrize(
    ("step", "kind"),
    [
        (HttpError(401, f"Incorrect API key provided: {KEY}", code="invalid_api_key"), AuthenticationFailed),
        (HttpError(403, "Country not supported"), AuthenticationFailed),
        (HttpError(404, "The model `m` does not exist", code="model_not_found"), ModelNotFound),
        (HttpError(404, body="404 page not found"), ModelNotFound),
        (HttpError(400, "This is too long", code="context_length_exceeded"), ContextOverflow),
        (HttpError(400, "This model's maximum context length is 4096 tokens."), ContextOverflow),
        (
            HttpError(400, "the request exceeds the available context size", kind="exceed_context_size_error"),
            ContextOverflow,
        ),
        (HttpError(413, "Request Entity Too Large"), ContextOverflow),
        (HttpError(400, "Rejected by our safety system", code="content_policy_violation"), ContentFiltered),
        (HttpError(400, "Filtered", code="content_filter"), ContentFiltered),
        (HttpError(400, "Unknown parameter: 'foo'", code="unknown_parameter"), InvalidRequest),
        (HttpError(400, "tools are not supported by this model"), InvalidRequest),
        (HttpError(422, body={"detail": "Field required"}), InvalidRequest),
        (HttpError(402, "Insufficient Balance"), QuotaExhausted),
        (HttpError(429, "You exceeded your current quota", code="insufficient_quota"), QuotaExhausted),
        (HttpError(429, "Slow down, see https://example.com/account/billing"), RateLimited),
        (HttpError(429, body=""), RateLimited),
        (HttpError(408, "Timed out"), ProviderUnavailable),
        (HttpError(500, "The server had an error"), ProviderUnavailable),
        (HttpError(502, body="<html><h1>Bad gateway</h1></html>"), ProviderUnavailable),
        (HttpError(503, body=""), ProviderUnavailable),
        (HttpError(529, "Overloaded", kind="overloaded_error"), ProviderUnavailable),
        (HttpError(500, "litellm.ContextWindowExceededError: too long"), ContextOverflow),
        (Raw(status=307, headers={"Location": "https://elsewhere.example/v1"}), InvalidRequest),
        (Drop(after="request"), ProviderUnavailable),
        (Drop(after="request", reset=True), ProviderUnavailable),
        (Drop(after="headers"), StreamInterrupted),
    ],
    ids=lambda value: None if isinstance(value, type) else f"{getattr(value, 'status', 'drop')}",
)
async def test_kinds(step: Step, kind: type[ModelError], make_request: RequestMaker, run_turn: TurnRunner) -> None:
    error = await fail(step, make_request, run_turn)
    assert type(error) is kind
    assert error.__cause__ is not None


async def test_the_sentence_says_what_where_and_what_to_do(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    error = await fail(HttpError(401, f"Bad key\n{KEY} given"), make_request, run_turn)
    assert str(error).endswith("refused the key (status 401): Bad key … given. Set VMPILOT_API_KEY.")
    error = await fail(HttpError(502, body="<html>" + "x" * 9999), make_request, run_turn)
    assert str(error).endswith("is not available (status 502). Try again later.")
    error = await fail(HttpError(400, "y" * 9999), make_request, run_turn)
    assert "yyy… Check" in str(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "0.5"}, 0.5),
        ({"retry-after-ms": "1500", "Retry-After": "2"}, 1.5),
        ({"Date": "Sun, 06 Nov 1994 08:49:37 GMT", "Retry-After": "Sun, 06 Nov 1994 09:49:37 GMT"}, 3600.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "-3"}, None),
        ({}, None),
    ],
    ids=str,
)
async def test_how_long_to_wait(
    headers: dict[str, str], seconds: float | None, make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    for status in (429, 503):
        error = await fail(HttpError(status, "Wait.", headers=headers), make_request, run_turn)
        assert isinstance(error, (RateLimited, ProviderUnavailable))
        assert error.retry_after == seconds


async def test_a_server_that_is_not_there(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(ProviderUnavailable, match=f"openai/scripted at {url} cannot be reached"):
            await run_turn(make_request(settings=ModelSettings(base_url=url)))


async def test_a_server_that_takes_no_connection(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        clients = [socket.socket() for _ in range(4)]
        for client in clients:
            client.setblocking(False)
            client.connect_ex(address)
        settings = ModelSettings(base_url=f"http://127.0.0.1:{address[1]}", time_limits=TimeLimits(connect=0.05))
        with pytest.raises(ModelTimeout, match="did not take the connection in time"):
            await run_turn(make_request(settings=settings))
        for client in clients:
            client.close()


async def test_half_a_character_cannot_be_sent(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([]) as server, pytest.raises(InvalidRequest, match="characters that are none"):
        await run_turn(make_request(server, messages=(UserMessage.from_text("half \ud83d"),)))


@pytest.mark.parametrize("url", ["localhost:8000/v1", "ftp://127.0.0.1/v1", "http://127.0.0.1:port/v1"])
async def test_a_base_url_that_is_none(url: str, make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with pytest.raises(InvalidRequest, match="base URL"):
        await run_turn(make_request(settings=ModelSettings(base_url=url)))


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadError("gone"), StreamInterrupted),
        (httpx.RemoteProtocolError("gone"), StreamInterrupted),
        (httpx.ReadTimeout("slow"), ModelTimeout),
        (TimeoutError(), ModelTimeout),
        (ConnectionResetError(), StreamInterrupted),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), BadResponse),
        (KeyError("surprise"), ModelError),
    ],
    ids=lambda value: type(value).__name__,
)
def test_exceptions_without_a_status(error: Exception, kind: type[ModelError]) -> None:
    assert type(translate_error(error, HERE)) is kind


class ForeignError(Exception):
    """What another provider's SDK raises, as far as they agree."""

    def __init__(self, text: str, **members: object) -> None:
        super().__init__(text)
        self.__dict__.update(members)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            ForeignError("x", status_code=529, body={"type": "error", "error": {"type": "overloaded_error"}}),
            ProviderUnavailable,
        ),
        (ForeignError("prompt is too long: 9 tokens", status_code=400), ContextOverflow),
        (ForeignError("x", code=429, details={"error": {"status": "RESOURCE_EXHAUSTED"}}), RateLimited),
        (
            ForeignError("API key not valid", code=400, details={"error": {"message": "API key not valid."}}),
            AuthenticationFailed,
        ),
        (ForeignError("x", response={"ResponseMetadata": {"HTTPStatusCode": 403}}), AuthenticationFailed),
        (ForeignError("model not found", status_code=404), ModelNotFound),
        (ForeignError("x", body={"code": 502, "message": "upstream"}), ProviderUnavailable),
    ],
    ids=str,
)
def test_exceptions_of_other_libraries(error: Exception, kind: type[ModelError]) -> None:
    assert type(translate_error(error, HERE)) is kind


def test_errors_of_the_contract_pass() -> None:
    stop = TurnStopped("enough")
    with pytest.raises(TurnStopped) as caught, translated_errors(HERE):
        raise stop
    assert caught.value is stop
