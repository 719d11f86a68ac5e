"""Commands in a sandbox behave like others: folder, exit codes, signals, time limits, background processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from vmpilot.contract import ToolUse
from vmpilot.machine.processes.shell_launch import ShellLaunch
from vmpilot.machine.processes.supervisor import Supervisor
from vmpilot.machine.sandbox import Level, Sandbox
from vmpilot.machine.sandbox.bubblewrap import Bubblewrap
from vmpilot.machine.sandbox.engine import Engine
from vmpilot.machine.sandbox.hidden_paths import HiddenPaths
from vmpilot.machine.sandbox.sandlock import Sandlock
from vmpilot.machine.workspace import Workspace
from vmpilot.tools import CommandRunner, ShellTool

from .conftest import As, Confined, Nothing, find_engine

LEVELS: tuple[Level, ...] = ("read", "workspace")


@pytest.fixture(params=LEVELS)
def run(request: pytest.FixtureRequest, engine: Engine, workspace: Path, supervisor: Supervisor) -> Confined:
    return Confined(engine, root=workspace, level=request.param, supervisor=supervisor)


async def test_the_folder_is_kept_for_the_next_command(run: Confined, workspace: Path) -> None:
    outcome = await run("cd a/b; exit 3")
    assert (outcome.exit_code, outcome.working_folder) == (3, workspace / "a" / "b")
    outcome = await run("pwd; cd $TMPDIR", folder=workspace / "a" / "b")
    assert outcome.output.text == f"{workspace}/a/b\n"


async def test_the_private_temporary_folder_is_no_working_folder_outside(run: Confined) -> None:
    outcome = await run('cd "$TMPDIR"; echo kept > file; cat file; mktemp')
    assert outcome.output.text.startswith("kept\n")
    assert outcome.working_folder is None or not list(outcome.working_folder.glob("*"))


async def test_a_signal_is_reported(run: Confined, engine: Engine) -> None:
    """With bubblewrap as in shells: 128 plus the number."""
    outcome = await run("kill -9 $$; sleep 10")
    expected = (None, 9) if isinstance(engine, Sandlock) else (137, None)
    assert (outcome.exit_code, outcome.signal) == expected


async def test_a_broken_pipe_ends_a_program(run: Confined) -> None:
    outcome = await run('yes | head -1; echo "${PIPESTATUS[0]}"')
    assert outcome.output.text == "y\n141\n"


async def test_the_time_limit_lets_a_trap_run(run: Confined, workspace: Path) -> None:
    outcome = await run("trap 'echo asked; exit 3' TERM; cd a; sleep 60 & wait", timeout=0.6)
    assert (outcome.timed_out, outcome.exit_code, outcome.unended) == (True, None, 0)
    assert (outcome.output.text, outcome.working_folder) == ("asked\n", workspace / "a")
    assert outcome.seconds < 2.5


async def test_background_processes_are_ended_and_their_last_output_read(run: Confined) -> None:
    outcome = await run("sleep 60 & setsid sleep 61 & echo late > >(sleep 0.1; cat)")
    assert (outcome.exit_code, outcome.output.text, outcome.unended) == (0, "late\n", 0)
    assert outcome.left_running >= 2


@pytest.mark.parametrize(
    ("command", "left"),
    [("true", 0), ("sleep 60 &", 1), ("sleep 60 & setsid sleep 61 &", 2), ("(sleep 60; true) & sleep 61 &", 3)],
)
async def test_background_processes_are_counted_without_the_sandbox(run: Confined, command: str, left: int) -> None:
    outcome = await run(command)
    assert (outcome.exit_code, outcome.left_running, outcome.unended) == (0, left, 0)


async def test_a_long_command(run: Confined) -> None:
    outcome = await run("true " + "x" * 200_000 + "\necho done")
    assert (outcome.exit_code, outcome.output.text) == (0, "done\n")


async def test_only_the_note_is_inherited(run: Confined) -> None:
    outcome = await run("for f in /proc/self/fd/*; do readlink $f; done")
    others = [line for line in outcome.output.text.splitlines() if not line.startswith(("/dev/null", "pipe:", "/proc"))]
    assert all("memfd:vmpilot " in line for line in others)
    assert len(others) <= 1


async def test_no_core_files(run: Confined) -> None:
    assert (await run("ulimit -c")).output.text == "0\n"


async def test_the_remark_says_that_it_ran_in_a_sandbox(run: Confined, workspace: Path) -> None:
    outcome = await run("true")
    assert outcome.remark is not None
    assert outcome.remark.startswith("ran in a sandbox: only ")
    assert (str(workspace) in outcome.remark) == (run.level == "workspace")


async def test_the_workspace(run: Confined, workspace: Path) -> None:
    outcome = await run("cd a/b && echo new > file && mv file other && ln -s other link && mkdir sub; cat other")
    changed = run.level == "workspace"
    assert (outcome.output.text == "new\n") == changed
    assert ((workspace / "a" / "b" / "sub").is_dir(), (workspace / "a" / "b" / "link").is_symlink()) == (
        changed,
        changed,
    )


async def test_copies_and_edits_in_the_workspace(engine: Engine, workspace: Path) -> None:
    (workspace / "a" / "b" / "file").write_text("one\n")
    run = Confined(engine, root=workspace, level="workspace")
    outcome = await run("cd a/b; cp file copy; touch file new; echo two >> copy; tee third < copy; rm new")
    assert (outcome.exit_code, outcome.output.text) == (0, "one\ntwo\n")
    if not isinstance(engine, Sandlock):
        assert (await run("cd a/b; sed -i s/one/1/ file; chmod 700 file; cat file")).output.text == "1\n"


async def test_secrets_of_the_home_folder_are_hidden(engine: Engine, workspace: Path, tmp_path: Path) -> None:
    for name in (".ssh/id", ".netrc", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("words\n")
    run = Confined(engine, root=workspace, level="read")
    outcome = await run("cat ~/.ssh/id ~/.netrc ~/notes; ls ~/.ssh", home=tmp_path)
    assert outcome.output.text.count("words") == 1
    assert outcome.output.text.count("Permission denied") == 3


async def test_the_target_of_a_link_to_secrets_is_hidden(engine: Engine, workspace: Path, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    (keys / "id").write_text("words\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".ssh").symlink_to(keys)
    outcome = await Confined(engine, root=workspace, level="read")(f"cat ~/.ssh/id {keys}/id", home=home)
    assert "words" not in outcome.output.text


def test_as_any_user(engine: Engine, as_user: As, shared_workspace: Path) -> None:
    run = Confined(as_user.engine(engine), root=shared_workspace, level="workspace")
    outcome = as_user(lambda: run("cd a; echo new > file; cat file; id -u; sleep 60 & exit 4"))
    uid = "0" if as_user.user == "root" else "65534"
    assert (outcome.exit_code, outcome.output.text.split()) == (4, ["new", uid])
    assert (outcome.left_running > 0, outcome.unended) == (True, 0)
    outcome = as_user(lambda: run("trap '' TERM; (trap '' TERM; sleep 60) & sleep 60", timeout=0.3))
    assert (outcome.timed_out, outcome.unended) == (True, 0)


PROGRAM = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from tests.core.machine.sandbox.conftest import Confined, find_engine
run = Confined(find_engine(sys.argv[2]), root=Path(sys.argv[3]), level="read")
asyncio.run(run(f"echo here > /dev/null; sleep {sys.argv[4]} & setsid sleep {sys.argv[4]}"))
"""


