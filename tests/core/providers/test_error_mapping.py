"""Exceptions of HTTP clients and SDKs, known only by names and members, become the contract's errors."""

from __future__ import annotations

import httpx
import pytest

from vmpilot.contract import (
    AuthenticationFailed,
    BadResponse,
    ContextOverflow,
    InvalidRequest,
    ModelError,
    ModelNotFound,
    ModelTimeout,
    ProviderUnavailable,
    RateLimited,
    StreamInterrupted,
    TurnStopped,
)
from vmpilot.providers import ModelName, ModelTarget, translate_error, translated_errors

HERE = ModelTarget(ModelName("openai", "m"), "http://host/v1")
REQUEST = httpx.Request("POST", "http://host/v1")


class ForeignError(Exception):
    """The common form of exceptions in libraries and providers' SDKs."""

    def __init__(self, text: str, **members: object) -> None:
        super().__init__(text)
        self.__dict__.update(members)


def _refused(status: int, body: str, *, read: bool = True) -> httpx.HTTPStatusError:
    content = {"text": body} if read else {"stream": httpx.ByteStream(body.encode())}
    response = httpx.Response(status, request=REQUEST, headers={"Retry-After": "3"}, **content)
    return httpx.HTTPStatusError("refused", request=REQUEST, response=response)


def _lose_connection() -> None:
    raise httpx.ReadError("gone")


def _wrap(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ReadError("gone"), StreamInterrupted),
        (httpx.RemoteProtocolError("gone"), StreamInterrupted),
        (httpx.ReadTimeout("slow"), ModelTimeout),
        (httpx.ConnectTimeout("slow"), ModelTimeout),
        (httpx.ConnectError("refused"), ProviderUnavailable),
        (httpx.ProxyError("refused"), ProviderUnavailable),
        (httpx.UnsupportedProtocol("ftp"), InvalidRequest),
        (httpx.InvalidURL("none"), InvalidRequest),
        (httpx.DecodingError("no gzip"), BadResponse),
        (TimeoutError(), ModelTimeout),
        (ConnectionResetError(), StreamInterrupted),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no"), BadResponse),
        (UnicodeEncodeError("utf-8", "\ud83d", 0, 1, "no"), InvalidRequest),
        (KeyError("surprise"), BadResponse),
        (RecursionError("deep"), BadResponse),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_without_a_status(error: Exception, kind: type[ModelError]) -> None:
    assert type(translate_error(error, HERE, answering=True)) is kind


def test_an_unknown_error_is_an_unreadable_answer_only_once_it_has_started() -> None:
    assert type(translate_error(KeyError("surprise"), HERE)) is ModelError
    error = translate_error(RuntimeError("Error parsing chunk"), HERE, answering=True)
    assert str(error) == (
        "openai/m at http://host/v1 sent an answer that cannot be read (Error parsing chunk); try again"
    )


def test_a_lost_connection_takes_precedence_over_the_error_of_the_library() -> None:
    error = _wrap(ForeignError("wrapped", status_code=500), httpx.ReadTimeout("slow"))
    assert type(translate_error(error, HERE)) is ModelTimeout


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
        (ForeignError("Missing credentials. Please pass an `api_key`"), AuthenticationFailed),
        (_wrap(ForeignError("wrapped", status_code=500), _refused(429, '{"error": {"message": "Slow"}}')), RateLimited),
    ],
    ids=str,
)
def test_errors_of_libraries_are_recognized(error: Exception, kind: type[ModelError]) -> None:
    assert type(translate_error(error, HERE)) is kind


@pytest.mark.parametrize("body", ['{"error": {"message": "Slow\\ndown."}}', "Slow down.", '["Slow down."]'])
def test_the_body_of_a_response_is_parsed(body: str) -> None:
    error = translate_error(_refused(429, body), HERE)
    assert (
        str(error) == "openai/m at http://host/v1 received too many requests (status 429: Slow down); try again later"
    )
    assert isinstance(error, RateLimited)
    assert error.retry_after == 3.0


def test_the_exception_text_is_used_if_the_response_was_not_read() -> None:
    error = translate_error(_wrap(ForeignError("down"), _refused(503, "later", read=False)), HERE)
    assert "is unavailable or overloaded (status 503: down)" in str(error)


def test_a_lost_connection_is_an_interrupted_answer_only_once_it_has_started() -> None:
    lost = httpx.RemoteProtocolError("gone")
    assert type(translate_error(lost, HERE)) is ProviderUnavailable
    assert type(translate_error(lost, HERE, answering=True)) is StreamInterrupted


def test_errors_of_the_contract_pass() -> None:
    stop = TurnStopped("enough")
    with pytest.raises(TurnStopped) as caught, translated_errors(HERE):
        raise stop
    assert caught.value is stop


def test_an_exception_handled_before_has_no_influence() -> None:
    try:
        raise _refused(429, "slow down")
    except httpx.HTTPStatusError:
        with pytest.raises(StreamInterrupted) as caught, translated_errors(HERE, answering=True):
            _lose_connection()
    assert isinstance(caught.value.__cause__, httpx.ReadError)
