"""Commands as they come: real shells and real processes."""

import asyncio
import os
import re
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from vmpilot.tools.output import OutputLimits
from vmpilot.tools.process import run_command

from .conftest import Run

Survivors = Callable[[], list[str]]


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
async def test_tells_the_exact_exit_code(run: Run, command: str, code: int) -> None:
    outcome = await run(command)
    assert (outcome.exit_code, outcome.signal) == (code, None)
    assert not outcome.timed_out
    assert outcome.left_running == 0


@pytest.mark.parametrize("number", [9, 15, 6])
async def test_tells_the_signal_that_ended_the_shell(run: Run, number: int) -> None:
    outcome = await run(f"kill -{number} $$; sleep 10")
    assert (outcome.exit_code, outcome.signal) == (None, number)
    assert not outcome.timed_out


async def test_both_streams_come_in_order_of_arrival(run: Run) -> None:
    outcome = await run("echo one; echo two >&2; echo three; echo four >&2")
    assert outcome.output.text == "one\ntwo\nthree\nfour\n"


async def test_error_messages_show_the_command_alone(run: Run) -> None:
    outcome = await run("echo $LINENO\nno-such-program-here\nset -x\ncd /")
    assert outcome.output.text == "1\nbash: line 2: no-such-program-here: command not found\n+ cd /\n"
    outcome = await run("foo(")
    assert "line 1: `foo('" in outcome.output.text


async def test_the_command_finds_nothing_of_the_wrapper(run: Run) -> None:
    outcome = await run('echo "$?,$#,$0,${BASH_ENV-unset}"; declare -F; shopt -o | grep -w on')
    first, *options = outcome.output.text.splitlines()
    assert first == "0,0,bash,unset"
    assert [option.split()[0] for option in options] == ["braceexpand", "hashall", "interactive-comments"]


@pytest.mark.parametrize("command", ["cat", 'read x; test -z "$x"', "python3 -c 'input()' 2>/dev/null || true"])
async def test_standard_input_is_closed(run: Run, command: str) -> None:
    outcome = await run(command, timeout=5)
    assert outcome.exit_code is not None
    assert not outcome.timed_out


async def test_there_is_no_terminal_to_ask_on(run: Run) -> None:
    outcome = await run("exec 3</dev/tty && echo asked")
    assert "asked" not in outcome.output.text
    assert outcome.exit_code != 0


_UNMARKED = 'env -i python3 -c "import os, time; os.closerange(0, 2000); time.sleep(1000)"'

_LEAVING_BEHIND = {
    "sleep 1000 &": 1,
    "sleep 1000 & sleep 1000 & exit 3": 2,
    "nohup sleep 1000 >/dev/null 2>&1 & disown": 1,
    "set -m; sleep 1000 >/dev/null 2>&1 &": 1,
    "setsid sleep 1000 &": 1,
    "setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "(setsid sh -c 'sleep 1000 & exec true' >/dev/null 2>&1 &)": 1,
    "env -i setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "trap '' TERM; setsid sleep 1000 >/dev/null 2>&1 &": 1,
    "setsid sh -c 'kill -STOP $$' >/dev/null 2>&1 &": 1,
    f"{_UNMARKED} &": 1,
}


async def test_what_is_left_in_the_background_is_ended_and_counted(run: Run, survivors: Survivors) -> None:
    outcomes = await asyncio.gather(*(run(f"echo begun; {command}") for command in _LEAVING_BEHIND))
    left = [outcome.left_running for outcome in outcomes]
    assert dict(zip(_LEAVING_BEHIND, left, strict=True)) == _LEAVING_BEHIND
    assert {outcome.output.text for outcome in outcomes} == {"begun\n"}
    assert not any(outcome.timed_out or outcome.unended for outcome in outcomes)
    assert max(outcome.seconds for outcome in outcomes) < 3
    assert survivors() == []


async def test_a_daemon_that_closes_everything_is_ended(run: Run, survivors: Survivors) -> None:
    daemon = (
        "import os, time\n"
        "if os.fork(): os._exit(0)\n"
        "os.setsid()\n"
        "if os.fork(): os._exit(0)\n"
        "os.closerange(0, 2000)\n"
        "time.sleep(1000)\n"
    )
    outcome = await run(f"python3 -c '{daemon}'; echo done")
    assert (outcome.exit_code, outcome.left_running) == (0, 1)
    assert survivors() == []