@pytest.mark.parametrize("kind", ["system", "wheel", "sandlock"])
def test_nothing_outlives_vmpilot(kind: str, workspace: Path) -> None:
    """Killed before it can end its command."""
    find_engine(kind)  # skipped here, where pytest sees it, and not in the other process
    seconds = f"{600 + os.getpid() % 100}.{time.monotonic_ns()}"
    root = Path(__file__).parents[4]
    with subprocess.Popen([sys.executable, "-c", PROGRAM, str(root), kind, str(workspace), seconds]) as vmpilot:
        try:
            wait_for(lambda: len(sleepers(seconds)) == 2)
        finally:
            vmpilot.kill()
    wait_for(lambda: not sleepers(seconds))


def sleepers(seconds: str) -> list[Path]:
    command = f"sleep\0{seconds}\0".encode()
    return [process for process in Path("/proc").glob("[0-9]*") if read_command(process) == command]


def read_command(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:  # it ended
        return b""


def wait_for(condition: object) -> None:
    assert callable(condition)
    until = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.02)


async def test_a_broken_sandbox_runs_nothing_on_the_host(bubblewrap: Bubblewrap, workspace: Path) -> None:
    broken = replace(bubblewrap, namespaces=("--no-such-flag",))
    outcome = await Confined(broken, root=workspace, level="workspace")("echo ran; touch ran")
    assert outcome.exit_code == 1
    assert outcome.output.text.startswith("bwrap: ")
    assert not (workspace / "ran").exists()


