"""The Open WebUI adapter as its server uses it: in threads, over a real model server."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from vmpilot.pipeline import Pipeline
from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer, Stall

Pipe = Callable[..., Any]
RUNS_LONG = Reply("I wait.", tool_calls=(ScriptedCall("shell", {"command": "echo begun > begun; sleep 60"}),))


def calls(command: str, text: str = "") -> Reply:
    return Reply(text, tool_calls=(ScriptedCall("shell", {"command": command}),))


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


@pytest.fixture
async def pipeline(
    installed_samples: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pipeline]:
    """A pipeline whose administrator chose the sample backend, mode full and a folder."""
    installed_samples("bare")
    for name in [name for name in os.environ if name.startswith("VMPILOT_")]:
        monkeypatch.delenv(name)
    for name in ("CONFIG", "DATA", "CACHE"):
        monkeypatch.setenv(f"VMPILOT_{name}_DIR", str(tmp_path / name.lower()))
    (tmp_path / "work").mkdir()
    pipeline = Pipeline()
    await pipeline.on_startup()
    yield pipeline
    await pipeline.on_shutdown()


@pytest.fixture
def pipe(pipeline: Pipeline, tmp_path: Path) -> Pipe:
    """Asks the pipeline, as Open WebUI does: `pipe(server, user("hello"))`."""

    def ask(server: ScriptedServer, *messages: dict[str, Any], model: str = "default", **body: Any) -> Any:
        pipeline.valves = pipeline.Valves(
            backend="bare",
            model="m",
            base_url=server.base_url,
            api_key="sk-pipe-0123",
            mode="full",
            folder=str(tmp_path / "work"),
        )
        return pipeline.pipe(messages[-1]["content"], model, messages, {"stream": True, **body})

    return ask


def wait_for_file(path: Path) -> None:
    give_up = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def commands_in(folder: Path) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder and int(process.name) != os.getpid():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


def test_an_answer_streams_with_its_tools_as_markdown(pipe: Pipe, tmp_path: Path) -> None:
    with ScriptedServer([calls("seq 12; echo '```' > made", "I look."), Reply("All **done**.")]) as server:
        pieces = pipe(server, user("do it"))
        assert isinstance(pieces, Iterator)
        received = list(pieces)
    numbers = "\n".join(map(str, range(1, 11)))
    assert "".join(received) == (
        "I look.\n\n````\n$ seq 12; echo '```' > made\n````\n"
        f"\n```\n{numbers}\n(and 3 more lines)\n```\n\nAll **done**."
    )
    assert [piece for piece in received if piece][-2:] == ["All ", "**done**."]
    assert (tmp_path / "work" / "made").exists()


def test_without_streaming_the_answer_is_one_string(pipe: Pipe) -> None:
    with ScriptedServer([Reply("Hello.")]) as server:
        assert pipe(server, user("hi"), stream=False) == "Hello."


def test_the_messages_are_the_history_and_the_system_message_the_instructions(pipe: Pipe) -> None:
    messages = [
        {"role": "system", "content": "Speak like a pirate."},
        user("One?"),
        {"role": "assistant", "content": "One."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
            ],
        },
    ]
    with ScriptedServer([Reply("Arr.")]) as server:
        list(pipe(server, *messages))
    sent = server.requests[0].messages
    assert sent[0]["content"].endswith("\n\nSpeak like a pirate.")
    assert sent[1:] == messages[1:]


def test_first_messages_of_two_users_share_nothing(pipe: Pipe) -> None:
    with ScriptedServer([Reply("Hello Ada."), Reply("Who?")]) as server:
        list(pipe(server, user("I am Ada, my number is 4711.")))
        list(pipe(server, user("What is the number?")))
    assert server.requests[1].messages[1:] == [user("What is the number?")]


def test_two_users_at_once(pipe: Pipe) -> None:
    with ScriptedServer([Stall(after=3), Reply("Hello Bob.")]) as server:
        ada = pipe(server, user("Ada"))
        while not next(ada):
            pass
        assert "".join(pipe(server, user("Bob"))) == "Hello Bob."
        assert server.requests[0].finished_at is None
        ada.close()


def test_closing_early_ends_the_command(pipe: Pipe, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with ScriptedServer([RUNS_LONG]) as server:
        pieces = pipe(server, user("wait"))
        for piece in pieces:
            if "sleep 60" in piece:
                break
        wait_for_file(folder / "begun")
        assert commands_in(folder) != []
        pieces.close()
        assert commands_in(folder) == []


def test_closing_early_disconnects_from_the_model(pipe: Pipe) -> None:
    with ScriptedServer([Stall(after=3)]) as server:
        pieces = pipe(server, user("go on"))
        while not next(pieces):
            pass
        pieces.close()
        server.wait_for_hangup()


def test_an_answer_that_is_never_read_makes_no_request(pipe: Pipe) -> None:
    with ScriptedServer([]) as server:
        pipe(server, user("hi")).close()


TITLE = """### Task:
Generate a concise, 3-5 word title with an emoji summarizing the chat history.
### Output:
JSON format: { "title": "your concise title here" }
### Chat History:
<chat_history>
USER: tidy up
</chat_history>"""
COMPLETION = """### Task:
You are an autocompletion system. Continue the text in `<text>` based on the **completion type** in `<type>`.

