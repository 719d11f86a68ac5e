from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from importlib.metadata import entry_points

import pluggy
import pytest
from tests.langchain.conftest import stream

from vmpilot.contract import (
    CONTRACT_VERSION,
    ENTRY_POINT_GROUP,
    PROJECT,
    AssistantMessage,
    BackendEvent,
    GenerationRequest,
    ImagePart,
    Message,
    MessageCompleted,
    ModelCall,
    ModelError,
    ProviderUnavailable,
    ReasoningDelta,
    StreamOnce,
    TextDelta,
    TextPart,
    ToolCall,
    ToolCallDelta,
    ToolResult,
    TurnStopped,
    UserMessage,
    hooks,
)
from vmpilot.providers import chat_messages, chat_tool
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall
from vmpilot.testing.fakes import PlainModelCalls, ScriptedToolbox
from vmpilot_backend_langchain import agent

RequestMaker = Callable[..., GenerationRequest]
TurnRunner = Callable[..., Awaitable[list[BackendEvent]]]


def completed(events: list[BackendEvent]) -> list[AssistantMessage]:
    return [event.message for event in events if isinstance(event, MessageCompleted)]


async def test_streams_text_in_chunks(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("Three files, all small.")]) as server:
        events = await run_turn(make_request(server))
    assert events[:-1] == [TextDelta("Three "), TextDelta("files, "), TextDelta("all "), TextDelta("small.")]
    assert completed(events) == [AssistantMessage("Three files, all small.")]


async def test_streams_reasoning_separately_from_the_answer(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("Yes.", reasoning="Let me think.")]) as server:
        events = await run_turn(make_request(server))
    assert [event.text for event in events if isinstance(event, ReasoningDelta)] == ["Let ", "me ", "think."]
    assert completed(events) == [AssistantMessage("Yes.", reasoning="Let me think.")]


