"""Parsing ripgrep's output, in chunks of any size."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmpilot.tools.files._ripgrep import Match, find_unreadable, parse_matches

WARNING = b'./bin: WARNING: stopped searching binary file after match (found "\\0" byte around offset 70000)\n'
OUTPUT = (
    b"./a b\0" + b"1:2:3:x\n./bin\0" + b"4:5:6:[Omitted long matching line]\n" + WARNING + b"new\nline\0" + b"7:8:9:\n"
    b"odd\0x:y\nlast\0" + b"1:1:0\n"
)
EXPECTED = [
    Match("a b", 1, 2, 3),
    Match("bin", 4, 5, 6),
    Match("new\nline", 7, 8, 9),
    Match("last", 1, 1, 0),
]


@given(st.lists(st.integers(0, len(OUTPUT)), max_size=5))
def test_matches_are_parsed_from_chunks_of_any_size(cuts: list[int]) -> None:
    bounds = [0, *sorted(cuts), len(OUTPUT)]
    matches, rest = list[Match](), b""
    for start, end in pairwise(bounds):
        found, rest = parse_matches(rest + OUTPUT[start:end])
        matches += found
    assert (matches, rest) == (EXPECTED, b"")


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (
            "rg: ./sub/a: Permission denied (os error 13)\nrg: ./b: No such file or directory (os error 2)\n",
            ["sub/a", "b"],
        ),
        ("rg: ./sub: IO error for operation on ./sub: Permission denied (os error 13)\n", ["sub"]),
        ("rg: regex parse error:\n    (\n", []),
    ],
)
def test_unreadable_files_are_found_in_its_messages(said: str, names: list[str]) -> None:
    assert find_unreadable(said) == names
