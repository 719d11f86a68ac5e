"""All commands anywhere in a shell line, for rules that deny or ask. It approves nothing.

Commands in substitutions, groups, loops, functions and here-documents count, and so do those behind wrappers and in
text that is passed to a shell. A construct that is not named here, or that evaluates text as code or arithmetic, makes
the line opaque.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from vmpilot.contract.invisible import escape_invisible
from vmpilot.permissions.inert_commands import runs_nothing_else
from vmpilot.permissions.shfmt_parser import Syntax
from vmpilot.permissions.wrappers import (
    Argv,
    Hole,
    Shell,
    found_commands,
    may_assign,
    may_export,
    name_of,
    shell_script,
    wrapped_command,
)

FOUND_LIMIT = 2_000
"""Commands; a line with more is opaque."""
_DEPTH_LIMIT = 200
_SCRIPT_DEPTH = 3
_EXPANDING = re.compile(r"[*?\[{]|^~|[=:]~")
_NOT_EXPANDED = frozenset({"[", "{}"})
_ESCAPE = re.compile(r"\\(.|\n)", re.DOTALL)
_QUOTED_ESCAPE = re.compile(r'\\([$`"\\\n])')
_SEPARATORS = re.compile(r"[\s;|&()=,]+")
_FUNCTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INTEGER = re.compile(r"[+-]?\d+")
_NUMBERS = frozenset({"?", "#", "$", "!"})
"""Parameters whose value is a number."""
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_./:@%+,=*? #^-]*")
"""Text in an expansion that means the same within double quotes and without."""
_ENDS_PATTERN = re.compile(r"[\s;&|<>()\\]")
_TRANSFORMATIONS = frozenset("QUuLE")
_EXPANSIONS = frozenset({":-", "-", ":+", "+", ":?", "?", ":=", "=", "#", "##", "%", "%%", "^", "^^", ",", ",,"})
_STRING_TESTS = frozenset({"==", "=", "!=", "=~", "<", ">", "&&", "||", "-nt", "-ot", "-ef"})
_FILE_TESTS = frozenset(f"-{letter}" for letter in "abcdefghknoprstuwxzGLNOS") | {"!"}
_INTEGER_TESTS = frozenset({"-eq", "-ne", "-lt", "-le", "-gt", "-ge"})
_ARRAY_MAKERS = frozenset({"mapfile", "read", "readarray"})
_TOO_MANY = "it has too many commands"
_SETS_VARIABLE = "it sets a variable that may change what runs"
_EVALUATES = "it evaluates text as arithmetic, which can run commands"
_DECLARED = re.compile(r"-[xrg]+|--")

Read = Callable[[str, Shell], "tuple[Syntax, ...] | None"]
"""Parses a script with several parsers; None if one of them cannot. May raise anything."""


@dataclass(slots=True)
class Found:
    """`certain` commands run if the line does; `possible` ones may, as arguments of an unknown program.

    `unknown` are commands whose program may run others. `opaque` says why it is uncertain what the line runs, None if
    it is certain. `makes_arrays` and `declares_unknown` are harmless alone, but not together.
    """

    certain: list[Argv] = field(default_factory=list)
    possible: list[Argv] = field(default_factory=list)
    unknown: list[Argv] = field(default_factory=list)
    opaque: str | None = None
    makes_arrays: bool = False
    declares_unknown: bool = False

    @property
    def full(self) -> bool:
        """Whether it holds more than the limit."""
        return len(self.certain) + len(self.possible) > FOUND_LIMIT

    def hide(self, reason: str) -> None:
        """The line is opaque; the first reason is kept."""
        self.opaque = self.opaque or reason

    def add(self, other: Found) -> None:
        """Add what was found elsewhere."""
        self.certain += other.certain
        self.possible += other.possible
        self.unknown += other.unknown
        self.makes_arrays |= other.makes_arrays
        self.declares_unknown |= other.declares_unknown
        if other.opaque:
            self.hide(other.opaque)


def find_commands(code: str, read: Read, *, shell: Shell = "bash", depth: int = 0) -> Found:
    """The commands of a script. Raises what `read` raises."""
    if escape_invisible(code, exact=True) != code:
        return Found(opaque="it contains control or invisible characters")
    syntaxes = read(code, shell)
    if syntaxes is None:
        return Found(opaque="it cannot be parsed")
    found, first = Found(), None
    for syntax in syntaxes:
        reading = _Walk(code, read, shell, depth).walk(syntax)
        found.add(reading)
        for commands in (found.certain, found.possible, found.unknown):
            commands[:] = dict.fromkeys(commands)
        if reading.full:
            found.hide(_TOO_MANY)
            break
        first = first or reading
        if not _agree(first.certain, reading.certain):
            found.hide("bash may parse it differently")
    if found.makes_arrays and found.declares_unknown:
        found.hide("it may evaluate text as the elements of an array")
    return found


def _agree(some: list[Argv], others: list[Argv]) -> bool:
    """Whether both are the same commands, as far as their words are known."""
    if len(some) != len(others):
        return False
    return all(map(_alike, some, others)) or all(map(_alike, sorted(some, key=repr), sorted(others, key=repr)))


def _alike(one: Argv, other: Argv) -> bool:
    for a, b in zip(one, other, strict=False):
        if Hole.MANY in (a, b):
            return True
        if a != b and isinstance(a, str) and isinstance(b, str):
            return False
    return len(one) == len(other) or Hole.MANY in (one + other)[min(len(one), len(other)) :]


class _Unknown(Exception):
    """A construct that may evaluate something. The message says which."""


class _Walk:
    """Walks through one parse of one script, outer commands before inner ones."""

    def __init__(self, code: str, read: Read, shell: Shell, depth: int) -> None:
        self._code = code
        self._read = read
        self._shell = shell
        self._depth = depth
        self._found = Found()
        self._functions: set[str] = set()
        self._calls_function = False

    def walk(self, syntax: Syntax) -> Found:
        """Find what is in the tree."""
        self._statements(syntax.get("Stmts", ()), 0, top=True)
        if self._calls_function and any(argv[0] == "unset" for argv in self._found.certain):
            self._found.hide("it removes functions")
        return self._found

    def _statements(self, statements: list[Syntax], depth: int, *, top: bool = False) -> None:
        if depth > _DEPTH_LIMIT:
            self._found.hide("it is nested too deeply")
            return
        for statement in statements:
            if self._found.full:
                return
            self._look(statement, depth)
            if top and (name := _defined_function(statement)):
                self._functions.add(name)

    def _look(self, node: object, depth: int) -> None:
        """Visit the node and all nodes below it: an unknown one hides what is in it, but not what is beside it."""
        if depth > _DEPTH_LIMIT:
            self._found.hide("it is nested too deeply")
            return
        if isinstance(node, list):
            for one in node:
                self._look(one, depth)
        if not isinstance(node, dict) or node.keys() <= _POSITION:
            return
        try:
            self._check(node)
        except _Unknown as reason:
            self._found.hide(str(reason))
        for name, value in node.items():
            if name in {"Stmts", "Cond", "Then", "Do"} and isinstance(value, list):
                self._statements(value, depth + 1)
            elif isinstance(value, dict | list):
                self._look(value, depth + 1)

    def _check(self, node: Syntax) -> None:
        """Note what the node itself runs or sets. Raises `_Unknown`."""
        kind = node.get("Type")
        match kind:
            case None:
                _check_untyped(node)
                self._check_assignment(node)
            case "CallExpr":
                self._call(node)
            case "DeclClause":
                self._declare(node)
            case "CmdSubst":
                _only(node, "Stmts", "Last", "Backquotes")
                if node.get("Backquotes") and "\\" in self._code:
                    raise _Unknown("it has backslashes in backquotes")
            case str() if kind in _CHECKS:
                _CHECKS[kind](node)
            case _ if kind not in _HARMLESS:
                raise _Unknown(f"it has a construct that is not checked ({kind})")

    def _call(self, node: Syntax) -> None:
        _only(node, "Args", "Assigns")
        if not node.get("Args"):
            return
        for assignment in node.get("Assigns", ()):
            if not may_export(assignment.get("Name", {}).get("Value", ""), _plain_value(assignment)):
                self._found.hide(_SETS_VARIABLE)
        argv = tuple(_text(word) for word in node["Args"])
        if argv[0] in self._functions:
            self._calls_function = self._add_certain(argv)
        else:
            self._add(argv)

    def _declare(self, node: Syntax) -> None:
        _only(node, "Variant", "Args")
        variant = (node.get("Variant") or {}).get("Value", "")
        self._add_certain((variant,))
        exports = variant == "export"
        for argument in node.get("Args", ()):
            name, value = argument.get("Name", {}).get("Value", ""), _plain_value(argument)
            if not name:
                option = _text(argument.get("Value", {}))
                if not isinstance(option, str) or not _DECLARED.fullmatch(option):
                    raise _Unknown("it declares variables with attributes")
                exports |= "x" in option
            elif exports and not may_export(name, value):
                raise _Unknown(_SETS_VARIABLE)
            elif value is None and self._shell == "sh":
                raise _Unknown(_SETS_VARIABLE)  # dash splits the value, and takes the other words for assignments
            if name and argument.get("Value") and (value is None or value.startswith("(")):
                self._found.declares_unknown = True
                self._found.makes_arrays |= value is not None

    def _check_assignment(self, node: Syntax) -> None:
        """An assignment, an argument of `declare`, an element of an array; or anything else without a type."""
        self._found.makes_arrays |= "Array" in node or "Index" in node
        if "Index" in node and not _is_constant(node["Index"]):
            raise _Unknown(_EVALUATES)
        if "Name" in node and not may_assign(node["Name"].get("Value", ""), _plain_value(node)):
            raise _Unknown(_SETS_VARIABLE)

    def _add_certain(self, argv: Argv) -> bool:
        if self._found.full:
            self._found.hide(_TOO_MANY)
            return False
        self._found.certain.append(argv)
        return True

    def _add(self, argv: Argv) -> None:
        """Note the command, and what it runs in turn."""
        if not self._add_certain(argv):
            return
        name = argv[0]
        if isinstance(name, Hole):
            self._found.hide("its program is only known at run time")
            return
        for command in found_commands(argv) if name_of(argv) == "find" else ():
            self._add(command)
        if runs_nothing_else(argv):
            self._found.makes_arrays |= name in _ARRAY_MAKERS
            return
        if not self._look_inside(argv):
            self._found.unknown.append(argv)
            self._add_possible(argv)

    def _look_inside(self, argv: Argv) -> bool:
        """Note what a wrapper or a shell runs; False if the program is neither."""
        script, wrapped = shell_script(argv), wrapped_command(argv)
        if script is not None:
            if script.code is None or self._depth >= _SCRIPT_DEPTH:
                self._found.hide("it runs code that is only known at run time")
            else:
                shell = script.shell or self._shell
                self._found.add(find_commands(script.code, self._read, shell=shell, depth=self._depth + 1))
            if not script.certain:
                self._found.hide("it runs text as code")
        if wrapped is not None:
            if wrapped.command is not None:
                self._add(wrapped.command)
            if not wrapped.certain:
                self._found.hide(f"{name_of(argv)} may run something else")
        return script is not None or wrapped is not None

    def _add_possible(self, argv: Argv) -> None:
        """An unknown program may run any of its arguments, or a part of one."""
        words: list[str | Hole] = []
        for word in argv[1:]:
            words += [word] if isinstance(word, Hole) else (_SEPARATORS.split(word) if word else [])
        for start in range(len(words)):
            if self._found.full:
                self._found.hide(_TOO_MANY)
                return
            if words[start]:
                self._found.possible.append(tuple(words[start:]))


_HARMLESS = frozenset(
    {"BinaryArithm", "BinaryCmd", "Block", "CaseClause", "ForClause", "IfClause", "Lit", "ParenArithm", "ParenTest"}
    | {"ProcSubst", "SglQuoted", "Subshell", "TestClause", "TimeClause", "UnaryArithm", "WhileClause", "Word", "File"}
)
"""Nodes that evaluate nothing except what is below them."""
_POSITION = {"Offset", "Line", "Col"}
_UNTYPED = frozenset(
    # of a file, a statement, a redirection, a word, a literal, an assignment, an array's element, an item of a case
    {"Stmts", "Last", "Name", "Cmd", "Redirs", "Background", "Negated", "Op", "N", "Word", "Hdoc", "Parts", "Value"}
    | {"Append", "Naked", "Index", "Array", "Elems", "Patterns", "Comments", "Text"}
    # of the parts of an expansion, and of the chain of an if clause
    | {"Exp", "Repl", "Slice", "Orig", "With", "All", "Offset", "Length", "Cond", "Then", "Else"}
)


def _members(node: Syntax) -> set[str]:
    """The names of the node's members, except for positions in the text."""
    return {name for name, value in node.items() if not (isinstance(value, dict) and value.keys() <= _POSITION)}