async def test_runs_tools_until_the_model_answers(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = (ScriptedCall("shell", {"command": "ls"}, id="a"), ScriptedCall("shell", {"command": "id"}, id="b"))
    toolbox = ScriptedToolbox(lambda call: f"result of {call.id}")
    with ScriptedServer([Reply("Looking.", tool_calls=calls), Reply("Done.")]) as server:
        events = await run_turn(make_request(server), toolbox)
    assert [call.id for call in toolbox.calls] == ["a", "b"]
    assert [message.text for message in completed(events)] == ["Looking.", "Done."]
    assert [event.position for event in events if isinstance(event, ToolCallDelta)] == [0, 0, 0, 1, 1, 1]
    assert server.requests[1].messages[2:] == [
        {
            "role": "assistant",
            "content": "Looking.",
            "tool_calls": [
                {"id": "a", "type": "function", "function": {"name": "shell", "arguments": '{"command": "ls"}'}},
                {"id": "b", "type": "function", "function": {"name": "shell", "arguments": '{"command": "id"}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "a", "content": "result of a"},
        {"role": "tool", "tool_call_id": "b", "content": "result of b"},
    ]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        pytest.param("shell", '{"command": "rm -rf /srv', id="truncated"),
        pytest.param("shell", "[1, 2]", id="a list"),
        pytest.param("shell", "", id="nothing"),
        pytest.param("shell", '{"command": "echo ü 🎉 \\u0000"}', id="unicode"),
        pytest.param("shell", '{"a": 1, "a": 2}', id="doubled key"),
        pytest.param("no_such_tool", "{}", id="unknown name"),
        pytest.param("", "{}", id="no name"),
    ],
)
async def test_every_call_reaches_the_toolbox_unchanged(
    name: str, arguments: str, make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    toolbox = ScriptedToolbox()
    reply = Reply(tool_calls=(ScriptedCall(name, arguments, id="c"),))
    with ScriptedServer([reply, Reply("I see.")], strict=False) as server:
        await run_turn(make_request(server), toolbox)
    assert toolbox.calls == [ToolCall("c", name, arguments)]


async def test_calls_with_the_same_id_are_two_calls(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = (
        ScriptedCall("shell", '{"command": "1"}', id="x"),
        ScriptedCall("shell", '{"command": "2"}', id="x", index=7),
    )
    toolbox = ScriptedToolbox()
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")], strict=False) as server:
        await run_turn(make_request(server), toolbox)
    assert [call.arguments for call in toolbox.calls] == ['{"command": "1"}', '{"command": "2"}']
    assert [message["content"] for message in server.requests[1].messages[3:]] == ["shell done", "shell done"]


@pytest.mark.parametrize("finish", ["length", "content_filter", "mystery"])
async def test_calls_of_a_message_without_a_proper_end_go_to_the_toolbox(
    finish: str, make_request: RequestMaker, run_turn: TurnRunner
) -> None:
    toolbox = ScriptedToolbox(lambda _: "refused")
    reply = Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),), finish=finish)
    with ScriptedServer([reply, Reply("Sorry.")]) as server:
        events = await run_turn(make_request(server), toolbox)
    assert [message.ended_properly for message in completed(events)] == [False, True]
    assert len(toolbox.refused) == 1


async def test_history_is_sent_unchanged(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    pixel = "data:image/png;base64,iVBORw0KGgo="
    history: tuple[Message, ...] = (
        UserMessage((TextPart("What is on it?"), ImagePart(pixel, "low"))),
        AssistantMessage(
            "Let me look.", tool_calls=(ToolCall("a", "shell", '{"command":  "file ü"}'),), finish="tool_calls"
        ),
        ToolResult("a", "shell", "PNG image\n", is_error=True),
        AssistantMessage("A picture."),
        UserMessage.from_text("Thank you 🎉"),
    )
    with ScriptedServer([Reply("Welcome.")]) as server:
        request = make_request(server, messages=history)
        await run_turn(request)
    body = server.requests[0].body
    assert body["messages"] == chat_messages(history, system=request.system)
    assert body["tools"] == [chat_tool(tool) for tool in request.tools]
    assert body["stream_options"] == {"include_usage": True}


class MeetingToolbox(ScriptedToolbox):
    """Each call waits until all of them run."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._all_run = asyncio.Barrier(count)

    async def call(self, tool_call: ToolCall) -> ToolResult:
        async with asyncio.timeout(30):
            await self._all_run.wait()
        return await super().call(tool_call)


async def test_tools_of_one_message_run_concurrently(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    calls = tuple(ScriptedCall("shell", {"command": f"sleep {number}"}) for number in range(8))
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        request = make_request(server)
        await run_turn(request, MeetingToolbox(8))
    results = [message["tool_call_id"] for message in server.requests[1].messages[3:]]
    assert results == [call["id"] for call in server.requests[1].messages[2]["tool_calls"]]


class RaisingToolbox(ScriptedToolbox):
    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self._error = error

    async def call(self, tool_call: ToolCall) -> ToolResult:
        raise self._error


async def test_toolbox_errors_propagate_unchanged(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    stop = TurnStopped("ten steps are enough")
    reply = Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),))
    with ScriptedServer([reply]) as server, pytest.raises(TurnStopped) as caught:
        await run_turn(make_request(server), RaisingToolbox(stop))
    assert caught.value is stop
    assert getattr(stop, "__notes__", []) == []


async def test_canceled_tool_cancels_the_turn(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    reply = Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),))
    with ScriptedServer([reply]) as server, pytest.raises(asyncio.CancelledError):
        await run_turn(make_request(server), RaisingToolbox(asyncio.CancelledError()))


class FailingModelCalls(PlainModelCalls):
    """Emits one delta and then fails, as the core's supervision does when its retries are used up."""

    def __init__(self, request: GenerationRequest, error: Exception) -> None:
        super().__init__(request)
        self._error = error

    async def ask(self, stream_once: StreamOnce, messages: object) -> AssistantMessage:
        self.emit(TextDelta("I be"))
        raise self._error


async def test_supervision_errors_propagate_after_earlier_events(
    make_request: RequestMaker, caplog: pytest.LogCaptureFixture
) -> None:
    error = ProviderUnavailable("it is down", retry_after=3)
    events = stream(make_request(), model_calls=FailingModelCalls(make_request(), error))
    assert await anext(events) == TextDelta("I be")
    with pytest.raises(ProviderUnavailable) as caught:
        await anext(events)
    assert caught.value is error
    assert getattr(error, "__notes__", []) == []
    assert caplog.records == []


async def test_supervision_may_change_the_request(make_request: RequestMaker) -> None:
    class Compacting(PlainModelCalls):
        def prepare(self, messages: object) -> ModelCall:
            changed = (UserMessage.from_text("In short: hello."),)
            return ModelCall(changed, "Other.", "other", request.settings, ())

    with ScriptedServer([Reply("Hello.")]) as server:
        request = make_request(server)
        assert [event async for event in stream(request, model_calls=Compacting(request))]
    body = server.requests[0].body
    assert body["model"] == "other"
    assert body["messages"] == chat_messages((UserMessage.from_text("In short: hello."),), system="Other.")
    assert "tools" not in body


async def test_closing_the_turn_closes_the_connection(make_request: RequestMaker) -> None:
    with ScriptedServer([Stall(after=3)]) as server:
        request = make_request(server)
        events = stream(request)
        assert await anext(events) == TextDelta("This ")
        await events.aclose()
        assert (await asyncio.to_thread(server.wait_for_hangup)).number == 1


async def test_canceling_the_turn_closes_the_connection(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Stall(after="request")]) as server:
        task = asyncio.ensure_future(run_turn(make_request(server)))
        await asyncio.to_thread(server.wait_for_requests, 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.to_thread(server.wait_for_hangup)


async def test_closing_the_turn_cancels_its_tools(make_request: RequestMaker) -> None:
    class EndlessToolbox(ScriptedToolbox):
        def __init__(self) -> None:
            super().__init__()
            self.started = asyncio.Event()
            self.cancelled = False

        async def call(self, tool_call: ToolCall) -> ToolResult:
            self.started.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled = True
                raise
            raise AssertionError

    toolbox = EndlessToolbox()
    with ScriptedServer([Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),))]) as server:
        async with aclosing(stream(make_request(server), toolbox)) as events:
            async for event in events:
                if isinstance(event, MessageCompleted):
                    break
            await toolbox.started.wait()
    assert toolbox.cancelled


