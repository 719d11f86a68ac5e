"""The level `usage`: what the provider told of tokens is handed on, and nothing else."""

from __future__ import annotations

from vmpilot.contract import Usage
from vmpilot.testing.conformance.case import Case, case, check_equal
from vmpilot.testing.conformance.stage import Stage, shell_call
from vmpilot.testing.script import Reply

_TOLD = Usage(input_tokens=120, output_tokens=34, cached_tokens=56, reasoning_tokens=7)


@case("usage", "contract.md#events")
async def told(stage: Stage) -> None:
    """What the provider tells is reported: input, output, cached and reasoning tokens."""
    played = await stage.play(Reply("All is well.", usage=_TOLD))
    check_equal(played.usages, [_TOLD], "the usage")


@case("usage", "contract.md#events")
async def not_told(stage: Stage) -> None:
    """Where the provider tells nothing usage is None: none is invented."""
    played = await stage.play(Reply("All is well.", usage=None))
    check_equal(played.usages, [None], "the usage")


@case("usage", "conformance.md#usage")
async def each_its_own(stage: Stage) -> None:
    """Each message has the usage of its own call to the model, not a sum."""
    first, second = Usage(input_tokens=10, output_tokens=2), Usage(input_tokens=20, output_tokens=3)
    played = await stage.play(Reply(tool_calls=(shell_call(),), usage=first), Reply("Done.", usage=second))
    check_equal(played.usages, [first, second], "the usages")


@case("usage", "conformance.md#usage")
async def of_a_cut_message(stage: Stage) -> None:
    """A message that was cut by its limit has its usage, too."""
    played = await stage.play_to_the_end(Reply("It was going to", usage=_TOLD, finish="length"))
    check_equal(played.usages, [_TOLD], "the usage")


@case("usage", "conformance.md#usage")
async def in_one_piece(stage: Stage) -> None:
    """An answer that is not streamed has its usage, too."""
    played = await stage.play(Reply("All is well.", usage=_TOLD), streaming=False)
    check_equal(played.usages, [_TOLD], "the usage")
    check_equal((await stage.play(Reply("Yes.", usage=None), streaming=False)).usages, [None], "the usage")


USAGE: tuple[Case, ...] = (told, not_told, each_its_own, of_a_cut_message, in_one_piece)
