"""`vmpilot cost`: what model calls cost."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from vmpilot.store import ConversationStore, Cost


def add_parser(commands: Parser) -> None:
    """How the costs are grouped."""
    parser = commands.add_command("cost", description="Show what model calls cost, as far as prices are known.")
    parser.add_argument(
        "--by", choices=("day", "model", "conversation"), default="day", help="Group by this [default: day]"
    )
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a row per group and a total. Raises the contract's errors."""
    from vmpilot.cli._log_store import run_with_store

    return run_with_store(_print_costs, arguments)


async def _print_costs(store: ConversationStore, arguments: argparse.Namespace) -> None:
    from vmpilot.cli._log_store import printed_as_json
    from vmpilot.cli._table import print_table
    from vmpilot.contract import Usage
    from vmpilot.store import Cost

    costs = await store.costs(arguments.by)
    if printed_as_json(costs, arguments, empty="No turns yet."):
        return
    rows = list(costs)
    if len(costs) > 1:
        total = Cost(
            key="total",
            title="",
            turns=sum(cost.turns for cost in costs),
            usage=sum((cost.usage for cost in costs), Usage()),
            cost=sum(cost.cost for cost in costs),
            unpriced=sum(cost.unpriced for cost in costs),
        )
        rows.append(total)
    print_table(map(_row, rows), right=[1, 3])


def _row(cost: Cost) -> tuple[str, ...]:
    from vmpilot.cli._table import count

    priced = cost.unpriced < cost.turns
    tokens = f"{cost.usage.input_tokens:,} tokens in, {cost.usage.output_tokens:,} out"
    return (
        cost.key,
        f"${cost.cost:,.4f}" if priced else "price unknown",
        f"plus {count(cost.unpriced, 'turn')} with no known price" if cost.unpriced and priced else "",
        count(cost.turns, "turn"),
        f"{cost.title} ({tokens})" if cost.title else tokens,
    )
