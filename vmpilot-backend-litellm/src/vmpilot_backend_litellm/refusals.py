"""What a provider says when it refuses a request, and the contract's error and sentence for it.

The statuses and codes are those of https://platform.openai.com/docs/guides/error-codes and
https://docs.anthropic.com/en/api/errors, which most others follow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from vmpilot.contract import (
    AuthenticationFailed,
    ContentFiltered,
    ContextOverflow,
    InvalidRequest,
    ModelCall,
    ModelError,
    ModelName,
    ModelNotFound,
    ModelTimeout,
    ProviderUnavailable,
    QuotaExhausted,
    RateLimited,
)

_TEXT_LENGTH = 300
_SECRET = re.compile(r"""(?i)(bearer\s+|\bkey[=:]\s*|\bsk-)[^\s"'&,;]{6,}""")

_WORDS = {
    "overflow": r"context.?(length|window)|maximum context|prompt is too long|too many (input )?tokens|"
    r"exceeds? the (available )?context|input is too long|ContextWindowExceeded|request_too_large",
    "quota": r"insufficient_quota|exceeded your current quota|billing|credit balance|insufficient (balance|credits)",
    "filter": r"content_?filter|content_policy|content management policy|ContentPolicyViolation|safety system",
    "key": r"api_key.{0,40}must be set|missing .{0,40}(api.?key|credentials)|AuthenticationError|invalid_api_key",
    "model": r"model_not_found|model .{0,80}(does not exist|not found)|LLM Provider NOT provided|UnknownProvider",
    "rate": r"rate_?limit|RateLimitError|too many requests",
    "unavailable": r"overloaded|server_error|internal_?(server_?)?error|service_?unavailable|api_error|unavailable",
    "invalid": r"invalid_request|BadRequestError",
}
"""What providers say, in the order in which it decides."""

_STATUSES = {
    **dict.fromkeys((401, 403, 407), "key"),
    **dict.fromkeys((404, 410), "model"),
    **dict.fromkeys((409, 425), "unavailable"),
    402: "quota",
    408: "timeout",
    413: "overflow",
    429: "rate",
}
"""What a status means by itself."""

_MAY_BECOME = {
    "invalid": ("overflow", "quota", "filter", "key", "model"),
    "key": ("quota", "filter"),
    "rate": ("quota",),
    "unavailable": ("overflow", "quota"),
}
"""What the words may make of a status; llama.cpp reports an overflow as a failure of the server."""

_KINDS: dict[str, tuple[type[ModelError], str]] = {
    "filter": (ContentFiltered, "the content policy of {target} refused the request ({text}); rephrase it"),
    "invalid": (InvalidRequest, "{target} refused the request ({text}); change the request or the settings"),
    "key": (AuthenticationFailed, "{target} did not accept the key, or there is none ({text}); set {variables}"),
    "model": (ModelNotFound, "{target} is not known there ({text}); check the model's name and the base URL"),
    "overflow": (ContextOverflow, "the conversation is too long for {target} ({text}); start a new one"),
    "quota": (QuotaExhausted, "the account for {target} has no credit left ({text}); add credit or change the model"),
    "rate": (RateLimited, "{target} got too many requests ({text}); wait a while"),
    "redirect": (InvalidRequest, "{target} redirects elsewhere, where the key must not go ({text}); set the base URL"),
    "timeout": (ModelTimeout, "{target} took too long ({text}); try again"),
    "unavailable": (ProviderUnavailable, "{target} is not available at the moment ({text}); try again later"),
    "unknown": (ModelError, "{target} failed in an unknown way ({text}); try again or change the model"),
}

_KEY_VARIABLES = {
    "azure": "AZURE_API_KEY",
    "bedrock": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "huggingface": "HF_TOKEN",
    "together_ai": "TOGETHERAI_API_KEY",
    "vertex_ai": "GOOGLE_APPLICATION_CREDENTIALS",
}


