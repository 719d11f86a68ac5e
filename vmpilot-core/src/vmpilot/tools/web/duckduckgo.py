"""A search engine that is asked without a key, as a browser would, through the library `ddgs`."""

from __future__ import annotations

from pathlib import Path

from vmpilot.contract import Proxies, Proxy, ToolError, UsageError
from vmpilot.tools.web.results import SearchResult
from vmpilot.tools.web.worker import run_program

ENGINE = "duckduckgo"
"""One engine, so that one party is told the query: the one that the person was asked about."""
ENGINE_URL = "https://html.duckduckgo.com/html/"

_PROGRAM = Path(__file__).with_name("programs") / "search_duckduckgo.py"
_REQUEST_SECONDS = 15
_SECONDS = 20


async def search_duckduckgo(
    query: str, count: int, *, proxies: Proxies, certificates: Path | None = None
) -> list[SearchResult]:
    """Ask DuckDuckGo. An empty list may also mean that it refuses to answer programs. Raises `ToolError`."""
    try:
        proxy = proxies.find(ENGINE_URL)
    except UsageError as error:
        raise ToolError(f"DuckDuckGo could not be asked: {error}") from error
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
    except ToolError as problem:
        raise ToolError(f"The search gave nothing: {problem}. Try it later.") from problem
    if said := answer.get("problem"):
        raise ToolError(f"DuckDuckGo could not be asked: {_shorten(said, proxy)}. Try it later.")
    return [SearchResult(found["title"], found["href"], found["body"]) for found in answer["results"]]


def _shorten(said: str, proxy: Proxy | None) -> str:
    """The library's words, with the proxy named in place of its URL, which may hold a password."""
    if proxy is None:
        return said[:300]
    return f"{proxy}: {said.replace(proxy.address, '[proxy]')}"[:300]
