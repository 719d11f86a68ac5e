"""Broken: the name of the hook is misspelled."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_response() -> Iterator[str]:
    yield "never"
