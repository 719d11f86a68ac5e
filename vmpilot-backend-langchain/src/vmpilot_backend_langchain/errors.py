"""The one border where exceptions of LangChain, the providers' SDKs and httpx become the contract's errors.

It goes by the names of exception classes and by status codes, which the SDKs share, so that it imports none of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

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
    StreamInterrupted,
    VMPilotError,
)
from vmpilot_backend_langchain.failure import Failure, read_failure
from vmpilot_backend_langchain.target import Target

_MEANINGS: tuple[tuple[type[ModelError], tuple[str, ...]], ...] = (
    (
        ContextOverflow,
        (
            "context_length_exceeded",
            "exceed_context_size_error",
            "contextwindowexceeded",
            "maximum context length",
            "context window",
            "context size",
            "prompt is too long",
            "input token count",
            "input tokens exceed",
            "request_too_large",
        ),
    ),
    (
        ContentFiltered,
        (
            "content_filter",
            "content_policy",
            "content policy",
            "content management policy",
            "responsibleaipolicyviolation",
            "safety system",
        ),
    ),
    (
        QuotaExhausted,
        ("insufficient_quota", "billing_hard_limit", "billing_not_active", "credit balance", "insufficient balance"),
    ),
    (AuthenticationFailed, ("invalid_api_key", "authentication_error", "incorrect api key", "api key not valid")),
    (ModelNotFound, ("model_not_found", "model not found")),
    (RateLimited, ("rate_limit",)),
    (ProviderUnavailable, ("overloaded", "server_error", "internal_error", "service_unavailable")),
)
"""What providers write in codes, types and texts, whatever the status; the first that fits wins."""

_STATUSES: Mapping[int, type[ModelError]] = {
    401: AuthenticationFailed,
    402: QuotaExhausted,
    403: AuthenticationFailed,
    404: ModelNotFound,
    408: ProviderUnavailable,
    409: ProviderUnavailable,
    413: ContextOverflow,
    425: ProviderUnavailable,
    429: RateLimited,
}

_NAMES: tuple[tuple[str, type[ModelError], str], ...] = (
    ("ContextOverflowError", ContextOverflow, "has no room for this conversation"),
    ("UnicodeEncodeError", InvalidRequest, "cannot be sent this conversation: it holds characters that are none"),
    ("InvalidURL", InvalidRequest, "has a base URL that is none: correct it"),
    ("UnsupportedProtocol", InvalidRequest, "has a base URL that is no http:// or https:// address: correct it"),
    ("LocalProtocolError", InvalidRequest, "cannot be sent this request: look for odd characters in key and base URL"),
    ("ConnectTimeout", ModelTimeout, "did not take the connection in time: check the network and the base URL"),
    ("APITimeoutError", ModelTimeout, "did not answer in time"),
    ("TimeoutException", ModelTimeout, "did not answer in time"),
    ("TimeoutError", ModelTimeout, "did not answer in time"),
    (
        "ConnectError",
        ProviderUnavailable,
        "cannot be reached: check that the server runs, the base URL and the network",
    ),
    ("APIConnectionError", ProviderUnavailable, "closed the connection before it answered"),
    ("JSONDecodeError", BadResponse, "answered with something that is no JSON"),
    ("UnicodeDecodeError", BadResponse, "answered with bytes that are no text"),
    ("TransportError", StreamInterrupted, "broke the connection in the middle of its answer"),
    ("ConnectionError", StreamInterrupted, "broke the connection in the middle of its answer"),
    ("ClientError", StreamInterrupted, "broke the connection in the middle of its answer"),
    ("APIError", StreamInterrupted, "broke off its answer with an error"),
)
"""What the classes mean where there is no status, for the exception itself or what it was raised from."""


@contextmanager
def translated_errors(target: Target) -> Iterator[None]:
    """Let the contract's errors pass and turn every other exception into one of them."""
    try:
        yield
    except VMPilotError:
        raise
    except Exception as error:
        raise translate_error(error, target) from error


def translate_error(error: Exception, target: Target) -> ModelError:
    """The contract's error for an exception that a call to the model raised."""
    failure = read_failure(error)
    meaning = _find_meaning(failure)
    if failure.status is None and meaning is None:
        return _translate_by_name(failure, target)
    kind = meaning or _find_kind(failure.status)
    return _make_error(kind, _describe(kind, failure, target), failure)


def _find_meaning(failure: Failure) -> type[ModelError] | None:
    if not failure.said_by_provider or (failure.status is not None and failure.status in {401, 403}):
        return None
    text = f"{failure.code} {failure.text}".lower()
    return next((kind for kind, words in _MEANINGS if any(word in text for word in words)), None)


def _find_kind(status: int | None) -> type[ModelError]:
    if status is None:
        return StreamInterrupted
    return _STATUSES.get(status) or (ProviderUnavailable if status >= 500 else InvalidRequest)


def _translate_by_name(failure: Failure, target: Target) -> ModelError:
    for name, kind, words in _NAMES:
        if name in failure.class_names:
            return kind(_join(f"{target} {words}", target.quote(failure.text) if failure.said_by_provider else "", ""))
    return ModelError(_join(f"{target} failed ({failure.class_names[0]})", target.quote(failure.text), ""))


def _make_error(kind: type[ModelError], sentence: str, failure: Failure) -> ModelError:
    if issubclass(kind, (RateLimited, ProviderUnavailable)):
        return kind(sentence, retry_after=failure.retry_after)
    return kind(sentence)


def _describe(kind: type[ModelError], failure: Failure, target: Target) -> str:
    what, advice = _word(kind, failure, target)
    status = f" (status {failure.status})" if failure.status else ""
    return _join(f"{target} {what}{status}", target.quote(failure.text), advice)


def _word(kind: type[ModelError], failure: Failure, target: Target) -> tuple[str, str]:
    if failure.status is not None and 300 <= failure.status < 400:
        where = target.quote(failure.location)
        return (
            f"redirects to {where}",
            "Redirects are not followed, to keep the key: set the base URL to the new place.",
        )
    if kind is AuthenticationFailed:
        return "refused the key" if failure.status != 403 else "does not permit this", target.key_advice
    return _WORDS[kind]


_WORDS: Mapping[type[ModelError], tuple[str, str]] = {
    ContextOverflow: ("has no room for this conversation", "Start a new one or choose a model with a larger window."),
    ContentFiltered: ("refused the request by its content policy", "Put the request differently."),
    QuotaExhausted: ("has no credit left for this key", "Check the account's plan and billing."),
    ModelNotFound: ("was not found", "Check the model's name and the base URL."),
    RateLimited: ("got too many requests", "Try again later."),
    ProviderUnavailable: ("is not available", "Try again later."),
    InvalidRequest: ("refused the request", "Check the model and its settings."),
    StreamInterrupted: ("broke off its answer", ""),
}


def _join(what: str, quote: str, advice: str) -> str:
    sentence = f"{what}: {quote}" if quote else what
    stop = "" if sentence.endswith((".", "!", "?", "…")) else "."
    return f"{sentence}{stop} {advice}".rstrip()