class Refusal(msgspec.Struct, frozen=True):
    """A provider's refusal; `code` is whatever short words it gave for the kind of error, joined by blanks."""

    status: int | None
    code: str
    text: str
    retry_after: float | None = None


def read_error_body(body: Any, *, status: int | None = None, headers: Mapping[str, str] | None = None) -> Refusal:
    """A refusal from an error body: OpenAI's `{"error": {...}}`, its inner part, another server's words, or text."""
    while isinstance(body, list) and body:
        body = body[0]
    if isinstance(body, dict):
        inner = body.get("error")
        if inner and isinstance(inner, dict | list):
            return read_error_body(inner, status=status, headers=headers)
        words = [str(body[name]) for name in ("code", "type", "status") if body.get(name) is not None]
        text = str(body.get("message") or body.get("detail") or inner or body)
        status = status or _read_status(body.get("code")) or _read_status(body.get("status"))
    else:
        words, text = [], str(body)
    return Refusal(status, " ".join(words), text, read_retry_after(headers or {}))


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait (RFC 9110, 10.2.3: a number or a date; `retry-after-ms` is OpenAI's); None where unreadable."""
    try:
        if milliseconds := headers.get("retry-after-ms"):
            return max(float(milliseconds) / 1000, 0.0)
        if not (value := headers.get("retry-after")):
            return None
        if re.fullmatch(r"\s*[\d.]+\s*", value):
            return float(value)
        return max((parsedate_to_datetime(value).astimezone(UTC) - datetime.now(UTC)).total_seconds(), 0.0)
    except (ValueError, OverflowError):
        return None


def describe_refusal(refusal: Refusal, call: ModelCall, model: ModelName) -> ModelError:
    """The contract's error, its message one sentence for the person."""
    error, sentence = _KINDS[classify_refusal(refusal)]
    message = sentence.format(
        target=name_target(call, model),
        text=(f"status {refusal.status}: " if refusal.status else "") + cut_text(refusal.text, call),
        variables=_name_key_variables(call, model),
    )
    if issubclass(error, RateLimited | ProviderUnavailable):
        return error(message, retry_after=refusal.retry_after)
    return error(message)


def classify_refusal(refusal: Refusal) -> str:
    """The kind of a refusal in one word: from its status, which its words make more exact."""
    said = f"{refusal.code} {refusal.text}"
    found = [kind for kind, words in _WORDS.items() if re.search(words, said, re.IGNORECASE)]
    if refusal.status is None:
        return found[0] if found else "unknown"
    kind = _STATUSES.get(refusal.status) or _classify_range(refusal.status)
    return next((word for word in found if word in _MAY_BECOME.get(kind, ())), kind)


def _classify_range(status: int) -> str:
    if status >= 500:
        return "unavailable"
    return "redirect" if 300 <= status < 400 else "invalid"


def _name_key_variables(call: ModelCall, model: ModelName) -> str:
    if call.settings.base_url:
        return "VMPILOT_API_KEY"
    own = _KEY_VARIABLES.get(model.provider, f"{model.provider.upper()}_API_KEY")
    return f"{own} or VMPILOT_API_KEY"


def name_target(call: ModelCall, model: ModelName) -> str:
    """The model for a sentence, with the server where it is not the provider's own."""
    return f"{model} at {call.settings.base_url}" if call.settings.base_url else str(model)


def cut_text(text: str, call: ModelCall) -> str:
    """A provider's words, in one line, short and without anything that looks like a key."""
    key = call.settings.api_key.reveal() if call.settings.api_key else ""
    line = " ".join(text[:10_000].split())
    masked = _SECRET.sub(r"\1…", line.replace(key, "…") if key else line)
    return masked if len(masked) <= _TEXT_LENGTH else masked[:_TEXT_LENGTH] + "…"


def _read_status(value: object) -> int | None:
    return value if isinstance(value, int) and 300 <= value < 600 else None
