"""The probable kind of a file that is not text, by its first bytes: a guess, not a parser."""

from __future__ import annotations

import stat

_BEGINNINGS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF87a", "a GIF image"),
    (b"GIF89a", "a GIF image"),
    (b"BM", "a BMP image"),
    (b"II*\0", "a TIFF image"),
    (b"MM\0*", "a TIFF image"),
    (b"\0\0\1\0", "an icon"),
    (b"%PDF-", "a PDF document"),
    (b"\x7fELF", "an ELF program or library"),
    (b"PK\3\4", "a ZIP archive (or a document, a wheel, a JAR made as one)"),
    (b"\x1f\x8b", "gzip data"),
    (b"BZh", "bzip2 data"),
    (b"\xfd7zXZ\0", "xz data"),
    (b"\x28\xb5\x2f\xfd", "zstd data"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"SQLite format 3\0", "an SQLite database"),
    (b"GGUF", "model weights (GGUF)"),
    (b"OggS", "Ogg audio or video"),
    (b"ID3", "MP3 audio"),
    (b"fLaC", "FLAC audio"),
    (b"\0asm", "WebAssembly"),
    (b"\xca\xfe\xba\xbe", "a Java class or Mach-O file"),
)
_INSIDE = (
    (b"RIFF", 8, b"WEBP", "a WebP image"),
    (b"RIFF", 8, b"WAVE", "WAV audio"),
    (b"", 4, b"ftyp", "an MP4 video or HEIF image"),
    (b"", 257, b"ustar", "a tar archive"),
)
_SPECIAL = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a FIFO (named pipe)"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISLNK, "a link"),
)


def describe_binary(head: bytes) -> str:
    """`a PNG image, 640 x 480`, `gzip data`, or `binary data`."""
    for beginning, kind in _BEGINNINGS:
        if head.startswith(beginning):
            if kind == "a PNG image" and len(head) >= 24:
                return f"{kind}, {int.from_bytes(head[16:20])} x {int.from_bytes(head[20:24])}"
            if kind == "a GIF image" and len(head) >= 10:
                return f"{kind}, {int.from_bytes(head[6:8], 'little')} x {int.from_bytes(head[8:10], 'little')}"
            return kind
    for beginning, offset, mark, kind in _INSIDE:
        if head.startswith(beginning) and head[offset : offset + len(mark)] == mark:
            return kind
    return "binary data"


def describe_special(mode: int) -> str:
    """The kind of a file of this mode, if it is not a regular one."""
    return next((kind for is_it, kind in _SPECIAL if is_it(mode)), "not a regular file")


def describe_size(size: int) -> str:
    """`1 byte`, `900 bytes`, `1.2 MB`."""
    if size < 1000:
        return "1 byte" if size == 1 else f"{size} bytes"
    value = float(size)
    for unit in ("kB", "MB", "GB"):
        value /= 1000
        if value < 999.95:
            return f"{value:.1f} {unit}"
    return f"{value / 1000:.1f} TB"
