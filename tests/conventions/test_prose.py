"""Prose is plain English: idioms that make it hard to read are counted, in messages, documents and code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = ("vmpilot-core", "vmpilot-backend-langchain", "vmpilot-backend-litellm")

MOST_IN_MESSAGES = 0
"""Idioms in all strings of the distributions that a user or a model may read, help and prompts included."""
MOST_IN_DOCUMENTS = 0
"""Idioms in the READMEs, the documentation and CONTRIBUTING.md."""
MOST_PER_10_000_WORDS = 5.0
"""Idioms in everything: documents, and the strings, docstrings and comments of all code, tests included."""

IDIOMS = {
    '"is none" for "is missing" or "is invalid"': r"\b(?:is|are|was|were) none\b",
    '"where" for "if" or "when"': r"\bwhere (?:it|they|one|there|that|nobody|none)\b",
    '"what ..." as a subject': r"(?:^|[.;:] )What (?!is|are|does|do|happens|to)\w+ \w+ (?!\?)",
    '"is told", "tells of"': r"\b(?:is|are|was|be) told\b|\btell(?:s|ing)? of\b",
    '"for" for "because"': r", for (?:it|they|he|there|that|what|nobody)\b",
    '"nobody", "somebody"': r"\b(?:nobody|somebody)\b",
    '"of its own" for "own"': r"\bof (?:its|their|his|our|your|one's) own\b",
    '"lest"': r"\blest\b",
    '"whoever"': r"\bwho(?:m)?ever\b",
    '"anew"': r"\banew\b",
    '"go on with" for "continue"': r"\b(?:go|goes|going|went|gone) on with\b",
    '"the person" for "the user"': r"\bthe person(?:'s)?\b",
    '"that there is"': r"\bthat there (?:is|are)\b",
    '"no more" for "no longer"': r"\b(?:no|none) more\b(?! than)",
    '"made ready" for "prepared"': r"\b(?:make|makes|making|made) ready\b",
    '"but for"': r"\bbut for (?:that|those|the|what)\b",
    '"which of them"': r"\bwhich of (?:it|them|these|those)\b",
    '"begins so", "ends so"': r"\b(?:begin|end)s? so\b",
    '"has no say"': r"\bha(?:s|ve|d) no say\b",
    '"is not content"': r"\b(?:is|are) not content\b",
    '"so that it be"': r"\bso that (?:it|they) be\b",
}
_PATTERNS = {name: re.compile(pattern, re.MULTILINE) for name, pattern in IDIOMS.items()}

Kind: TypeAlias = Literal["document", "string", "docstring", "comment"]


class Text(NamedTuple):
    """A piece of prose and where it begins."""

    kind: Kind
    place: str
    words: str


def find_idioms(texts: Iterable[Text]) -> list[str]:
    """A line for each idiom: where it is, which one, and the words around it."""
    return [
        f"{text.place}: {name}: ...{' '.join(text.words[max(0, found.start() - 40) : found.end() + 40].split())}..."
        for text in texts
        for name, pattern in _PATTERNS.items()
        for found in pattern.finditer(text.words)
    ]


def read_document(path: Path) -> Iterator[Text]:
    """A Markdown file without its code."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    yield Text("document", name_of(path), prose)


def read_module(path: Path) -> Iterator[Text]:
    """The strings of three or more words, the docstrings and the comments of a module."""
    source = path.read_text(encoding="utf-8")
    tree = ast.parse(source)
    bare = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings, of variables too
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if (words := _words(node)) and id(node) not in parts and len(words.split()) >= 3:
            yield Text("docstring" if id(node) in bare else "string", f"{name_of(path)}:{_line(node)}", words)
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Text("comment", f"{name_of(path)}:{token.start[0]}", token.string.lstrip("#! "))


def _words(node: ast.AST) -> str:
    match node:
        case ast.Constant(value=str(words)):
            return words
        case ast.JoinedStr(values=values):
            return "".join(_words(value) or "{}" for value in values)
        case _:
            return ""


def _line(node: ast.AST) -> int:
    return node.lineno if isinstance(node, ast.expr) else 0


def name_of(path: Path) -> str:
    """Its path in the repository."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


@cache
def prose_of_documents() -> tuple[Text, ...]:
    paths = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    paths += [ROOT / name / "README.md" for name in DISTRIBUTIONS]
    paths += (ROOT / "vmpilot-core/docs").rglob("*.md")
    return tuple(text for path in sorted(paths) for text in read_document(path))


@cache
def prose_of_sources() -> tuple[Text, ...]:
    paths = (path for name in DISTRIBUTIONS for path in (ROOT / name / "src").rglob("*.py"))
    return tuple(text for path in sorted(paths) for text in read_module(path))


@cache
def prose_of_tests() -> tuple[Text, ...]:
    paths = [ROOT / "noxfile.py", *(ROOT / "tests").rglob("*.py"), *(ROOT / "bench").rglob("*.py")]
    return tuple(text for path in sorted(paths) if path != Path(__file__) for text in read_module(path))


def test_messages_are_plain() -> None:
    found = find_idioms(text for text in prose_of_sources() if text.kind == "string")
    assert len(found) <= MOST_IN_MESSAGES, "\n".join(found)


def test_documents_are_plain() -> None:
    found = find_idioms(prose_of_documents())
    assert len(found) <= MOST_IN_DOCUMENTS, "\n".join(found)


def test_all_prose_is_plain_enough() -> None:
    texts = (*prose_of_documents(), *prose_of_sources(), *prose_of_tests())
    words = sum(len(text.words.split()) for text in texts)
    assert words > 50_000
    found = find_idioms(texts)
    assert len(found) * 10_000 / words < MOST_PER_10_000_WORDS, "\n".join(found)


@pytest.mark.parametrize(
    ("words", "count"),
    [
        ("A limit of None is none.", 1),
        ("A limit of None means no limit.", 0),
        ("Stop where it fails, lest nobody is told.", 4),
        ("Stop when it fails.", 0),
        ("it ends, for it has nothing to do", 1),
        ("it waits for it, and for the user", 0),
        ("What came back counts", 1),
        ("What is new?", 0),
        ("a folder of its own, made anew", 2),
        ("Whoever asks goes on with a third", 1),
    ],
)
def test_idioms_are_counted(words: str, count: int) -> None:
    assert len(find_idioms([Text("string", "here", words)])) == count


def test_all_prose_of_a_module_is_read(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text(
        '"""Begins anew."""\nx = f"the {person} is told {1} thing"\n"""What comes of it."""\n# lest it fail\n'
    )
    texts = {text.kind: text.words for text in read_module(module)}
    assert texts == {"docstring": "What comes of it.", "string": "the {} is told {} thing", "comment": "lest it fail"}


def test_code_in_a_document_is_not_prose(tmp_path: Path) -> None:
    document = tmp_path / "document.md"
    document.write_text("Run `vmpilot anew` anew:\n\n```bash\nvmpilot anew\n```\n")
    assert len(find_idioms(read_document(document))) == 1
