"""What an exception of any provider's SDK tells: status, code, text and headers, by the members that SDKs share."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Failure:
    """An exception, read. `class_names` are those of the exception's classes and, after them, of its causes'."""

    status: int | None
    code: str
    text: str
    said_by_provider: bool
    class_names: tuple[str, ...]
    headers: Mapping[str, str]

    @property
    def retry_after(self) -> float | None:
        """How many seconds the provider asks to wait, None where it does not tell."""
        return read_retry_after(self.headers)

    @property
    def location(self) -> str:
        """Where a redirect points to."""
        return self.headers.get("location", "somewhere else")


def read_failure(error: Exception) -> Failure:
    """Read an exception; nothing in it is trusted to be there or of the usual type."""
    body = _find_body(error)
    response = getattr(error, "response", None)
    status = _first_status(error, response, body)
    return Failure(
        status=status,
        code=" ".join(str(body[key]) for key in ("code", "type", "status") if isinstance(body.get(key), str)),
        text=_find_text(body) or str(error),
        said_by_provider=bool(body) or status is not None,
        class_names=tuple(cls.__name__ for link in _chain(error) for cls in type(link).__mro__),
        headers=_find_headers(response),
    )


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by the headers of a response.

    `retry-after-ms` is milliseconds; `retry-after` is seconds or a date (RFC 9110, section 10.2.3), measured from the
    response's own `date` where it has one, for clocks differ.
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


def _read_number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _read_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__


def _find_body(error: Exception) -> dict[str, Any]:
    """The provider's error object: OpenAI's SDK gives it bare, Anthropic's and Google's inside `error`."""
    body = getattr(error, "body", None) or getattr(error, "details", None)
    if not isinstance(body, dict):
        return {}
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body


def _find_text(body: Mapping[str, Any]) -> str:
    texts = (body.get(key) for key in ("message", "error", "detail"))
    return next((text for text in texts if isinstance(text, str) and text), "")


def _first_status(error: Exception, response: Any, body: Mapping[str, Any]) -> int | None:
    amazon = response.get("ResponseMetadata", {}).get("HTTPStatusCode") if isinstance(response, dict) else None
    candidates = (
        getattr(error, "status_code", None),
        getattr(response, "status_code", None),
        amazon,
        getattr(error, "code", None),
        body.get("code"),
    )
    return next((number for number in map(_read_status, candidates) if number is not None), None)


def _read_status(value: object) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) == 3:
        value = int(value)
    return value if isinstance(value, int) and 300 <= value < 600 else None


def _find_headers(response: Any) -> Mapping[str, str]:
    headers = getattr(response, "headers", None)
    items = headers.items() if isinstance(headers, Mapping) else ()
    return {str(name).lower(): str(value) for name, value in items}