def _only(node: Syntax, *names: str) -> None:
    if rest := _members(node) - {"Type", *names}:
        raise _Unknown(f"it has a construct that is not checked ({min(rest)})")


def _defined_function(statement: Syntax) -> str | None:
    """The function that this statement defines, and does nothing else; shfmt misreads `f() { …; } | x` as a body."""
    command = statement.get("Cmd", {})
    if command.get("Type") != "FuncDecl" or _members(statement) - {"Cmd"}:
        return None
    body = command.get("Body", {})
    plain = body.get("Cmd", {}).get("Type") == "Block" and not _members(body) - {"Cmd"}
    return str(command["Name"]["Value"]) if plain else None


def _check_untyped(node: Syntax) -> None:
    if rest := _members(node) - _UNTYPED:
        raise _Unknown(f"it has a construct that is not checked ({min(rest)})")
    if isinstance(node.get("N"), dict) and not str(node["N"].get("Value", "")).isdecimal():
        raise _Unknown("it stores a file descriptor in a variable")


def _check_expansion(node: Syntax) -> None:
    """Raises `_Unknown` for what evaluates a value: `${!x}`, `${x@P}`, `${a[x]}`, `${x:y}`."""
    _only(node, "Dollar", "Short", "Param", "Length", "Index", "Slice", "Repl", "Exp")
    if "Index" in node and not _is_constant(node["Index"]) and _text(node["Index"], subscript=True) not in {"@", "*"}:
        raise _Unknown(_EVALUATES)
    if not all(_is_constant(node.get("Slice", {}).get(name)) for name in ("Offset", "Length")):
        raise _Unknown(_EVALUATES)
    expansion = node.get("Exp", {})
    operator, text = expansion.get("Op"), expansion.get("Word")
    if operator == "@":
        if _text(text or {}) not in _TRANSFORMATIONS:
            raise _Unknown("it evaluates the value of a variable")
        return
    if expansion and operator not in _EXPANSIONS:
        raise _Unknown(f"it has an expansion that is not checked ({operator})")
    if operator in {"=", ":="} and not may_assign(node.get("Param", {}).get("Value", "")):
        raise _Unknown(_SETS_VARIABLE)
    for word in (text, node.get("Repl", {}).get("Orig"), node.get("Repl", {}).get("With")):
        if word is not None and not all(_is_plain_part(part) for part in word.get("Parts", ())):
            raise _Unknown("it has quotes or code within an expansion")


