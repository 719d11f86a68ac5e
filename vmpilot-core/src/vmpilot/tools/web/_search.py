"""The tool `web_search`: uses Google if the user has a key for it, otherwise DuckDuckGo."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from vmpilot.contract import Fetches, Proxies, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.installation import install_command
from vmpilot.tools.web._duckduckgo import ENGINE_URL, search_duckduckgo
from vmpilot.tools.web._google import MOST_RESULTS, GoogleAccount, search_google
from vmpilot.tools.web._results import describe_results
from vmpilot.tools.web.http_client import HttpConnector

_DEFAULT_COUNT = 5

SEARCH_SPEC = ToolSpec(
    name="web_search",
    description=(
        "Search the web and get titles, addresses and snippets of pages; read a page with web_fetch. The query leaves "
        "this machine: never put secrets or private data into it."
    ),
    parameters={
        "type": "object",
        "properties": {
            "query": {"type": "string", "minLength": 1, "maxLength": 500, "description": "The search query."},
            "count": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_RESULTS,
                "description": f"Number of results; default: {_DEFAULT_COUNT}.",
            },
        },
        "required": ["query"],
        "additionalProperties": False,
    },
)


class WebSearch:
    """Searches with Google if there is an account, otherwise with DuckDuckGo."""

    spec = SEARCH_SPEC
    folder = None

    def __init__(
        self,
        *,
        google: GoogleAccount | None = None,
        proxies: Proxies = Proxies(),  # noqa: B008  frozen
        certificates: Path | None = None,
    ) -> None:
        self._google = google
        self._proxies = proxies
        self._certificates = certificates
        self._connector = HttpConnector(proxies=proxies, certificates=certificates)

    @staticmethod
    def unavailable_reason(google: GoogleAccount | None = None) -> str | None:
        """Why the tool is unavailable, as a phrase with advice; None if it is available."""
        library = "ddgs" if google is None else "httpx2"
        return None if find_spec(library) else f"{library} not installed: {install_command('vmpilot-core[web]')}"

    def title(self, arguments: Mapping[str, Any]) -> str:
        return f"Search with {self._engine}: {arguments['query']}"

    def effect(self, arguments: Mapping[str, Any]) -> Fetches:  # noqa: ARG002  the query goes to the engine whatever it is
        return Fetches(ENGINE_URL if self._google is None else self._google.url)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:  # noqa: ARG002
        query, count = arguments["query"].strip(), arguments.get("count", _DEFAULT_COUNT)
        if not query:
            raise ToolError("The query is empty.")
        if self._google is not None:
            results = await search_google(self._google, query, count, connector=self._connector)
        else:
            results = await search_duckduckgo(query, count, proxies=self._proxies, certificates=self._certificates)
        if results:
            return ToolOutcome(describe_results(query, self._engine, results[:count]))
        hint = "" if self._google else " It may also be blocking programs at the moment."
        return ToolOutcome(f"{self._engine} found nothing for {query!r}.{hint} Try other or fewer words.")

    @property
    def _engine(self) -> str:
        return "DuckDuckGo" if self._google is None else "Google"