async def test_what_ends_by_itself_soon_after_the_shell_is_heard_and_not_counted(run: Run) -> None:
    outcome = await run("echo late > >(sleep 0.02; cat)")
    assert outcome.output.text == "late\n"
    assert outcome.left_running == 0


_ENDLESS = [
    "sleep 1000",
    "sleep 1000 | sleep 1000 | cat",
    "setsid sleep 1000; true",
    "setsid setsid sleep 1000 & env -i setsid sleep 1000 & sleep 1000",
    f"setsid {_UNMARKED}; true",
    "kill -STOP $$",
    "sh -c 'kill -STOP $$'; true",
    "while :; do :; done",
]


async def test_timeout_ends_everything(run: Run, survivors: Survivors) -> None:
    outcomes = await asyncio.gather(*(run(f"echo begun; {command}", timeout=0.5) for command in _ENDLESS))
    assert all(outcome.timed_out for outcome in outcomes)
    assert {(outcome.exit_code, outcome.output.text) for outcome in outcomes} == {(None, "begun\n")}
    assert max(outcome.seconds for outcome in outcomes) < 1.5
    assert survivors() == []


async def test_a_stopped_handler_gets_its_chance_too(run: Run) -> None:
    outcome = await run("trap 'echo cleaned up; exit' TERM; kill -STOP $$; sleep 10", timeout=0.4)
    assert outcome.timed_out
    assert outcome.output.text == "cleaned up\n"


async def test_what_ignores_term_is_killed_within_a_second(run: Run, survivors: Survivors) -> None:
    stubborn = ["sleep 1000", "setsid sleep 1000 & sleep 1000", "kill -STOP $$; sleep 1000", "while :; do echo y; done"]
    outcomes = await asyncio.gather(*(run(f"trap '' TERM; {command}", timeout=0.15) for command in stubborn))
    assert [outcome.timed_out for outcome in outcomes] == [True] * 4
    assert max(outcome.seconds for outcome in outcomes) < 1.3
    assert survivors() == []


async def test_a_fork_bomb_is_ended(run: Run, survivors: Survivors) -> None:
    bomb = "ulimit -u 200 2>/dev/null; f() { for i in 1 2 3; do sleep 1000 & done; sleep 1000; }; f & f & f & f"
    outcome = await run(bomb, timeout=0.15)
    assert outcome.timed_out
    assert survivors() == []


async def test_a_handler_gets_its_chance_and_is_heard(run: Run) -> None:
    outcome = await run("trap 'echo cleaned up; exit 0' TERM; echo begun; while :; do :; done", timeout=0.4)
    assert outcome.timed_out
    assert outcome.exit_code is None
    assert outcome.output.text == "begun\ncleaned up\n"


async def test_a_flood_ends_the_command(run: Run, survivors: Survivors) -> None:
    outcome = await run("yes", limits=OutputLimits(flood=1_000_000))
    assert outcome.flooded
    assert not outcome.timed_out
    assert outcome.exit_code is None
    assert outcome.output.total_chars == 1_000_000
    assert len(outcome.output.text) < 41_000
    assert survivors() == []


async def test_output_of_exactly_the_flood_limit_is_no_flood(run: Run) -> None:
    outcome = await run("head -c 1000 /dev/zero", limits=OutputLimits(flood=1000))
    assert not outcome.flooded
    assert outcome.exit_code == 0


async def test_a_background_flood_ends(run: Run, survivors: Survivors) -> None:
    outcome = await run("yes & exit 0", limits=OutputLimits(flood=1_000_000))
    assert outcome.exit_code == 0
    assert survivors() == []


@pytest.mark.parametrize("command", ["head -c 50000000 /dev/zero | tr '\\0' x", "yes é | tr -d '\\n'"])
async def test_memory_is_bounded_whatever_is_printed(run: Run, command: str) -> None:
    tracemalloc.start()
    try:
        outcome = await run(command, limits=OutputLimits(flood=50_000_000))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert outcome.output.total_chars > 10_000_000
    assert outcome.output.cut_chars == outcome.output.total_chars - 40_000
    assert peak < 20_000_000


