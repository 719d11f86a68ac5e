"""Make each library's first call before the rows run."""

from __future__ import annotations

import asyncio
import warnings

import pytest

from .rows import COLUMNS, warm_up


def pytest_configure(config: pytest.Config) -> None:
    # LiteLLM's modules warn about its own dependencies while they are imported.
    config.addinivalue_line("filterwarnings", "ignore::DeprecationWarning:litellm")
    config.addinivalue_line("filterwarnings", "ignore::pydantic.warnings.PydanticDeprecatedSince20")


@pytest.fixture(scope="session")
def _libraries() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        asyncio.run(warm_up(COLUMNS))
