"""The one border where exceptions of model libraries, their SDKs and HTTP clients become the contract's errors.

It relies on what they share (class names, statuses, responses, bodies) and imports none of these libraries. A library's
own class says little: LiteLLM raises its `InternalServerError` for a refused connection. The contract's class therefore
follows from the HTTP response or connection failure that caused the exception.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeAlias

import msgspec

from vmpilot.contract.errors import (
    BadResponse,
    ContextOverflow,
    InvalidRequest,
    ModelError,
    ModelTimeout,
    ProviderUnavailable,
    StreamInterrupted,
    UsageError,
    VMPilotError,
)
from vmpilot.providers.provider_errors import (
    ErrorResponse,
    classify_error,
    make_model_error,
    read_error_body,
    read_status,
)
from vmpilot.providers.target import ModelTarget

_Meaning: TypeAlias = tuple[str, type[ModelError], str]

_CONNECTION: tuple[_Meaning, ...] = (
    ("ProxyError", ProviderUnavailable, "cannot be reached through the proxy; check the proxy"),
    (
        "UnicodeEncodeError",
        InvalidRequest,
        "cannot receive this conversation, because it contains invalid characters; start a new one",
    ),
    ("InvalidURL", InvalidRequest, "has an invalid base URL, or a proxy variable is invalid; correct it"),
    ("UnsupportedProtocol", InvalidRequest, "has a base URL without http:// or https://; correct it"),
    (
        "LocalProtocolError",
        InvalidRequest,
        "cannot receive this request; check the key and the base URL for invalid characters",
    ),
    ("ConnectTimeout", ModelTimeout, "did not accept the connection in time; check the network and the base URL"),
    (
        "ConnectError",
        ProviderUnavailable,
        "cannot be reached; check the base URL, the network and that the server is running",
    ),
    ("TimeoutException", ModelTimeout, "did not answer in time; try again"),
    ("DecodingError", BadResponse, "sent data that cannot be decompressed; try again"),
)
"""The errors for exceptions of httpx, and for those raised before it sends a request, by class name."""

_WITHOUT_STATUS: tuple[_Meaning, ...] = (
    (
        "ContextOverflowError",
        ContextOverflow,
        "has no room for this conversation; start a new one or choose a model with a larger window",
    ),
    ("TimeoutError", ModelTimeout, "did not answer in time; try again"),
    ("ConnectionError", StreamInterrupted, "closed the connection before its answer was complete; try again"),
    ("ClientError", StreamInterrupted, "closed the connection before its answer was complete; try again"),
    ("JSONDecodeError", BadResponse, "sent invalid JSON; try again or check the base URL"),
    ("UnicodeDecodeError", BadResponse, "sent invalid text; try again or check the base URL"),
    ("APIError", StreamInterrupted, "interrupted its answer; try again"),
)
"""The same for exceptions without a status."""


@contextmanager
def translated_errors(target: ModelTarget, *, answering: bool = False) -> Iterator[None]:
    """Pass the contract's errors through, and raise any other exception as a `ModelError` `from` that exception.

    `answering` means that the answer has started, so that a lost connection is an interrupted answer.
    """
    handled = sys.exception()
    try:
        yield
    except VMPilotError:
        raise
    except Exception as error:
        ours = next((link for link in _walk_links(error, handled) if isinstance(link, UsageError)), None)
        if ours is not None:  # raised by our HTTP client for its settings; an SDK wrapped it as a lost connection
            raise ours from error
        raise translate_error(error, target, answering=answering, handled=handled) from error


def translate_error(
    error: Exception, target: ModelTarget, *, answering: bool = False, handled: BaseException | None = None
) -> ModelError:
    """The contract's error for an exception that a call to a model raised.

    `handled` is an exception that was being handled before the call; it is not a cause.
    """
    links = list(_walk_links(error, handled))
    response = next((_member(link, "response") for link in links if "HTTPStatusError" in _name_classes(link)), None)
    if response is not None:
        return make_model_error(_read_response(response, error), target)
    lost = _describe_by_name(links, _CONNECTION, target) or _describe_loss(links, target, answering=answering)
    if lost is not None:
        return lost
    failure = _read_exception(error)
    if failure.status is None and classify_error(failure) == "unknown":
        known = _describe_by_name(links, _WITHOUT_STATUS, target)
        return known or _describe_unknown(failure, target, answering=answering)
    return make_model_error(failure, target)


def _walk_links(error: BaseException, handled: BaseException | None) -> Iterator[BaseException]:
    """The exception and its causes, nearest first."""
    pending: list[object] = [error]
    seen = {id(handled)}
    while pending:
        link = pending.pop()
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__context__, link.__cause__, _member(link, "original_exception")]


def _name_classes(error: BaseException) -> set[str]:
    return {cls.__name__ for cls in type(error).__mro__}


def _describe_by_name(
    links: Sequence[BaseException], meanings: Sequence[_Meaning], target: ModelTarget
) -> ModelError | None:
    for name, kind, words in meanings:
        link = next((link for link in links if name in _name_classes(link)), None)
        if link is not None:
            what, _, advice = words.partition("; ")
            said = target.quote(str(link)) if name in {"ConnectError", "ProxyError"} else ""
            return kind(f"{target} {what}{f' ({said})' if said else ''}; {advice}")
    return None


def _describe_loss(links: Sequence[BaseException], target: ModelTarget, *, answering: bool) -> ModelError | None:
    """All other connection failures of httpx: the connection was lost."""
    if not any("TransportError" in _name_classes(link) for link in links):
        return None
    if answering:
        return StreamInterrupted(f"{target} closed the connection before its answer was complete; try again")
    return ProviderUnavailable(f"{target} closed the connection before it answered; try again")


def _describe_unknown(failure: ErrorResponse, target: ModelTarget, *, answering: bool) -> ModelError:
    """If a library fails for an unknown reason while reading an answer, the answer is invalid."""
    if not answering:
        return make_model_error(failure, target)
    said = target.quote(failure.text)
    return BadResponse(f"{target} sent an answer that cannot be read{f' ({said})' if said else ''}; try again")


def _read_response(response: Any, error: Exception) -> ErrorResponse:
    status, headers = read_status(_member(response, "status_code")), _read_headers(response)
    try:
        text = str(response.text)
    except RuntimeError:  # raised by httpx if the body was not read
        text = str(error)
    return read_error_body(_read_json(text), status=status, headers=headers)


def _read_json(text: str) -> Any:
    if text.lstrip()[:1] not in {"{", "["}:
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _read_exception(error: Exception) -> ErrorResponse:
    """The failure that the exception itself describes, in attributes that SDKs share; their types are not trusted."""
    response = _member(error, "response")
    bodies = (_member(error, "body"), _member(error, "details"))
    body = next((body for body in bodies if isinstance(body, dict) and body), None)
    amazon = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    candidates = (_member(error, "status_code"), _member(response, "status_code"), amazon, _member(error, "code"))
    status = next((status for status in map(read_status, candidates) if status is not None), None)
    told = _member(error, "message")
    text = (told if isinstance(told, str) else "") or str(error)
    failure = read_error_body(text if body is None else body, status=status, headers=_read_headers(response))
    name = type(error).__name__
    return msgspec.structs.replace(failure, code=f"{failure.code} {name}", text=failure.text or text or name)


def _read_headers(response: object) -> Mapping[str, str]:
    headers = _member(response, "headers")
    return headers if isinstance(headers, Mapping) else {}


def _member(value: object, name: str) -> Any:
    return getattr(value, name, None)