async def test_binary_output_becomes_text(run: Run) -> None:
    pieces: list[str] = []
    outcome = await run("head -c 100000 /dev/urandom; printf 'a\\0b\\377\\n'", on_output=pieces.append)
    assert outcome.exit_code == 0
    for text in (outcome.output.text, "".join(pieces)):
        assert text.endswith("b\N{REPLACEMENT CHARACTER}\n")
        assert "\0" not in text
        text.encode()


async def test_a_character_in_two_halves_is_whole(run: Run) -> None:
    outcome = await run("printf '\\342\\202'; sleep 0.05; printf '\\254 \\355\\240\\200'")
    assert outcome.output.text == "€ " + "\N{REPLACEMENT CHARACTER}" * 3


async def test_live_output_is_raw_and_the_result_plain(run: Run) -> None:
    pieces: list[str] = []
    outcome = await run("printf '10%%\\r20%%\\n\\033[31mred\\033[0m\\n'", on_output=pieces.append)
    assert "".join(pieces) == "10%\r20%\n\x1b[31mred\x1b[0m\n"
    assert outcome.output.text == "20%\nred\n"


async def test_the_first_output_is_passed_on_at_once(run: Run, tmp_path: Path) -> None:
    answer = tmp_path / "answer"
    os.mkfifo(answer)
    heard: list[str] = []

    def reply(text: str) -> None:
        heard.append(text)
        if len(heard) == 1:
            answer.write_text("go on\n")

    outcome = await run(f"echo first; cat {answer}", on_output=reply)
    assert outcome.exit_code == 0
    assert heard == ["first\n", "go on\n"]


async def test_live_output_is_rare_and_complete(run: Run) -> None:
    pieces: list[str] = []
    outcome = await run("for i in {1..100}; do echo $i; sleep 0.001; done", on_output=pieces.append)
    assert "".join(pieces) == "".join(f"{number}\n" for number in range(1, 101))
    assert len(pieces) <= 3 + outcome.seconds * 20


async def test_an_error_of_the_listener_ends_the_command(run: Run, survivors: Survivors) -> None:
    def fail(text: str) -> None:
        raise LookupError(text)

    with pytest.raises(LookupError):
        await run("echo x; sleep 1000", on_output=fail)
    assert survivors() == []


async def _cancel_when_begun(run: Run, command: str, *, again: bool = False) -> float:
    """Cancel a command when it has said something; give the seconds until it is over."""
    begun = asyncio.Event()
    task = asyncio.create_task(run(command, on_output=lambda _: begun.set()))
    await begun.wait()
    start = time.monotonic()
    task.cancel()
    if again:
        await asyncio.sleep(0)
        task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return time.monotonic() - start


@pytest.mark.parametrize(
    "command",
    ["sleep 1000", "setsid sleep 1000 & sleep 1000", "trap '' TERM; setsid sleep 1000 & sleep 1000", "kill -STOP $$"],
)
async def test_cancelling_ends_everything(run: Run, survivors: Survivors, command: str) -> None:
    assert await _cancel_when_begun(run, f"echo begun; {command}") < 1
    assert survivors() == []


async def test_cancelling_twice_ends_everything_at_once(run: Run, survivors: Survivors) -> None:
    command = "trap '' TERM; echo begun; setsid sleep 1000 & sleep 1000"
    assert await _cancel_when_begun(run, command, again=True) < 0.5
    assert survivors() == []


async def test_cancelling_during_the_end_of_a_timeout_leaks_nothing(run: Run, survivors: Survivors) -> None:
    start = time.monotonic()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(run("trap '' TERM; setsid sleep 1000 & sleep 1000", timeout=0.1), 0.2)
    assert time.monotonic() - start < 0.7
    assert survivors() == []


def test_a_loop_that_stops_leaks_nothing(run: Run, survivors: Survivors) -> None:
    async def leave() -> None:
        begun = asyncio.Event()
        task = asyncio.create_task(run("trap '' TERM; echo x; sleep 1000", on_output=lambda _: begun.set()))
        await begun.wait()
        assert not task.done()

    asyncio.run(leave())
    assert survivors() == []


