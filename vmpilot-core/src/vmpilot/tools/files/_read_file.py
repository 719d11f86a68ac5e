"""The tool `read_file`: the lines of a text file with their numbers, in bounded memory and time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmpilot.contract import ReadsFiles, ToolError, ToolOutcome, ToolSpec, ToolUse
from vmpilot.machine.workspace import open_regular, opened_folder
from vmpilot.tools.files._content import TooLarge, read_up_to
from vmpilot.tools.files._document import describe_line_endings
from vmpilot.tools.files._errors import explain_os_errors
from vmpilot.tools.files._kinds import describe_size
from vmpilot.tools.files._paths import FileTool
from vmpilot.tools.files._text import HEAD, NotText, find_encoding, refuse_binary, show_line, split_lines
from vmpilot.tools.files._threads import Watch, run_in_thread

_WHOLE = 10_000_000
"""Maximum bytes of a file that is read completely; of a larger file, only the requested part is kept."""
_LINES = 2_000
_CHARACTERS = 40_000
_LINE_CHARACTERS = 2_000
_PIECE = 1 << 20


class ReadFileTool(FileTool):
    """Reads files of a workspace and remembers what was read."""

    spec = ToolSpec(
        name="read_file",
        description=(
            "Read a text file: its lines, each after its number and a tab. Long files are returned in parts: continue "
            "with offset. Use it instead of cat before you edit a file."
        ),
        parameters={
            "type": "object",
            "properties": {
                "path": {"type": "string", "minLength": 1, "description": "The file, relative to the working folder."},
                "offset": {"type": "integer", "minimum": 1, "description": "First line to read; default: 1."},
                "limit": {
                    "type": "integer",
                    "minimum": 1,
                    "maximum": _LINES,
                    "description": f"Maximum number of lines; default: {_LINES}.",
                },
            },
            "required": ["path"],
            "additionalProperties": False,
        },
    )

    def title(self, arguments: Mapping[str, Any]) -> str:
        (path,) = self.look(arguments, arguments["path"]).paths
        offset, limit = arguments.get("offset", 1), arguments.get("limit")
        wanted = f", lines {offset} to {offset + limit - 1}" if limit else f", from line {offset}" if offset > 1 else ""
        return f"read {self.show(path)}{wanted}"

    def effect(self, arguments: Mapping[str, Any]) -> ReadsFiles:
        return ReadsFiles(self.plan(arguments, arguments["path"]).paths)

    async def run(self, arguments: Mapping[str, Any], use: ToolUse) -> ToolOutcome:
        (path,) = self.take(arguments, arguments["path"]).paths
        part = _Part(arguments.get("offset", 1), arguments.get("limit", _LINES))
        remarks = await run_in_thread(lambda watch: self._read(path, part, watch))
        remarks = "; ".join(filter(None, (remarks, self.describe_substitution(arguments["path"], path))))
        use.on_output(f"{remarks}\n")
        return ToolOutcome("".join(f"{line}\n" for line in part.lines) + f"[{remarks}]")

    def _read(self, path: Path, part: _Part, watch: Watch) -> str:
        shown = self.show(path)
        with explain_os_errors(path, shown):
            with opened_folder(path.parent) as folder:
                descriptor, facts = open_regular(folder, path.name)
            try:
                return self._read_opened(descriptor, path, part=part, size=facts.st_size, watch=watch)
            except NotText as kind:
                size = f", {describe_size(facts.st_size)}" if facts.st_size else ""
                raise ToolError(f"{shown} is not text: {kind}{size}. Inspect it with the shell.") from None
            except _PastEnd as past:
                lines = f"{past.count:,} line{'' if past.count == 1 else 's'}"
                raise ToolError(f"{shown} has {lines}: line {part.offset:,} does not exist.") from None
            finally:
                os.close(descriptor)

    def _read_opened(self, descriptor: int, path: Path, *, part: _Part, size: int, watch: Watch) -> str:
        if size <= _WHOLE:
            try:
                data = read_up_to(descriptor, _WHOLE)
            except TooLarge:  # a file of /proc, which does not know its size
                os.lseek(descriptor, 0, os.SEEK_SET)
            else:
                self.memory.note(path, data)
                return _read_whole(data, part)
        self.memory.note(path, None)
        return _read_large(descriptor, part, size=size, watch=watch)


class _PastEnd(Exception):
    """The file has `count` lines and ends before the first requested line."""

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.count = count


@dataclass
class _Part:
    """The requested lines, and those that fit."""

    offset: int
    limit: int
    lines: list[str] = field(default_factory=list)
    room: int = _CHARACTERS

    @property
    def next(self) -> int:
        """The number of the line after the part."""
        return self.offset + len(self.lines)

    def take(self, line: str, hidden: int = 0) -> bool:
        """Add the next line, which has `hidden` more characters; False if the part is full."""
        line = line.removesuffix("\n").removesuffix("\r")
        hidden += max(0, len(line) - _LINE_CHARACTERS)
        more = f" [… {hidden:,} more characters]" if hidden else ""
        shown = f"{self.next:>5}\t{show_line(line[:_LINE_CHARACTERS])}{more}"
        if len(self.lines) >= self.limit or (self.lines and len(shown) > self.room):
            return False
        self.lines.append(shown)
        self.room -= len(shown)
        return True

    def describe(self, total: int | None, of: str = "") -> str:
        """`lines 1 to 50 of 90; continue with offset 51`."""
        said = f"line{'s' if len(self.lines) > 1 else ''} {self.offset}"
        said += f" to {self.next - 1}" if len(self.lines) > 1 else ""
        said += f" of {total:,}" if total is not None else of
        return said if total is not None and self.next > total else f"{said}; continue with offset {self.next}"


def _read_whole(data: bytes, part: _Part) -> str:
    if not data:
        if part.offset > 1:
            raise _PastEnd(0)
        return "the file is empty"
    encoding = find_encoding(data)
    lines = split_lines(encoding.decode(data))
    if part.offset > len(lines):
        raise _PastEnd(len(lines))
    for line in lines[part.offset - 1 : part.offset - 1 + part.limit]:
        if not part.take(line):
            break
    ending = "" if lines[-1:] and lines[-1].endswith("\n") else "no newline at end of file"
    remarks = (part.describe(len(lines)), encoding.remark, describe_line_endings(lines), ending)
    return "; ".join(filter(None, remarks))


def _read_large(descriptor: int, part: _Part, *, size: int, watch: Watch) -> str:
    head = os.pread(descriptor, HEAD, 0)
    if head[:2] in {b"\xff\xfe", b"\xfe\xff"}:
        raise NotText("UTF-16 text that is too large to convert here (use iconv)")
    refuse_binary(head)
    more = False
    for line, hidden in _bounded_lines(descriptor, part.offset, watch=watch):
        if not part.take(line.decode(errors="surrogateescape"), hidden):
            more = True
            break
    return part.describe(None if more else part.next - 1, f" of a file of {describe_size(size)}")


def _bounded_lines(descriptor: int, first: int, *, watch: Watch) -> Iterator[tuple[bytes, int]]:
    """The lines from number `first` on; of a long line, the start and the number of omitted bytes.

    Raises `_PastEnd` if there are fewer, `ToolError` if it takes too long.
    """
    kept, hidden, number, ended = bytearray(), 0, 1, True
    while piece := os.read(descriptor, _PIECE):
        if watch.is_over:
            raise ToolError("Reading up to there takes too long. Use the shell: tail, sed -n, grep.")
        ended, position = piece.endswith(b"\n"), 0
        if (inside := piece.count(b"\n")) < first - number:
            number += inside
            continue
        for _ in range(first - number):
            position = piece.index(b"\n", position) + 1
        number = max(number, first)
        while (end := piece.find(b"\n", position)) >= 0:
            hidden += _keep(kept, piece[position:end])
            yield bytes(kept), hidden
            kept.clear()
            hidden, position = 0, end + 1
            number += 1
        hidden += _keep(kept, piece[position:])
    if kept:
        yield bytes(kept), hidden
    elif number <= first:
        raise _PastEnd(number - ended)


def _keep(kept: bytearray, more: bytes) -> int:
    room = max(0, 4 * _LINE_CHARACTERS - len(kept))
    kept += more[:room]
    return len(more) - len(more[:room])
