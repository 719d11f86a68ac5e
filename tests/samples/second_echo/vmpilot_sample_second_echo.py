"""A valid backend, but another distribution has the same name."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_responses() -> Iterator[str]:
    yield "second"
