"""The steps of `docs/writing-a-backend.md`, each run as a backend."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest

from vmpilot.contract import Retrying, TextDelta, ToolFinished, TurnEnded, Usage
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall
from vmpilot.testing.conformance import CASES, LEVELS, find_cases, make_subject, run_cases

ECHO, ASKING, TOOLS, ERRORS, SETTINGS, DESCRIBED = range(1, 7)

CALL = Reply("", tool_calls=(ScriptedCall("shell", {"command": "printf works"}),))


@pytest.fixture
def step(read_blocks: Callable[..., list[str]], install_backend: Callable[..., None]) -> Callable[[int], None]:
    """Installs the module as it is after a step: later definitions replace earlier ones."""
    blocks = read_blocks("writing-a-backend.md")

    def install(number: int) -> None:
        install_backend({"my_backend": "\n\n".join(blocks[:number])})

    return install


async def test_echo(step: Any, make_agent: Any) -> None:
    step(ECHO)
    with ScriptedServer([]) as server:
        async with make_agent(server) as agent:
            assert (await agent.answer("hello")).text == "You said: hello"


async def test_asking(step: Any, make_agent: Any, play: Any) -> None:
    step(ASKING)
    with ScriptedServer([Reply("It is there.", chunks=4)]) as server:
        events = await play(make_agent(server))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "It is there."
    assert events[-1].reason == "answered"


async def test_tools(step: Any, make_agent: Any, play: Any) -> None:
    step(TOOLS)
    with ScriptedServer([CALL, Reply("Done.")]) as server:
        events = await play(make_agent(server))
    assert "works" in next(event.result.text for event in events if isinstance(event, ToolFinished))
    assert events[-1].reason == "answered"


@pytest.mark.parametrize("number", [ERRORS, SETTINGS, DESCRIBED])
async def test_errors(number: int, step: Any, make_agent: Any, play: Any) -> None:
    step(number)
    with ScriptedServer([HttpError(503, "busy"), HttpError(401, "no")]) as server:
        events = await play(make_agent(server, api_key="sk-0123456789"))
    assert sum(isinstance(event, Retrying) for event in events) == 1
    assert "rejected the key" in events[-1].error
    assert server.requests[0].headers["authorization"] == "Bearer sk-0123456789"


@pytest.mark.parametrize("streaming", [True, False])
async def test_usage_and_settings(*, streaming: bool, step: Any, make_agent: Any, play: Any) -> None:
    step(SETTINGS)
    with ScriptedServer([CALL, Reply("Done.", usage=Usage(7, 3))]) as server:
        events = await play(make_agent(server, temperature=0.0, streaming=streaming))
    assert isinstance(events[-1], TurnEnded)
    assert (events[-1].reason, events[-1].usage.input_tokens > 7) == ("answered", True)
    assert server.requests[0].body["temperature"] == 0.0
    assert server.requests[0].body["stream"] is streaming


async def test_cancel(step: Any, make_agent: Any) -> None:
    step(SETTINGS)
    with ScriptedServer([Stall(2, Reply("It is there."))], repeat_last=True) as server:
        async with make_agent(server) as agent:
            async for event in agent.run("Do it."):
                if isinstance(event, TextDelta):
                    break
        await asyncio.to_thread(server.wait_for_hangup)


def test_backend_with_its_own_model_passes_its_claimed_levels(
    read_blocks: Callable[..., list[str]], install_backend: Callable[..., None]
) -> None:
    backend, scripted = read_blocks("writing-a-backend.md")[DESCRIBED + 1 :]
    install_backend({"my_engine_backend": backend, "my_scripted_engine": scripted})
    import my_engine_backend  # type: ignore[import-not-found]
    import my_scripted_engine  # type: ignore[import-not-found]

    subject = make_subject(my_engine_backend, my_scripted_engine.ScriptedEngine)
    cases = find_cases(sorted(subject.backend.info.capabilities))
    results = list(run_cases(subject, cases))
    assert [(result.case.id, result.came) for result in results if result.outcome == "failed"] == []
    assert sum(result.outcome == "passed" for result in results) > 20


def test_whole_backend_passes_every_level(step: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    step(DESCRIBED)
    one, end, _ = Path(certifi.where()).read_text(encoding="utf-8").partition("-----END CERTIFICATE-----\n")
    (tmp_path / "one.pem").write_text(one + end)
    monkeypatch.setenv(
        "SSL_CERT_FILE", str(tmp_path / "one.pem")
    )  # loading all certificate authorities for each turn is slow
    import my_backend  # type: ignore[import-not-found]

    subject = make_subject(my_backend)
    assert set(subject.backend.info.capabilities) == set(LEVELS)
    assert [(result.case.id, result.came) for result in run_cases(subject, CASES) if result.outcome == "failed"] == []


def test_class_for_pytest_names_existing_cases(read_blocks: Callable[..., list[str]]) -> None:
    names: dict[str, Any] = {}
    exec(compile(read_blocks("writing-a-backend.md")[DESCRIBED], "document", "exec"), names)
    assert names["TestConformance"].backend == "mine"


def test_entry_point_is_the_tested_one(read_blocks: Callable[..., list[str]]) -> None:
    project = tomllib.loads(read_blocks("writing-a-backend.md", "toml")[0])
    assert project["project"]["entry-points"] == {"vmpilot.backends": {"mine": "my_backend"}}