_BARE = "mkdir -p sub/objects sub/refs; echo 'ref: refs/heads/x' > sub/HEAD"


@pytest.mark.parametrize(
    "command", [_BARE, "mkdir -p sub/.git", f"mkdir -p x; {_BARE}; mv sub x/sub; ln -s x/sub sub", "exit 0"]
)
async def test_a_new_repository_is_reported(
    engine: Engine, workspace: Path, supervisor: Supervisor, command: str
) -> None:
    if isinstance(engine, Sandlock):  # a folder with a `.git` in it gets no new entries there
        workspace = workspace / "a" / "b"
    outcome = await Confined(engine, root=workspace, level="workspace", supervisor=supervisor)(command)
    assert outcome.exit_code == 0, outcome.output.text
    if command == "exit 0":
        assert outcome.notice is None
        return
    assert outcome.notice is not None
    place = workspace / "x" / "sub" if "mv" in command else workspace / "sub"
    assert outcome.notice.startswith(f"new git repository: {place}; its configuration and hooks run programs")


async def test_existing_repositories_are_not_reported(engine: Engine, workspace: Path, supervisor: Supervisor) -> None:
    root = workspace / "a" / "b"
    for name in ("vendor.git/objects", "vendor.git/refs", "tree.git", "src/.git"):
        (root / name).mkdir(parents=True)
    for name in ("vendor.git/HEAD", "tree.git/HEAD", "tree.git/commondir"):
        (root / name).touch()
    run = Confined(engine, root=root, level="workspace", supervisor=supervisor)
    for name in ("vendor.git/config", "vendor.git/hooks", "tree.git/config", "src/.git/config"):
        outcome = await run(f"mkdir {name}")
        assert (outcome.exit_code, outcome.notice) == (1, None), name
        assert not (root / name).exists()


async def test_the_model_and_the_user_are_notified_of_a_new_repository(tmp_path: Path) -> None:
    sandbox = Sandbox(Nothing(), HiddenPaths.of("", ()))

    def confine(launch: ShellLaunch, resources: ExitStack, level: Level, folder: Path) -> ShellLaunch:
        return sandbox.confine(launch, confinement=level, folder=folder, root=tmp_path, resources=resources)

    runner = CommandRunner({"PATH": os.defpath}, confine=confine)
    tool = ShellTool(Workspace.at(tmp_path), runner)
    outcome = await tool.run({"command": "mkdir -p x/.git"}, ToolUse(lambda _: None, confinement="workspace"))
    assert outcome.text.startswith(f"[exit code 0; new git repository: {tmp_path}/x; its configuration and hooks")
    await runner.close()
