"""Runs programs in a separate process: for libraries that are slow, use much memory, or ignore cancellation.

A program reads a JSON object from standard input and writes one to standard output. Its environment is empty.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from vmpilot.contract import ToolError

_START = """
import resource, runpy, signal, sys
program, seconds, memory, *sys.path = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_AS, (int(memory), int(memory)))
resource.setrlimit(resource.RLIMIT_CPU, (int(seconds), int(seconds) + 1))
signal.alarm(int(seconds) + 1)
runpy.run_path(program, run_name="__main__")
"""
"""The alarm and the CPU time limit end it even if VMPilot has been killed."""

_MEMORY = 1024**3


async def run_program(program: Path, task: Mapping[str, Any], *, seconds: int) -> dict[str, Any]:
    """Send the program its task and return its answer; cancellation kills it.

    Raises `ToolError` if it does not end properly within the seconds and 1 GiB of memory.
    """
    paths = [path for path in sys.path if Path(path).is_absolute()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-c", _START, str(program), str(seconds), str(_MEMORY), *paths),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env={},
        cwd="/",
        start_new_session=True,
    )
    try:
        async with asyncio.timeout(seconds):
            written, _ = await process.communicate(json.dumps(task).encode())
        return dict(json.loads(written))
    except TimeoutError as error:
        raise ToolError(f"it took more than {seconds} s") from error
    except ValueError as error:
        raise ToolError(f"it failed (exit code {process.returncode}), possibly out of memory") from error
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
