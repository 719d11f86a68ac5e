"""The process of a stdio server: in its own session, marked and guarded like a command, ended with all it began."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from vmpilot.tools.family import COMMAND_ID_VARIABLE, Family
from vmpilot.tools.guard import Guard
from vmpilot.tools.mcp.settings import McpServer
from vmpilot.tools.shell_environment import child_environment

_POLITE_SECONDS = 0.3
_TERM_GRACE = 0.4
_EXIT_PATIENCE = 0.3
_REAP_PATIENCE = 0.2
_MFD_NOEXEC_SEAL = 0x8  # linux/memfd.h


class ServerProcess:
    """A started server. `on_exit` is called a moment after it has exited, when what it wrote has had time to come.

    Raises OSError where it cannot be started.
    """

    def __init__(self, server: McpServer, environment: Mapping[str, str], *, on_exit: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_exit = on_exit
        self._exited = asyncio.Event()
        with ExitStack() as resources:
            command_id = secrets.token_hex(12)
            mark = _open_mark(command_id)
            resources.callback(os.close, mark)
            guard = resources.enter_context(Guard(command_id, descriptor=mark))
            self.popen = _spawn(server, _environment(server, environment, command_id), mark)
            guard.watch(self.popen.pid)
            self._family = Family(command_id, shell=self.popen.pid, descriptor=mark)
            self._watch_exit(resources)
            self._resources = resources.pop_all()

    async def end(self, *, politely: bool) -> None:
        """End it and all that it started, within a second. `politely` first waits for it to end by itself, its
        standard input being closed.
        """
        over = False
        try:
            if politely:
                await self._wait_for_exit()
            await self._family.end(_TERM_GRACE, sleep=asyncio.sleep)
            over = True
        finally:
            if not over:
                self._family.kill_at_once()
            self._reap()
            self._resources.close()

    @property
    def has_exited(self) -> bool:
        """Whether the server's first process is over; it is not collected before `end`."""
        try:
            return os.waitid(os.P_PID, self.popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        except ChildProcessError:
            return True

    @property
    def exit_code(self) -> int | None:
        """As `subprocess` has it: a signal is negative. None while it runs, and until `end`."""
        return self.popen.returncode

    async def _wait_for_exit(self) -> None:
        try:
            async with asyncio.timeout(_POLITE_SECONDS):
                await self._exited.wait()
        except TimeoutError:
            return

    def _watch_exit(self, resources: ExitStack) -> None:
        try:
            descriptor = os.pidfd_open(self.popen.pid)
        except OSError:  # no pidfd on this system: the end of its output will tell
            return
        resources.callback(os.close, descriptor)
        self._loop.add_reader(descriptor, self._note_exit, descriptor)
        resources.callback(self._loop.remove_reader, descriptor)

    def _note_exit(self, descriptor: int) -> None:
        self._loop.remove_reader(descriptor)
        self._exited.set()
        self._loop.call_later(_EXIT_PATIENCE, self._on_exit)

    def _reap(self) -> None:
        try:
            self.popen.wait(_REAP_PATIENCE)
        except subprocess.TimeoutExpired:
            return


def _spawn(server: McpServer, environment: Mapping[str, str], mark: int) -> subprocess.Popen[bytes]:
    home = Path(environment.get("HOME") or "/")
    return subprocess.Popen(
        [str(server.command), *server.args],
        cwd=home if home.is_dir() else "/",  # not where the person works: what lies there could be loaded as its code
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        pass_fds=(mark,),
        start_new_session=True,
        bufsize=0,
    )


def _environment(server: McpServer, environment: Mapping[str, str], command_id: str) -> dict[str, str]:
    """The scrubbed environment, what the configuration adds to it, and the mark of all that VMPilot starts."""
    own = {name: environment.get(name) if value is None else value.reveal() for name, value in server.env.items()}
    ids = f"{environment.get(COMMAND_ID_VARIABLE, '')} {command_id}".strip()
    return (
        child_environment(environment)
        | {name: value for name, value in own.items() if value is not None}
        | {COMMAND_ID_VARIABLE: ids}
    )


def _open_mark(command_id: str) -> int:
    name = f"vmpilot-{command_id}"
    try:
        return os.memfd_create(name, os.MFD_CLOEXEC)
    except PermissionError:  # vm.memfd_noexec=2
        return os.memfd_create(name, os.MFD_CLOEXEC | _MFD_NOEXEC_SEAL)
