"""The kind of a response body, by its type and first bytes, and its text. Does not parse HTML."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

from vmpilot.machine.processes.output import plain_text
from vmpilot.tools.web.http_client import HttpResponse

Kind: TypeAlias = Literal["html", "text"]

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TEXT_TYPES = re.compile(
    r"text/|application/(?:[\w.-]+\+)?(?:json|xml|yaml)\b|message/|"
    r"application/(?:x-)?(?:javascript|ecmascript|ndjson|jsonl|yaml|toml|sh|shellscript|httpd-php|sql|tex|perl|python"
    r"|pem-file|pgp-signature|pgp-keys|graphql|mbox)\Z"
)
_UNSURE_TYPES = ("", "application/octet-stream", "binary/octet-stream", "application/unknown", "unknown/unknown")
_MAGIC = (
    (b"%PDF-", "a PDF document"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"PK\x03\x04", "a ZIP archive, or an office document"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"\x7fELF", "a program"),
    (b"!<arch>", "a Debian package, or a library"),
)
_TYPES = (
    ("application/pdf", "a PDF document"),
    ("image/", "an image"),
    ("audio/", "audio"),
    ("video/", "a video"),
    ("font/", "a font"),
)
_ENCODINGS = re.compile(
    r"utf-(?:8|16|16-le|16-be|32)|iso8859-\d+|cp(?:125\d|866|874|932|949)|koi8-[rut]|mac-(?:roman|cyrillic)|gbk|gb18030"
    r"|gb2312|hz|big5|big5hkscs|euc_\w+|shift_jis\w*|iso2022_\w+|tis-620"
)
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_META_CHARSET = re.compile(rb"""<meta[^>]{0,200}?charset\s*=\s*["']?\s*([\w.:-]{1,40})""", re.IGNORECASE)
_CHARSET = re.compile(r"""charset\s*=\s*["']?([\w.:-]{1,40})""", re.IGNORECASE)
_LOOKS_LIKE_HTML = re.compile(
    rb"\s*(?:<!--.{0,500}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.IGNORECASE | re.DOTALL
)
_SNIFFED = 4_096


@dataclass(frozen=True, slots=True)
class TextContent:
    """Text, and whether it is HTML."""

    kind: Kind
    text: str


@dataclass(frozen=True, slots=True)
class BinaryContent:
    """Not text; `what` describes it as a phrase."""

    what: str


def may_be_text(media_type: str) -> bool:
    """Whether a body of this type may be text."""
    return media_type in _UNSURE_TYPES or media_type in _HTML_TYPES or _TEXT_TYPES.match(media_type) is not None


def read_content(answer: HttpResponse) -> TextContent | BinaryContent:
    """Decode a response's body, or describe its kind."""
    media_type, body = answer.media_type, answer.body
    if not may_be_text(media_type):
        named = next((what for start, what in _TYPES if media_type.startswith(start)), "not text")
        return BinaryContent(f"{named} ({media_type[:100]})")
    content_type = answer.headers.get("content-type", "")
    what = next((what for magic, what in _MAGIC if body.startswith(magic)), None)
    is_wide = body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or "utf-16" in content_type.lower()
    if what is None and b"\0" in body[:_SNIFFED] and not is_wide:
        what = "binary data"
    if what is not None:
        return BinaryContent(what)
    is_html = media_type in _HTML_TYPES or (media_type in _UNSURE_TYPES and _LOOKS_LIKE_HTML.match(body) is not None)
    return TextContent("html" if is_html else "text", _decode(answer, is_html=is_html))


def clean(text: str) -> str:
    """The text without terminal control sequences, with line feeds only."""
    return plain_text(text.replace("\r\n", "\n").replace("\r", "\n").replace("\b", "")).strip("\n")


def _decode(answer: HttpResponse, *, is_html: bool) -> str:
    """By byte order mark, header and, in HTML, meta element, in this order; else UTF-8 if valid, else Windows-1252.

    As browsers do (WHATWG Encoding, "decode"; HTML, "determining the character encoding").
    """
    body = answer.body
    for bom, encoding in _BOMS:
        if body.startswith(bom):
            return body.decode(encoding, "replace")
    named = [found[1] for found in (_CHARSET.search(answer.headers.get("content-type", "")),) if found]
    if is_html:
        named += [found[1].decode() for found in (_META_CHARSET.search(body[:_SNIFFED]),) if found]
    for name in named:
        try:
            return body.decode(_real_encoding(name), "replace")
        except (LookupError, UnicodeError):
            continue
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        cut_inside = answer.cut and len(body) - error.start < 4
        return body.decode("utf-8" if cut_inside else "cp1252", "replace")


def _real_encoding(name: str) -> str:
    """The encoding meant by a name in a page: browsers read Latin-1 and ASCII as Windows-1252.

    Also raises LookupError for Python codecs that pages never use, some of which take quadratic time.
    """
    known = codecs.lookup(name).name
    if known in {"iso8859-1", "ascii"}:
        return "cp1252"
    if not _ENCODINGS.fullmatch(known):
        raise LookupError(name)
    return known
