"""The level `usage`: the provider's token counts are reported, and nothing else."""

from __future__ import annotations

from vmpilot.contract import Usage
from vmpilot.testing.conformance.case import Case, case, check_equal
from vmpilot.testing.conformance.harness import Harness, shell_call
from vmpilot.testing.script import Reply

_TOLD = Usage(input_tokens=120, output_tokens=34, cached_tokens=56, reasoning_tokens=7)


@case("usage", "contract.md#events")
async def told(harness: Harness) -> None:
    """The provider's token counts are reported: input, output, cached and reasoning tokens."""
    turn = await harness.run_turn(Reply("All is well.", usage=_TOLD))
    check_equal(turn.usages, [_TOLD], "the usage")


@case("usage", "contract.md#events")
async def not_told(harness: Harness) -> None:
    """If the provider reports no usage, it is None and not invented."""
    turn = await harness.run_turn(Reply("All is well.", usage=None))
    check_equal(turn.usages, [None], "the usage")


@case("usage", "conformance.md#usage")
async def each_its_own(harness: Harness) -> None:
    """Each message has the usage of one model call, not a sum."""
    first, second = Usage(input_tokens=10, output_tokens=2), Usage(input_tokens=20, output_tokens=3)
    turn = await harness.run_turn(Reply(tool_calls=(shell_call(),), usage=first), Reply("Done.", usage=second))
    check_equal(turn.usages, [first, second], "the usages")


@case("usage", "conformance.md#usage")
async def of_a_cut_message(harness: Harness) -> None:
    """A message truncated by a limit also has its usage."""
    turn = await harness.run_to_the_end(Reply("It was going to", usage=_TOLD, finish="length"))
    check_equal(turn.usages, [_TOLD], "the usage")


@case("usage", "conformance.md#usage")
async def in_one_piece(harness: Harness) -> None:
    """A non-streamed answer also has its usage."""
    turn = await harness.run_turn(Reply("All is well.", usage=_TOLD), streaming=False)
    check_equal(turn.usages, [_TOLD], "the usage")
    check_equal((await harness.run_turn(Reply("Yes.", usage=None), streaming=False)).usages, [None], "the usage")


USAGE: tuple[Case, ...] = (told, not_told, each_its_own, of_a_cut_message, in_one_piece)
