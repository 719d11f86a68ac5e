"""Backends out of a document's blocks, installed for a test as far as importlib.metadata can tell."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.contract import Event
from vmpilot.testing import ScriptedServer

DOCS = Path(__file__).parents[2] / "vmpilot-core/docs"

AgentMaker: TypeAlias = Callable[..., Agent]
Installer: TypeAlias = Callable[[Mapping[str, str]], None]


@pytest.fixture
def read_blocks() -> Callable[..., list[str]]:
    """Gives the code blocks of a document in `vmpilot-core/docs`, in their order."""

    def read(document: str, language: str = "python") -> list[str]:
        text = (DOCS / document).read_text(encoding="utf-8")
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)

    return read


@pytest.fixture
def install_backend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Installer]:
    """Installs modules as a distribution whose entry point `mine` is `my_backend`; undone after the test."""
    site = tmp_path / "site"
    before = set(sys.modules)

    def install(modules: Mapping[str, str]) -> None:
        metadata = site / "vmpilot_backend_mine-0.1.0.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: vmpilot-backend-mine\nVersion: 0.1.0\n")
        (metadata / "entry_points.txt").write_text("[vmpilot.backends]\nmine = my_backend\n")
        for name, code in modules.items():
            (site / f"{name}.py").write_text(code, encoding="utf-8")
        monkeypatch.syspath_prepend(site)

    yield install
    for name in set(sys.modules) - before:
        if name.startswith("my_"):
            del sys.modules[name]


@pytest.fixture
def make_agent(tmp_path: Path) -> AgentMaker:
    """Makes an agent with the backend `mine`, in mode full, without the settings of the developer."""

    def make(server: ScriptedServer, **settings: Any) -> Agent:
        (tmp_path / "work").mkdir(exist_ok=True)
        environment = Environment(
            {"PATH": "/usr/bin:/bin"}, tmp_path / "config", tmp_path / "data", tmp_path / "cache", "tester"
        )
        given = {"backend": "mine", "base_url": server.base_url, "model": "scripted", "mode": "full", **settings}
        return Agent(folder=tmp_path / "work", environment=environment, **given)

    return make


@pytest.fixture
def play() -> Callable[..., Any]:
    """Runs one turn of an agent to its end and gives its events."""

    async def run(agent: Agent, request: str = "Do it.") -> list[Event]:
        async with agent:
            return [event async for event in agent.run(request)]

    return run
