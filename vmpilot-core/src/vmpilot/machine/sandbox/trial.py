"""Runs a planned start to its end and gives what it printed: for a sandbox's own trials, not for commands."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from vmpilot.machine.processes.shell_launch import ShellLaunch


async def run_launch(
    launch: ShellLaunch, environment: Mapping[str, str], *, folder: Path, patience: float
) -> tuple[int | None, bytes]:
    """Give the exit code, and the output with the errors in it. `patience` is in seconds.

    Raises TimeoutError where it does not end, OSError where it cannot be started.
    """
    process = await asyncio.create_subprocess_exec(
        *launch.arguments,
        executable=launch.program,
        cwd=folder,
        env={**environment, **launch.variables},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        pass_fds=launch.descriptors,
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(patience):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()
    return process.returncode, output
