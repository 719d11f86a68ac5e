"""The library with the sample backend; tests/system covers both shipped backends."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.tool_data import output_in

import vmpilot
from vmpilot import Agent, Answer
from vmpilot.app._tool_registry import BUILT_IN_TOOLS, ToolRegistry
from vmpilot.config import Environment, Settings
from vmpilot.contract import BackendError, Notice, TextDelta, Usage, UsageError
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall

MakeAgent = Callable[..., Agent]


@pytest.fixture
def make_agent(installed_samples: Callable[..., None], tmp_path: Path) -> MakeAgent:
    """Makes an agent with the sample backend in an empty folder; keywords are settings or replace an argument."""
    installed_samples("bare")
    (tmp_path / "work").mkdir()

    def make(server: ScriptedServer | None = None, **given: Any) -> Agent:
        variables = {"PATH": os.environ["PATH"], **given.pop("variables", {})}
        environment = Environment(variables, tmp_path / "config", tmp_path / "data", tmp_path / "cache", "ada")
        settings = {"backend": "bare", "model": "m", "base_url": server.base_url if server else None, **given}
        return Agent(**{"folder": tmp_path / "work", "environment": environment, **settings})

    return make


def test_ask_gives_an_answer(make_agent: MakeAgent) -> None:
    with ScriptedServer([Reply("Hello.")]) as server, make_agent(server) as agent:
        answer = agent.ask("hi")
    assert answer == Answer("Hello.", "answered", agent.conversation_id or "", Usage(100, 20), None, None)


def test_ask_gives_a_failure_as_a_value(make_agent: MakeAgent) -> None:
    with ScriptedServer([HttpError(401)]) as server, make_agent(server) as agent:
        answer = agent.ask("hi")
    assert (answer.text, answer.reason) == ("", "failed")
    assert answer.error


async def test_ask_in_a_running_loop_is_an_error(make_agent: MakeAgent) -> None:
    agent = make_agent()
    with pytest.raises(RuntimeError, match=r"await agent\.answer"):
        agent.ask("hi")
    agent.close()


def test_a_closed_agent_can_continue_its_conversation(make_agent: MakeAgent) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        agent = make_agent(server)
        for request in ("One?", "Two?"):
            agent.ask(request)
            agent.close()
    assert [message["content"] for message in server.requests[1].messages[1:]] == ["One?", "One.", "Two?"]


def test_closing_an_unused_agent(make_agent: MakeAgent, tmp_path: Path) -> None:
    with make_agent() as agent:
        assert agent.conversation_id is None
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"modle": "x"}, 'Unknown setting "modle". The settings are: backend, model'),
        ({"max_steps": 0}, "max_steps must be a whole number above 0, not 0"),
        ({"max_steps": "3"}, "max_steps must be a whole number above 0"),
        ({"mode": "god"}, "one of observe, operate, full"),
        ({"folder": "/no/such/folder"}, "/no/such/folder is not a folder"),
    ],
)
def test_invalid_settings_are_errors_of_the_constructor(
    make_agent: MakeAgent, given: dict[str, Any], told: str
) -> None:
    with pytest.raises(UsageError, match=told):
        make_agent(**given)


def test_none_means_not_given(make_agent: MakeAgent) -> None:
    assert make_agent(model=None, variables={"VMPILOT_MODEL": "theirs"}).settings.model == "theirs"


async def test_a_missing_backend_is_an_error_before_anything_is_logged(make_agent: MakeAgent, tmp_path: Path) -> None:
    async with make_agent(backend="nonsense") as agent:
        with pytest.raises(BackendError, match="nonsense"):
            await agent.answer("hi")
    assert not (tmp_path / "data").exists()


def test_the_choice_and_its_reason(make_agent: MakeAgent) -> None:
    choice = make_agent(backend=None, variables={"VMPILOT_BACKEND": "bare"}).backend_choice
    assert (choice.backend.name, choice.why) == ("bare", "VMPILOT_BACKEND")


async def test_a_missing_conversation(make_agent: MakeAgent) -> None:
    async with make_agent(conversation="abc") as agent:
        with pytest.raises(UsageError, match='no conversation "abc"'):
            await agent.answer("hi")
        with pytest.raises(UsageError, match="no conversation to continue"):
            await agent.resume_latest()


async def test_a_turn_that_cannot_begin_releases_its_conversation(make_agent: MakeAgent, tmp_path: Path) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        async with make_agent(server) as agent:
            conversation = (await agent.answer("One?")).conversation_id
        async with make_agent(server, model=f"local:{tmp_path}/no-such.gguf") as broken:
            with pytest.raises(vmpilot.contract.VMPilotError):
                async for _ in broken.run("x", conversation=conversation):
                    pass
            async with make_agent(server, conversation=conversation) as agent:
                await agent.answer("Two?")


async def test_the_system_prompt_has_the_machine_mode_and_tools(make_agent: MakeAgent) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        async with make_agent(server, mode="observe") as agent:
            await agent.answer("hi")
    prompt = server.requests[0].messages[0]["content"]
    for word in ("User: ada", "`shell`", "`read_file`", "Read-only mode"):
        assert word in prompt
    assert "{" not in prompt


async def test_commands_get_the_users_variables_without_secrets(make_agent: MakeAgent) -> None:
    variables = {"PLAIN": "plain value", "MY_TOKEN": "hush-hush-hush", "PASSED_TOKEN": "tell-tell-tell"}
    calls = (ScriptedCall("shell", {"command": "echo $PLAIN ${MY_TOKEN:-none}; echo $PASSED_TOKEN | tr a-z A-Z"}),)
    with ScriptedServer([Reply(tool_calls=calls), Reply("Seen.")]) as server:
        async with make_agent(server, mode="full", variables=variables, pass_environment=["PASSED_TOKEN"]) as agent:
            await agent.answer("hi")
    assert output_in(server.requests[1].messages[-1]["content"]) == "plain value none\nTELL-TELL-TELL\n[exit code 0]"


async def test_stop_without_a_turn_says_so(make_agent: MakeAgent) -> None:
    async with make_agent() as agent:
        assert not agent.stop()
        await agent.wait()


async def test_stop_reaches_every_turn(make_agent: MakeAgent) -> None:
    with ScriptedServer([Stall(after=3), Stall(after=3)]) as server:
        async with make_agent(server) as agent:
            begun = [asyncio.Event(), asyncio.Event()]

            async def play(first_delta: asyncio.Event) -> object:
                last: object = Notice("nothing")
                async for event in agent.run("go on", history=()):
                    last = event
                    if isinstance(event, TextDelta):
                        first_delta.set()
                return last

            turns = [asyncio.create_task(play(first_delta)) for first_delta in begun]
            for first_delta in begun:
                await first_delta.wait()
            assert agent.stop()
            ends = await asyncio.gather(*turns)
    assert [getattr(end, "reason", None) for end in ends] == ["interrupted", "interrupted"]


def test_importing_the_library_is_cheap() -> None:
    code = "import sys, vmpilot; print(*sorted(name for name in sys.modules if name.startswith('vmpilot')))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["vmpilot"]


def test_the_library_exports_the_agent_and_its_answer() -> None:
    assert vmpilot.__all__ == ["Agent", "Answer"]
    assert vmpilot.Agent is Agent
    with pytest.raises(AttributeError, match="nonsense"):
        _ = vmpilot.nonsense


def test_secrets_in_a_request_reach_neither_model_nor_log(make_agent: MakeAgent, tmp_path: Path) -> None:
    variables = {"GITHUB_TOKEN": "ghp_0123456789"}
    with ScriptedServer([Reply("Seen.")]) as server, make_agent(server, variables=variables) as agent:
        agent.ask("what is wrong here? GITHUB_TOKEN=ghp_0123456789")
    assert server.requests[0].body["messages"][-1]["content"] == "what is wrong here? GITHUB_TOKEN=[masked]"
    assert not [path for path in (tmp_path / "data").rglob("*") if path.is_file() and b"ghp_012" in path.read_bytes()]


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("shel: rm", 'Unknown tool "shel" in the rule \'shel: rm\' in deny. Did you mean "shell"?'),
        ("edit-file: src", 'Did you mean "edit_file"?'),
        ("websearch", 'Did you mean "web_search"?'),
        ("gret: ada", 'Did you mean "greet"?'),
        ("Bash: rm", "The tools are: create_file, edit_file,"),
        ("mcp_files_read", 'Unknown tool "mcp_files_read"'),
    ],
)
async def test_a_rule_on_an_unknown_tool_is_an_error(
    rule: str, said: str, make_agent: MakeAgent, installed_samples: Callable[..., None]
) -> None:
    installed_samples("greeting")
    with ScriptedServer([]) as server:
        agent = make_agent(server, deny=[rule])
        with pytest.raises(UsageError) as caught:
            await agent.answer("hi")
        await agent.aclose()
        assert not server.requests
    assert said in str(caught.value)
    assert "vmpilot config show" in str(caught.value)


@pytest.mark.parametrize("kind", ["deny", "ask", "allow"])
async def test_a_rule_may_name_any_tool_that_may_exist(
    kind: str, make_agent: MakeAgent, installed_samples: Callable[..., None]
) -> None:
    installed_samples("greeting")
    rules = ["github", "web_search", "jobs", "mcp_accept_changes", "mcp__files__read", "greet: Ada", "shell: rm"]
    with ScriptedServer([Reply("Hello.")]) as server:
        agent = make_agent(server, **{kind: rules})
        assert (await agent.answer("hi")).text == "Hello."
        await agent.aclose()


async def test_rules_know_every_tool_of_vmpilot(tmp_path: Path) -> None:
    environment = Environment({"PATH": os.environ["PATH"]}, tmp_path, tmp_path / "data", tmp_path / "cache", "ada")
    kit = ToolRegistry(Settings(), environment, tmp_path)
    built_in = {tool.name for tool in await kit.report() if tool.source == "built in"}
    await kit.aclose()
    assert built_in | {"mcp_accept_changes"} == BUILT_IN_TOOLS


@pytest.mark.parametrize("key", ["none", "k", "not-needed", "sk-xxx", "masked"])
def test_a_placeholder_for_a_key_is_not_masked_out_of_text(make_agent: MakeAgent, key: str) -> None:
    said = f"none of it, not-needed, k, {key} and [masked] stay"
    with ScriptedServer([Reply("Seen.")]) as server, make_agent(server, variables={"VMPILOT_API_KEY": key}) as agent:
        agent.ask(said)
    assert server.requests[0].headers["authorization"] == f"Bearer {key}"
    assert server.requests[0].body["messages"][-1]["content"] == said
