"""Broken: the marker is forgotten."""

from collections.abc import Iterator


def generate_responses() -> Iterator[str]:
    yield "never"
