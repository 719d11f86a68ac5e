"""The used parts of GitHub's REST API: https://docs.github.com/rest."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from vmpilot.contract import ToolError

T = TypeVar("T")


class User(msgspec.Struct, frozen=True):
    login: str


class Label(msgspec.Struct, frozen=True):
    name: str


class Issue(msgspec.Struct, frozen=True):
    """An issue, or in lists a pull request (then `pull_request` is not None)."""

    number: int
    title: str
    state: str
    html_url: str
    created_at: str
    updated_at: str
    node_id: str = ""
    user: User | None = None
    body: str | None = None
    labels: tuple[Label | str, ...] = ()
    assignees: tuple[User, ...] = ()
    comments: int = 0
    pull_request: dict[str, Any] | None = None


class Comment(msgspec.Struct, frozen=True):
    created_at: str
    user: User | None = None
    body: str | None = None


class Review(msgspec.Struct, frozen=True):
    state: str
    user: User | None = None
    body: str | None = None


class Branch(msgspec.Struct, frozen=True):
    ref: str
    label: str = ""


class PullRequest(msgspec.Struct, frozen=True):
    number: int
    title: str
    state: str
    html_url: str
    created_at: str
    updated_at: str
    head: Branch
    base: Branch
    user: User | None = None
    body: str | None = None
    draft: bool | None = False
    merged: bool = False
    merged_at: str | None = None
    mergeable: bool | None = None
    comments: int = 0
    commits: int = 0
    additions: int = 0
    deletions: int = 0
    changed_files: int = 0


class ChangedFile(msgspec.Struct, frozen=True):
    filename: str
    status: str
    additions: int
    deletions: int


class RepositoryFacts(msgspec.Struct, frozen=True):
    default_branch: str
    node_id: str = ""


class Commit(msgspec.Struct, frozen=True):
    sha: str


class Reference(msgspec.Struct, frozen=True):
    """The commit that a branch points to."""

    object: Commit


class Created(msgspec.Struct, frozen=True):
    """Something that was created."""

    html_url: str
    number: int = 0


class Found(msgspec.Struct, frozen=True):
    """A page of search results, of `total_count` in all."""

    total_count: int
    items: tuple[Issue, ...]


def read(data: object, kind: type[T]) -> T:
    """The response as this type. Raises `ToolError`."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise ToolError(
            f"Unexpected response from GitHub ({error}). The user has to check the API's address."
        ) from error
