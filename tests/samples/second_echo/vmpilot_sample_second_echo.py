"""A fine backend, but another distribution has its name as well."""

from collections.abc import Iterator

from vmpilot.contract import hookimpl


@hookimpl
def generate_responses() -> Iterator[str]:
    yield "second"
