"""A server on loopback that speaks GitHub's API: one repository with issues, pull requests, comments and branches."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from tests.core.tools.web.conftest import USE, Site, head, run_site

from vmpilot.contract import Secret, ToolOutcome
from vmpilot.machine.workspace import Workspace
from vmpilot.tools.github import GitHub

TOKEN = "ghp_thisIsTheSecretOfTheTests0123456789"
NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
DAY = "2026-11-20T10:00:00Z"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass(frozen=True)
class Asked:
    """A request: `fields` are those of the query, `data` is the body."""

    method: str
    path: str
    fields: dict[str, str]
    data: Any
    authorization: str | None


@dataclass(frozen=True)
class Reply:
    value: Any
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


NOT_FOUND = Reply({"message": "Not Found", "documentation_url": "https://docs.github.com/rest"}, 404)


@dataclass
class Hub:
    """The state of GitHub, the requests it received, and those it rejects (`METHOD PATH` and the reply)."""

    site: Site
    base: str = ""
    issues: list[dict[str, Any]] = field(default_factory=list)
    pulls: list[dict[str, Any]] = field(default_factory=list)
    comments: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=lambda: {"main": COMMIT})
    links: bool = True
    asked: list[Asked] = field(default_factory=list)
    replies: dict[str, Reply] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.site.url(self.base)

    def add_issue(self, title: str, *, is_pull: bool = False, **more: Any) -> dict[str, Any]:
        number = len(self.issues) + 1
        issue = {
            "number": number,
            "node_id": f"I_{number}",
            "title": title,
            "state": "open",
            "html_url": f"https://github.com/octo/repo/issues/{number}",
            "created_at": DAY,
            "updated_at": DAY,
            "user": {"login": "ada", "id": 1},
            "body": f"Body of {title}",
            "labels": [],
            "assignees": [],
            "comments": 0,
        } | more
        if is_pull:
            issue["pull_request"] = {"url": "…"}
        self.issues.append(issue)
        return issue

    def add_comments(self, number: int, count: int) -> None:
        self.comments[number] = [
            {"user": {"login": "bob"}, "created_at": DAY, "body": f"Comment {each}", "html_url": "https://c"}
            for each in range(1, count + 1)
        ]
        self.issues[number - 1]["comments"] = count

    def add_pull(self, title: str, **more: Any) -> dict[str, Any]:
        issue = self.add_issue(title, is_pull=True)
        pull = {
            **issue,
            "head": {"ref": "topic", "label": "ada:topic"},
            "base": {"ref": "main", "label": "octo:main"},
            "draft": False,
            "merged": False,
            "mergeable": True,
            "commits": 2,
            "additions": 10,
            "deletions": 3,
            "changed_files": 1,
        } | more
        self.pulls.append(pull)
        return pull

    def answer(self, asked: Asked) -> Reply:
        if (reply := self.replies.get(f"{asked.method} {asked.path}")) is not None:
            return reply
        if asked.authorization != f"token {TOKEN}":
            return Reply({"message": "Bad credentials"}, 401)
        if asked.path == "/graphql":
            return self._link(asked.data["variables"])
        for pattern, answer in self._routes:
            if found := re.fullmatch(pattern, f"{asked.method} {asked.path}"):
                return answer(self, asked, *found.groups())
        return NOT_FOUND

    def _link(self, variables: dict[str, Any]) -> Reply:
        if not self.links:
            return Reply({"errors": [{"type": "undefinedField", "message": "Field 'createLinkedBranch' is unknown"}]})
        if variables["name"] in self.branches:
            return Reply({"data": {"createLinkedBranch": {"linkedBranch": None}}})
        self.branches[variables["name"]] = variables["oid"]
        return Reply({"data": {"createLinkedBranch": {"linkedBranch": {"id": "LB_1"}}}})

    def _list_issues(self, asked: Asked) -> Reply:
        wanted = set(filter(None, asked.fields.get("labels", "").split(",")))
        found = [
            issue
            for issue in reversed(self.issues)
            if asked.fields["state"] in {issue["state"], "all"}
            and wanted <= {label["name"] for label in issue["labels"]}
        ]
        return self._page(asked, found)

    def _page(self, asked: Asked, found: list[Any]) -> Reply:
        size, page = int(asked.fields.get("per_page", 30)), int(asked.fields.get("page", 1))
        query = "&".join(f"{name}={value}" for name, value in asked.fields.items() if name != "page")
        link = f'<{self.url}{asked.path}?{query}&page={page + 1}>; rel="next", <{self.url}>; rel="last"'
        more = {"link": link} if len(found) > page * size else {}
        return Reply(found[(page - 1) * size : page * size], headers=more)

    def _view_issue(self, _: Asked, number: str) -> Reply:
        return Reply(self.issues[int(number) - 1]) if int(number) <= len(self.issues) else NOT_FOUND

    def _create_issue(self, asked: Asked) -> Reply:
        labels = [{"name": label} for label in asked.data.get("labels", [])]
        return Reply(self.add_issue(**asked.data | {"labels": labels}), 201)

    def _list_comments(self, asked: Asked, number: str) -> Reply:
        return self._page(asked, self.comments.get(int(number), []))

    def _comment(self, asked: Asked, number: str) -> Reply:
        made = {"user": {"login": "me"}, "created_at": DAY, "html_url": f"https://github.com/octo/repo#c{number}"}
        self.comments.setdefault(int(number), []).append(made | asked.data)
        return Reply(made | asked.data, 201)

    def _list_pulls(self, asked: Asked) -> Reply:
        return self._page(asked, list(reversed(self.pulls)))

    def _create_pull(self, asked: Asked) -> Reply:
        return Reply(self.add_pull(asked.data["title"]), 201)

    def _view_pull(self, _: Asked, number: str) -> Reply:
        return Reply(next((pull for pull in self.pulls if pull["number"] == int(number)), NOT_FOUND.value))

    def _view_reference(self, _: Asked, name: str) -> Reply:
        commit = self.branches.get(unquote(name))
        return Reply({"ref": f"refs/heads/{name}", "object": {"sha": commit}}) if commit else NOT_FOUND

    def _create_reference(self, asked: Asked) -> Reply:
        self.branches[asked.data["ref"].removeprefix("refs/heads/")] = asked.data["sha"]
        return Reply({"ref": asked.data["ref"], "object": {"sha": asked.data["sha"]}}, 201)

    _routes: tuple[tuple[str, Callable[..., Reply]], ...] = (
        (r"GET /repos/octo/repo", lambda hub, asked: Reply({"default_branch": "main", "node_id": "R_1"})),
        (r"GET /repos/octo/repo/issues", _list_issues),
        (r"POST /repos/octo/repo/issues", _create_issue),
        (r"GET /repos/octo/repo/issues/(\d+)", _view_issue),
        (r"GET /repos/octo/repo/issues/(\d+)/comments", _list_comments),
        (r"POST /repos/octo/repo/issues/(\d+)/comments", _comment),
        (r"GET /repos/octo/repo/pulls", _list_pulls),
        (r"POST /repos/octo/repo/pulls", _create_pull),
        (r"GET /repos/octo/repo/pulls/(\d+)", _view_pull),
        (r"GET /repos/octo/repo/git/ref/heads/(.+)", _view_reference),
        (r"POST /repos/octo/repo/git/refs", _create_reference),
    )


@pytest.fixture
async def hub() -> AsyncIterator[Hub]:
    async for site in run_site(None):
        yield make_hub(site)


def make_hub(site: Site, base: str = "") -> Hub:
    hub = Hub(site, base)

    async def answer(seen: Any, writer: Any) -> None:
        parts = urlsplit(seen.target)
        asked = Asked(
            seen.method,
            parts.path.removeprefix(base),
            {name: values[0] for name, values in parse_qs(parts.query).items()},
            json.loads(seen.body) if seen.body else None,
            seen.headers.get("authorization"),
        )
        hub.asked.append(asked)
        reply = hub.answer(asked)
        text = reply.value if isinstance(reply.value, str) else json.dumps(reply.value)
        headers = {"content-type": "application/json; charset=utf-8", "content-length": str(len(text.encode()))}
        writer.write(head(reply.status, headers | reply.headers) + text.encode())

    site.fallback = answer
    return hub


@dataclass
class Caller:
    """The tool in a folder, for one GitHub."""

    folder: Path
    url: str

    @property
    def tool(self) -> GitHub:
        return GitHub(Workspace(self.folder), token=Secret(TOKEN), api_url=self.url, now=lambda: NOW)

    async def __call__(self, action: str, *, repository: str = "octo/repo", **more: Any) -> ToolOutcome:
        return await self.tool.run({"action": action, "repository": repository, **more}, USE)


@pytest.fixture
def call(tmp_path: Path, hub: Hub) -> Caller:
    return Caller(tmp_path, hub.url)
