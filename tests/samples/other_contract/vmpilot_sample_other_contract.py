"""Broken: made for another version of the contract."""

from collections.abc import Iterator

from vmpilot.contract import BackendInfo, hookimpl


@hookimpl
def generate_responses() -> Iterator[str]:
    yield "never"


@hookimpl
def describe_backend() -> BackendInfo:
    return BackendInfo("other_contract", "1.0", contract_version=99)
