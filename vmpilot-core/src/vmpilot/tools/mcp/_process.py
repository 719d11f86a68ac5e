"""The process of a stdio server: supervised like a command, and ended with everything that it started."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from vmpilot.config import McpServer
from vmpilot.machine.processes.process_tree import is_live
from vmpilot.machine.processes.shell_launch import Launch
from vmpilot.machine.processes.supervisor import Supervised, Supervisor
from vmpilot.machine.secrets.shell_environment import child_environment

_POLITE_SECONDS = 0.3
_TERM_GRACE = 0.4
_EXIT_PATIENCE = 0.3


class ServerProcess:
    """A running server, with VMPilot's ends of its three streams. `on_exit` is called a moment after its exit, when its
    last output has had time to arrive.
    """

    def __init__(
        self, supervised: Supervised, pipes: tuple[IO[bytes], ...], resources: ExitStack, on_exit: Callable[[], None]
    ) -> None:
        self.stdin, self.stdout, self.stderr = pipes
        self._supervised = supervised
        self._resources = resources
        self._on_exit = on_exit
        self._news = asyncio.Event()
        self._reported = False
        supervised.watch(self._note_news)

    @classmethod
    async def start(
        cls, server: McpServer, environment: Mapping[str, str], *, on_exit: Callable[[], None]
    ) -> ServerProcess:
        """Start it. Raises OSError if that fails, ValueError for arguments that cannot be passed to a program."""
        variables = _environment(server, environment)
        with ExitStack() as resources:
            supervisor = Supervisor()
            resources.callback(supervisor.close)
            with ExitStack() as theirs:
                streams, pipes = _open_pipes(theirs, resources)
                supervised = supervisor.start(
                    _launch(server, variables),
                    folder=_folder(environment),
                    environment=variables,
                    streams=streams,
                )
            resources.callback(supervised.close)
            process = cls(supervised, pipes, resources.pop_all(), on_exit)
        try:
            await process._wait_for(lambda: supervised.shell is not None or supervised.problem is not None)
            if supervised.problem is not None:
                raise supervised.problem
        except BaseException:
            await process.end(politely=False)
            raise
        return process

    async def end(self, *, politely: bool) -> None:
        """End it and everything that it started, within a second; `politely` first waits for it to exit by itself,
        because its standard input is closed.
        """
        with self._resources:
            try:
                if politely:
                    await self._wait_for(lambda: self.has_exited, seconds=_POLITE_SECONDS)
                if not self._supervised.over:
                    await self._supervised.end(_TERM_GRACE, sleep=self._sleep)
            finally:
                self._supervised.kill_at_once()  # has no effect unless the wait was canceled

    @property
    def has_exited(self) -> bool:
        """Whether the server's first process has exited, by the kernel: the supervisor reports it a moment later."""
        shell = self._supervised.shell
        return self._supervised.exited or (shell is not None and not is_live(shell))

    @property
    def exit_code(self) -> int | None:
        """As in `subprocess`, negative for a signal. None while it runs, or if its exit was not observed."""
        return self._supervised.exit_code

    def _note_news(self) -> None:
        self._news.set()
        if self._supervised.exited and not self._reported:
            self._reported = True
            asyncio.get_running_loop().call_later(_EXIT_PATIENCE, self._on_exit)

    async def _wait_for(self, done: Callable[[], bool], *, seconds: float | None = None) -> None:
        """Wait until it is done, or for this many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while not done():
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    async def _sleep(self, seconds: float) -> None:
        """Wait until there is news, or for this many seconds."""
        self._news.clear()
        await self._wait_for(self._news.is_set, seconds=seconds)


def _open_pipes(theirs: ExitStack, ours: ExitStack) -> tuple[tuple[int, int, int], tuple[IO[bytes], ...]]:
    """The server's ends of its standard streams, and VMPilot's ends."""
    streams: list[int] = []
    pipes: list[IO[bytes]] = []
    for writes in (True, False, False):
        reading, writing = os.pipe()
        their_end, our_end = (reading, writing) if writes else (writing, reading)
        theirs.callback(os.close, their_end)
        streams.append(their_end)
        pipes.append(ours.enter_context(os.fdopen(our_end, "wb" if writes else "rb", buffering=0)))
    first, second, third = streams
    return (first, second, third), tuple(pipes)


def _folder(environment: Mapping[str, str]) -> Path:
    """Not the user's working folder: a server could load code from there."""
    home = Path(environment.get("HOME") or "/")
    return home if home.is_dir() else Path("/")


def _launch(server: McpServer, variables: Mapping[str, str]) -> Launch:
    """Raises FileNotFoundError for a command that is not on the server's PATH."""
    command = str(server.command)
    program = command if os.sep in command else shutil.which(command, path=variables.get("PATH", os.defpath))
    if program is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), command)
    return Launch(program, tuple(map(os.fsencode, (command, *server.args))), ())


def _environment(server: McpServer, environment: Mapping[str, str]) -> dict[str, str]:
    """The scrubbed environment, and the variables of the configuration."""
    own = {name: environment.get(name) if value is None else value.reveal() for name, value in server.env.items()}
    return child_environment(environment) | {name: value for name, value in own.items() if value is not None}
