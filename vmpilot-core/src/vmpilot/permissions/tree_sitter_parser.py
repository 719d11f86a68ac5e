"""The second reader: tree-sitter's grammar of bash. It reads plain lines only; whatever else there is, it refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from vmpilot.permissions.shell_line import HOME, Line, LineBuilder, Redirection, Separator, Word

if TYPE_CHECKING:
    from tree_sitter import Node, Parser

_DEPTH_LIMIT = 60
_SEPARATORS: dict[str, Separator] = {"&&": "&&", "||": "||", "|": "|", ";": ";"}
_OPERATOR = re.compile(r"[A-Za-z0-9_./:=!@%+-]+")
_STATEMENTS = frozenset({"list", "pipeline", "redirected_statement", "command", "test_command"})


class TreeSitterParser:
    """Reads lines with tree-sitter. Raises `ImportError` where that is not installed."""

    def __init__(self) -> None:
        import tree_sitter
        import tree_sitter_bash

        self._parser: Parser = tree_sitter.Parser(tree_sitter.Language(tree_sitter_bash.language()))

    def read_line(self, line: str) -> Line | None:
        """The line's simple commands; None where it is not plain."""
        root = self._parser.parse(line.encode()).root_node
        if root.type != "program" or root.has_error:
            return None
        builder = LineBuilder()
        return builder.finish() if _read(root, builder, 0) else None


def _read(node: Node, builder: LineBuilder, depth: int) -> bool:
    """Read everything below the node into the builder; False where something is not plain."""
    if depth > _DEPTH_LIMIT:
        return False
    previous = ""
    for child in node.children:
        if previous in _STATEMENTS and child.type in _STATEMENTS and not builder.end_command(";"):
            return False  # a line break stands between them, and has no node
        previous = child.type
        match child.type:
            case "list" | "pipeline" | "redirected_statement":
                well = _read(child, builder, depth + 1)
            case "command":
                well = _read_command(child, builder)
            case "test_command":
                well = _read_condition(child, builder)
            case "file_redirect":
                well = _read_redirection(child, builder)
            case separator:
                well = separator in _SEPARATORS and builder.end_command(_SEPARATORS[separator])
        if not well:
            return False
    return True


def _read_command(node: Node, builder: LineBuilder) -> bool:
    name, *arguments = node.children
    if name.type != "command_name" or len(name.children) != 1:
        return False
    for child in (name.children[0], *arguments):
        if (word := _word(child)) is None:
            return False
        builder.add_word(word)
    return True


def _read_condition(node: Node, builder: LineBuilder) -> bool:
    """`[ … ]` and `[[ … ]]` with one condition, as commands with these words."""
    opening, *inner, closing = node.children
    words = [word for child in inner for word in _condition_words(child, 0)]
    if opening.type not in {"[", "[["} or closing.type != opening.type.replace("[", "]"):
        return False
    for word in (Word(opening.type, opening.type), *words, Word(closing.type, closing.type)):
        if word is None:
            return False
        builder.add_word(word)
    return True


def _condition_words(node: Node, depth: int) -> list[Word | None]:
    if depth > _DEPTH_LIMIT:
        return [None]
    match node.type:
        case "unary_expression" | "binary_expression":
            return [word for child in node.children for word in _condition_words(child, depth + 1)]
        case "test_operator" | "extglob_pattern" | "!" | "=" | "==" | "!=" if not node.children:
            text = _text(node)
            return [Word(text, text) if _OPERATOR.fullmatch(text) else None]
        case _:
            return [_word(node)]


def _read_redirection(node: Node, builder: LineBuilder) -> bool:
    children = list(node.children)
    descriptor = _text(children.pop(0)) if children and children[0].type == "file_descriptor" else ""
    if len(children) != 2 or (target := _word(children[1])) is None:
        return False
    builder.add_redirection(Redirection(descriptor, children[0].type, target))
    return True


def _word(node: Node) -> Word | None:
    match node.type:
        case "word" | "number" if not node.children:
            text = _text(node)
            return None if "\\" in text else Word(text, text)
        case "raw_string":
            return _quoted(_text(node)[1:-1])
        case "string":
            return _string(node)
        case "simple_expansion" | "expansion" if _text(node) in {"$HOME", "${HOME}"}:
            return HOME
        case "concatenation":
            return _join(node)
        case _:
            return None


def _string(node: Node) -> Word | None:
    """What stands between double quotes. Spaces are in no node: what is between the nodes is text, too."""
    source, end = node.text or b"", 1
    text, mask = "", ""
    for child in node.children[1:-1]:
        start = child.start_byte - node.start_byte
        piece = _word(child) if child.type != "string_content" else _quoted(_text(child))
        if piece is None or "\\" in piece.text:
            return None
        between = source[end:start].decode()
        text, mask = text + between + piece.text, mask + "_" * len(between) + piece.mask
        end = child.end_byte - node.start_byte
    rest = source[end:-1].decode()
    return None if "\\" in rest else Word(text + rest, mask + "_" * len(rest))


def _quoted(text: str) -> Word:
    return Word(text, "_" * len(text))


def _join(node: Node) -> Word | None:
    text, mask, end = "", "", node.start_byte
    for child in node.children:
        word = _word(child)
        if word is None or child.start_byte != end:
            return None
        text, mask, end = text + word.text, mask + word.mask, child.end_byte
    return Word(text, mask)


def _text(node: Node) -> str:
    return (node.text or b"").decode()
