"""A command's output does not increase VMPilot's memory, as measured by the system in a separate program."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from vmpilot.tools import CommandRunner
from vmpilot.machine.secrets.masking import Masker

def resident(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))

async def main(outputs, *commands):
    runner = CommandRunner(dict(os.environ), masker=Masker(["opensesame"]), outputs=Path(outputs))
    await runner.run("seq 100000", folder=Path("/"), timeout=60)
    for command in commands:
        before = resident("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark is reset
        outcome = await runner.run(command, folder=Path("/"), timeout=60)
        print(outcome.output.total_chars, resident("VmHWM") - before, command[:20])
    await runner.close()

asyncio.run(main(*sys.argv[1:]))
"""

_COMMANDS = [
    "head -c 25000000 /dev/zero | tr '\\0' x",
    "head -c 5000000 /dev/zero",
    "head -c 3000000 /dev/urandom",
    "yes \N{SLIGHTLY SMILING FACE} | tr -d '\\n' | head -c 10000000",
    "yes $'\\e[31m\\r' | head -c 5000000",
    "yes | head -c 10000000",
]


def test_memory_stays_within_20_megabytes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, str(tmp_path / "outputs"), *_COMMANDS],
        env={"PATH": os.environ["PATH"], "HOME": "/", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
    )
    lines = done.stdout.splitlines()
    assert len(lines) == len(_COMMANDS)
    assert lines[0].startswith("25000000 ")
    assert [line for line in lines if int(line.split()[1]) > 20_000] == []
