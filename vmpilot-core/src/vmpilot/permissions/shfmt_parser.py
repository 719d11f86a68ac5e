"""shfmt's parser of bash: a process that gets the line on its standard input, and nothing else.

The JSON that `shfmt --to-json` prints is described in the documentation of mvdan.cc/sh/v3/syntax.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Literal, TypeAlias

import msgspec

from vmpilot.permissions.shell_line import HOME, Line, LineBuilder, Redirection, Separator, Word

PARSER_TIMEOUT = 2.0
"""Seconds; it takes 5 ms."""
_OUTPUT_LIMIT = 20_000_000
_DEPTH_LIMIT = 60
_SEPARATORS: dict[object, Separator] = {"&&": "&&", "||": "||", "|": "|"}
_POSITIONS = frozenset({"Pos", "End", "Position", "Semicolon", "OpPos", "ValuePos", "ValueEnd", "Left", "Right"})
_HOME_FIELDS = _POSITIONS | {"Type", "Param", "Short", "Dollar", "Rbrace"}

Syntax: TypeAlias = dict[str, Any]
"""A node of shfmt's syntax tree."""


class ParserFailed(Exception):
    """The parser is missing, crashed, or took too long. The message says which."""


class ShfmtParser:
    """Parses lines with the shfmt that is installed with VMPilot. Raises `ParserFailed` if it is missing."""

    def __init__(self, program: Path | None = None, *, timeout: float = PARSER_TIMEOUT) -> None:
        self._program = str(program or _find_program())
        self._timeout = timeout

    def parse(self, line: str, dialect: Literal["bash", "posix"] = "bash") -> Syntax | None:
        """The syntax tree; None if it is not valid in the dialect. Raises `ParserFailed`."""
        try:
            text = line.encode()
        except UnicodeEncodeError:
            return None
        try:
            done = subprocess.run(
                [self._program, "--to-json", "--language-dialect", dialect],
                input=text,
                capture_output=True,
                env={},
                cwd="/",
                timeout=self._timeout,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ParserFailed(f"shfmt failed: {error}") from error
        if done.returncode < 0 or len(done.stdout) > _OUTPUT_LIMIT:
            raise ParserFailed(f"shfmt exited with {done.returncode} after {len(done.stdout)} bytes")
        if done.returncode != 0:
            return None
        try:
            return msgspec.json.decode(done.stdout, type=dict[str, Any])
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            return None


def _find_program() -> Path:
    """The program file of the distribution shfmt-py, not one on the PATH, where anything may be."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("shfmt-py").files or ()
    except PackageNotFoundError as error:
        raise ParserFailed("shfmt-py is not installed") from error
    for file in files:
        if file.name == "shfmt":
            return Path(str(file.locate()))
    raise ParserFailed("shfmt-py is installed without its program")


def plain_line(syntax: Syntax) -> Line | None:
    """The simple commands of a tree that holds nothing but plain words; None for any other."""
    builder = LineBuilder()
    if not _has_only(syntax, "Type", "Stmts"):
        return None
    for number, statement in enumerate(syntax.get("Stmts", ())):
        if number and not builder.end_command(";"):
            return None
        if not _add_statement(statement, builder, 0):
            return None
    return builder.finish()


def _has_only(node: Syntax, *names: str) -> bool:
    return not set(node) - _POSITIONS - {*names}


def _add_statement(statement: Syntax, builder: LineBuilder, depth: int) -> bool:
    """Add a statement to the builder; False if it is in the background, negated, or anything but plain."""
    if depth > _DEPTH_LIMIT or not _has_only(statement, "Cmd", "Redirs"):
        return False
    command, redirections = statement.get("Cmd", {}), statement.get("Redirs", ())
    match command.get("Type"):
        case "CallExpr" if _has_only(command, "Type", "Args"):
            words = [_word(argument) for argument in command.get("Args", ())]
        case "TestClause" if _has_only(command, "Type", "X"):  # `[[ … ]]` with one condition, as a command
            words = [Word("[[", "[["), *_condition(command["X"], 0), Word("]]", "]]")]
        case "BinaryCmd" if command.get("Op") in _SEPARATORS and not redirections:
            return (
                _add_statement(command["X"], builder, depth + 1)
                and builder.end_command(_SEPARATORS[command["Op"]])
                and _add_statement(command["Y"], builder, depth + 1)
            )
        case _:
            return False
    for word in words:
        if word is None:
            return False
        builder.add_word(word)
    return bool(words) and all(_add_redirection(one, builder) for one in redirections)


def _condition(node: Syntax, depth: int) -> list[Word | None]:
    """Its words; with None if it is not plain."""
    if depth > _DEPTH_LIMIT:
        return [None]
    operator = str(node.get("Op"))
    match node.get("Type"):
        case "Word":
            return [_word(node)]
        case "UnaryTest":
            return [Word(operator, operator), *_condition(node["X"], depth + 1)]
        case "BinaryTest" if node["X"].get("Type") == node["Y"].get("Type") == "Word":
            return [_word(node["X"]), Word(operator, operator), _word(node["Y"])]
        case _:
            return [None]


def _add_redirection(redirection: Syntax, builder: LineBuilder) -> bool:
    if not _has_only(redirection, "Op", "N", "Word") or (target := _word(redirection.get("Word", {}))) is None:
        return False
    builder.add_redirection(Redirection(redirection.get("N", {}).get("Value", ""), str(redirection.get("Op")), target))
    return True


def _word(word: Syntax) -> Word | None:
    pieces = [_piece(part, quoted=False) for part in word.get("Parts", ())]
    return _joined(pieces) if pieces else None


def _piece(part: Syntax, *, quoted: bool) -> Word | None:
    match part:
        case {"Type": "Lit", "Value": str(value)} if "\\" not in value:
            return Word.quoted(value) if quoted else Word(value, value)
        case {"Type": "SglQuoted"} if "Dollar" not in part and not quoted:
            return Word.quoted(part.get("Value", ""))
        case {"Type": "DblQuoted"} if "Dollar" not in part and not quoted:
            return _joined([_piece(one, quoted=True) for one in part.get("Parts", ())])
        case {"Type": "ParamExp", "Param": {"Value": "HOME"}} if not set(part) - _HOME_FIELDS:
            return HOME
        case _:
            return None


def _joined(pieces: list[Word | None]) -> Word | None:
    words = [piece for piece in pieces if piece is not None]
    if len(words) < len(pieces):
        return None
    return Word("".join(word.text for word in words), "".join(word.mask for word in words))
