"""The read-only actions: lists of issues and pull requests, and single ones with their discussion.

The texts are for the model and state how much was cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import aclosing
from typing import Any
from urllib.parse import urlencode

from vmpilot.tools.github._client import GitHubClient
from vmpilot.tools.github._models import ChangedFile, Comment, Found, Issue, Label, PullRequest, Review, User, read
from vmpilot.tools.github._repository import Repository
from vmpilot.tools.web.content import clean

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


LONGEST_BODY = 10_000
LONGEST_COMMENT = 3_000
_LONGEST_TITLE = 300


def describe_login(user: User | None) -> str:
    """A deleted account has no user."""
    return f"@{user.login}" if user else "a deleted account"


def describe_line(item: Issue | PullRequest) -> str:
    """An issue or pull request as one line of a list."""
    facts = [f"by {describe_login(item.user)}", f"updated {item.updated_at[:10]}"]
    if isinstance(item, PullRequest):
        facts.append(f"{item.head.label or item.head.ref} -> {item.base.ref}")
    else:
        if item.labels:
            facts.append(f"labels: {describe_labels(item.labels)}")
        facts.append(f"{item.comments} comments")
    return f"#{item.number} [{describe_state(item)}] {describe_title(item.title)} ({', '.join(facts)})"


def describe_state(item: Issue | PullRequest) -> str:
    if isinstance(item, PullRequest):
        if item.merged or item.merged_at:
            return "merged"
        return "draft" if item.draft and item.state == "open" else item.state
    return item.state


def describe_title(title: str) -> str:
    return " ".join(clean(title).split())[:_LONGEST_TITLE]


def describe_labels(labels: Iterable[Label | str]) -> str:
    return ", ".join(label if isinstance(label, str) else label.name for label in labels)


def describe_body(body: str | None, *, longest: int = LONGEST_BODY) -> str:
    """A body; only the start of a long one."""
    text = clean(body or "")
    if not text:
        return "(no text)"
    over = len(text) - longest
    return f"{text[:longest]}\n[… {over:,} characters cut …]" if over > 0 else text


def describe_comments(comments: Sequence[Comment], total: int) -> str:
    """The last comments of `total`, newest last."""
    if not comments:
        return "No comments."
    first = max(total, len(comments)) - len(comments) + 1
    counted = f"Comments {first} to {max(total, len(comments))} of {max(total, len(comments))}:"
    texts = [
        f"--- {describe_login(comment.user)}, {comment.created_at}\n"
        f"{describe_body(comment.body, longest=LONGEST_COMMENT)}"
        for comment in comments
    ]
    return "\n".join((counted, *texts))


def describe_reviews(reviews: Sequence[Review]) -> str:
    """The reviews with a text or a decision."""
    said = [review for review in reviews if review.body or review.state != "COMMENTED"]
    if not said:
        return "No reviews."
    texts = [
        f"--- {describe_login(review.user)}: {review.state.lower()}\n"
        + (describe_body(review.body, longest=LONGEST_COMMENT) if review.body else "")
        for review in said
    ]
    return "\n".join(("Reviews:", *texts)).rstrip()
