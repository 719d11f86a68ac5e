"""Programs in separate processes: bounded, without an environment, and gone when their call is."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from vmpilot.contract import ToolError
from vmpilot.tools.web._worker import run_program


def program(folder: Path, code: str) -> Path:
    path = folder / "program.py"
    path.write_text(f"import json, os, sys, time\ntask = json.load(sys.stdin)\n{code}\n")
    return path


async def test_a_program_gets_only_its_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "secret")
    code = "json.dump({'task': task, 'environment': sorted(os.environ), 'folder': os.getcwd()}, sys.stdout)"
    answer = await run_program(program(tmp_path, code), {"a": "ü"}, seconds=10)
    assert answer["task"] == {"a": "ü"}
    assert set(answer["environment"]) <= {"LC_CTYPE"}
    assert answer["folder"] == "/"


@pytest.mark.parametrize(
    "code",
    [
        "sys.exit(1)",
        "raise ValueError",
        "print('no JSON')",
        "x = bytearray(2 * 1024**3); json.dump({}, sys.stdout)",
        "os.kill(os.getpid(), 11)",
    ],
)
async def test_a_program_that_fails_is_an_error(tmp_path: Path, code: str) -> None:
    with pytest.raises(ToolError, match=r"it failed \(exit code -?\d+\), possibly out of memory"):
        await run_program(program(tmp_path, code), {}, seconds=10)


async def test_a_program_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    code = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    with pytest.raises(ToolError, match="it took more than 1 s"):
        await run_program(program(tmp_path, code), {}, seconds=1)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_canceling_ends_the_program(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = f"open({str(pipe)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    running = asyncio.create_task(run_program(program(tmp_path, code), {}, seconds=20))
    pid = int(await asyncio.to_thread(pipe.read_text))
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 10)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize("module", ["vmpilot.tools.web", "vmpilot.tools.github", "vmpilot.tools"])
def test_importing_the_tools_imports_no_library(module: str) -> None:
    heavy = "httpx2 httpcore2 gidgethub trafilatura ddgs primp lxml idna jwt"
    code = f"import sys, {module}; print(*(name for name in {heavy.split()!r} if name in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == ""
