"""Maps a provider's error response to the contract's error and its message.

The statuses and codes are those of https://platform.openai.com/docs/guides/error-codes and
https://docs.anthropic.com/en/api/errors, which most others follow.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from vmpilot.contract.errors import (
    AuthenticationFailed,
    BadResponse,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    MessagesRefused,
    ModelError,
    ModelNotFound,
    ParameterRefused,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
    ToolsUnsupported,
)
from vmpilot.contract.refused_messages import RefusedMessages, find_refused_messages
from vmpilot.providers._unsupported_parameters import find_unsupported_parameter
from vmpilot.providers.target import ModelTarget

_WORDS: Mapping[str, str] = MappingProxyType(
    {
        "overflow": r"context.?(length|window|size)|maximum context|prompt is too long|too many (input )?tokens|"
        r"input token(s exceed| count)|exceeds? the (available )?context|input is too long|request_too_large",
        "quota": r"insufficient_quota|billing_hard_limit|billing_not_active|credit balance|"
        # Google uses the same text for a limit that resets within a minute.
        r"insufficient (balance|credits)|\A(?!.*RESOURCE_EXHAUSTED).*exceeded your current quota",
        "filter": r"content_?filter|content.?policy|content management policy|responsible_?ai_?policy|safety system",
        # Groq's codes and other providers' wording: the model's output is invalid, not the request.
        "broken_call": r"tool_use_failed|output_parse_failed|failed_generation|failed to call a function|"
        r"tool call validation failed|error parsing tool call",
        "messages": "",  # `refused_messages` and `refused_members` match the text
        "member": "",
        "tools": r"(does not|doesn't|do not|that) support (native )?(tools\b|tool.?(use|call)|function.?call)|"
        # A server without parallel calls may still support single calls.
        r"(?<!parallel.)\b(tools|tool.?(use|calls?|calling)|function.?call(s|ing)?)\W+(is|are) not "
        r"(supported|enabled|available)|requires --enable-auto-tool-choice|requires --jinja",
        "no_key": r"api_key.{0,40}must be set|missing .{0,40}(api.?key|credentials)",
        "key": r"AuthenticationError|authentication_error|invalid_api_key|incorrect api key|api key not valid",
        "model": r"model_not_found|model .{0,80}(does not exist|not found)|LLM Provider NOT provided|UnknownProvider",
        "rate": r"rate_?limit|too many requests",
        "unavailable": r"overloaded|server_error|internal_?(server_?)?error|service_?unavailable|api_error|unavailable",
        "invalid": r"invalid_request|BadRequestError",
    }
)
"""Patterns for providers' error texts, in order of precedence."""

_STATUSES: Mapping[int, str] = MappingProxyType(
    {
        **dict.fromkeys((401, 407), "key"),
        **dict.fromkeys((404, 410), "model"),
        **dict.fromkeys((408, 409, 425), "unavailable"),
        402: "quota",
        403: "forbidden",
        413: "overflow",
        429: "rate",
    }
)
"""The meaning of a status alone."""

_MAY_BECOME: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "forbidden": ("quota", "filter"),
        "invalid": (
            "overflow",
            "quota",
            "filter",
            "broken_call",
            "messages",
            "tools",
            "member",
            "no_key",
            "key",
            "model",
            "rate",
        ),
        "key": ("quota", "filter", "no_key"),
        "model": ("tools",),
        "rate": ("quota",),
        "unavailable": ("overflow", "quota", "broken_call", "messages", "tools", "member"),
    }
)
"""How the error text may refine a status.

llama.cpp reports context overflows and unsupported parameters as server errors; OpenRouter reports a model without
tools as not found.
"""

_KINDS: Mapping[str, tuple[type[ModelError], str, str]] = MappingProxyType(
    {
        "broken_call": (
            BadResponse,
            "could not parse the model's tool call",
            "try again or choose another model",
        ),
        "filter": (ContentFiltered, "rejected the request under its content policy", "rephrase the request"),
        "forbidden": (AuthenticationFailed, "does not permit this", "set another key in {variables}"),
        "invalid": (InvalidRequest, "rejected the request", "check the model and its settings"),
        "key": (AuthenticationFailed, "rejected the key", "set {variables}"),
        "member": (ParameterRefused, "does not support the parameter {member}", "leave it out"),
        "messages": (
            MessagesRefused,
            "does not accept the messages in this form",
            "start a new conversation or choose another model",
        ),
        "model": (ModelNotFound, "was not found", "check the model's name and the base URL"),
        "overflow": (
            ContextOverflow,
            "has no room for this conversation",
            "start a new one or choose a model with a larger window",
        ),
        "quota": (QuotaExhausted, "has no credit left for this key", "check the account's plan and billing"),
        "rate": (RateLimited, "received too many requests", "try again later"),
        "redirect": (
            InvalidRequest,
            "redirects to {place}, and the key must not be sent there",
            "set the base URL to the new address",
        ),
        "tools": (ToolsUnsupported, "does not support tools", 'choose a model that does, or set tool_mode to "text"'),
        "unavailable": (ProviderUnavailable, "is unavailable or overloaded", "try again later"),
        "unknown": (ModelError, "failed for an unknown reason", "try again or choose another model"),
    }
)


_LOOKED_AT = 10_000
"""Characters kept of a provider's text: servers send entire traces, which would take the patterns seconds to search."""