async def test_no_thread_is_needed(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    """The default pool may be full of waiting tasks."""
    calls = tuple(ScriptedCall("shell", {"command": f"{number}"}) for number in range(3))
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        before = threading.active_count()
        await run_turn(make_request(server))
        assert threading.active_count() <= before


async def test_a_failed_call_is_made_once(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([HttpError(500)]) as server, pytest.raises(ModelError):
        await run_turn(make_request(server))
    assert len(server.requests) == 1


def test_process_may_use_several_event_loops_in_turn(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    with ScriptedServer([Reply("One."), Reply("Two.")]) as server:
        for answer in ("One.", "Two."):
            events = asyncio.run(_collect(run_turn, make_request(server)))
            assert completed(events) == [AssistantMessage(answer)]


async def _collect(run_turn: TurnRunner, request: GenerationRequest) -> list[BackendEvent]:
    return await run_turn(request)


async def test_more_steps_than_the_default_of_the_graph(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    steps = 60
    replies = [Reply(tool_calls=(ScriptedCall("shell", {"command": f"step {step}"}),)) for step in range(steps)]
    with ScriptedServer([*replies, Reply("Done.")]) as server:
        events = await run_turn(make_request(server))
    assert len(completed(events)) == steps + 1


async def test_concurrent_turns_are_independent(make_request: RequestMaker, run_turn: TurnRunner) -> None:
    def repeat(request: object) -> Reply:
        messages = request.messages  # type: ignore[attr-defined]
        if messages[-1]["role"] == "user":
            return Reply(tool_calls=(ScriptedCall("shell", {"command": messages[-1]["content"]}),))
        return Reply(f"{messages[1]['content']}: {messages[-1]['content']}")

    toolbox = ScriptedToolbox(lambda call: call.arguments)
    with ScriptedServer([repeat], repeat_last=True) as server:
        requests = [make_request(server, messages=(UserMessage.from_text(f"turn {n}"),)) for n in range(10)]
        turns = await asyncio.gather(*(run_turn(request, toolbox) for request in requests))
    answers = [completed(events)[-1].text for events in turns]
    assert answers == [f'turn {n}: {{"command": "turn {n}"}}' for n in range(10)]


async def test_tracing_stays_off(
    make_request: RequestMaker, run_turn: TurnRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    from langchain_core.tracers.langchain import wait_for_all_tracers
    from langsmith import utils

    with ScriptedServer([]) as collector, ScriptedServer([Reply("Hello.")]) as server:
        monkeypatch.setenv("LANGSMITH_TRACING", "true")
        monkeypatch.setenv("LANGSMITH_API_KEY", "key")
        monkeypatch.setenv("LANGSMITH_ENDPOINT", collector.base_url)
        utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
        try:
            await run_turn(make_request(server))
            await asyncio.to_thread(wait_for_all_tracers)
        finally:
            monkeypatch.undo()
            utils.get_env_var.cache_clear()  # type: ignore[attr-defined]
        assert collector.requests == ()


def test_importing_the_backend_does_not_import_langchain() -> None:
    code = (
        "import sys, vmpilot_backend_langchain.agent as agent; agent.describe_backend();"
        "print(*(name for name in sys.modules if name.partition('.')[0] in "
        "{'langchain', 'langchain_core', 'langgraph', 'langsmith', 'openai', 'httpx', 'pydantic'}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_entry_point_is_a_plugin_of_this_contract() -> None:
    (entry,) = [entry for entry in entry_points(group=ENTRY_POINT_GROUP) if entry.name == "langchain"]
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hooks)
    manager.register(entry.load())
    manager.check_pending()
    info = manager.hook.describe_backend()
    assert (info.name, info.contract_version) == ("langchain", CONTRACT_VERSION)


def test_describes_known_models_only() -> None:
    info = agent.describe_model("gpt-4o")
    assert info is not None
    assert (info.context_window, info.supports_tools, info.supports_images) == (128_000, True, True)
    assert agent.describe_model("openai/nobody-knows-me") is None
    assert agent.describe_model("nobody-knows-me") is None
    unpriced = agent.describe_model("hosted_vllm/gpt-4o")
    assert unpriced is None or unpriced.input_price is None
    without_integration = agent.describe_model("mistral/mistral-large-latest")
    assert without_integration is not None
    assert (without_integration.context_window, without_integration.input_price) == (None, 2e-6)
