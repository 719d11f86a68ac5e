"""Reading what a GGUF file says of itself, also where the header is cut or nonsense."""

import struct
from pathlib import Path

import pytest

from vmpilot.local_model._gguf import is_qwen_coder, read_text_fields

from .conftest import gguf_bytes

QWEN = {"general.architecture": "qwen2", "general.name": "Qwen2.5 Coder"}


def test_text_fields_are_found_behind_numbers_and_lists(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(gguf_bytes(QWEN))
    assert read_text_fields(path, QWEN) == QWEN


@pytest.mark.parametrize("length", [0, 3, 10, 24, 60, 150])
def test_a_cut_header_is_no_error(tmp_path: Path, length: int) -> None:
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
def test_nonsense_is_no_error(tmp_path: Path, entry: bytes) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1 << 40) + entry)
    assert read_text_fields(path, ["general.name"]) == {}
