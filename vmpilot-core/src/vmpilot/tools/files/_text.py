r"""Text from bytes and back without loss: encoding, byte order mark, line endings."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass

from vmpilot.tools.files._kinds import describe_binary

HEAD = 8_192
"""Bytes at a file's beginning that decide whether it is text."""

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_BEYOND_TEXT = re.compile(rb"[\x00-\x06\x0e-\x1a\x1c-\x1f\x7f]")
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_HIGH = re.compile(rb"[\x80-\xff]")
_UNSHOWN = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\udc80-\udcff]")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


class NotText(Exception):
    """The bytes are not text; the message describes them."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a file's text is encoded. `damaged`: some bytes are invalid UTF-8 and become lone surrogates."""

    name: str = "utf-8"
    mark: bytes = b""
    damaged: bool = False

    def encode(self, text: str) -> bytes:
        """Raises UnicodeEncodeError for a character that the encoding lacks."""
        return self.mark + text.encode(self.name, "surrogateescape" if self.damaged else "strict")

    def decode(self, data: bytes) -> str:
        """The text of a complete file in this encoding."""
        return data[len(self.mark) :].decode(self.name, "surrogateescape" if self.damaged else "strict")

    @property
    def remark(self) -> str:
        """A note for the reader; empty for plain UTF-8."""
        if self.damaged:
            return "UTF-8 with invalid bytes, shown as \\xNN"
        if self.name == "latin-1":
            return "not UTF-8, so read as Latin-1"
        name = self.name.upper().replace("-LE", " (little endian)").replace("-BE", " (big endian)")
        return f"{name} with byte order mark" if self.mark else ""


def find_encoding(data: bytes) -> Encoding:
    """The encoding of a file's bytes. Raises `NotText`."""
    for mark, name in _MARKS:
        if data.startswith(mark):
            encoding = Encoding(name, mark)
            try:
                encoding.decode(data)
            except UnicodeDecodeError:
                if name == "utf-8":
                    return Encoding(name, mark, damaged=True)
                raise NotText(f"damaged {name.upper()}") from None
            return encoding
    refuse_binary(data[:HEAD])
    try:
        data.decode()
    except UnicodeDecodeError:
        valid = sum(len(match[0]) for match in _MULTIBYTE.finditer(data))
        return Encoding(damaged=True) if valid * 2 > len(_HIGH.findall(data)) else Encoding("latin-1")
    return Encoding()


def refuse_binary(head: bytes) -> None:
    """Raise `NotText` if a file that begins with these bytes, without a byte order mark, is not text."""
    odd = len(_BEYOND_TEXT.findall(head))
    if b"\0" in head or odd * 10 > len(head) or head.startswith(b"%PDF-"):
        raise NotText(describe_binary(head))


def show_line(line: str) -> str:
    r"""A line without its ending, with control characters and invalid bytes as `\xNN`."""
    shown = _UNSHOWN.sub(lambda match: f"\\x{ord(match[0]) & 0xFF:02x}", line)
    return _LONE_SURROGATE.sub("\N{REPLACEMENT CHARACTER}", shown)


def split_lines(text: str) -> list[str]:
    r"""The lines with their endings; only `\n` ends one (`\r\n` included), unlike `str.splitlines`."""
    *lines, last = text.split("\n")
    return [f"{line}\n" for line in lines] + ([last] if last else [])
