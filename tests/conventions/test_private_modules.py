"""Modules whose names begin with an underscore belong to their package alone."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("vmpilot-core", "vmpilot-backend-langchain", "vmpilot-backend-litellm")


def sources() -> Iterator[tuple[str, Path]]:
    """The dotted name and the path of each module."""
    for package in PACKAGES:
        folder = ROOT / package / "src"
        for path in folder.rglob("*.py"):
            yield ".".join(path.relative_to(folder).with_suffix("").parts), path


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def owner(name: str) -> str | None:
    """The package of the private module that the name leads into, None if there is no such module."""
    parts = name.split(".")
    for at, part in enumerate(parts):
        if part.startswith("_") and not part.startswith("__"):
            module = Path(*parts[: at + 1])
            found = any(
                (ROOT / package / "src" / module).with_suffix(".py").exists()
                or (ROOT / package / "src" / module).is_dir()
                for package in PACKAGES
            )
            return ".".join(parts[:at]) if found else None
    return None


def test_only_a_package_imports_its_private_modules() -> None:
    wrong = [
        f"{module} imports {name}"
        for module, path in sources()
        for name in imported(path)
        if (package := owner(name)) is not None and not f"{module}.".startswith(f"{package}.")
    ]
    assert wrong == []


def test_private_modules_are_recognized() -> None:
    assert owner("vmpilot.cli._main.main") == "vmpilot.cli"
    assert owner("vmpilot.cli.main") is None
    assert owner("vmpilot.cli.commands._no_such_module") is None
