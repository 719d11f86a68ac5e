"""The read-only actions: lists of issues and pull requests, and single ones with their discussion."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

from vmpilot.tools.github._client import GitHubClient
from vmpilot.tools.github._formatting import (
    describe_body,
    describe_comments,
    describe_labels,
    describe_line,
    describe_login,
    describe_reviews,
    describe_state,
    describe_title,
)
from vmpilot.tools.github._models import ChangedFile, Comment, Found, Issue, PullRequest, Review, read
from vmpilot.tools.github._repository import Repository

DEFAULT_COUNT = 30
_PAGE = 100
"""GitHub's maximum."""
_MOST_EXAMINED = 500


async def list_issues(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Issues without pull requests, newest first."""
    if arguments.get("query"):
        return await _search(client, repository, arguments, kind="issue")
    count, state = arguments.get("count", DEFAULT_COUNT), arguments.get("state", "open")
    fields = {"state": state, "per_page": _PAGE}
    fields |= {"labels": ",".join(arguments["labels"])} if arguments.get("labels") else {}
    issues: list[Issue] = []
    examined = 0
    async with aclosing(client.getiter(f"{repository.path}/issues?{urlencode(fields)}")) as items:
        async for item in items:
            examined += 1
            issue = read(item, Issue)
            if issue.pull_request is None:
                issues.append(issue)
            if len(issues) > count or examined == _MOST_EXAMINED:
                break
    more = len(issues) > count or (examined == _MOST_EXAMINED and client.has_more)
    lines = [describe_line(issue) for issue in issues[:count]]
    return _listing(f"{repository}, issues ({state})", lines, "more exist" if more else "complete")


async def list_pull_requests(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """Pull requests, newest first."""
    if arguments.get("query"):
        return await _search(client, repository, arguments, kind="pr")
    count, state = arguments.get("count", DEFAULT_COUNT), arguments.get("state", "open")
    fields = {"state": state, "per_page": count}
    found = await client.getitem(f"{repository.path}/pulls?{urlencode(fields)}")
    lines = [describe_line(pull) for pull in read(found, tuple[PullRequest, ...])]
    counted = "more exist" if client.has_more else "complete"
    return _listing(f"{repository}, pull requests ({state})", lines, counted)


async def view_issue(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """One issue with its last comments."""
    number = arguments["number"]
    issue = read(await client.getitem(f"{repository.path}/issues/{number}"), Issue)
    facts = [f"by {describe_login(issue.user)}, {issue.created_at}, updated {issue.updated_at}", issue.html_url]
    if issue.labels:
        facts.append(f"Labels: {describe_labels(issue.labels)}")
    if issue.assignees:
        facts.append(f"Assigned to: {', '.join(map(describe_login, issue.assignees))}")
    if issue.pull_request is not None:
        facts.append("This is a pull request: view_pull_request shows more.")
    comments = await _comments(client, repository, number, issue.comments, arguments)
    head = f"{repository} issue #{issue.number} [{describe_state(issue)}] {describe_title(issue.title)}"
    return "\n".join((head, *facts, "", describe_body(issue.body), "", comments))


async def view_pull_request(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any]) -> str:
    """One pull request with its files, reviews and last comments."""
    number = arguments["number"]
    path = f"{repository.path}/pulls/{number}"
    pull = read(await client.getitem(path), PullRequest)
    files = read(await client.getitem(f"{path}/files?per_page={_PAGE}"), tuple[ChangedFile, ...])
    reviews = read(await client.getitem(f"{path}/reviews?per_page={_PAGE}"), tuple[Review, ...])
    comments = await _comments(client, repository, number, pull.comments, arguments)
    mergeable = {True: "can be merged", False: "has conflicts", None: "unknown whether it can be merged"}
    head = f"{repository} pull request #{pull.number} [{describe_state(pull)}] {describe_title(pull.title)}"
    facts = [
        f"by {describe_login(pull.user)}, {pull.created_at}, updated {pull.updated_at}",
        pull.html_url,
        f"{pull.head.label or pull.head.ref} -> {pull.base.ref}; {pull.commits} commits, +{pull.additions} "
        f"-{pull.deletions}" + (f"; {mergeable[pull.mergeable]}" if pull.state == "open" else ""),
    ]
    changed = _describe_files(files, pull.changed_files)
    return "\n".join(
        (head, *facts, "", describe_body(pull.body), "", changed, "", describe_reviews(reviews), "", comments)
    )


async def _search(client: GitHubClient, repository: Repository, arguments: Mapping[str, Any], *, kind: str) -> str:
    count, state = arguments.get("count", DEFAULT_COUNT), arguments.get("state", "open")
    terms = [arguments["query"], f"repo:{repository}", f"is:{kind}"]
    if state != "all":
        terms.append(f"is:{state}")
    terms += (f'label:"{label}"' for label in arguments.get("labels", ()))
    found = read(await client.getitem(f"/search/issues?{urlencode({'q': ' '.join(terms), 'per_page': count})}"), Found)
    lines = [describe_line(issue) for issue in found.items]
    counted = f"{found.total_count:,} found" if found.total_count > len(lines) else "complete"
    return _listing(f"{repository}, search {' '.join(terms)!r}", lines, counted)


async def _comments(
    client: GitHubClient, repository: Repository, number: int, total: int, arguments: Mapping[str, Any]
) -> str:
    """The last `count` comments: GitHub lists them oldest first, so they are on the last two pages."""
    count = arguments.get("count", DEFAULT_COUNT)
    last = max(1, -(-total // count))
    found: tuple[Comment, ...] = ()
    for page in range(max(1, last - 1), last + 1) if total else ():
        address = f"{repository.path}/issues/{number}/comments?per_page={count}&page={page}"
        found += read(await client.getitem(address), tuple[Comment, ...])
    return describe_comments(found[-count:], total)


def _describe_files(files: tuple[ChangedFile, ...], total: int) -> str:
    lines = [f"{file.status} {describe_title(file.filename)} +{file.additions} -{file.deletions}" for file in files]
    more = f"\n(and {total - len(files)} more)" if total > len(files) else ""
    return f"Changed files ({max(total, len(files))}):\n" + "\n".join(lines) + more


def _listing(head: str, lines: list[str], counted: str) -> str:
    if not lines:
        looked = (
            "" if counted == "complete" else f" among the newest {_MOST_EXAMINED} entries, which are all pull requests"
        )
        return f"{head}: none{looked}."
    narrow = "" if counted == "complete" else "; narrow with `query`, `labels` or `state`, or increase `count`"
    return "\n".join((f"{head}: {len(lines)} shown, {counted}{narrow}.", *lines))
