"""What edits make of files: read, find the places, replace. Everything is decided here; nothing is written."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmpilot.contract import ToolError
from vmpilot.contract.invisible import describe_difference, find_look_alike
from vmpilot.machine.secrets.masking import MASK
from vmpilot.tools.files.contents import Content, TooLarge, read_content
from vmpilot.tools.files.document import Document, Span
from vmpilot.tools.files.kinds import describe_size
from vmpilot.tools.files.matching import MOST, Found, find_places
from vmpilot.tools.files.memory import FileMemory
from vmpilot.tools.files.nearest import find_nearest
from vmpilot.tools.files.problems import explain_os_errors
from vmpilot.tools.files.secrecy import reject_masks
from vmpilot.tools.files.text import Encoding, NotText, find_encoding, show_line

LARGEST = 10_000_000
"""Bytes of a file that can be edited."""

_QUOTED_LINES = 12
_QUOTED_CHARACTERS = 300
_PLACES = 8
_LOOKED_AT = 1_000
"""Characters of a line in which something that looks like the search text is looked for."""
_NUMBERED = re.compile(r"\s*\d+\t")


@dataclass(frozen=True, slots=True)
class Edit:
    r"""One edit of a file; its texts have `\n` as line ends. `label` names it where it is not the only one."""

    search: str
    replace: str
    everywhere: bool
    label: str = ""

    @classmethod
    def read(cls, arguments: Mapping[str, Any], label: str) -> Edit:
        """From the tool's arguments."""
        search, replace = (arguments[name].replace("\r\n", "\n") for name in ("search", "replace"))
        return cls(search, replace, bool(arguments.get("all", False)), label)


@dataclass(slots=True)
class Draft:
    """A file with its edits made, in memory."""

    content: Content
    shown: str
    encoding: Encoding
    document: Document
    places: int = 0
    loose: bool = False

    @property
    def after(self) -> bytes:
        """What is to be in the file. Raises `ToolError` for a character that its encoding has not."""
        try:
            data = self.encoding.encode(self.document.text)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise ToolError(
                f"{self.shown} is {self.encoding.remark or self.encoding.name}, which has no {character!r} "
                f"(U+{ord(character):04X}). Write it in another way, or convert the file first (iconv)."
            ) from error
        return data


def read_draft(path: Path, shown: str, memory: FileMemory) -> Draft:
    """The file, not edited yet. Raises `ToolError` where it cannot be edited, or has changed since it was read."""
    try:
        with explain_os_errors(path, shown):
            content = read_content(path, limit=LARGEST)
        encoding = find_encoding(content.data)
    except TooLarge:
        raise ToolError(
            f"{shown} has more than {describe_size(LARGEST)}, too much to be edited here. Use the shell (sed -i)."
        ) from None
    except NotText as kind:
        raise ToolError(f"{shown} is no text but {kind}: it cannot be edited.") from None
    if memory.is_stale(path, content.data):
        raise ToolError(f"{shown} has changed since you read it. Read it again, then make the edit that fits it now.")
    return Draft(content, shown, encoding, Document(encoding.decode(content.data)))


def apply_edits(draft: Draft, edits: Iterable[Edit]) -> None:
    """Make the edits one after the other. Raises `ToolError` at the first that does not fit."""
    for edit in edits:
        _apply(draft, edit)
    if draft.document.text == "".join(draft.document.before):
        raise ToolError(f"{draft.shown}: the edit changes nothing, search and replace come to the same.")


def _apply(draft: Draft, edit: Edit) -> None:
    where = f"{draft.shown}{edit.label}"
    if not edit.search.strip():
        raise ToolError(f"{where}: search is blank. {_for_blank(draft)}")
    found = find_places(draft.document, edit.search, edit.replace, overlapping=not edit.everywhere)
    if not found.spans:
        raise ToolError(f"{where}: {_explain_missing(draft.document, edit.search)}")
    if len(found.spans) > 1 and not edit.everywhere:
        raise ToolError(f"{where}: {_explain_several(draft.document, found)}")
    if found.is_full:
        raise ToolError(f"{where}: the search text stands in {MOST:,} places and more: use the shell (sed -i).")
    for span in found.spans:
        reject_masks(span.text, present=draft.document.plain[span.start : span.end], shown=draft.shown)
    draft.document.replace(_trimmed(draft.document, found.spans))
    draft.places += len(found.spans)
    draft.loose = draft.loose or found.loose


def _for_blank(draft: Draft) -> str:
    if not draft.document.plain.strip():
        return "The file is empty: remove it, then make it anew with create_file."
    return "Give a text that stands in the file, and repeat it in replace together with what is new."


def _trimmed(document: Document, spans: Iterable[Span]) -> Iterable[Span]:
    """Spans without what stays the same at their ends."""
    for span in spans:
        old, new = document.plain[span.start : span.end], span.text
        shorter = min(len(old), len(new))
        head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
        tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
        yield Span(span.start + head, span.end - tail, new[head : len(new) - tail])


def _explain_missing(document: Document, search: str) -> str:
    if MASK in search and MASK not in document.plain:
        return (
            f"the file does not say {MASK}: it stands for a secret. Leave it out of search, with the rest of its line."
        )
    lines = search.strip("\n").split("\n")
    if all(_NUMBERED.match(line) for line in lines):
        return "the search text is not there, because it has line numbers in it: give the lines without them."
    said = f"the search text is not there ({len(lines)} line{'s' if len(lines) > 1 else ''})."
    if alike := _find_look_alike(document, lines):
        return f"{said} {alike}"
    nearest = find_nearest(document.plain_lines, search)
    if nearest is None:
        return f"{said} Nothing in the file is like it; read the file first."
    return f"{said} Nearest to it:\n{_quote(document, nearest)}\nCopy it exactly as it stands there, without numbers."


def _find_look_alike(document: Document, wanted: list[str]) -> str | None:
    """Where the file has something that looks like the first line of the search text that it does not have."""
    missing = next((line for line in wanted if line not in document.plain), "")
    for number, line in enumerate(document.plain_lines, 1):
        if (line.isascii() and missing.isascii()) or len(line) > _LOOKED_AT:
            continue
        if alike := find_look_alike(line, missing):
            return (
                f"Line {number:,} looks the same, but has {describe_difference(alike, missing)}. Write that in search "
                f"(in JSON \\uXXXX is a character)."
            )
    return None


def _explain_several(document: Document, found: Found) -> str:
    lines = sorted({document.line_at(span.start) for span in found.spans})
    quoted = "\n".join(_quote(document, range(line, line + 1)) for line in lines[:_PLACES])
    more = f"\n[and {len(lines) - _PLACES:,} more lines]" if len(lines) > _PLACES else ""
    count = f"{len(found.spans):,} places{' and more' if found.is_full else ''}"
    return (
        f"the search text stands in {count}:\n{quoted}{more}\n"
        f"Add lines around it until it means one place, or set all to true to replace every one."
    )


def _quote(document: Document, lines: range) -> str:
    quoted = [
        f"{index + 1:>5}\t{show_line(document.plain_lines[index].removesuffix(chr(10))[:_QUOTED_CHARACTERS])}"
        for index in lines[:_QUOTED_LINES]
    ]
    return "\n".join(quoted + (["\t…"] if len(lines) > _QUOTED_LINES else []))
