"""The actions that create issues, pull requests and comments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vmpilot.tools.github._client import GitHubClient
from vmpilot.tools.github._models import Created, RepositoryFacts, read
from vmpilot.tools.github._repository import Repository


async def create_issue(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Create an issue."""
    data = {name: arguments[name] for name in ("title", "body", "labels") if name in arguments}
    made = read(await client.post(f"{repository.path}/issues", data=data), Created)
    return f"Created issue #{made.number} in {repository}: {made.html_url}"


async def create_pull_request(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Create a pull request, into the default branch unless another is given."""
    base = arguments.get("base") or await default_branch(client, repository)
    data = {name: arguments[name] for name in ("title", "body", "head", "draft") if name in arguments} | {"base": base}
    made = read(await client.post(f"{repository.path}/pulls", data=data), Created)
    return f"Created pull request #{made.number} in {repository}, {arguments['head']} -> {base}: {made.html_url}"


async def comment(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Comment on an issue or a pull request, which are the same to GitHub here."""
    path = f"{repository.path}/issues/{arguments['number']}/comments"
    made = read(await client.post(path, data={"body": arguments["body"]}), Created)
    return f"Commented on #{arguments['number']} in {repository}: {made.html_url}"


async def default_branch(client: GitHubClient, repository: Repository) -> str:
    return read(await client.getitem(repository.path), RepositoryFacts).default_branch
