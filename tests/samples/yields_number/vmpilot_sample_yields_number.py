"""Broken: it yields something that is no event."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_responses() -> Iterator[object]:
    yield "half of "
    yield 42
