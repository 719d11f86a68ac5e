"""The tools for the web and for GitHub, as far as their libraries and keys are available."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpilot.config import Environment, Settings
from vmpilot.contract import Secret, Tool, read_proxies
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.github import GitHub
from vmpilot.tools.web import GoogleAccount, WebFetch, WebSearch


@dataclass(frozen=True, slots=True)
class OnlineTools:
    """`tools` can be used; `missing` has the names of the others with the reason and what to do."""

    tools: tuple[Tool, ...]
    missing: Mapping[str, str]


def online_tools(settings: Settings, environment: Environment, workspace: Workspace) -> OnlineTools:
    """The tools for the web and for GitHub. Imports none of their libraries."""
    variables = environment.variables
    certificates = variables.get("SSL_CERT_FILE")
    wire: dict[str, Any] = {
        "proxies": read_proxies(variables),
        "certificates": Path(certificates) if certificates else None,
    }
    key, engine = variables.get("GOOGLE_API_KEY"), variables.get("GOOGLE_CSE_ID")
    google = GoogleAccount(Secret(key), engine) if key and engine else None
    token = Secret(variables["GITHUB_TOKEN"]) if variables.get("GITHUB_TOKEN") else None
    reasons = {
        "web_search": WebSearch.unavailable_reason(google),
        "web_fetch": WebFetch.unavailable_reason(),
        "github": GitHub.unavailable_reason(token, settings.github_url),
    }
    tools: list[Tool] = []
    if reasons["web_search"] is None:
        tools.append(WebSearch(google=google, **wire))
    if reasons["web_fetch"] is None:
        tools.append(WebFetch(**wire))
    if reasons["github"] is None and token is not None:
        tools.append(GitHub(workspace, token=token, api_url=settings.github_url, **wire))
    return OnlineTools(tuple(tools), {name: reason for name, reason in reasons.items() if reason is not None})