def _is_plain_part(part: Syntax) -> bool:
    match part:
        case {"Type": "Lit", "Value": str(value)}:
            return _PLAIN_TEXT.fullmatch(value) is not None
        case {"Type": "ParamExp", "Short": True}:
            return True
        case _:
            return False


def _check_function(node: Syntax) -> None:
    if not _FUNCTION_NAME.fullmatch(node.get("Name", {}).get("Value", "")):
        raise _Unknown("it defines a function with an odd name")


def _check_loop(node: Syntax) -> None:
    if not may_assign(node.get("Name", {}).get("Value", "")):
        raise _Unknown(_SETS_VARIABLE)


def _check_arithmetic(node: Syntax) -> None:
    if not all(_is_constant(node.get(name)) for name in ("X", "Init", "Cond", "Post", "Exprs")):
        raise _Unknown(_EVALUATES)


def _check_quotes(node: Syntax) -> None:
    if node.get("Dollar"):
        raise _Unknown("it has translated text")


def _check_test(node: Syntax) -> None:
    operator, pattern = node.get("Op"), node.get("Y", {})
    if operator == "=~" and any(  # what could end the pattern
        part.get("Type") == "Lit" and _ENDS_PATTERN.search(part.get("Value", "")) for part in pattern.get("Parts", ())
    ):
        raise _Unknown("it has a regular expression that bash may parse differently")
    if operator in _STRING_TESTS or operator in _FILE_TESTS:
        return
    if operator in _INTEGER_TESTS and _is_constant(node.get("X")) and _is_constant(node.get("Y")):
        return
    raise _Unknown(_EVALUATES)


