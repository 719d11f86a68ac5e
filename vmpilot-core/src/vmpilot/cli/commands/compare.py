"""`vmpilot compare`: run one task on several backends and models."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_debug, add_folder
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The task, the candidates and their limits."""
    parser = commands.add_command(
        "compare",
        description=(
            "Run one task on several backends and models, each in its own git worktree (or copy) of this folder, and "
            "compare the results. The folder itself is not changed. Actions that need approval are denied. The exit "
            "code is 0 if all of them succeed."
        ),
    )
    parser.add_argument("words", nargs="+", metavar="TASK", help="What to do")
    parser.add_argument("--backends", metavar="A,B", help="Backends, separated by commas [default: all installed]")
    parser.add_argument("--models", metavar="M,N", help="Models for each backend [default: the configured one]")
    parser.add_argument("--check", metavar="COMMAND", help="Run this command in each result; 0 means it passed")
    parser.add_argument("--keep", action="store_true", help="Keep the folders and print their paths")
    add_folder(parser)
    parser.add_argument("--mode", choices=("observe", "operate", "full"), help="Permission mode")
    parser.add_argument("--base-url", metavar="URL", help="Send requests to this OpenAI-compatible server")
    parser.add_argument("-t", "--temperature", type=float, metavar="T", help="Sampling temperature, 0 to 2")
    parser.add_argument("--max-steps", type=int, metavar="N", help="Maximum model calls for each [default: 25]")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="Maximum cost of each, in US dollars")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="Maximum time for each, in seconds")
    parser.add_argument("--json", action="store_true", help="Print the results as JSON")
    add_debug(parser)


def run(arguments: argparse.Namespace) -> int:
    """Compare the candidates and print a table. Raises the contract's errors if a candidate cannot exist."""
    from vmpilot.cli._compare import run_compare

    return run_compare(arguments)
