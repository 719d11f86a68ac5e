"""The action that makes a branch for an issue, linked to it where GitHub can do that."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from gidgethub import BadRequest, GitHubException

from vmpilot.contract import ToolError
from vmpilot.tools.github.client import GitHubClient
from vmpilot.tools.github.models import Issue, Reference, RepositoryFacts, read
from vmpilot.tools.github.repository import Repository

_LONGEST_SLUG = 50
_REFUSED = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|\Z)|\A[-./]|[./]\Z|\A@\Z")
# https://docs.github.com/graphql/reference/mutations#createlinkedbranch
_LINK = """mutation ($issue: ID!, $oid: GitObjectID!, $name: String!, $repository: ID!) {
  createLinkedBranch(input: {issueId: $issue, oid: $oid, name: $name, repositoryId: $repository}) {
    linkedBranch { id }
  }
}"""


async def branch_from_issue(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """A branch `NUMBER-words-of-the-title`, or of a given name, from the default branch or a given one."""
    for field in ("base", "branch"):
        check_branch(arguments.get(field) or "main")
    issue = read(await client.getitem(f"{repository.path}/issues/{arguments['number']}"), Issue)
    if issue.pull_request is not None:
        raise ToolError(f"#{issue.number} is a pull request, which has a branch already: view_pull_request names it")
    facts = read(await client.getitem(repository.path), RepositoryFacts)
    base = arguments.get("base") or facts.default_branch
    name = arguments.get("branch") or name_branch(issue)
    if await _find(client, repository, name) is not None:
        return f"The branch {name} exists already in {repository}; nothing was changed. {_how_to_use(name)}"
    commit = await _find(client, repository, base)
    if commit is None:
        raise ToolError(f"There is no branch {base} in {repository} to begin from: give another `base`")
    linked = await _make_linked(client, name, commit, issue=issue, facts=facts)
    if not linked:
        data = {"ref": f"refs/heads/{name}", "sha": commit}
        read(await client.post(f"{repository.path}/git/refs", data=data), Reference)
    kind = "linked to" if linked else "not linked to (this GitHub or GITHUB_TOKEN cannot do that), but named after"
    made = f"Created the branch {name} in {repository} from {base} ({commit[:10]}), {kind} #{issue.number}."
    return f"{made} {_how_to_use(name)}"


def name_branch(issue: Issue) -> str:
    """The issue's number and the words of its title, in plain letters."""
    plain = unicodedata.normalize("NFKD", issue.title).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    slug = str(issue.number)
    for word in words:
        if len(slug) + len(word) >= _LONGEST_SLUG:
            break
        slug += f"-{word}"
    return slug


def check_branch(name: str) -> str:
    """The name, if git takes it (git-check-ref-format). Raises `ToolError`."""
    if not name or len(name) > 200 or _REFUSED.search(name):
        raise ToolError(f"{name[:200]!r} is no name that git takes for a branch")
    return name


async def _find(client: GitHubClient, repository: Repository, branch: str) -> str | None:
    """The commit that a branch points to, None where there is no such branch."""
    try:
        found = await client.getitem(f"{repository.path}/git/ref/heads/{quote(branch, safe='/')}", None)
    except BadRequest as error:
        if error.status_code == 404:
            return None
        raise
    return read(found, Reference).object.sha


async def _make_linked(client: GitHubClient, name: str, commit: str, *, issue: Issue, facts: RepositoryFacts) -> bool:
    """Whether GitHub made the branch. It does not say why it did not; the REST API, which is asked next, does."""
    fields = {"issue": issue.node_id, "oid": commit, "name": name, "repository": facts.node_id}
    try:
        made = await client.graphql(_LINK, endpoint=client.graphql_url, **fields)
        return made["createLinkedBranch"]["linkedBranch"] is not None
    except (GitHubException, KeyError, TypeError):
        return False


def _how_to_use(name: str) -> str:
    return f"To work on it: git fetch origin && git switch {name}"
