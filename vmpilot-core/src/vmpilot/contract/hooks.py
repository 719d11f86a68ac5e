"""The plugin interface. A backend is a module or object with functions marked by `hookimpl`, named by an entry point::

    # pyproject.toml
    [project.entry-points."vmpilot.backends"]
    echo = "my_package.backend"

    # my_package/backend.py
    from vmpilot.contract import hookimpl

    @hookimpl
    def generate_responses(request):
        yield "You said: " + request.messages[-1].text

A hookimpl may accept fewer arguments than the specification, so the contract can grow without breaking backends.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine
from typing import Any

import msgspec
import pluggy

from vmpilot.contract.events import BackendEvent
from vmpilot.contract.protocols import ModelCalls, Toolbox
from vmpilot.contract.request import GenerationRequest

CONTRACT_VERSION = 1
"""Incremented when a backend for the old contract could no longer work; additions do not increment it."""

PROJECT = "vmpilot"
ENTRY_POINT_GROUP = "vmpilot.backends"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class BackendInfo(msgspec.Struct, frozen=True):
    """A backend's description. `capabilities` are the conformance levels that it claims, such as `tools`."""

    name: str
    version: str
    contract_version: int = CONTRACT_VERSION
    capabilities: frozenset[str] = frozenset()


class ModelInfo(msgspec.Struct, frozen=True):
    """A backend's knowledge of a model; None means unknown. Prices are in US dollars per token."""

    context_window: int | None = None
    max_output_tokens: int | None = None
    input_price: float | None = None
    cached_input_price: float | None = None
    output_price: float | None = None
    supports_tools: bool | None = None
    supports_images: bool | None = None


@hookspec(firstresult=True)
def generate_responses(
    request: GenerationRequest, toolbox: Toolbox, model_calls: ModelCalls
) -> Coroutine[Any, Any, None] | AsyncIterator[BackendEvent] | Any:
    """Run one agent turn: call the model, run the tools that it calls, repeat until it answers.

    The hookimpl is a coroutine function: `model_calls.ask` shows and records the model's messages. Or it is a generator
    of backend events (async, or sync and run in a thread) for an agent that requires its own model client; plain `str`
    items are text deltas that become one message. It ends when the model has answered, and raises the contract's
    errors. Canceling or closing it must close its connections.
    """


@hookspec(firstresult=True)
def describe_backend() -> BackendInfo | None:
    """Describe this backend; optional. The default is the distribution's metadata."""


@hookspec(firstresult=True)
def describe_model(model: str) -> ModelInfo | None:
    """Facts about the model; optional. Called at most once per turn; must not use the network."""
