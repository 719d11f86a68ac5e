"""The header of a GGUF file, which says what the file is. It reads no tensors.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md (versions 2 and 3, little endian).
"""

import struct
from collections.abc import Collection
from pathlib import Path
from typing import BinaryIO

from vmpilot.local_model._values import LocalModelError

_MAGIC = b"GGUF"
_STRING, _ARRAY = 8, 9
_WIDTHS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_MOST_ENTRIES = 4096
_LONGEST_STRING = 1 << 20


def check_gguf(path: Path) -> None:
    """Raise `LocalModelError` if `path` is not a readable GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except FileNotFoundError:
        raise LocalModelError(f"There is no model file at {path}. Use the path of a GGUF file.") from None
    except OSError as error:
        raise LocalModelError(f"Cannot read the model file {path}: {error.strerror}") from error
    if magic != _MAGIC:
        raise LocalModelError(f"{path} is not a GGUF file. The local model needs weights in llama.cpp's GGUF format.")


def read_text_fields(path: Path, names: Collection[str]) -> dict[str, str]:
    """The metadata strings of `names` that the file holds; an unreadable header yields what precedes the damage."""
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            _collect(file, names, found)
    except (OSError, ValueError, struct.error):
        return found
    return found


def is_qwen_coder(path: Path) -> bool:
    """Whether the file is a model of the Qwen2.5-Coder family, by its own metadata."""
    fields = read_text_fields(path, ("general.architecture", "general.name", "general.basename"))
    name = f"{fields.get('general.name', '')} {fields.get('general.basename', '')}".lower()
    return fields.get("general.architecture") == "qwen2" and "coder" in name


def _collect(file: BinaryIO, names: Collection[str], found: dict[str, str]) -> None:
    if file.read(len(_MAGIC)) != _MAGIC:
        raise ValueError("no GGUF magic")
    _version, _tensors, entries = struct.unpack("<IQQ", file.read(20))
    for _ in range(min(entries, _MOST_ENTRIES)):
        key = _read_string(file)
        (kind,) = struct.unpack("<I", file.read(4))
        if key in names and kind == _STRING:
            found[key] = _read_string(file)
        elif key.startswith("tokenizer.") or len(found) == len(names):
            return  # the vocabulary follows the general fields, and is long
        else:
            _skip(file, kind)


def _read_string(file: BinaryIO) -> str:
    (length,) = struct.unpack("<Q", file.read(8))
    if length > _LONGEST_STRING:
        raise ValueError("a string longer than any name")
    return file.read(length).decode("utf-8", "replace")


def _skip(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _read_string(file)
    elif kind == _ARRAY:
        inner, count = struct.unpack("<IQ", file.read(12))
        if inner == _ARRAY:
            raise ValueError("an array of arrays")
        for _ in range(min(count, _MOST_ENTRIES)):
            _skip(file, inner)
    elif kind in _WIDTHS:
        file.read(_WIDTHS[kind])
    else:
        raise ValueError("an unknown kind of value")
