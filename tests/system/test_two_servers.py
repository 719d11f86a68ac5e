"""Two processes on one PostgreSQL database, each with an agent, share their conversations; one at a time writes.

The backend is the sample without a model library: it starts in a tenth of the time, and the log is the same for all.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.postgres_server import PostgresServer, make_server, postgres
from tests.tool_data import output_in

from vmpilot.engine.history import NO_ANSWER
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer, Stall

__all__ = ["make_server", "postgres"]

SERVER = """
import asyncio, json, sys
from contextlib import aclosing
from pathlib import Path
from vmpilot import Agent
from vmpilot.config import Environment
from vmpilot.contract import VMPilotError, encode_event

async def main(home, url, base_url):
    home = Path(home)
    variables = {"PATH": "/usr/bin:/bin", "HOME": str(home), "VMPILOT_DATABASE_URL": url}
    environment = Environment(variables, home / "config", home / "data", home / "cache", "tester")
    settings = {"backend": "bare", "base_url": base_url, "model": "m", "api_key": "k", "mode": "full"}
    async with Agent(folder=home, environment=environment, **settings) as agent:
        while line := await asyncio.to_thread(sys.stdin.readline):
            asked = json.loads(line)
            try:
                # What begins with a history, an empty one here, is not the agent's own: it is closed after the turn.
                where = {"conversation": asked["conversation"]} if asked["conversation"] else {"history": ()}
                async with aclosing(agent.run(asked["request"], **where)) as events:
                    async for event in events:
                        print(encode_event(event), flush=True)
                print('{"type": "closed"}', flush=True)
            except VMPilotError as error:
                print(json.dumps({"type": type(error).__name__, "text": str(error)}), flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


class Server:
    """A process that runs turns on request, and prints their events."""

    def __init__(self, samples: str, home: Path, url: str, base_url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(home), url, base_url],
            env={**os.environ, "PYTHONPATH": samples},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )

    def ask(self, request: str, conversation: str | None = None) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"request": request, "conversation": conversation}) + "\n")

    def wait_for(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds."""
        assert self.process.stdout is not None
        passed: list[str] = []
        for line in self.process.stdout:
            event: dict[str, Any] = json.loads(line)
            if event["type"] in kinds:
                return event
            passed.append(line)
        raise AssertionError(f"no {kinds} came, but {passed}")

    def turn(self, request: str, conversation: str | None = None) -> dict[str, Any]:
        """Run a turn to its end; return its first event."""
        self.ask(request, conversation)
        begun = self.wait_for("turn_started", "UsageError", "StoreError")
        if begun["type"] == "turn_started":
            assert self.wait_for("turn_ended")["reason"] == "answered"
            self.wait_for("closed")
        return begun

    def end(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        with self.process.stdout:
            self.process.stdout.read()
        self.process.wait(10)


StartServer = Callable[[ScriptedServer], Server]


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    return postgres.new_database()


@pytest.fixture
def start(tmp_path: Path, url: str, sample_folders: Callable[..., tuple[Path, ...]]) -> Iterator[StartServer]:
    """Starts servers on one database."""
    started: list[Server] = []

    def make(model: ScriptedServer) -> Server:
        started.append(Server(str(sample_folders("bare")[0]), tmp_path, url, model.base_url))
        return started[-1]

    yield make
    for server in started:
        server.end()


def test_one_server_continues_a_conversation_of_the_other(start: StartServer) -> None:
    call = ScriptedCall("shell", {"command": "echo begun"})
    script = [Reply("I look.", tool_calls=(call,)), Reply("One."), Reply("Two."), Reply("Three.")]
    with ScriptedServer(script) as model:
        first, second = start(model), start(model)
        conversation = first.turn("One?")["conversation_id"]
        second.turn("Two?", conversation)
        first.turn("Three?", conversation)
    said = [message.get("content") for message in model.requests[-1].messages[1:]]
    said[2] = output_in(str(said[2]))
    assert said == ["One?", "I look.", "begun\n[exit code 0]", "One.", "Two?", "Two.", "Three?"]


def test_the_second_of_two_writers_gets_an_error_that_names_the_first(start: StartServer) -> None:
    with ScriptedServer([Reply("One."), Stall(after=3), Reply("Three.")]) as model:
        first, second = start(model), start(model)
        conversation = first.turn("One?")["conversation_id"]
        first.ask("Two?", conversation)
        first.wait_for("text_delta")
        told = second.turn("Three?", conversation)
        assert told["type"] == "UsageError"
        holder = f"Conversation {conversation} is in use by process {first.process.pid} on {platform.node()} since "
        assert told["text"].startswith(holder)
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        give_up = time.monotonic() + 10
        while second.turn("Three?", conversation)["type"] == "UsageError":  # until the database notices the dead client
            assert time.monotonic() < give_up
    said = [(message["role"], message.get("content")) for message in model.requests[-1].messages[1:]]
    assert said[:3] == [("user", "One?"), ("assistant", "One."), ("user", "Two?")]
    assert said[-1] == ("user", "Three?")
    assert len(model.requests) == 3


def test_a_writer_that_was_suspended_cannot_write_after_another_took_over(
    start: StartServer, postgres: PostgresServer, tmp_path: Path, url: str
) -> None:
    """It is suspended during a command; its sessions end meanwhile, which releases its lock."""
    waiting = ScriptedCall("shell", {"command": "until [ -e go ]; do sleep 0.02; done; echo done"})
    with ScriptedServer([Reply(tool_calls=(waiting,)), Reply("Two."), Reply("Three.")]) as model:
        first, second = start(model), start(model)
        first.ask("One?")
        conversation = first.wait_for("turn_started")["conversation_id"]
        first.wait_for("tool_started")
        first.process.send_signal(signal.SIGSTOP)
        postgres.end_sessions(url)
        second.turn("Two?", conversation)
        (tmp_path / "go").touch()
        first.process.send_signal(signal.SIGCONT)
        end = first.wait_for("turn_ended")
        assert (end["reason"], end["exit_code"]) == ("failed", 1)
        assert "Nothing was written" in end["error"]
        first.wait_for("closed")
        first.turn("Three?", conversation)
    contents = [message.get("content") for message in model.requests[-1].messages[1:]]
    assert "may have had partial effects" in str(contents.pop(2))
    assert [content for content in contents if content] == ["One?", NO_ANSWER, "Two?", "Two.", "Three?"]
