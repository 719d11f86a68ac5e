"""The actions that create issues, pull requests, comments and branches; a branch is linked to its issue if possible."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gidgethub import BadRequest, GitHubException

from vmpilot.contract import ToolError
from vmpilot.tools.github._client import GitHubClient
from vmpilot.tools.github._models import Created, Issue, Reference, RepositoryFacts, read
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
    """Comment on an issue or a pull request, which GitHub treats alike here."""
    path = f"{repository.path}/issues/{arguments['number']}/comments"
    made = read(await client.post(path, data={"body": arguments["body"]}), Created)
    return f"Commented on #{arguments['number']} in {repository}: {made.html_url}"


async def default_branch(client: GitHubClient, repository: Repository) -> str:
    return read(await client.getitem(repository.path), RepositoryFacts).default_branch


_LONGEST_SLUG = 50
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|\A[-./]|[./]\Z|\A@\Z")
# https://docs.github.com/graphql/reference/mutations#createlinkedbranch
_LINK = """mutation ($issue: ID!, $oid: GitObjectID!, $name: String!, $repository: ID!) {
  createLinkedBranch(input: {issueId: $issue, oid: $oid, name: $name, repositoryId: $repository}) {
    linkedBranch { id }
  }
}"""


async def branch_from_issue(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Create the branch `NUMBER-words-of-the-title`, or of a given name, from the default branch or a given one."""
    for field in ("base", "branch"):
        check_branch(arguments.get(field) or "main")
    issue = read(await client.getitem(f"{repository.path}/issues/{arguments['number']}"), Issue)
    if issue.pull_request is not None:
        raise ToolError(f"#{issue.number} is a pull request, which already has a branch; see view_pull_request.")
    facts = read(await client.getitem(repository.path), RepositoryFacts)
    base = arguments.get("base") or facts.default_branch
    name = arguments.get("branch") or name_branch(issue)
    usage = f"To work on it: git fetch origin && git switch {name}"
    if await _find(client, repository, name) is not None:
        return f"The branch {name} already exists in {repository}; nothing was changed. {usage}"
    commit = await _find(client, repository, base)
    if commit is None:
        raise ToolError(f"The branch {base} does not exist in {repository}; choose another `base`.")
    linked = await _make_linked(client, name, commit, issue=issue, facts=facts)
    if not linked:
        data = {"ref": f"refs/heads/{name}", "sha": commit}
        read(await client.post(f"{repository.path}/git/refs", data=data), Reference)
    kind = "linked to" if linked else "not linked to (this GitHub or GITHUB_TOKEN cannot do that), but named after"
    return f"Created branch {name} in {repository} from {base} ({commit[:10]}), {kind} #{issue.number}. {usage}"


def name_branch(issue: Issue) -> str:
    """The issue's number and the words of its title, in ASCII."""
    plain = unicodedata.normalize("NFKD", issue.title).encode("ascii", "ignore").decode().lower()
    slug = str(issue.number)
    for word in re.findall(r"[a-z0-9]+", plain):
        if len(slug) + len(word) >= _LONGEST_SLUG:
            break
        slug += f"-{word}"
    return slug


def check_branch(name: str) -> str:
    """The name, if it is valid (git-check-ref-format). Raises `ToolError`."""
    if not name or len(name) > 200 or _REFUSED.search(name):
        raise ToolError(f"Invalid branch name: {name[:200]!r}")
    return name


async def _find(client: GitHubClient, repository: Repository, branch: str) -> str | None:
    """The commit of a branch, or None if the branch does not exist."""
    try:
        found = await client.getitem(f"{repository.path}/git/ref/heads/{quote(branch, safe='/')}", None)
    except BadRequest as error:
        if error.status_code == 404:
            return None
        raise
    return read(found, Reference).object.sha


async def _make_linked(client: GitHubClient, name: str, commit: str, *, issue: Issue, facts: RepositoryFacts) -> bool:
    """Whether GitHub created the branch. It does not explain failures; the REST API, which is called next, does."""
    fields = {"issue": issue.node_id, "oid": commit, "name": name, "repository": facts.node_id}
    try:
        made = await client.graphql(_LINK, endpoint=client.graphql_url, **fields)
        return made["createLinkedBranch"]["linkedBranch"] is not None
    except (GitHubException, KeyError, TypeError):
        return False
