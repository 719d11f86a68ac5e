"""Ends a command when this program dies without a chance to do it itself (kill -9, out of memory).

Beside each command waits a small shell, in a session of its own, for the end of a pipe that only we hold open. It takes
0.4 ms of a command's 2 to 4; an executor process for all commands would have to outlive the same kill.
"""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from vmpilot.tools import family

_WAIT = 'read -r shell; read -r over && exit; "$@" "$shell" || kill -KILL -- "-$shell"'
"""The command's shell comes first and may be missing; where even Python is gone by then, its group is what we know."""


class Guard:
    """Watches over the command with this id from its creation until `close`; see `family` for `descriptor`.

    Raises OSError where no process can be started.
    """

    def __init__(self, command_id: str, *, descriptor: int) -> None:
        ending = (sys.executable, "-I", "-S", str(Path(family.__file__)), command_id, str(descriptor))
        reading, self._pipe = os.pipe()
        try:
            self._process = subprocess.Popen(
                ("sh", "-c", _WAIT, "vmpilot-guard", *ending),
                executable="/bin/sh",
                cwd="/",
                env={},
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except BaseException:
            os.close(self._pipe)
            raise
        finally:
            os.close(reading)

    def watch(self, shell: int) -> None:
        """The command's shell has this process id; before that only the command's marks are known."""
        with suppress(BrokenPipeError):  # somebody ended the guard
            os.write(self._pipe, b"%d\n" % shell)

    def close(self) -> None:
        """The command is over."""
        self._process.kill()  # before the pipe ends, which means the opposite
        self._process.wait()
        os.close(self._pipe)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
