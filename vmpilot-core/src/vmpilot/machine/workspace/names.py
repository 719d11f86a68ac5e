r"""File names as text: bytes that are no UTF-8, and control characters, stand as `\xNN`. Paths go through whole."""

from __future__ import annotations

import os
import re

_UNSHOWN = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SHOWN = re.compile(rb"\\x([0-9a-f]{2})")


def show_name(name: str) -> str:
    r"""The name on one line, in valid Unicode: what cannot stand there is written `\xNN`, byte by byte."""
    return _UNSHOWN.sub(lambda match: "".join(f"\\x{byte:02x}" for byte in os.fsencode(match[0])), name)


def read_name(text: str) -> str:
    """The name that `show_name` shows as `text`."""
    return os.fsdecode(_SHOWN.sub(lambda match: bytes([int(match[1], 16)]), os.fsencode(text))).replace("\0", "")
