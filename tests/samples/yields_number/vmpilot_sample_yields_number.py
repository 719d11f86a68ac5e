"""Broken: it yields something that is not an event."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_responses() -> Iterator[object]:
    yield "half of "
    yield 42