@pytest.mark.parametrize(
    ("command", "folder"),
    [
        ("cd /usr", "/usr"),
        ("cd /usr; exit 3", "/usr"),
        ("set -e; cd /usr; false", "/usr"),
        ("set -ux; cd /usr; echo $nothing", "/usr"),
        ("cd /usr\nfoo(", "/usr"),
        ("cd /usr; kill $$; sleep 10", "/usr"),
        ("cd /usr; exec 3>&1 9>/dev/null; sleep 1000 & true", "/usr"),
        ("pwd() { echo /fooled; }; cd /usr", "/usr"),
        ("mkdir -p 'a b\n'; cd 'a b\n'", "a b\n"),
        ("ln -s /usr link; cd link", "/usr"),
        ("(cd /usr)", ""),
        ("true", ""),
    ],
)
async def test_tells_where_the_shell_stood(run: Run, tmp_path: Path, command: str, folder: str) -> None:
    outcome = await run(command)
    assert outcome.working_folder == tmp_path / folder


@pytest.mark.parametrize(
    "command", ["cd /usr; exec true", "cd /usr; kill -9 $$", "mkdir x; cd x; rmdir ../x", "trap true EXIT; cd /usr"]
)
async def test_tells_no_folder_when_it_cannot_know(run: Run, command: str) -> None:
    assert (await run(command)).working_folder is None


async def test_starts_in_the_given_folder(run: Run, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    outcome = await run("pwd", folder=tmp_path / "inner")
    assert outcome.output.text == f"{tmp_path}/inner\n"


async def test_a_bash_env_of_the_user_is_kept(run: Run, tmp_path: Path) -> None:
    (tmp_path / "it's.sh").write_text("echo sourced; cd /usr\n")
    outcome = await run("echo $BASH_ENV", variables={"BASH_ENV": f"{tmp_path}/it's.sh"})
    assert outcome.output.text == f"sourced\n{tmp_path}/it's.sh\n"
    assert outcome.working_folder == Path("/usr")


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


async def test_a_missing_folder_is_an_error_and_leaks_no_descriptor(run: Run, tmp_path: Path) -> None:
    before = _open_descriptors()
    with pytest.raises(FileNotFoundError, match="nowhere"):
        await run("true", folder=tmp_path / "nowhere")
    assert _open_descriptors() == before


def _open_descriptors() -> list[str]:
    return sorted(path.name for path in Path("/proc/self/fd").iterdir())


@pytest.mark.parametrize("command", ["echo \0", "echo \ud800"])
async def test_a_command_that_is_no_text_is_refused(run: Run, command: str) -> None:
    with pytest.raises(ValueError, match="The command contains"):
        await run(command)


async def test_commands_leak_no_descriptors(run: Run) -> None:
    await run("true")
    before = _open_descriptors()
    for command in ("true", "yes | head -1", "sleep 1000 &"):
        await run(command)
    assert _open_descriptors() == before


async def test_nested_commands_carry_all_ids(run: Run) -> None:
    outcome = await run("echo $VMPILOT_COMMAND_ID", variables={"VMPILOT_COMMAND_ID": "outer"})
    assert re.fullmatch(r"outer [0-9a-f]{24}\n", outcome.output.text)


async def test_works_without_pidfds(run: Run, survivors: Survivors, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(pid: int) -> int:
        raise OSError(38, "Function not implemented", str(pid))

    monkeypatch.setattr(os, "pidfd_open", refuse)
    assert (await run("sleep 0.05; exit 3")).exit_code == 3
    assert (await run("setsid sleep 1000 & sleep 1000", timeout=0.1)).timed_out
    assert survivors() == []


async def test_fifty_at_once(run: Run) -> None:
    start = time.monotonic()
    outcomes = await asyncio.gather(*(run(f"sleep 0.2; echo {number}; exit {number}") for number in range(50)))
    assert [outcome.exit_code for outcome in outcomes] == list(range(50))
    assert [outcome.output.text for outcome in outcomes] == [f"{number}\n" for number in range(50)]
    assert time.monotonic() - start < 5


async def test_parallel_commands_end_only_their_own(run: Run) -> None:
    slow = asyncio.create_task(run("sleep 0.6; echo still here"))
    ended = await run("sleep 1000 & setsid sleep 1000 >/dev/null 2>&1 &")
    assert ended.left_running == 2
    assert (await slow).output.text == "still here\n"


async def test_a_short_command_is_quick(tmp_path: Path) -> None:
    async def measure() -> float:
        start = time.perf_counter()
        await run_command(
            "true",
            folder=tmp_path,
            environment={"PATH": os.environ["PATH"]},
            timeout=5,
            limits=OutputLimits(),
            on_output=lambda _: None,
        )
        return time.perf_counter() - start

    assert min([await measure() for _ in range(20)]) < 0.02