### Context:
<chat_history>
USER: tidy up
</chat_history>
<type>General</type>
<text>And then</text>
#### Output:
"""
EMOJI = (
    "Your task is to reflect the speaker's likely facial expression through a fitting emoji. Interpret emotions.\n\n"
    "Message: ```tidy up```"
)
MERGER = (
    'You have been provided with a set of responses from various models to the latest user query: "tidy up"\n\n'
    "Your task is to synthesize these responses into a single, high-quality response. It is crucial.\n\n"
    "Responses from models: one, two"
)
TOOLS = "Available Tools: []\n\nYour task is to choose and return the correct tool(s) from the list of available tools."
COMPACTION = (
    "### Task:\nSummarize the conversation above that will be compacted out of the active chat context.\n\n### In"
)
SEARCH = """### Task:
Respond to the user query using the provided context, incorporating inline citations in the format [id].

<context>
<chat_history>
USER: tidy up
</chat_history>
</context>

tidy up"""
"""A user's message with the search results that Open WebUI adds."""


@pytest.mark.parametrize(
    ("messages", "metadata"),
    [
        ([user(TITLE)], None),
        ([{"role": "system", "content": "Be brief."}, user(TITLE)], None),
        ([user(TITLE.replace("\n", "\r\n") + "\n")], None),
        ([{"role": "user", "content": [{"type": "text", "text": TITLE}]}], None),
        ([user(COMPLETION)], None),
        ([user(EMOJI)], None),
        ([user(MERGER)], None),
        ([{"role": "system", "content": TOOLS}, user("Query: tidy up")], None),
        ([user("tidy up"), {"role": "assistant", "content": "Done."}, user(COMPACTION)], None),
        *(
            ([user("tidy up")], {"task": task})
            for task in ("title_generation", "function_calling", "moa_response_generation", "of_the_future")
        ),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_background_tasks_of_open_webui_are_one_plain_call(
    pipe: Pipe, tmp_path: Path, messages: list[dict[str, Any]], metadata: dict[str, str] | None, *, stream: bool
) -> None:
    with ScriptedServer([calls("touch made", '{"title": "Tidying"}')]) as server:
        answer = pipe(server, *messages, metadata=metadata, stream=stream)
        assert "".join(answer) == '{"title": "Tidying"}'
    (sent,) = server.requests
    assert "tools" not in sent.body
    assert [message["content"] for message in sent.messages if message["role"] == "system"] == [
        message["content"] for message in messages if message["role"] == "system"
    ]
    assert sent.messages[-1]["role"] == "user"
    assert not (tmp_path / "work" / "made").exists()
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    "messages",
    [
        [user(f"What does this do?\n\n{TITLE}")],
        [user(f"{TITLE}\n\nWhy does Open WebUI send this?")],
        [user("### Task:\nTidy up the folder.\n### Output:\nJSON format")],
        [user("### Task: tidy up")],
        [user("### Task:\nExplain <chat_history> in </chat_history>")],
        [user(SEARCH)],
        [user("tidy up"), {"role": "assistant", "content": "Done."}, user(TITLE)],
        [user(f"Read this: {EMOJI}")],
        [user(EMOJI.partition("\n")[0])],
        [user(MERGER.partition("\n")[0])],
        [user("Query: tidy up")],
        [{"role": "system", "content": "You choose tools."}, user("Query: tidy up")],
        [user(f"{COMPACTION.replace('above', 'of yesterday')}")],
    ],
)
def test_a_user_message_that_resembles_a_task_reaches_the_agent(
    pipe: Pipe, tmp_path: Path, messages: list[dict[str, Any]]
) -> None:
    with ScriptedServer([calls("touch made"), Reply("Done.")]) as server:
        assert "".join(pipe(server, *messages, stream=False)).endswith("Done.")
    assert "tools" in server.requests[0].body
    assert (tmp_path / "work" / "made").exists()
    assert (tmp_path / "data").exists()


def test_a_failed_task_is_reported(pipe: Pipe) -> None:
    with ScriptedServer([HttpError(401)]) as server:
        assert pipe(server, user(TITLE), stream=False).startswith("\n\n**VMPilot cannot answer:** m: ")


def test_errors_are_text(pipe: Pipe) -> None:
    with ScriptedServer([HttpError(401)]) as server:
        failed = "".join(pipe(server, user("hi")))
    assert failed.startswith("\n\n*m: ")
    assert "sk-pipe" not in failed
    with ScriptedServer([]) as server:
        assert "not installed" in "".join(pipe(server, user("hi"), model="nonsense"))
        assert "cannot answer" in "".join(pipe(server, {"role": "robot", "content": "hi"}))
        assert "The request is empty." in "".join(pipe(server, user(" ")))


def test_a_bug_is_reported(pipe: Pipe, pipeline: Pipeline, caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer([]) as server:
        pieces = pipe(server, user("hi"))
        pipeline.valves = None  # type: ignore[assignment]
        assert "unexpected AttributeError" in "".join(pieces)
    assert "unexpected error" in caplog.text


def test_actions_that_need_approval_are_denied(pipe: Pipe, pipeline: Pipeline, tmp_path: Path) -> None:
    with ScriptedServer([calls("env touch made"), Reply("I may not.")]) as server:
        pieces = pipe(server, user("do it"))
        pipeline.valves.mode = "operate"
        assert "no terminal is attached to ask the user" in "".join(pieces)
    assert not (tmp_path / "work" / "made").exists()


def test_the_models_are_the_installed_backends(pipeline: Pipeline) -> None:
    models = [model["id"] for model in pipeline.pipelines()]
    assert models[0] == "default"
    assert "bare" in models
    assert (pipeline.type, pipeline.id) == ("manifold", "vmpilot")


@pytest.mark.parametrize(("model", "sent"), [("bare", "m"), ("vmpilot.bare", "m"), ("bare/other", "other"), ("", "m")])
def test_a_model_id_names_backend_and_model(pipe: Pipe, model: str, sent: str) -> None:
    with ScriptedServer([Reply("Yes.")]) as server:
        assert "".join(pipe(server, user("hi"), model=model)) == "Yes."
    assert server.requests[0].body["model"] == sent


def test_the_key_is_not_printed() -> None:
    assert "sk-pipe" not in repr(Pipeline.Valves(api_key="sk-pipe-0123"))


async def test_new_valves_apply_from_the_next_request(pipe: Pipe, pipeline: Pipeline, tmp_path: Path) -> None:
    reply = calls("echo begun > begun; while [ ! -e go ]; do sleep 0.05; done", "I wait.")
    with ScriptedServer([reply, Reply("New."), Reply("Old.")]) as server, ThreadPoolExecutor(2) as threads:
        loop = asyncio.get_running_loop()
        old = loop.run_in_executor(threads, lambda: "".join(pipe(server, user("old"))))
        await asyncio.to_thread(wait_for_file, tmp_path / "work" / "begun")
        await pipeline.on_valves_updated()
        new = await loop.run_in_executor(threads, lambda: "".join(pipe(server, user("new"), model="bare/new")))
        (tmp_path / "work" / "go").touch()
        assert (await old).endswith("Old.")
    assert new == "New."


async def test_shutdown_ends_turns_and_their_readers(pipe: Pipe, pipeline: Pipeline, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    with ScriptedServer([RUNS_LONG, Reply("Again.")]) as server, ThreadPoolExecutor(1) as threads:
        reading = asyncio.get_running_loop().run_in_executor(threads, lambda: "".join(pipe(server, user("wait"))))
        await asyncio.to_thread(wait_for_file, folder / "begun")
        await pipeline.on_shutdown()
        async with asyncio.timeout(5):
            assert (await reading).startswith("I wait.")
        assert commands_in(folder) == []
        assert await asyncio.to_thread(lambda: "".join(pipe(server, user("again")))) == "Again."
