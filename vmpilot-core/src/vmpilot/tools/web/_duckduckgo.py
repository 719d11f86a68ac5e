"""Searches DuckDuckGo's public page, which requires no key, with the library `ddgs`."""

from __future__ import annotations

from pathlib import Path

from vmpilot.contract import Proxies, ToolError, UsageError
from vmpilot.tools.web._results import SearchResult
from vmpilot.tools.web._worker import run_program

ENGINE = "duckduckgo"
"""A single engine, so that only the service that the user approved receives the query."""
ENGINE_URL = "https://html.duckduckgo.com/html/"

_PROGRAM = Path(__file__).with_name("programs") / "search_duckduckgo.py"
_REQUEST_SECONDS = 15
_SECONDS = 20


async def search_duckduckgo(
    query: str, count: int, *, proxies: Proxies, certificates: Path | None = None
) -> list[SearchResult]:
    """Get results. An empty list may also mean that DuckDuckGo is blocking programs. Raises `ToolError`."""
    try:
        proxy = proxies.find(ENGINE_URL)
    except UsageError as error:
        raise ToolError(f"Cannot reach DuckDuckGo: {error}") from error
    task = {
        "query": query,
        "count": count,
        "engine": ENGINE,
        "seconds": _REQUEST_SECONDS,
        "proxy": proxy and proxy.address,
        "certificates": None if certificates is None else str(certificates),
    }
    try:
        answer = await run_program(_PROGRAM, task, seconds=_SECONDS)
    except ToolError as error:
        raise ToolError(f"The search failed: {error}. Try again later.") from error
    if said := str(answer.get("problem", "")):
        if proxy is not None:  # whose URL may hold a password
            said = f"{proxy}: {said.replace(proxy.address, '[proxy]')}"
        said = said[:300]
        raise ToolError(f"Cannot reach DuckDuckGo: {said}. Try again later.")
    return [SearchResult(found["title"], found["href"], found["body"]) for found in answer["results"]]
