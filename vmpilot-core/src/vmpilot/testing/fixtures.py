"""Fixtures for pytest: `pytest_plugins = ["vmpilot.testing.fixtures"]` in a `conftest.py` loads them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any, TypeAlias

import pytest

from vmpilot.testing.script import Step, StepMaker
from vmpilot.testing.scripted import ScriptedServer

ServerStarter: TypeAlias = Callable[..., ScriptedServer]


@pytest.fixture
def scripted_server() -> Iterator[ServerStarter]:
    """Starts servers: `server = scripted_server([Reply("hi")])`, with the options of `ScriptedServer`.

    At the end of the test, each server must have played its complete script and received no further requests (`check`).
    """
    with ExitStack() as servers:

        def start(script: Sequence[Step | StepMaker], **options: Any) -> ScriptedServer:
            return servers.enter_context(ScriptedServer(script, **options))

        yield start
