"""All commands that a shell line holds, wherever they stand: for rules that forbid. It approves nothing.

Commands in substitutions, groups, loops, functions and here-documents count, and those behind wrappers and in text that
is handed to a shell. `opaque` says that the line may run something that cannot be read from it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from vmpilot.policy.line import Word
from vmpilot.policy.reading_programs import CHANGING_PROGRAMS, PROGRAMS
from vmpilot.policy.shfmt_reader import Syntax
from vmpilot.policy.wrappers import (
    Argv,
    found_commands,
    program_name,
    shell_script,
    wrapped_command,
)

FOUND_LIMIT = 2_000
"""Commands and readings of commands; a line with more is opaque."""
_DEPTH_LIMIT = 200
_SCRIPT_DEPTH = 3
_SCRIPTED = frozenset({"awk", "gawk", "mawk", "nawk", "sed"})
"""What the tables do not know of these may run anything."""
_EXPANDING = re.compile(r"[*?]|\[(?=.)|\{(?!\})|^~|[=:]~")
_ESCAPE = re.compile(r"\\(.|\n)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r'\\([$`"\\\n])')
_SEPARATORS = re.compile(r"[\s;|&()=,]+")


@dataclass(slots=True)
class Found:
    """`certain` commands run if the line does; `possible` ones may, as arguments of a program that is not known."""

    certain: list[Argv] = field(default_factory=list)
    possible: list[Argv] = field(default_factory=list)
    opaque: bool = False

    @property
    def full(self) -> bool:
        """Whether there is more than is looked at."""
        return len(self.certain) + len(self.possible) > FOUND_LIMIT


def find_commands(syntax: Syntax, parse: Callable[[str], Syntax | None]) -> Found:
    """The commands of a line; `parse` is used for scripts within it and may raise what it likes."""
    found = Found()
    _Search(found, parse).search(syntax, 0)
    return found


class _Search:
    def __init__(self, found: Found, parse: Callable[[str], Syntax | None]) -> None:
        self._found = found
        self._parse = parse

    def search(self, syntax: Syntax, scripts: int) -> None:
        """Find what is in the tree; `scripts` is how many texts handed to shells stand around it."""
        for node in _nodes(syntax, self._found):
            match node.get("Type"):
                case "CallExpr" if node.get("Args"):
                    self._add(tuple(_text(word) for word in node["Args"]), scripts)
                case "DeclClause":
                    self._add(((node.get("Variant") or {}).get("Value"),), scripts)

    def _add(self, argv: Argv, scripts: int) -> None:
        """Note the command, and what it runs in turn."""
        if self._found.full:
            self._found.opaque = True
            return
        self._found.certain.append(argv)
        name = argv[0]
        if name is None:
            self._found.opaque = True
            return
        self._read_script(argv, scripts)
        if (wrapped := wrapped_command(argv)) is not None:
            self._add(wrapped, scripts)
        if program_name(name) == "find":
            for command in found_commands(argv):
                self._add(command, scripts)
        elif not _is_known(argv):
            self._found.opaque |= program_name(name) in _SCRIPTED
            self._add_possible(argv)

    def _read_script(self, argv: Argv, scripts: int) -> None:
        is_script, code = shell_script(argv)
        if not is_script:
            return
        syntax = self._parse(code) if code is not None and scripts < _SCRIPT_DEPTH else None
        if syntax is None:
            self._found.opaque = True
        else:
            self.search(syntax, scripts + 1)

    def _add_possible(self, argv: Argv) -> None:
        """A program that is not known may run what stands among its arguments, also within one of them."""
        words: list[str | None] = []
        for word in argv[1:]:
            words += [word] if word is None else (_SEPARATORS.split(word) if word else [])
        for start in range(len(words)):
            if self._found.full:
                self._found.opaque = True
                return
            if words[start]:
                self._found.possible.append(tuple(words[start:]))


def _is_known(argv: Argv) -> bool:
    """Whether the tables say that the program, given this, runs nothing of what it is given."""
    if None in argv:
        return False
    name = program_name(argv[0] or "")
    words = [Word(word or "", "") for word in argv[1:]]
    return any(table[name].read(words) is not None for table in (PROGRAMS, CHANGING_PROGRAMS) if name in table)


def _nodes(syntax: Syntax, found: Found) -> Iterator[Syntax]:
    """All nodes of the tree, outer before inner."""
    waiting: list[tuple[object, int]] = [(syntax, 0)]
    while waiting:
        value, depth = waiting.pop()
        if depth > _DEPTH_LIMIT:
            found.opaque = True
            return
        if isinstance(value, dict):
            yield value
            waiting += [(inner, depth + 1) for inner in value.values() if isinstance(inner, dict | list)]
        elif isinstance(value, list):
            waiting += [(inner, depth) for inner in value]


def _text(word: Syntax) -> str | None:
    """The word as the program gets it; None where only the shell knows."""
    text = ""
    for part in word.get("Parts", ()):
        match part:
            case {"Type": "Lit", "Value": str(value)}:
                if _EXPANDING.search(_ESCAPE.sub("", value)):
                    return None
                text += _ESCAPE.sub(lambda match: match[1].strip("\n"), value)
            case {"Type": "SglQuoted"} if "Dollar" not in part:
                text += part.get("Value", "")
            case {"Type": "DblQuoted"} if "Dollar" not in part:
                for inner in part.get("Parts", ()):
                    if inner.get("Type") != "Lit":
                        return None
                    text += _QUOTED_ESCAPE.sub(lambda match: match[1].strip("\n"), inner.get("Value", ""))
            case _:
                return None
    return text
