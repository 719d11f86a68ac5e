"""The third reader: shfmt's parser of bash, a process that gets the line on its standard input, and nothing else.

The JSON that `shfmt --to-json` prints is described in the documentation of mvdan.cc/sh/v3/syntax.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any, Literal, TypeAlias

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
    """Reads lines with the shfmt that is installed beside VMPilot. Raises `ParserFailed` where there is none."""

    def __init__(self, program: Path | None = None, *, timeout: float = PARSER_TIMEOUT) -> None:
        self._program = str(program or _find_program())
        self._timeout = timeout

    def parse(self, line: str, dialect: Literal["bash", "posix"] = "bash") -> Syntax | None:
        """The syntax tree; None for what is not correct in the dialect. Raises `ParserFailed`."""
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
            raise ParserFailed(f"shfmt did not work: {error}") from error
        if done.returncode < 0 or len(done.stdout) > _OUTPUT_LIMIT:
            raise ParserFailed(f"shfmt ended with {done.returncode} after {len(done.stdout)} bytes")
        return _decode(done.stdout) if done.returncode == 0 else None


def _find_program() -> Path:
    """The program file of the distribution shfmt-py; the PATH is not asked, for anything could be on it."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        files = distribution("shfmt-py").files or ()
    except PackageNotFoundError as error:
        raise ParserFailed("shfmt-py is not installed") from error
    for file in files:
        if file.name == "shfmt":
            return Path(str(file.locate()))
    raise ParserFailed("shfmt-py is installed without its program")


def _decode(text: bytes) -> Syntax | None:
    import msgspec

    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None


def plain_line(syntax: Syntax) -> Line | None:
    """The simple commands of a tree that holds nothing but plain words; None for any other."""
    builder = LineBuilder()
    if set(syntax) - _POSITIONS - {"Type", "Stmts"}:
        return None
    for number, statement in enumerate(syntax.get("Stmts", ())):
        if number and not builder.end_command(";"):
            return None
        if not _read_statement(statement, builder, 0):
            return None
    return builder.finish()


def _read_statement(statement: Syntax, builder: LineBuilder, depth: int) -> bool:
    """Read a statement into the builder; False where it is in the background, negated, or anything but plain."""
    if depth > _DEPTH_LIMIT or set(statement) - _POSITIONS - {"Cmd", "Redirs"}:
        return False
    command, redirections = statement.get("Cmd", {}), statement.get("Redirs", ())
    match command.get("Type"):
        case "CallExpr":
            return _read_call(command, builder) and all(_read_redirection(one, builder) for one in redirections)
        case "TestClause" if not set(command) - _POSITIONS - {"Type", "X"}:
            return _read_condition(command, builder) and all(_read_redirection(one, builder) for one in redirections)
        case "BinaryCmd" if command.get("Op") in _SEPARATORS and not redirections:
            return (
                _read_statement(command["X"], builder, depth + 1)
                and builder.end_command(_SEPARATORS[command["Op"]])
                and _read_statement(command["Y"], builder, depth + 1)
            )
        case _:
            return False


def _read_call(command: Syntax, builder: LineBuilder) -> bool:
    if set(command) - _POSITIONS - {"Type", "Args"}:
        return False
    words = [_word(argument) for argument in command.get("Args", ())]
    for word in words:
        if word is None:
            return False
        builder.add_word(word)
    return bool(words)


def _read_condition(command: Syntax, builder: LineBuilder) -> bool:
    """`[[ … ]]` with one condition, as if it were a command with these words."""
    condition = _condition(command["X"], 0)
    if condition is None:
        return False
    for word in (Word("[[", "[["), *condition, Word("]]", "]]")):
        builder.add_word(word)
    return True


def _condition(node: Syntax, depth: int) -> list[Word] | None:
    if depth > _DEPTH_LIMIT:
        return None
    operator = str(node.get("Op"))
    match node.get("Type"):
        case "Word":
            words: list[Word | None] = [_word(node)]
        case "UnaryTest":
            inner = _condition(node["X"], depth + 1)
            words = [Word(operator, operator), *inner] if inner else [None]
        case "BinaryTest" if node["X"].get("Type") == node["Y"].get("Type") == "Word":
            words = [_word(node["X"]), Word(operator, operator), _word(node["Y"])]
        case _:
            return None
    found = [word for word in words if word is not None]
    return found if len(found) == len(words) else None


def _read_redirection(redirection: Syntax, builder: LineBuilder) -> bool:
    if set(redirection) - _POSITIONS - {"Op", "N", "Word"} or (target := _word(redirection.get("Word", {}))) is None:
        return False
    builder.add_redirection(Redirection(redirection.get("N", {}).get("Value", ""), str(redirection.get("Op")), target))
    return True


def _word(word: Syntax) -> Word | None:
    pieces = [_piece(part) for part in word.get("Parts", ())]
    return _joined(pieces) if pieces else None


def _piece(part: Syntax) -> Word | None:
    match part:
        case {"Type": "Lit", "Value": str(value)} if "\\" not in value:
            return Word(value, value)
        case {"Type": "SglQuoted"} if "Dollar" not in part:
            return _quoted(part.get("Value", ""))
        case {"Type": "DblQuoted"} if "Dollar" not in part:
            return _joined([_quoted_piece(one) for one in part.get("Parts", ())])
        case {"Type": "ParamExp", "Param": {"Value": "HOME"}} if not set(part) - _HOME_FIELDS:
            return HOME
        case _:
            return None


def _quoted_piece(part: Syntax) -> Word | None:
    match part:
        case {"Type": "Lit", "Value": str(value)} if "\\" not in value:
            return _quoted(value)
        case {"Type": "ParamExp"}:
            return _piece(part)
        case _:
            return None


def _joined(pieces: list[Word | None]) -> Word | None:
    text, mask = "", ""
    for piece in pieces:
        if piece is None:
            return None
        text, mask = text + piece.text, mask + piece.mask
    return Word(text, mask)


def _quoted(text: str) -> Word:
    return Word(text, "_" * len(text))
