"""Commands in real shells and processes."""

import asyncio
import os
import time
from pathlib import Path

import pytest
from tests.core.machine.conftest import Run

from vmpilot.machine.processes.output import OutputLimits
from vmpilot.machine.processes.process import run_command


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("true", 0),
        ("exit 3", 3),
        ("false || exit 255", 255),
        ("set -e; false; echo not reached", 1),
        ("set -euo pipefail; false | true", 1),
        ("no-such-program-here", 127),
        ("exec sh -c 'exit 7'", 7),
        ("trap 'true' EXIT; exit 4", 4),
        ("set -x; exit 5", 5),
        ("f() { exit 9; }; f", 9),
        ("(exit 6)", 6),
        ("if then", 2),
        ("", 0),
        ("# nothing", 0),
    ],
)
async def test_the_exact_exit_code_is_reported(run: Run, command: str, code: int) -> None:
    outcome = await run(command)
    assert (outcome.exit_code, outcome.signal) == (code, None)
    assert not outcome.timed_out
    assert outcome.left_running == 0


@pytest.mark.parametrize("number", [9, 15, 6])
async def test_the_signal_that_ended_the_shell_is_reported(run: Run, number: int) -> None:
    outcome = await run(f"kill -{number} $$; sleep 10")
    assert (outcome.exit_code, outcome.signal) == (None, number)
    assert not outcome.timed_out


async def test_error_messages_show_only_the_command(run: Run) -> None:
    outcome = await run("echo $LINENO\nno-such-program-here\nset -x\ncd /")
    assert outcome.output.text == "1\nbash: line 2: no-such-program-here: command not found\n+ cd /\n"
    outcome = await run("foo(")
    assert "line 1: `foo('" in outcome.output.text


async def test_the_command_sees_nothing_of_the_wrapper(run: Run) -> None:
    outcome = await run('echo "$?,$#,$0,${BASH_ENV-unset}"; declare -F; shopt -o | grep -w on')
    first, *options = outcome.output.text.splitlines()
    assert first == "0,0,bash,unset"
    assert [option.split()[0] for option in options] == ["braceexpand", "hashall", "interactive-comments"]


@pytest.mark.parametrize("command", ["cat", 'read x; test -z "$x"', "python3 -c 'input()' 2>/dev/null || true"])
async def test_standard_input_is_closed(run: Run, command: str) -> None:
    outcome = await run(command, timeout=5)
    assert outcome.exit_code is not None
    assert not outcome.timed_out


async def test_there_is_no_terminal(run: Run) -> None:
    outcome = await run("exec 3</dev/tty && echo asked")
    assert "asked" not in outcome.output.text
    assert outcome.exit_code != 0


async def test_a_long_script_runs_too(run: Run) -> None:
    outcome = await run(f"cat <<'END' | wc -c\n{'x' * 300_000}\nEND\ncd /usr; exit 3")
    assert outcome.output.text.strip() == "300001"
    assert outcome.exit_code == 3
    assert outcome.working_folder == Path("/usr")


async def test_without_bash_sh_runs_it_and_a_remark_says_so(run: Run, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "sh").symlink_to("/bin/sh")
    outcome = await run("cd /usr; echo $0; exit 3", variables={"PATH": f"{tmp_path}/bin"})
    assert (outcome.exit_code, outcome.output.text) == (3, "sh\n")
    assert outcome.working_folder == Path("/usr")
    assert outcome.remark is not None
    assert "bash was not found" in outcome.remark


async def test_without_any_shell_the_error_says_so(run: Run, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="Neither bash nor sh"):
        await run("true", variables={"PATH": str(tmp_path)})


def _open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("command", ["echo \0", "echo \ud800"])
async def test_a_command_that_is_not_valid_text_is_refused(run: Run, command: str) -> None:
    with pytest.raises(ValueError, match="The command contains"):
        await run(command)


async def test_commands_leak_no_descriptors(run: Run) -> None:
    await run("true")
    before = _open_descriptors()
    for command in ("true", "yes | head -1", "sleep 1000 &"):
        await run(command)
    assert _open_descriptors() == before


async def test_a_missing_folder_is_an_error_and_leaks_no_descriptor(run: Run, tmp_path: Path) -> None:
    before = _open_descriptors()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await run("true", folder=tmp_path / "nowhere")
    assert _open_descriptors() == before


async def test_fifty_commands_in_parallel(run: Run, tmp_path: Path) -> None:
    meet = "until [ $(ls | wc -l) = 50 ]; do sleep 0.05; done"
    commands = (f"touch {number}; {meet}; echo {number}; exit {number}" for number in range(50))
    outcomes = await asyncio.gather(*(run(command, folder=tmp_path) for command in commands))
    assert [outcome.exit_code for outcome in outcomes] == list(range(50))
    assert [outcome.output.text for outcome in outcomes] == [f"{number}\n" for number in range(50)]


async def test_a_short_command_is_quick(run: Run) -> None:
    async def measure() -> float:
        start = time.perf_counter()
        await run("true")
        return time.perf_counter() - start

    assert min([await measure() for _ in range(20)]) < 0.02


async def test_a_command_works_without_a_given_supervisor(tmp_path: Path) -> None:
    outcome = await run_command(
        "exit 3",
        folder=tmp_path,
        environment={"PATH": os.environ["PATH"]},
        timeout=5,
        limits=OutputLimits(),
        on_output=lambda _: None,
    )
    assert outcome.exit_code == 3
