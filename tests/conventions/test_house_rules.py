"""Conventions of this project that no linter checks."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "vmpilot-core": "vmpilot",
    "vmpilot-backend-langchain": "vmpilot_backend_langchain",
    "vmpilot-backend-litellm": "vmpilot_backend_litellm",
}
SOURCES = sorted(path for package in PACKAGES for path in (ROOT / package / "src").rglob("*.py"))

ENVIRONMENT_READERS = {
    "vmpilot/config/_environment.py",
    "vmpilot/scaffold/template",  # a third party's, which knows where its providers' keys are
    "vmpilot_backend_litellm/library.py",  # writes: LiteLLM can be kept off the network in no other way
}


FOLDER_CHANGERS = {
    "vmpilot/machine/processes/supervisor_program.py"
}  # a separate program, which changes to the folder of its command


def name_of(path: Path) -> str:
    return path.as_posix().split("/src/")[1]


def attributes(path: Path) -> Iterator[str]:
    """All `name.attribute` in a module, and the names imported from modules."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_only_the_configuration_reads_the_environment() -> None:
    readers = {name_of(path) for path in SOURCES if {"os.environ", "os.getenv", "os.environb"} & set(attributes(path))}
    assert readers == ENVIRONMENT_READERS


def test_nothing_changes_the_working_folder() -> None:
    changes = {"os.chdir", "os.fchdir", "contextlib.chdir"}
    assert {name_of(path) for path in SOURCES if changes & set(attributes(path))} == FOLDER_CHANGERS


def test_every_module_says_what_it_is() -> None:
    assert not [
        name_of(path)
        for path in SOURCES
        if path.read_text(encoding="utf-8").strip()
        and not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]


@pytest.mark.parametrize("package", PACKAGES.values())
def test_importing_a_package_prints_and_makes_nothing(package: str, tmp_path: Path) -> None:
    code = f"import pkgutil, importlib, {package}\n" + (
        "import sys\n"
        f"for module in pkgutil.walk_packages({package}.__path__, '{package}.'):\n"
        "    if not module.name.endswith('__main__'):\n"
        "        importlib.import_module(module.name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env={"HOME": str(tmp_path)}, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, b""), done.stderr
    assert not list(tmp_path.iterdir())


def test_the_top_level_holds_what_belongs_there() -> None:
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    visible = {path.split("/")[0] for path in tracked if not path.startswith(".")}
    folders = {*PACKAGES, "tests", "scripts", "bench"}
    assert visible <= folders | {"noxfile.py", "README.md", "LICENSE", "CONTRIBUTING.md", "pyproject.toml"}
