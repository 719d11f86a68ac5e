"""Google Programmable Search through its Custom Search JSON API.

https://developers.google.com/custom-search/v1/reference/rest/v1/cse/list; errors as in
https://cloud.google.com/apis/design/errors. Google serves it to existing customers only, until January 2027.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from vmpilot.contract import Secret, ToolError
from vmpilot.tools.web._results import SearchResult
from vmpilot.tools.web.http_client import HttpConnector, HttpResponse, NoResponse, send_request

GOOGLE_URL = "https://www.googleapis.com/customsearch/v1"
MOST_RESULTS = 10
"""The API's maximum."""

_SECONDS = 20.0
_SIZE = 2 * 1024**2
_BAD_KEY = {"API_KEY_INVALID", "keyInvalid"}
_QUOTA = {"rateLimitExceeded", "dailyLimitExceeded", "userRateLimitExceeded", "quotaExceeded", "RATE_LIMIT_EXCEEDED"}


@dataclass(frozen=True, slots=True)
class GoogleAccount:
    """The key (`GOOGLE_API_KEY`), the id of a search engine (`GOOGLE_CSE_ID`), and the API's address."""

    key: Secret
    engine_id: str
    url: str = GOOGLE_URL


async def search_google(
    account: GoogleAccount, query: str, count: int, *, connector: HttpConnector
) -> list[SearchResult]:
    """Get up to 10 results. Raises `ToolError`."""
    import httpx2

    fields = {"key": account.key.reveal(), "cx": account.engine_id, "q": query, "num": count}
    headers = {"accept": "application/json", "accept-encoding": "gzip"}
    request = httpx2.Request("GET", f"{account.url}?{urlencode(fields)}", headers=headers)
    try:
        async with asyncio.timeout(_SECONDS), connector.open(account.url) as transport:
            answer = await send_request(transport, request, most=_SIZE)
    except TimeoutError as error:
        raise ToolError(f"Google did not answer within {_SECONDS:g} s. Try again later.") from error
    except NoResponse as error:
        raise ToolError(f"Cannot reach Google: {error}") from error
    if answer.status != 200:
        raise ToolError(_describe_error(answer, account))
    found = _read_json(answer)
    items = found.get("items", []) if isinstance(found, dict) else None
    if not isinstance(items, list):
        raise ToolError("Google's response is not a list of results.")
    return [
        SearchResult(str(item.get("title", "")), str(item["link"]), str(item.get("snippet", "")))
        for item in items
        if isinstance(item, dict) and "link" in item
    ]


def _describe_error(answer: HttpResponse, account: GoogleAccount) -> str:
    error = _read_json(answer)
    error = error.get("error") if isinstance(error, dict) else None
    error = error if isinstance(error, dict) else {}
    listed = [error[key] for key in ("errors", "details") if isinstance(error.get(key), list)]
    entries = [entry for entries in listed for entry in entries if isinstance(entry, dict)]
    reasons = {str(entry["reason"]) for entry in entries if "reason" in entry}
    said = str(error.get("message", "")).replace(account.key.reveal(), "[key]").rstrip(".")[:500]
    return f"Google returned {answer.status_line}{said and f': {said}'}. {_advise(answer.status, reasons)}"


def _advise(status: int, reasons: set[str]) -> str:
    if status == 429 or reasons & _QUOTA:
        return "The daily quota of GOOGLE_API_KEY is used up. Continue without a search, or try again later."
    if status == 401 or reasons & _BAD_KEY:
        return "GOOGLE_API_KEY is invalid; the user has to correct it."
    if status == 403:
        return "GOOGLE_API_KEY may not use the Custom Search API; the user has to check the key's permissions."
    if status == 400:
        return "The query or GOOGLE_CSE_ID is invalid: try a simpler query, else the user has to correct GOOGLE_CSE_ID."
    if status in {404, 410}:
        return "The API does not exist or has been shut down; without GOOGLE_API_KEY, DuckDuckGo is used."
    return "Try again later." if status >= 500 else "The user has to look into it."


def _read_json(answer: HttpResponse) -> Any:
    try:
        return json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
