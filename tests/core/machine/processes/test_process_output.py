"""A command's output, live and in the result."""

import os
from pathlib import Path

from tests.core.machine.conftest import Run, Survivors

from vmpilot.machine.processes.output import OutputLimits


async def test_both_streams_are_in_order_of_arrival(run: Run) -> None:
    outcome = await run("echo one; echo two >&2; echo three; echo four >&2")
    assert outcome.output.text == "one\ntwo\nthree\nfour\n"


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


async def test_a_flood_in_the_background_ends(run: Run, survivors: Survivors) -> None:
    outcome = await run("yes & exit 0", limits=OutputLimits(flood=1_000_000))
    assert outcome.exit_code == 0
    assert survivors() == []


async def test_binary_output_becomes_text(run: Run) -> None:
    pieces: list[str] = []
    outcome = await run("head -c 100000 /dev/urandom; printf 'a\\0b\\377\\n'", on_output=pieces.append)
    assert outcome.exit_code == 0
    for text in (outcome.output.text, "".join(pieces)):
        assert text.endswith("b\N{REPLACEMENT CHARACTER}\n")
        assert "\0" not in text
        text.encode()


async def test_a_character_split_across_reads_is_whole(run: Run) -> None:
    outcome = await run("printf '\\342\\202'; sleep 0.05; printf '\\254 \\355\\240\\200'")
    assert outcome.output.text == "€ " + "\N{REPLACEMENT CHARACTER}" * 3


async def test_live_output_is_raw_and_the_result_is_plain(run: Run) -> None:
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


async def test_live_output_is_batched_and_complete(run: Run) -> None:
    pieces: list[str] = []
    outcome = await run("for i in {1..100}; do echo $i; sleep 0.001; done", on_output=pieces.append)
    assert "".join(pieces) == "".join(f"{number}\n" for number in range(1, 101))
    assert len(pieces) <= 3 + outcome.seconds * 20
