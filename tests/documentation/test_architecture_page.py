"""`docs/architecture.md` matches the code: who imports whom, and which packages a request passes through."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import grimp
import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

PAGE = (Path(__file__).parents[2] / "vmpilot-core/docs/architecture.md").read_text(encoding="utf-8")
TRACER = Path(__file__).with_name("trace_packages.py")
BACKENDS = ("langchain", "litellm")


def test_the_import_table_matches_the_code() -> None:
    graph = grimp.build_graph(
        "vmpilot", *(f"vmpilot_backend_{name}" for name in BACKENDS), exclude_type_checking_imports=True
    )
    in_code: dict[str, set[str]] = {}
    for module in graph.modules:
        importers = in_code.setdefault(package_of(module), set())
        importers.update(package_of(imported) for imported in graph.find_modules_directly_imported_by(module))
    on_page = {
        row[1]: set(re.findall(r"`(\w+)`", row[2]))
        for row in re.finditer(r"^\| `(\w+)` \| ?(.*)\|$", PAGE, re.MULTILINE)
    }
    of_packages = {name: found - {name} for name, found in in_code.items() if name in on_page}
    assert on_page == of_packages
    assert in_code.keys() - on_page.keys() == {"vmpilot", "__main__", "installation"}  # single modules, not packages


def package_of(module: str) -> str:
    top, _, rest = module.partition(".")
    return rest.partition(".")[0] or top if top == "vmpilot" else top


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_request_passes_through_the_listed_packages(backend: str, tmp_path: Path) -> None:
    listed = {name.strip("*") for name in re.findall(r"^\d+\. (\*\*\w+\*\*)", PAGE, re.MULTILINE)}
    folder = tmp_path / "workspace"
    folder.mkdir()
    with ScriptedServer([Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),)), Reply("Nothing.")]) as server:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": os.fspath(tmp_path),
            "VMPILOT_BASE_URL": server.base_url,
            "VMPILOT_API_KEY": "no-secret",
        }
        command = [sys.executable, os.fspath(TRACER), "--backend", backend, "what fills this disk?"]
        traced = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True
        )
    answer, *modules = traced.stdout.splitlines()
    assert answer == "Nothing."
    passed = {package_of(module) for module in modules} - {"vmpilot", "installation"}
    assert {"backend" if name.startswith("vmpilot_backend_") else name for name in passed} == listed
