"""Explains why a request to GitHub failed and what to do next, from the response's status, headers and body.

https://docs.github.com/rest/using-the-rest-api/troubleshooting-the-rest-api, .../rate-limits-for-the-rest-api
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from vmpilot.tools.web.content import clean
from vmpilot.tools.web.http_client import HttpResponse

_LONGEST = 600
_ADVICE = {
    401: "GITHUB_TOKEN is invalid or has expired; the user has to renew it.",
    404: "It does not exist, or GITHUB_TOKEN may not see it (GitHub does not say which). Check repository and number.",
    410: "It was deleted, or issues are disabled in this repository.",
    422: "Correct the fields that it names, then repeat the call.",
}
_SECONDARY_PAUSE = 60
"""GitHub's recommendation if a response contains no time."""


def describe_error(answer: HttpResponse, *, now: datetime) -> str:
    """GitHub's message, and what to do next."""
    try:
        body = json.loads(answer.body)
    except (ValueError, RecursionError):
        body = {}
    body = body if isinstance(body, dict) else {}
    said = str(body.get("message") or "")
    advice = _describe_limit(answer, said, now) or _describe_status(answer)
    errors = body.get("errors")
    errors = errors if isinstance(errors, list) else [errors] if isinstance(errors, str) else []
    details = "; ".join(filter(None, map(_describe_fault, errors)))
    words = clean(": ".join(filter(None, (said, details))))[:_LONGEST]
    return f"GitHub returned {answer.status_line}{words and f' ({words!r})'}. {advice}"


def _describe_limit(answer: HttpResponse, said: str, now: datetime) -> str | None:
    """When to continue after a rate limit, if there is one."""
    headers = answer.headers
    if answer.status not in {403, 429}:
        return None
    if (pause := _number(headers.get("retry-after"))) is not None:
        return f"Too many requests (secondary rate limit). Retry {_at(now + timedelta(seconds=pause), now)}."
    if headers.get("x-ratelimit-remaining") == "0":
        reset = _number(headers.get("x-ratelimit-reset"))
        when = _at(datetime.fromtimestamp(reset, UTC), now) if reset is not None else "within an hour"
        limit = headers.get("x-ratelimit-limit", "")
        return f"The rate limit{limit and f' ({limit[:10]} per hour)'} is used up. Retry {when}."
    if answer.status == 429 or "secondary rate limit" in said.lower():
        return f"Too many requests. Retry {_at(now + timedelta(seconds=_SECONDARY_PAUSE), now)}."
    return None


def _describe_status(answer: HttpResponse) -> str:
    if answer.status >= 500:
        return "GitHub has a problem. Try again later."
    missing_permission = _describe_permission(answer.headers)
    if answer.status == 403:
        return missing_permission or "GITHUB_TOKEN lacks the permission; the user has to grant it."
    advice = _ADVICE.get(answer.status, "The user has to look into it.")
    return f"{advice} {missing_permission}" if answer.status == 404 and missing_permission else advice


def _describe_permission(headers: Mapping[str, str]) -> str | None:
    """The permission that the token lacks, if the response specifies it."""
    if headers.get("x-github-sso", "").startswith("required"):
        return "The user has to authorize GITHUB_TOKEN for the organization's single sign-on."
    if needed := headers.get("x-accepted-github-permissions"):
        return f"GITHUB_TOKEN needs the permission {needed[:200]}; the user has to grant it."
    if "x-oauth-scopes" in headers and (needed := headers.get("x-accepted-oauth-scopes", "")):
        scopes = headers["x-oauth-scopes"]
        if not _scopes(scopes) & _scopes(needed):
            has = scopes[:200] or "(none)"
            return f"GITHUB_TOKEN has the scopes {has} but needs one of: {needed[:200]}. The user has to grant it."
    return None


def _scopes(header: str) -> set[str]:
    return {scope.strip() for scope in header.split(",") if scope.strip()}


def _describe_fault(fault: object) -> str:
    """One of the `errors` of a 422: a text, or an object with a message or with a field and a code."""
    if not isinstance(fault, dict):
        return str(fault)
    if message := fault.get("message"):
        return str(message)
    return " ".join(str(fault[key]) for key in ("resource", "field", "code") if fault.get(key))


def _at(moment: datetime, now: datetime) -> str:
    seconds = max(0, round((moment - now).total_seconds()))
    span = f"{seconds} s" if seconds < 120 else f"{round(seconds / 60)} min"
    return f"at {moment.astimezone(UTC):%H:%M:%S} UTC (in {span}), not earlier"


def _number(header: str | None) -> int | None:
    return int(header) if header is not None and header.isascii() and header.isdigit() and len(header) < 12 else None
