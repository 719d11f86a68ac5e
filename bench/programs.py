"""The compared programs: VMPilot with each backend, and a bare loop that uses the same library."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

Output: TypeAlias = Literal["text", "jsonl"]

_BENCH = Path(__file__).parent
_VMPILOT = str(Path(sys.executable).with_name("vmpilot"))


@dataclass(frozen=True, slots=True)
class Program:
    """A column of the table. `backend` is VMPilot's, None for a bare loop; `beside` is the loop to compare with."""

    name: str
    backend: str | None = None
    beside: str | None = None

    @property
    def is_ours(self) -> bool:
        """Whether it is VMPilot, which has aims to meet."""
        return self.backend is not None

    def talk(self, base_url: str, requests: Sequence[str]) -> list[str]:
        """The command line that makes several consecutive requests in one conversation."""
        if self.backend is None:
            return [sys.executable, str(_BENCH / f"{self.name.replace(' ', '_')}.py"), base_url, *requests]
        return [sys.executable, str(_BENCH / "talk.py"), self.backend, base_url, *requests]

    def request(self, base_url: str, *, output: Output) -> list[str]:
        """The command line that makes a request to the model server. A bare loop always streams its text."""
        if self.backend is None:
            return self.talk(base_url, ["Go."])
        where = ["--backend", self.backend, "--base-url", base_url, "--model", "bench"]
        return [_VMPILOT, *where, "--mode", "full", "--max-steps", "300", "--output", output, "Go."]

    def help(self) -> list[str]:
        """The command line that only starts and ends: the help, or Python with an empty program for a bare loop."""
        return [sys.executable, "-c", "pass"] if self.backend is None else [_VMPILOT, "--help"]


PROGRAMS = (
    Program("bare stdlib"),
    Program("bare litellm"),
    Program("vmpilot litellm", backend="litellm", beside="bare litellm"),
    Program("bare langchain"),
    Program("vmpilot langchain", backend="langchain", beside="bare langchain"),
)


def make_environment(folder: Path) -> Mapping[str, str]:
    """The environment of every program: without the user's settings, with bytecode files."""
    return {
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "VMPILOT_API_KEY": "x",
        "VMPILOT_DATA_DIR": str(folder / "data"),
        "VMPILOT_CONFIG_DIR": str(folder / "config"),
    }
