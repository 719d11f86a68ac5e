"""A workspace with traps in it, gates for it, and the option that makes the fuzz tests long."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from vmpilot.contract import RunsCommand
from vmpilot.permissions import Gate, Rules, Verdict

OUTSIDE_SECRET = "5ecret-of-the-machine"
INSIDE_SECRET = "5ecret-of-the-project"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz", type=int, default=500, help="lines that the gate is tried on beside bash")


@pytest.fixture(scope="session")
def fuzz_count(request: pytest.FixtureRequest) -> int:
    return int(request.config.getoption("--fuzz", default=500))


def make_workspace(place: Path) -> Path:
    """A folder to work in below `place`, with links that lead out of it to a place of secrets."""
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
    """Shared: nothing in these tests may change it."""
    return make_workspace(tmp_path_factory.mktemp("gate"))


class MakeGate(Protocol):
    def __call__(self, mode: str = "operate", *, confines: bool = True, **rules: list[str]) -> Gate: ...


@pytest.fixture
def make_gate(workspace: Path) -> MakeGate:
    def make(mode: str = "operate", *, confines: bool = True, **rules: list[str]) -> Gate:
        return Gate(mode, workspace=workspace, rules=Rules.read(**rules), confines=lambda: confines, home="/root")  # type: ignore[arg-type]

    return make


@pytest.fixture(scope="session")
def session_gate(workspace: Path) -> Gate:
    return Gate("operate", workspace=workspace, confines=lambda: True, home="/nonexistent")


@pytest.fixture
def decide(session_gate: Gate, workspace: Path) -> Callable[[str], Verdict]:
    """The verdict on a shell line in mode operate, in a sandbox, without rules."""
    return lambda line: session_gate.decide("shell", RunsCommand(line, workspace))
