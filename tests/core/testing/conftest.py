"""A chat request and an HTTP client for the tests of the scripted server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import httpx
import pytest

Ask: TypeAlias = Callable[..., dict[str, Any]]


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=10.0, trust_env=False) as client:
        yield client


@pytest.fixture
def ask() -> Ask:
    """Make the body of a chat request; keywords are added to it or replace a member."""

    def make(**members: Any) -> dict[str, Any]:
        return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **members}

    return make