class ErrorResponse(msgspec.Struct, frozen=True):
    """The contents of a provider's error response; nothing in it may be shown unfiltered.

    `code` joins the provider's short names for the kind of error with spaces. `retry_after` is in seconds, `place` is
    the target of a redirect, and `parameter` is the request parameter that the provider names.
    """

    status: int | None
    code: str
    text: str
    retry_after: float | None = None
    place: str = ""
    parameter: str = ""


def read_error_body(body: Any, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> ErrorResponse:
    """Parse an error body: OpenAI's `{"error": {...}}`, its inner part, another server's format, or plain text."""
    lower = {str(name).lower(): str(value) for name, value in (headers or {}).items()}
    inner = _find_innermost(body)
    words: list[str] = []
    named = ""
    if isinstance(inner, dict):
        named = str(inner.get("param") or "")
        words = [str(inner[name]) for name in ("code", "type", "status") if inner.get(name) is not None]
        status = status or read_status(inner.get("code")) or read_status(inner.get("status"))
    place = lower.get("location", "")
    return ErrorResponse(status, " ".join(words), _find_text(inner), read_retry_after(lower), place, named)


def read_status(value: object) -> int | None:
    """The HTTP status of a failure, including one written as text; None for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 300 <= value < 600 else None


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait according to the headers of a response (names in lower case), or None.

    `retry-after-ms` is milliseconds; `retry-after` is seconds or a date (RFC 9110, section 10.2.3), measured from the
    response's own `date` if it has one, because clocks differ.
    """
    for name, unit in (("retry-after-ms", 1000.0), ("x-ms-retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = _read_number(headers.get(name, ""))
        if seconds is not None:
            return seconds / unit
    moment = _read_date(headers.get("retry-after", ""))
    if moment is None:
        return None
    now = _read_date(headers.get("date", "")) or datetime.now(UTC)
    return max(0.0, (moment - now).total_seconds())


def classify_error(failure: ErrorResponse) -> str:
    """The kind of a failure in one word, from its status, refined by its text."""
    found = list(_find_kinds(failure))
    if failure.status is None:
        return found[0] if found else "unknown"
    kind = _STATUSES.get(failure.status) or _classify_range(failure.status)
    return next((word for word in found if word in _MAY_BECOME.get(kind, ())), kind)


def make_model_error(failure: ErrorResponse, target: ModelTarget) -> ModelError:
    """The contract's error, whose message is one sentence for the user."""
    kind = classify_error(failure)
    if kind == "no_key" and target.key is None:
        return target.missing_key()
    error, what, advice = _KINDS["key" if kind == "no_key" else kind]
    member = _find_member(failure) if kind == "member" else None
    what = what.format(place=target.quote(failure.place) or "another place", member=member)
    details = _join_details(failure.status, target.quote(failure.text).rstrip(". "))
    sentence = f"{target} {what}{details}; {advice.format(variables=target.key_variables)}"
    if issubclass(error, RateLimited | ProviderUnavailable):
        return error(sentence, retry_after=failure.retry_after)
    if kind == "messages" and (refused := _find_messages(failure)) is not None:
        return MessagesRefused(sentence, refused=refused)
    return ParameterRefused(sentence, parameter=member) if member else error(sentence)


def _find_kinds(failure: ErrorResponse) -> Iterator[str]:
    said = f"{failure.code} {failure.text[:_LOOKED_AT]}"
    member = _find_member(failure)
    refuses = {
        "member": member not in {None, "tools"},
        "messages": _find_messages(failure) is not None,
        "tools": member == "tools",
    }
    for kind, words in _WORDS.items():
        if refuses.get(kind) or (words and re.search(words, said, re.IGNORECASE | re.DOTALL)):
            yield kind


def _find_member(failure: ErrorResponse) -> str | None:
    return find_unsupported_parameter(failure.text, code=failure.code, named=failure.parameter)


def _find_messages(failure: ErrorResponse) -> RefusedMessages | None:
    return find_refused_messages(failure.text, named=failure.parameter)


def _classify_range(status: int) -> str:
    if status >= 500:
        return "unavailable"
    return "redirect" if 300 <= status < 400 else "invalid"


def _join_details(status: int | None, quote: str) -> str:
    parts = [f"status {status}"] if status else []
    parts += [quote] if quote else []
    return f" ({': '.join(parts)})" if parts else ""


def _find_innermost(body: Any) -> Any:
    while True:
        match body:
            case [first, *_]:
                body = first
            case {"error": dict() | list() as inner} if inner:
                body = inner
            case _:
                return body


def _find_text(body: Any) -> str:
    told = body
    if isinstance(body, dict):
        texts = [body[name] for name in ("message", "detail", "error") if body.get(name) is not None]
        told = next((text for text in texts if text), "") if texts else body
        # OpenRouter says "Provider returned error" and quotes that provider.
        if isinstance(told, str) and isinstance(raw := _quoted(body.get("metadata")), str):
            told = f"{told}: {raw}"
    return told if isinstance(told, str) else json.dumps(told, ensure_ascii=False, default=str)


def _quoted(metadata: Any) -> Any:
    return metadata.get("raw") if isinstance(metadata, dict) else None


def _read_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _read_date(text: str) -> datetime | None:
    from email.utils import parsedate_to_datetime

    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
