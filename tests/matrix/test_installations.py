"""Fresh environments, plain pip: each combination of our distributions and a third party's answers a request."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CORE, LANGCHAIN, LITELLM = "vmpilot-core", "vmpilot-backend-langchain", "vmpilot-backend-litellm"
ECHO = "tests/samples/echo"

PYTHONS = [found for name in ("python3.11", "python3.12", "python3.13", "python3.14") if (found := shutil.which(name))]
OLDEST, NEWEST = (PYTHONS[0], PYTHONS[-1]) if PYTHONS else (sys.executable, sys.executable)

SCRIPT = """[
  {"type": "reply", "tool_calls": [{"name": "shell", "arguments": {"command": "printf works > effect.txt"}}]},
  {"type": "reply", "text": "It is there."}
]"""


@dataclass(frozen=True)
class Combination:
    """The distributions to install, and the expected result."""

    packages: tuple[str, ...]
    backends: tuple[str, ...]
    chosen: str | None
    at_floors: bool = False


COMBINATIONS = {
    "core alone": Combination((CORE,), (), None),
    "litellm": Combination((CORE, LITELLM), ("litellm",), "litellm"),
    "langchain": Combination((CORE, LANGCHAIN), ("langchain",), "langchain"),
    "both": Combination((CORE, LANGCHAIN, LITELLM), ("langchain", "litellm"), "langchain"),
    "both and a third party's": Combination(
        (CORE, LANGCHAIN, LITELLM, ECHO), ("echo", "langchain", "litellm"), "langchain"
    ),
    "both at their floors": Combination(
        (CORE, LANGCHAIN, LITELLM), ("langchain", "litellm"), "langchain", at_floors=True
    ),
}


@dataclass(frozen=True)
class Installation:
    """An environment with one combination in it."""

    folder: Path
    combination: Combination

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run a program of the environment in its folder, without the settings of the developer."""
        variables = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "VMPILOT_DATA_DIR": str(self.folder / "data"),
            **variables,
        }
        program, *arguments = command
        return subprocess.run(
            [self.folder / "venv/bin" / program, *arguments],
            cwd=self.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our distributions and the sample, built once."""
    folder = tmp_path_factory.mktemp("wheels")
    sources = [str(ROOT / name) for name in (CORE, LANGCHAIN, LITELLM, ECHO)]
    subprocess.run([sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", folder, *sources], check=True)
    return folder


@pytest.fixture(
    scope="module",
    params=[(OLDEST, name) for name in COMBINATIONS] + ([(NEWEST, "both")] if NEWEST != OLDEST else []),
    ids=lambda parameter: f"{Path(parameter[0]).name}-{parameter[1]}",
)
def installation(
    request: pytest.FixtureRequest, wheels: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    python, name = request.param
    combination = COMBINATIONS[name]
    folder = tmp_path_factory.mktemp("installation")
    subprocess.run([python, "-m", "venv", folder / "venv"], check=True)
    files = [wheel for package in combination.packages for wheel in wheels.glob(f"{wheel_name(package)}-*.whl")]
    assert len(files) == len(combination.packages)
    constraints = folder / "constraints.txt"
    constraints.write_text("\n".join(read_floors(combination.packages)) if combination.at_floors else "")
    subprocess.run([folder / "venv/bin/pip", "install", "-q", "-c", constraints, *files], check=True)
    return Installation(folder, combination)


def read_floors(packages: Iterable[str]) -> Iterator[str]:
    """The minimum versions that the distributions declare, as constraints."""
    floors: dict[str, str] = {}
    for package in packages:
        project = tomllib.loads((ROOT / package / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        for dependency in project["dependencies"]:
            name, floor = re.findall(r"^([\w.-]+)[^>=]*[>=]=([\w.]+)", dependency)[0]
            floors[name] = max(floors.get(name, ""), floor)
    return (f"{name}=={floor}" for name, floor in floors.items() if not name.startswith("vmpilot"))


def wheel_name(package: str) -> str:
    """The prefix of the wheel's name."""
    return "*echo*" if package == ECHO else package.replace("-", "_")


def test_backends_are_listed(installation: Installation) -> None:
    listed = installation.run("vmpilot", "backends", "list")
    assert tuple(line.split()[0] for line in listed.stdout.splitlines()) == installation.combination.backends
    chosen = [line.split()[0] for line in listed.stdout.splitlines() if "chosen" in line]
    assert chosen == ([installation.combination.chosen] if installation.combination.chosen else [])
    assert listed.returncode == (0 if chosen else 5), listed.stderr


def test_neither_backend_installs_the_library_of_the_other(installation: Installation) -> None:
    for backend, library in {"langchain": "langchain", "litellm": "litellm"}.items():
        found = installation.run(
            "python", "-c", f"import importlib.util as u; print(u.find_spec('{library}') is not None)"
        )
        assert found.stdout.strip() == str(backend in installation.combination.backends)


def test_a_request_is_answered_by_each_backend(installation: Installation, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(SCRIPT)
    for backend in set(installation.combination.backends) - {"echo"}:
        effect = installation.folder / "effect.txt"
        effect.unlink(missing_ok=True)
        server = subprocess.Popen(
            [installation.folder / "venv/bin/python", "-m", "vmpilot.testing.server", "--script", script],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert server.stdout is not None
        try:
            answer = installation.run(
                "vmpilot", "--backend", backend, "--mode", "full", "make it",
                VMPILOT_BASE_URL=server.stdout.readline().strip(), VMPILOT_MODEL="scripted",
            )  # fmt: skip
        finally:
            server.terminate()
            server.wait(timeout=10)
            server.stdout.close()
        assert (answer.returncode, answer.stdout) == (0, "It is there.\n"), answer.stderr
        assert effect.read_text() == "works"


def test_without_a_backend_the_error_says_what_to_install(installation: Installation) -> None:
    if installation.combination.backends:
        answer = installation.run("vmpilot", "--backend", "nobody", "hello")
        assert "Installed backends: " in answer.stderr
    else:
        answer = installation.run("vmpilot", "hello")
        assert re.search(r"install .*vmpilot.backend.litellm", answer.stderr)
    assert answer.returncode == 5


def test_the_third_partys_backend_answers(installation: Installation) -> None:
    answer = installation.run("vmpilot", "--backend", "echo", "hello")
    if "echo" in installation.combination.backends:
        assert (answer.returncode, answer.stdout) == (0, "You said: hello\n"), answer.stderr
    else:
        assert answer.returncode == 5
