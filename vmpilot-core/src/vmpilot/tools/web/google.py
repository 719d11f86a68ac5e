"""Google Programmable Search through its Custom Search JSON API.

https://developers.google.com/custom-search/v1/reference/rest/v1/cse/list; errors as in
https://cloud.google.com/apis/design/errors. Google serves it to those who had it before, and until January 2027.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from vmpilot.contract import Secret, ToolError
from vmpilot.tools.web.http_client import HttpConnector, HttpResponse, NoResponse, send_request
from vmpilot.tools.web.results import SearchResult

GOOGLE_URL = "https://www.googleapis.com/customsearch/v1"
MOST_RESULTS = 10
"""What one request can give."""

_SECONDS = 20.0
_SIZE = 2 * 1024**2
_BAD_KEY = {"API_KEY_INVALID", "keyInvalid"}
_QUOTA = {"rateLimitExceeded", "dailyLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"}


@dataclass(frozen=True, slots=True)
class GoogleAccount:
    """The key (`GOOGLE_API_KEY`) and the id of a search engine (`GOOGLE_CSE_ID`), and where the API is."""

    key: Secret
    engine_id: str
    url: str = GOOGLE_URL


async def search_google(
    account: GoogleAccount, query: str, count: int, *, connector: HttpConnector
) -> list[SearchResult]:
    """Ask for up to 10 results. Raises `ToolError`."""
    import httpx2

    fields = {"key": account.key.reveal(), "cx": account.engine_id, "q": query, "num": count}
    headers = {"accept": "application/json", "accept-encoding": "gzip"}
    request = httpx2.Request("GET", f"{account.url}?{urlencode(fields)}", headers=headers)
    try:
        async with asyncio.timeout(_SECONDS), connector.open(account.url) as transport:
            answer = await send_request(transport, request, most=_SIZE)
    except TimeoutError as error:
        raise ToolError(f"Google did not answer within {_SECONDS:g} s. Try it later.") from error
    except NoResponse as error:
        raise ToolError(f"Google could not be asked: {error}") from error
    if answer.status != 200:
        raise ToolError(_describe_error(answer, account))
    return _read_results(answer)


def _read_results(answer: HttpResponse) -> list[SearchResult]:
    found = _read_json(answer)
    items = found.get("items", []) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise ToolError("Google's answer cannot be read: it is no list of results")
    return [
        SearchResult(str(item.get("title", "")), str(item["link"]), str(item.get("snippet", "")))
        for item in items
        if isinstance(item, dict) and "link" in item
    ]


def _describe_error(answer: HttpResponse, account: GoogleAccount) -> str:
    error = _read_json(answer)
    error = error.get("error", {}) if isinstance(error, dict) else {}
    reasons = _reasons(error) if isinstance(error, dict) else set()
    said = str(error.get("message", "")) if isinstance(error, dict) else ""
    said = said.replace(account.key.reveal(), "[key]")[:500]
    return f"Google refused the search ({answer.status_line}{said and f': {said}'}). {_advise(answer.status, reasons)}"


def _advise(status: int, reasons: set[str]) -> str:
    if status == 429 or reasons & _QUOTA:
        return "The quota of GOOGLE_API_KEY is used up; it is counted by the day. Go on without a search, or try later."
    if status == 401 or reasons & _BAD_KEY:
        return "GOOGLE_API_KEY is no valid key: tell the user."
    if status == 403:
        return "GOOGLE_API_KEY may not use the Custom Search API: the user can look at the key's rights. Tell them."
    if status == 400:
        return "Either the query or GOOGLE_CSE_ID is not taken: try a plainer query, then tell the user."
    if status in {404, 410}:
        return "There is no such API at that address, or it has been closed: the user can unset GOOGLE_API_KEY."
    return "Try it later." if status >= 500 else "Tell the user."


def _reasons(error: dict[str, Any]) -> set[str]:
    entries = [*_listed(error.get("errors")), *_listed(error.get("details"))]
    return {str(entry["reason"]) for entry in entries if isinstance(entry, dict) and "reason" in entry}


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_json(answer: HttpResponse) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
