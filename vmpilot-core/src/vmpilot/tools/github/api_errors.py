"""Why GitHub refused a request, in words that say what to do next; read from an answer's status, headers and body.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api, .../rate-limits-for-the-rest-api
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from vmpilot.tools.web.content import clean
from vmpilot.tools.web.http_client import HttpResponse

_LONGEST = 600
_ADVICE = {
    401: "GITHUB_TOKEN is not valid, or has expired: tell the user.",
    404: "It does not exist, or GITHUB_TOKEN may not see it (GitHub does not tell which): check repository and number.",
    410: "It was deleted, or issues are switched off in this repository.",
    422: "Correct what it names, then make the call again.",
}
_SECONDARY_PAUSE = 60
"""Seconds that GitHub asks for where it names none."""


def describe_error(answer: HttpResponse, *, now: datetime) -> str:
    """What GitHub said and what follows from it."""
    body = _read(answer)
    said = str(body.get("message") or "")
    advice = _describe_limit(answer, said, now) or _describe_status(answer)
    details = "; ".join(filter(None, map(_describe_fault, _listed(body.get("errors")))))
    words = clean(": ".join(filter(None, (said, details))))[:_LONGEST]
    return f"GitHub refused it ({answer.status_line}{words and f', {words!r}'}). {advice}"


def _describe_limit(answer: HttpResponse, said: str, now: datetime) -> str | None:
    """When to go on after a limit of requests, None where there is none."""
    headers = answer.headers
    if answer.status not in {403, 429}:
        return None
    if (pause := _number(headers.get("retry-after"))) is not None:
        return (
            f"Too many requests in a short time (a secondary limit). Go on {_at(now + timedelta(seconds=pause), now)}."
        )
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        when = _at(datetime.fromtimestamp(reset, UTC), now) if reset is not None else "in an hour at most"
        limit = headers.get("x-ratelimit-limit", "")
        return f"The limit of requests{limit and f' ({limit[:10]} an hour)'} is used up. Go on {when}."
    if answer.status == 429 or "secondary rate limit" in said.lower():
        return f"Too many requests in a short time. Go on {_at(now + timedelta(seconds=_SECONDARY_PAUSE), now)}."
    return None


def _describe_status(answer: HttpResponse) -> str:
    if answer.status >= 500:
        return "GitHub has a fault: try it later."
    known_rights = _describe_rights(answer.headers)
    if answer.status == 403:
        return known_rights or "GITHUB_TOKEN may not do this: tell the user."
    advice = _ADVICE.get(answer.status, "Tell the user.")
    return f"{advice} {known_rights}" if answer.status == 404 and known_rights else advice


def _describe_rights(headers: Mapping[str, str]) -> str | None:
    """What the token lacks, as far as the answer tells it."""
    if headers.get("x-github-sso", "").startswith("required"):
        return "The organisation wants GITHUB_TOKEN authorised for its single sign-on: tell the user."
    if needed := headers.get("x-accepted-github-permissions"):
        return f"GITHUB_TOKEN needs the permission {needed[:200]}: tell the user."
    if "x-oauth-scopes" in headers and (needed := headers.get("x-accepted-oauth-scopes", "")):
        scopes = headers["x-oauth-scopes"]
        if not _scopes(scopes) & _scopes(needed):
            has = scopes[:200] or "(none)"
            return f"GITHUB_TOKEN has the scopes {has}; this takes one of: {needed[:200]}. Tell the user."
    return None


def _scopes(header: str) -> set[str]:
    return {scope.strip() for scope in header.split(",") if scope.strip()}


def _describe_fault(fault: object) -> str:
    """One of the `errors` of a 422: a text, or an object with a message, or with a field and a code."""
    if not isinstance(fault, dict):
        return str(fault)
    if message := fault.get("message"):
        return str(message)
    return " ".join(str(fault[key]) for key in ("resource", "field", "code") if fault.get(key))


def _at(moment: datetime, now: datetime) -> str:
    seconds = max(0, round((moment - now).total_seconds()))
    span = f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
    return f"at {moment.astimezone(UTC):%H:%M:%S} UTC (in {span}), not before"


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isascii() and header.isdigit() and len(header) < 12 else None


def _read(answer: HttpResponse) -> dict[str, Any]:
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value] if isinstance(value, str) else []
