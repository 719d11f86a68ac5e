"""Makes edits in memory: reads the files, finds the matches, replaces them. Nothing is written."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.contract.invisible import describe_difference, find_look_alike
from vmpilot.machine.secrets.masking import MASK
from vmpilot.tools.files._content import Content, FileMemory, TooLarge, read_content
from vmpilot.tools.files._document import Document, Span
from vmpilot.tools.files._errors import explain_os_errors, reject_masks
from vmpilot.tools.files._kinds import describe_size
from vmpilot.tools.files._matching import MOST, Found, find_places
from vmpilot.tools.files._text import Encoding, NotText, find_encoding, show_line

_LARGEST = 10_000_000
"""Bytes of a file that can be edited."""
_QUOTED_LINES = 12
_QUOTED_CHARACTERS = 300
_PLACES = 8
_EXAMINED = 1_000
"""Maximum length of a line that is searched for text that looks like the search text."""
_NUMBERED = re.compile(r"\s*\d+\t")
_SECONDS = 0.5
"""Time for finding similar lines."""
_SIMILAR = 0.5
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class Edit:
    r"""One edit of a file; its texts have `\n` line endings. `label` names it if it is not the only one."""

    search: str
    replace: str
    everywhere: bool
    label: str = ""


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
        """The file's new content. Raises `ToolError` for a character that its encoding lacks."""
        try:
            return self.encoding.encode(self.document.text)
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise ToolError(
                f"{self.shown} is {self.encoding.remark or self.encoding.name}, which has no {character!r} "
                f"(U+{ord(character):04X}). Write it differently, or convert the file first (iconv)."
            ) from error


def read_draft(path: Path, shown: str, memory: FileMemory) -> Draft:
    """The file before its edits. Raises `ToolError` if it cannot be edited, or has changed since it was read."""
    try:
        with explain_os_errors(path, shown):
            content = read_content(path, limit=_LARGEST)
        encoding = find_encoding(content.data)
    except TooLarge:
        raise ToolError(
            f"{shown} is larger than {describe_size(_LARGEST)}, the limit for edits. Use the shell (sed -i)."
        ) from None
    except NotText as kind:
        raise ToolError(f"{shown} is not text but {kind}, so it cannot be edited.") from None
    if memory.is_stale(path, content.data):
        raise ToolError(f"{shown} has changed since you read it. Read it again, then adapt the edit.")
    return Draft(content, shown, encoding, Document(encoding.decode(content.data)))


def apply_edits(draft: Draft, edits: Iterable[Edit]) -> None:
    """Make the edits in order. Raises `ToolError` at the first edit that does not match."""
    document = draft.document
    for edit in edits:
        where = f"{draft.shown}{edit.label}"
        if not edit.search.strip():
            blank = "Use text from the file, and repeat it in replace together with the new text."
            empty = "The file is empty: delete it, then create it with create_file."
            raise ToolError(f"{where}: search is blank. {blank if document.plain.strip() else empty}")
        found = find_places(document, edit.search, edit.replace, overlapping=not edit.everywhere)
        if not found.spans:
            raise ToolError(f"{where}: {_explain_missing(document, edit.search)}")
        if len(found.spans) > 1 and not edit.everywhere:
            raise ToolError(f"{where}: {_explain_several(document, found)}")
        if found.is_full:
            raise ToolError(f"{where}: search text found in {MOST:,} places or more: use the shell (sed -i).")
        for span in found.spans:
            reject_masks(span.text, present=document.plain[span.start : span.end], shown=draft.shown)
        document.replace(_trimmed(document, found.spans))
        draft.places += len(found.spans)
        draft.loose = draft.loose or found.loose
    if document.text == "".join(document.before):
        raise ToolError(f"{draft.shown}: the edit changes nothing.")


def _trimmed(document: Document, spans: Iterable[Span]) -> Iterable[Span]:
    """The spans without unchanged text at their ends."""
    for span in spans:
        old, new = document.plain[span.start : span.end], span.text
        shorter = min(len(old), len(new))
        head = next((i for i in range(shorter) if old[i] != new[i]), shorter)
        tail = next((i for i in range(shorter - head) if old[-1 - i] != new[-1 - i]), shorter - head)
        yield Span(span.start + head, span.end - tail, new[head : len(new) - tail])


