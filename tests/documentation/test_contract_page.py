"""`docs/contract.md` matches the code: each exported name with its fields, types, defaults and signature."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from msgspec import Struct

from vmpilot import contract, providers
from vmpilot.contract import Event, Finish, VMPilotError, errors, events

ROOT = Path(__file__).parents[2]
SOURCES = [ROOT / "vmpilot-core/src/vmpilot" / package for package in ("contract", "providers")]
EXPORTED = {*contract.__all__, *providers.__all__}
PAGE = (ROOT / "vmpilot-core/docs/contract.md").read_text(encoding="utf-8")
STUBS = re.compile(r"^```pyi\n(.*?)^```$", re.DOTALL | re.MULTILINE)
GRAMMAR = re.compile(r"^```text\n(turn +=.*?)^```$", re.DOTALL | re.MULTILINE)
MARKS = {"property", "classmethod", "contextmanager"}
HOOKS = {"generate_responses", "describe_backend", "describe_model", "provide_tools"}


def describe(node: ast.stmt) -> str | None:
    """The normalized signature of a statement, without body, docstring and private parts; None if it has none."""
    match node:
        case ast.ClassDef():
            parts = [text for part in node.body if (text := describe(part)) is not None]
            bases = [ast.unparse(base).removeprefix("msgspec.") for base in node.bases]
            bases += [ast.unparse(word) for word in node.keywords if word.arg == "tag"]
            head = f"class {node.name}({', '.join(bases)}):" if bases else f"class {node.name}:"
            return "\n    ".join([head, *("\n".join(parts) or "...").splitlines()])
        case ast.FunctionDef() | ast.AsyncFunctionDef() if is_public(node):
            signature = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns) if node.returns else None}: ..."
            word = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
            marks = [
                f"@{mark}" for mark in map(ast.unparse, node.decorator_list) if mark in MARKS or "hookspec" in mark
            ]
            return "\n".join([*marks, f"{word} {node.name}{signature}"])
        case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]) if name[0] != "_":
            return ast.unparse(node)
    return None


def is_public(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return node.name == "__init__" or not node.name.startswith("_")


def named(nodes: list[ast.stmt]) -> Iterator[tuple[str, str]]:
    for node in nodes:
        text = describe(node)
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                pass
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                pass
            case _:
                continue
        if text is not None:
            yield name, text


def in_code() -> dict[str, str]:
    """The exported names and the hooks."""
    wanted = EXPORTED | HOOKS
    found: dict[str, str] = {}
    for path in sorted(path for folder in SOURCES for path in folder.glob("*.py")):
        nodes = ast.parse(path.read_text(encoding="utf-8")).body
        found |= {name: text for name, text in named(nodes) if name in wanted}
    return found


def on_page() -> dict[str, str]:
    return dict(named([node for block in STUBS.findall(PAGE) for node in ast.parse(block).body]))


IN_CODE, ON_PAGE = in_code(), on_page()


def test_every_exported_name_is_checked() -> None:
    assert set(IN_CODE) == EXPORTED | HOOKS


@pytest.mark.parametrize("name", sorted(IN_CODE.keys() | ON_PAGE.keys()))
def test_page_matches_the_code(name: str) -> None:
    assert ON_PAGE.get(name) == IN_CODE.get(name), f"contract.md must say:\n{IN_CODE.get(name)}"


def test_every_struct_is_frozen() -> None:
    structs = [
        value
        for value in (*vars(contract).values(), *vars(providers).values())
        if isinstance(value, type) and issubclass(value, Struct)
    ]
    assert structs
    assert not [struct for struct in structs if not struct.__struct_config__.frozen]


def test_grammar_matches_the_code_and_has_every_event() -> None:
    found = GRAMMAR.search(PAGE)
    assert found is not None
    assert found[1] in textwrap.dedent(events.__doc__ or "").replace("    turn ", "turn ").replace("\n    ", "\n")
    names = {event.__name__ for event in get_args(Event)} - {"HistoryImported"}
    assert set(re.findall(r"[A-Z]\w+", found[1])) == names


def test_table_of_errors_matches_the_classes() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d) \| (yes|no) \|", PAGE, re.MULTILINE)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VMPilotError)]
    assert rows == [(kind.__name__, str(kind.exit_code), "yes" if kind.retryable else "no") for kind in kinds]


def test_table_of_ends_is_complete() -> None:
    table = PAGE.partition("### Ends")[2].partition("##")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)[1:] == list(get_args(Finish))
