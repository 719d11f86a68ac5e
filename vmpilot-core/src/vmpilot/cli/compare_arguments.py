"""What may be written behind `vmpilot compare`."""

from __future__ import annotations

import argparse


def make_parser(_command: str) -> argparse.ArgumentParser:
    """The parser for what follows the command."""
    parser = argparse.ArgumentParser(
        prog="vmpilot compare",
        description="Have one task done by several backends and models, each in a git worktree (or a copy) of this "
        "folder, and compare what came of it. Nothing is changed in the folder itself. Nobody is asked: what would "
        "need a question is denied. Exit code 0 if all succeeded.",
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="+", metavar="TASK", help="what is to be done")
    parser.add_argument(
        "--backends", metavar="A,B", help="the backends, separated by commas; all installed if left out"
    )
    parser.add_argument("--models", metavar="M,N", help="the models that each of them is to ask")
    parser.add_argument("--check", metavar="COMMAND", help="a command that ends with 0 where the task was done well")
    parser.add_argument("--keep", action="store_true", help="leave the folders, and say where they are")
    parser.add_argument("--cwd", metavar="DIR", default=".", help="the folder to work in (this one)")
    parser.add_argument("--mode", choices=("observe", "operate", "full"))
    parser.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server")
    parser.add_argument("-t", "--temperature", type=float, metavar="T")
    parser.add_argument("--max-steps", type=int, metavar="N", help="calls to the model for each (25)")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="for each")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="for each")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    parser.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
    return parser
