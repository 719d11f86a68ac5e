"""Broken: the hook takes an argument that the specification does not have."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_responses(prompt: str) -> Iterator[str]:
    yield prompt
