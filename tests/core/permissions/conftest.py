"""A workspace with traps, policies for it, and the option that sets the length of the fuzz tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol, cast

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import Decision, Mode, PermissionPolicy, Rules

OUTSIDE_SECRET = "5ecret-of-the-machine"
INSIDE_SECRET = "5ecret-of-the-project"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=500, help="lines to compare with bash")


@pytest.fixture(scope="session")
def fuzz_count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fuzz", default=500))


def make_workspace(place: Path) -> Path:
    """A folder to work in below `place`, with links to a folder of secrets outside it."""
    root, secrets = place / "work", place / ".ssh"
    for folder in (
        root / "src",
        root / "sub" / ".git" / "hooks",
        root / ".git" / "hooks",
        root / ".vscode",
        root / "log",
        secrets,
    ):
        folder.mkdir(parents=True)
    (secrets / "id_rsa").write_text(OUTSIDE_SECRET)
    (place / "other.txt").write_text("other\n")
    for name in (".env", ".git/config"):
        (root / name).write_text(INSIDE_SECRET)
    for name in (
        "a.txt",
        "b.txt",
        "notes.txt",
        "README.md",
        "log/-o.log",
        "log/x.log",
        "src/a.py",
        "src/.envrc",
        "run.sh",
        "a",
        "b",
        "x",
        "y",
    ):
        (root / name).write_text("one two\nthree four\n")
    (root / "link").symlink_to(secrets / "id_rsa")
    (root / "src" / "l.txt").symlink_to(secrets / "id_rsa")
    (root / "folder_link").symlink_to(secrets)
    return root


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so tests must not change it."""
    return make_workspace(tmp_path_factory.mktemp("policy"))


class MakePolicy(Protocol):
    def __call__(self, mode: str = "operate", *, confines: bool = True, **rules: list[str]) -> PermissionPolicy: ...


@pytest.fixture
def make_policy(workspace: Path) -> MakePolicy:
    def make(mode: str = "operate", *, confines: bool = True, **rules: list[str]) -> PermissionPolicy:
        return PermissionPolicy(
            cast("Mode", mode), workspace=workspace, rules=Rules.read(**rules), confines=lambda: confines, home="/root"
        )

    return make


@pytest.fixture(scope="session")
def session_policy(workspace: Path) -> PermissionPolicy:
    return PermissionPolicy("operate", workspace=workspace, confines=lambda: True, home="/nonexistent")


@pytest.fixture
def decide(session_policy: PermissionPolicy, workspace: Path) -> Callable[[str], Decision]:
    """The decision on a shell line in mode operate, in a sandbox, without rules."""
    return lambda line: session_policy.decide("shell", RunsCommand(line, workspace))