def _explain_missing(document: Document, search: str) -> str:
    if MASK in search and MASK not in document.plain:
        return f"{MASK} is not in the file: it stands for a secret. Leave its line out of search."
    lines = search.strip("\n").split("\n")
    if all(_NUMBERED.match(line) for line in lines):
        return "search text not found: it contains line numbers. Leave them out."
    said = f"search text not found ({len(lines)} line{'s' if len(lines) > 1 else ''})."
    if alike := _find_look_alike(document, lines):
        return f"{said} {alike}"
    nearest = _find_nearest(document.plain_lines, search)
    if nearest is None:
        return f"{said} Nothing in the file is similar; read the file first."
    return f"{said} Closest match:\n{_quote(document, nearest)}\nCopy it exactly, without the line numbers."


def _find_look_alike(document: Document, wanted: list[str]) -> str | None:
    """The position of file text that looks like the first missing line of the search text."""
    missing = next((line for line in wanted if line not in document.plain), "")
    for number, line in enumerate(document.plain_lines, 1):
        if (line.isascii() and missing.isascii()) or len(line) > _EXAMINED:
            continue
        if alike := find_look_alike(line, missing):
            difference = describe_difference(alike, missing)
            return f"Line {number:,} looks the same, but has {difference}. Use that in search (JSON: \\uXXXX)."
    return None


def _find_nearest(lines: Sequence[str], search: str) -> range | None:
    """The lines (indices) most similar to those of `search`, None if nothing is similar. Takes bounded time."""
    wanted = [line.strip() for line in search.strip("\n").split("\n")]
    present = [line.strip() for line in lines]
    start = _find_by_equal_lines(present, wanted)
    if start is None:
        start = _find_by_similar_line(present, wanted)
    if start is None:
        return None
    start = max(0, min(start, len(lines) - 1))
    return range(start, min(len(lines), start + len(wanted)))


def _find_by_equal_lines(present: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start at which most of the wanted lines are in the right position; rare and long lines count more."""
    places = {line: list[int]() for line in wanted if line}
    for index, line in enumerate(present):
        if line in places:
            places[line].append(index)
    votes: defaultdict[int, float] = defaultdict(float)
    for offset, line in enumerate(wanted):
        found = places.get(line, [])
        for index in found[:1_000]:
            votes[index - offset] += len(line) / len(found)
    return min(votes, key=lambda start: (-votes[start], start)) if votes else None


def _find_by_similar_line(present: Sequence[str], wanted: Sequence[str]) -> int | None:
    """The start given by the line most similar to the longest wanted one."""
    offset = max(range(len(wanted)), key=lambda index: len(wanted[index]))
    matcher = SequenceMatcher(b=wanted[offset][:_LONGEST], autojunk=False)
    best, place, end = _SIMILAR, None, time.monotonic() + _SECONDS
    for index, line in enumerate(present):
        if not line:
            continue
        if time.monotonic() > end:
            break
        matcher.set_seq1(line[:_LONGEST])
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, place = ratio, index - offset
    return place


def _explain_several(document: Document, found: Found) -> str:
    lines = sorted({document.line_at(span.start) for span in found.spans})
    quoted = "\n".join(_quote(document, range(line, line + 1)) for line in lines[:_PLACES])
    more = f"\n[and {len(lines) - _PLACES:,} more lines]" if len(lines) > _PLACES else ""
    count = f"{len(found.spans):,} places{' or more' if found.is_full else ''}"
    return (
        f"search text found in {count}:\n{quoted}{more}\n"
        f"Add surrounding lines until it is unique, or set all to true to replace every match."
    )


def _quote(document: Document, lines: range) -> str:
    quoted = [
        f"{index + 1:>5}\t{show_line(document.plain_lines[index].removesuffix(chr(10))[:_QUOTED_CHARACTERS])}"
        for index in lines[:_QUOTED_LINES]
    ]
    return "\n".join(quoted + (["\t…"] if len(lines) > _QUOTED_LINES else []))
