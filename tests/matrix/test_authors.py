"""The steps of a backend author, in a fresh environment with plain pip; a generated and a foreign backend pass."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "tests/samples/pydantic_ai"
FOUND = [found for name in ("python3.11", "python3.12", "python3.13", "python3.14") if (found := shutil.which(name))]
PYTHONS = list(dict.fromkeys([FOUND[0], FOUND[-1]])) if FOUND else [sys.executable]
BACKENDS = ("my-engine", "pydantic-ai")

SCRIPT = """[
  {"type": "reply", "tool_calls": [{"name": "shell", "arguments": {"command": "printf works > effect.txt"}},
                                   {"name": "shell", "arguments": "{\\"command\\": "}]},
  {"type": "http_error", "status": 503, "message": "busy"},
  {"type": "reply", "text": "It is there."}
]"""


@dataclass(frozen=True)
class Author:
    """An author with an environment, in a folder with their package."""

    folder: Path

    @property
    def package(self) -> Path:
        return self.folder / "vmpilot-backend-my-engine"

    def run(self, program: str, *arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in its folder, without the settings of the developer."""
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder), "VMPILOT_DATA_DIR": str(self.folder / "data")}
        return subprocess.run(
            [self.folder / "venv/bin" / program, *arguments],
            cwd=self.folder,
            env={**own, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )


@pytest.fixture(scope="module", params=PYTHONS, ids=lambda python: Path(python).name)
def author(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Author:
    """The core, a backend created by `vmpilot backends new`, and the pydantic-ai sample, installed with plain pip."""
    author = Author(tmp_path_factory.mktemp("author"))
    subprocess.run([request.param, "-m", "venv", author.folder / "venv"], check=True)
    sample = shutil.copytree(SAMPLE, author.folder / "sample")
    for program, *arguments in (
        ("pip", "install", "-q", str(ROOT / "vmpilot-core")),
        ("vmpilot", "backends", "new", "my-engine"),
        ("pip", "install", "-q", f"{author.package}[test]"),
        ("pip", "install", "-q", str(sample)),
    ):
        done = author.run(program, *arguments)
        assert done.returncode == 0, done.stderr
    return author


@pytest.mark.parametrize("backend", BACKENDS)
def test_it_passes_all_levels_that_it_claims(backend: str, author: Author) -> None:
    done = author.run("vmpilot", "backends", "check", backend)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_new_packages_own_tests_pass(author: Author) -> None:
    done = author.run("python", "-m", "pytest", "-q", author.package)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("place", ["vmpilot-backend-my-engine", "sample"])
def test_its_types_are_strict(place: str, author: Author) -> None:
    sources = author.folder / place
    python, cache = author.folder / "venv/bin/python", author.folder / "mypy"
    command = [sys.executable, "-m", "mypy", "--strict", f"--cache-dir={cache}", f"--python-executable={python}"]
    modules = [path for path in sorted(sources.rglob("*.py")) if "build" not in path.parts]
    done = subprocess.run([*command, *modules], cwd=sources, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_request_is_answered(backend: str, author: Author) -> None:
    (author.folder / "script.json").write_text(SCRIPT)
    effect = author.folder / "effect.txt"
    effect.unlink(missing_ok=True)
    server = subprocess.Popen(
        [author.folder / "venv/bin/python", "-m", "vmpilot.testing.server", "--script", author.folder / "script.json"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    try:
        answer = author.run(
            "vmpilot", "--backend", backend, "--mode", "full", "make it",
            VMPILOT_BASE_URL=server.stdout.readline().strip(), VMPILOT_MODEL="scripted",
        )  # fmt: skip
    finally:
        server.terminate()
        served = server.wait(timeout=10)
        server.stdout.close()
    assert (answer.returncode, answer.stdout, served) == (0, "It is there.\n", 0), answer.stderr
    assert effect.read_text() == "works"


def test_the_backends_are_listed(author: Author) -> None:
    listed = author.run("vmpilot", "backends", "list", "--output", "json", VMPILOT_BACKEND="my-engine")
    assert listed.returncode == 0, listed.stderr
    assert [row["name"] for row in json.loads(listed.stdout)] == list(BACKENDS)
