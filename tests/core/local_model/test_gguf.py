"""Reading the metadata of a GGUF file, even if its header is truncated or invalid."""

import struct
from pathlib import Path

import pytest

from vmpilot.local_model._gguf import is_qwen_coder, read_text_fields

from .conftest import gguf_bytes

QWEN = {"general.architecture": "qwen2", "general.name": "Qwen2.5 Coder"}


def test_text_fields_after_numbers_and_lists_are_found(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes(QWEN))
    assert read_text_fields(path, QWEN) == QWEN


@pytest.mark.parametrize("length", [0, 3, 10, 24, 60, 150])
def test_a_truncated_header_is_not_an_error(tmp_path: Path, length: int) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes(QWEN)[:length])
    assert not is_qwen_coder(path)


@pytest.mark.parametrize(
    "entry",
    [
        struct.pack("<Q", 1 << 60) + b"name",
        struct.pack("<Q", 1) + b"a" + struct.pack("<I", 99),
        struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 9, 5),
        struct.pack("<Q", 1) + b"a" + struct.pack("<IIQ", 9, 8, 1 << 60),
    ],
    ids=["endless string", "unknown kind", "list of lists", "endless list"],
)
def test_an_invalid_header_is_not_an_error(tmp_path: Path, entry: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40) + entry)
    assert read_text_fields(path, ["general.name"]) == {}
