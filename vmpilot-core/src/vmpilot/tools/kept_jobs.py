"""Jobs that outlive the VMPilot that started them: any later one of the same user can find, read and stop them."""

from __future__ import annotations

import os
import select
import shutil
import signal
import time
from contextlib import suppress
from pathlib import Path

from vmpilot.contract import ToolError
from vmpilot.machine.processes.job_files import is_running, output_length, read_job, read_output, read_state, write_job

FIRST_NUMBER = 1001
"""Kept jobs share one sequence across conversations, above the numbers of a conversation's other jobs."""

_HALF = 10_000
_MOST_ENDED = 32
_LONGEST_AGE = 14 * 24 * 3600.0
_STARTING = 10.0
"""Seconds in which a job without a state may still be starting."""
_STOP_PATIENCE = 3.0
_LONGEST_NAME = 100


class KeptJob:
    """A kept job, read from its folder. A `Job` also watches those that this process started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.number = int(folder.name)
        facts = read_job(folder)
        self.command = str(facts.get("command", "?"))
        self.conversation = str(facts.get("conversation", ""))
        started = facts.get("started")
        self.started = started if isinstance(started, int | float) else 0.0
        self.keep = True
        self._position = 0

    @property
    def over(self) -> bool:
        """Whether it has ended, as far as is known."""
        return not self._is_running()

    @property
    def strayed(self) -> bool:
        """Whether it still runs although its supervisor was killed."""
        return self.over and is_running(read_state(self.folder), name="shell")

    @property
    def exit_code(self) -> int | None:
        """The exit code of its shell; None while it runs, if a signal ended it, or if it is unknown."""
        code = read_state(self.folder).get("code")
        return code if isinstance(code, int) and code >= 0 else None

    @property
    def state(self) -> str:
        """Whether it runs or how it ended."""
        state = read_state(self.folder)
        if isinstance(ended := state.get("ended"), int | float):
            code = state.get("code")
            way = f"exit code {code}" if isinstance(code, int) and code >= 0 else f"ended by signal {-(code or 0)}"
            return f"{state.get('why') or way}, after {ended - self.started:.0f} s"
        if self._is_running():
            return f"running for {time.time() - self.started:.0f} s, process {state.get('shell', '?')}"
        if is_running(state, name="shell"):
            return f"running without supervision, process {state['shell']}"
        return "lost: the machine restarted, or its supervisor was killed"

    @property
    def ended_by(self) -> str | None:
        """Why it was ended, None if it ended by itself."""
        return read_state(self.folder).get("why") or None

    @property
    def unread(self) -> int:
        """Bytes of unread output."""
        return max(0, output_length(self.folder) - self._position)

    def read(self, lines: int | None = None) -> str:
        """The output since the last read, without the middle if it is long; or the last lines of all output."""
        start, end = self._position, output_length(self.folder)
        self._position = end
        if lines is not None:
            return "".join(read_output(self.folder, 0, end).splitlines(keepends=True)[-lines:])
        if end - start <= 2 * _HALF:
            return read_output(self.folder, start, end)
        head, tail = read_output(self.folder, start, start + _HALF), read_output(self.folder, end - _HALF, end)
        left_out = end - start - 2 * _HALF
        return f"{head}\n[… {left_out:,} bytes left out; see `vmpilot jobs log {self.number}` …]\n{tail}"

    def stop(self) -> bool:
        """End all its processes; block for up to 3 s until they are gone. Return whether they are."""
        state = read_state(self.folder)
        while not state and self._is_running():  # it is just starting
            time.sleep(0.02)
            state = read_state(self.folder)
        for name in ("warden", "shell"):  # only the shell is left if its supervisor was killed
            if is_running(state, name=name):
                return _end_process(state[name], state, name=name)
        return True

    def _is_running(self) -> bool:
        state = read_state(self.folder)
        if not state:
            return time.time() - self.started < _STARTING
        return state.get("ended") is None and is_running(state, name="warden")


class KeptJobs:
    """The user's kept jobs, in one folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def begin(self, command: str, *, conversation: str) -> KeptJob:
        """Create the folder for a job that is about to start. Raises OSError."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.tidy()
        number = max((job.number for job in self.all()), default=FIRST_NUMBER - 1)
        while True:
            number += 1
            folder = self._root / str(number)
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
                break
        write_job(folder, {"command": command, "conversation": conversation, "started": time.time()})
        return KeptJob(folder)

    def forget(self, job: KeptJob) -> None:
        """Remove a job that could not be started, or has ended."""
        shutil.rmtree(job.folder, ignore_errors=True)

    def all(self) -> list[KeptJob]:
        """All kept jobs, oldest first."""
        folders = self._root.iterdir() if self._root.is_dir() else ()
        return [KeptJob(folder) for folder in sorted(folders, key=_number) if _number(folder)]

    def find(self, number: int) -> KeptJob:
        """Raises `ToolError` if there is no such job."""
        if not (self._root / str(number)).is_dir():
            known = ", ".join(str(job.number) for job in self.all()) or "none"
            raise ToolError(f"Kept job {number} does not exist; kept jobs: {known}.")
        return KeptJob(self._root / str(number))

    def tidy(self) -> None:
        """Remove ended jobs that are older than 14 days, and all but the last 32."""
        ended = [job for job in self.all() if job.over and not is_running(read_state(job.folder), name="shell")]
        for job in ended[:-_MOST_ENDED]:
            self.forget(job)
        for job in ended[-_MOST_ENDED:]:
            with suppress(OSError):
                if max(job.started, job.folder.stat().st_mtime) < time.time() - _LONGEST_AGE:
                    self.forget(job)


def shorten(command: str) -> str:
    """The command in one line of at most 100 characters."""
    line = " ".join(command.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def _number(folder: Path) -> int:
    return int(folder.name) if folder.name.isdecimal() and folder.name.isascii() else 0


def _end_process(number: int, state: dict[str, object], *, name: str) -> bool:
    """End the supervisor, which ends the entire job, or else the shell's process group. Returns success."""
    try:
        descriptor = os.pidfd_open(number)
    except ProcessLookupError:
        return True
    try:
        if not is_running(state, name=name):  # the number was reused; from here on the descriptor is the job's
            return True
        signal.pidfd_send_signal(descriptor, signal.SIGCONT)  # the job may have stopped it
        if name == "shell":
            with suppress(ProcessLookupError):
                os.killpg(number, signal.SIGKILL)
        else:
            signal.pidfd_send_signal(descriptor, signal.SIGTERM)
        return bool(select.select([descriptor], [], [], _STOP_PATIENCE)[0])
    except ProcessLookupError:
        return True
    finally:
        os.close(descriptor)