_CHECKS: Mapping[str, Callable[[Syntax], None]] = {
    "ArithmCmd": _check_arithmetic,
    "ArithmExp": _check_arithmetic,
    "BinaryTest": _check_test,
    "CStyleLoop": _check_arithmetic,
    "DblQuoted": _check_quotes,
    "FuncDecl": _check_function,
    "LetClause": _check_arithmetic,
    "ParamExp": _check_expansion,
    "UnaryTest": _check_test,
    "WordIter": _check_loop,
}


def _is_constant(node: Syntax | list[Syntax] | None) -> bool:
    """Whether an arithmetic expression, or several, is made of numbers alone."""
    if node is None:
        return True
    if isinstance(node, list):
        return all(map(_is_constant, node))
    match node.get("Type"):
        case "BinaryArithm":
            return _is_constant(node.get("X")) and _is_constant(node.get("Y"))
        case "UnaryArithm" | "ParenArithm":
            return _is_constant(node.get("X"))
        case "Word":
            text = _text(node)
            return text is Hole.NUMBER or (isinstance(text, str) and _INTEGER.fullmatch(text) is not None)
        case _:
            return False


def _plain_value(assignment: Syntax) -> str | None:
    """The text that is assigned, None if it is not known."""
    text = _text(assignment["Value"]) if assignment.get("Value") else ""
    return text if isinstance(text, str) else None


