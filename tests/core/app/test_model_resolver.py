"""The settings for models of a provider and for the local model, whose engine is replaced here."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.core.local_model.conftest import gguf_bytes
from tests.core.local_model.test_server import write_engine

from vmpilot.app._model_resolver import ModelResolver
from vmpilot.config import Environment, Settings


@pytest.mark.parametrize(("model", "expected"), [("local:{}/m.gguf", 0.0), ("gpt-4o", None)])
@pytest.mark.parametrize("given", [None, 0.7])
async def test_the_local_model_has_temperature_0(
    tmp_path: Path, model: str, expected: float | None, given: float | None
) -> None:
    (tmp_path / "m.gguf").write_bytes(gguf_bytes({}))
    environment = Environment(write_engine(tmp_path), tmp_path, tmp_path, tmp_path, "tester")
    desk = ModelResolver(Settings(model=model.format(tmp_path), temperature=given), environment)
    try:
        chain = await desk.chain("any", progress=lambda _progress: None)
        assert chain.endpoint.settings.temperature == (expected if given is None else given)
    finally:
        await desk.aclose()
