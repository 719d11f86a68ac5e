"""The one border where LiteLLM's, the openai client's and httpx's exceptions become the contract's errors.

LiteLLM's own classes say little: 403 is its `APIError`, a refused connection its `InternalServerError`, an exhausted
quota its `RateLimitError`, a broken stream one of three. So the HTTP response or the transport's failure is looked for
behind them, and the class follows from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import msgspec

from vmpilot.contract import (
    BadResponse,
    ModelCall,
    ModelError,
    ModelName,
    ModelTimeout,
    ProviderUnavailable,
    StreamInterrupted,
    VMPilotError,
)
from vmpilot_backend_litellm.faults import AnswerRefused, UnreadableAnswer
from vmpilot_backend_litellm.refusals import Refusal, cut_text, describe_refusal, name_target, read_error_body


@contextmanager
def translated_errors(call: ModelCall, model: ModelName) -> Iterator[None]:
    """Raise the contract's `ModelError` for every exception that leaves the block, `from` that exception."""
    try:
        yield
    except VMPilotError:
        raise
    except Exception as error:
        # Whatever LiteLLM's hundred providers raise, the core gets a ModelError; nothing is swallowed.
        raise translate_error(error, call, model) from error


def translate_error(error: Exception, call: ModelCall, model: ModelName) -> ModelError:
    """The contract's error for an exception that LiteLLM, the openai client, httpx or our own reading raised."""
    match error:
        case AnswerRefused(body=body):
            return describe_refusal(_read_refused(body), call, model)
        case UnreadableAnswer(received=received):
            return _describe_unreadable(received, call, model)
    causes = list(_walk_causes(error))
    responses = (cause.response for cause in causes if isinstance(cause, httpx.HTTPStatusError))
    if response := next(responses, None):
        return describe_refusal(_read_response(response, error), call, model)
    failures = [cause for cause in causes if isinstance(cause, httpx.TransportError)]
    if failures:
        return _describe_transport(failures[-1], name_target(call, model))
    return describe_refusal(_read_exception(error), call, model)


def _walk_causes(error: BaseException) -> Iterator[BaseException]:
    """The exception and those behind it, nearest first; errors of earlier tries, which are the contract's, end it."""
    pending: list[object] = [error]
    seen: set[int] = set()
    while pending:
        current = pending.pop()
        if isinstance(current, BaseException) and id(current) not in seen and not isinstance(current, VMPilotError):
            seen.add(id(current))
            yield current
            pending += [current.__context__, current.__cause__, getattr(current, "original_exception", None)]


def _describe_transport(cause: httpx.TransportError, target: str) -> ModelError:
    match cause:
        case httpx.ConnectTimeout() | httpx.ConnectError():
            return ProviderUnavailable(f"{target} cannot be reached ({cause}); check the address and the network")
        case httpx.TimeoutException():
            return ModelTimeout(f"{target} was silent for too long; try again")
        case httpx.UnsupportedProtocol() | httpx.ProxyError():
            return ProviderUnavailable(f"{target} cannot be reached ({cause}); check the address and the proxy")
    return StreamInterrupted(f"{target} broke the connection off before its answer was complete; try again")


def _read_refused(body: Any) -> Refusal:
    """An error inside an answer; the provider's own failure where it does not say what it is."""
    refusal = read_error_body(body)
    return refusal if refusal.status else msgspec.structs.replace(refusal, code=f"{refusal.code} server_error")


def _describe_unreadable(received: bytes, call: ModelCall, model: ModelName) -> BadResponse:
    text = received.decode("utf-8", "replace").strip()
    what = "a web page" if text.startswith("<") else "something unreadable"
    advice = "check the base URL" if call.settings.base_url else "try again"
    return BadResponse(
        f"{name_target(call, model)} sent {what} in place of an answer: {cut_text(text, call)}; {advice}"
    )


def _read_response(response: httpx.Response, error: Exception) -> Refusal:
    body: Any = str(error)
    if response.is_closed or response.is_stream_consumed:
        body = _read_body(response) or body
    return read_error_body(body, status=response.status_code, headers=response.headers)


def _read_body(response: httpx.Response) -> Any:
    try:
        text = response.text
    except httpx.StreamError:
        return None
    try:
        return response.json() if text[:1] in {"{", "["} else text
    except ValueError:
        return text


def _read_exception(error: Exception) -> Refusal:
    told = getattr(error, "status_code", None)
    status = told if isinstance(told, int) else None
    body = getattr(error, "body", None)
    text = getattr(error, "message", None) or str(error) or type(error).__name__
    refusal = read_error_body(body if isinstance(body, dict) else text, status=status)
    return Refusal(refusal.status, f"{refusal.code} {type(error).__name__}", refusal.text, refusal.retry_after)