def _text(word: Syntax, *, subscript: bool = False) -> str | Hole:
    """The word as the program gets it."""
    pieces = list(_pieces(word, subscript=subscript))
    if Hole.MANY in pieces:
        return Hole.MANY
    if pieces == [Hole.NUMBER]:
        return Hole.NUMBER
    texts = [piece for piece in pieces if isinstance(piece, str)]
    return "".join(texts) if len(texts) == len(pieces) else Hole.ONE


def _pieces(word: Syntax, *, subscript: bool) -> Iterator[str | Hole]:
    for part in word.get("Parts", ()):
        match part:
            case {"Type": "Lit", "Value": str(value)}:
                expands = _EXPANDING.search(_ESCAPE.sub("", value).replace("{}", ""))
                literal = subscript or not expands or (value in _NOT_EXPANDED and len(word["Parts"]) == 1)
                yield Hole.MANY if not literal else _ESCAPE.sub(lambda match: match[1].strip("\n"), value)
            case {"Type": "SglQuoted"}:
                yield Hole.ONE if "Dollar" in part else part.get("Value", "")
            case {"Type": "DblQuoted"} if "Dollar" not in part:
                yield from map(_quoted_piece, part.get("Parts", ()))
            case {"Type": "ParamExp"}:
                yield Hole.NUMBER if _is_number(part) else Hole.MANY
            case {"Type": "ArithmExp"}:
                yield Hole.NUMBER
            case {"Type": "ProcSubst"}:
                yield Hole.ONE
            case _:
                yield Hole.MANY


def _quoted_piece(part: Syntax) -> str | Hole:
    match part:
        case {"Type": "Lit", "Value": str(value)}:
            return _QUOTED_ESCAPE.sub(lambda match: match[1].strip("\n"), value)
        case {"Type": "ParamExp"} if _is_number(part):
            return Hole.NUMBER
        case {"Type": "ParamExp"}:
            many = part.get("Param", {}).get("Value") == "@" or "Index" in part
            return Hole.MANY if many else Hole.ONE
        case _:
            return Hole.ONE


def _is_number(part: Syntax) -> bool:
    return bool(part.get("Length")) or (bool(part.get("Short")) and part.get("Param", {}).get("Value") in _NUMBERS)
