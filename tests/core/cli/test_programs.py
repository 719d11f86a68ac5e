"""The program as other programs run it: pipes, signals, another user, and its imports."""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpilot.config import take_environment
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer, Stall

Start = Callable[..., "subprocess.Popen[str]"]
LONG = Reply("I wait.", tool_calls=(ScriptedCall("shell", {"command": "echo begun; sleep 60"}),))


def live_processes(mark: str) -> list[str]:
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if mark.encode() in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_during_a_command_ends_it_and_the_turn(program: Start, tmp_path: Path, name: str) -> None:
    with ScriptedServer([LONG]) as server:
        process = program("--mode", "full", "x", server=server)
        assert process.stderr is not None
        while process.stderr.readline() != "begun\n":
            assert process.poll() is None
        process.send_signal(getattr(signal, name))
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert err.endswith("vmpilot: Interrupted.\n")
    assert "Traceback" not in err
    assert live_processes(str(tmp_path / "data")) == []


def test_two_consecutive_signals_end_it_too(program: Start, tmp_path: Path) -> None:
    stubborn = Reply(
        tool_calls=(ScriptedCall("shell", {"command": "trap '' TERM; echo begun; while :; do sleep 1; done"}),)
    )
    with ScriptedServer([stubborn]) as server:
        process = program("--mode", "full", "x", server=server)
        assert process.stderr is not None
        while process.stderr.readline() != "begun\n":
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert live_processes(str(tmp_path / "data")) == []


def test_a_signal_during_streaming(program: Start) -> None:
    with ScriptedServer([Stall(after=3)]) as server:
        process = program("--output", "jsonl", "x", server=server)
        assert process.stdout is not None
        while "text_delta" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        server.wait_for_hangup()
    assert process.returncode == 130
    assert '"reason":"interrupted"' in out.splitlines()[-1]
    assert err == ""


def test_a_signal_before_the_turn_ends_the_program_quietly(program: Start) -> None:
    reading, writing = os.pipe()
    with ScriptedServer([]) as server:
        process = program(server=server, stdin=reading)
        os.close(reading)
        assert process.stderr is not None
        assert "Reading the request from standard input" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        os.close(writing)
    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize("output", ["text", "jsonl"])
def test_a_closed_pipe_ends_the_program_silently(program: Start, output: str) -> None:
    with ScriptedServer([Reply("word " * 5000)], repeat_last=True) as server:
        process = program("--output", output, "x", server=server)
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        err = process.stderr.read()
        process.wait(10)
        process.stderr.close()
    assert err == ""
    assert process.returncode == 1


def give_up_rights() -> None:
    """Run between fork and exec: root, too, is then bound by file modes (prctl(2), capabilities(7))."""
    if os.getuid() == 0:
        for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


def give_up_tracing() -> None:
    """Remove root's right to inspect processes that forbid it."""
    if os.getuid() == 0:
        for capability in (19, 21, 38):  # CAP_SYS_PTRACE, CAP_SYS_ADMIN, CAP_PERFMON
            ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP


INSPECTION = """
import os
parents = [os.getppid()]
for _ in range(3):
    stat = open(f"/proc/{parents[-1]}/stat").read()
    parents.append(int(stat.rpartition(")")[2].split()[1]))
shell, supervisor, server, vmpilot = parents
for process in supervisor, server:
    print("environ:", open(f"/proc/{process}/environ", "rb").read())
for name in "environ", "maps":
    try:
        print(name, "of vmpilot:", open(f"/proc/{vmpilot}/{name}", "rb").read(9))
    except PermissionError:
        print(name, "of vmpilot: refused")
"""
"""Script that a command runs to inspect its parent processes: its shell, the two supervisors, and the program."""


def test_a_command_on_the_host_cannot_read_the_programs_environment(program: Start) -> None:
    command = ScriptedCall("shell", {"command": f"python3 -c {shlex.quote(INSPECTION)}; true"})
    with ScriptedServer([Reply(tool_calls=(command,)), Reply("Done.")]) as server:
        process = program("--mode", "full", "x", server=server, preexec_fn=give_up_tracing)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (0, "Done.\n"), err
    *_, supervisor, forker, environ, maps = err.splitlines()
    assert (environ, maps) == ("environ of vmpilot: refused", "maps of vmpilot: refused"), err
    assert (supervisor, forker) == ("environ: b''", "environ: b''")


def test_own_secrets_are_removed_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VMPILOT_API_KEY", "VMPILOT_DATABASE_URL", "VMPILOT_CACHE", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, f"value of {name}")
    environment = take_environment()
    assert environment.variables["VMPILOT_API_KEY"] == "value of VMPILOT_API_KEY"
    assert environment.values()["database_url"][0] == "value of VMPILOT_DATABASE_URL"
    assert not {"VMPILOT_API_KEY", "VMPILOT_DATABASE_URL", "VMPILOT_CACHE"} & set(os.environ)
    assert os.environ["OPENAI_API_KEY"] == "value of OPENAI_API_KEY"


def test_a_read_only_data_folder(program: Start, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(0o555)
    with ScriptedServer([]) as server:
        process = program("x", server=server, preexec_fn=give_up_rights)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, ""), err
    assert err == (
        f"vmpilot: Cannot write conversations to {tmp_path}/data/conversations.db: Permission denied. "
        f"Make it writable, or set VMPILOT_DATA_DIR.\n"
    )


def test_an_unreadable_configuration(program: Start, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "config.toml").touch(0o000)
    process = program("config", "show", preexec_fn=give_up_rights)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (2, ""), err
    assert err.startswith(f"vmpilot: Cannot read configuration file {tmp_path}/config/config.toml: ")
    assert err.count("\n") == 1


def test_a_closed_standard_input_is_not_a_request(program: Start) -> None:
    process = program(preexec_fn=lambda: os.close(0), stdin=None)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "Nothing to do" in err


@pytest.mark.parametrize(
    ("arguments", "allowed"),
    [(["--help"], set[str]()), (["--version"], set[str]()), (["config", "path"], {"msgspec"})],
)
def test_unneeded_modules_are_not_imported(arguments: list[str], allowed: set[str]) -> None:
    code = (
        "import sys; from vmpilot.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    modules = set(ran.stderr.split())
    heavy = {"asyncio", "sqlalchemy", "msgspec", "pluggy", "litellm", "langchain", "openai", "pydantic", "httpx"}
    assert modules & heavy <= allowed | ({"asyncio", "pluggy"} if allowed else set())
    assert not [name for name in modules if name.startswith("vmpilot_backend")]


@pytest.mark.parametrize("module", ["vmpilot", "vmpilot.cli"])
def test_it_runs_as_a_module(module: str) -> None:
    ran = subprocess.run([sys.executable, "-m", module, "--version"], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.startswith("vmpilot ")
