"""What may be written behind `vmpilot compare`."""

from __future__ import annotations

from vmpilot.cli._options import add_debug, add_folder
from vmpilot.cli._parser import Parser


def fill_compare(parser: Parser) -> None:
    """The options of `vmpilot compare`."""
    parser.description = (
        "Have one task done by several backends and models, each in a git worktree (or a copy) of this folder, and "
        "compare the results. Nothing is changed in the folder itself. No one is asked: what would need approval is "
        "denied. Exit code 0 if all succeeded."
    )
    parser.add_argument("words", nargs="+", metavar="TASK", help="what is to be done")
    parser.add_argument(
        "--backends", metavar="A,B", help="the backends, separated by commas; all installed if left out"
    )
    parser.add_argument("--models", metavar="M,N", help="the models that each of them is to ask")
    parser.add_argument("--check", metavar="COMMAND", help="a command that ends with 0 where the task was done well")
    parser.add_argument("--keep", action="store_true", help="leave the folders, and say where they are")
    add_folder(parser)
    parser.add_argument("--mode", choices=("observe", "operate", "full"))
    parser.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server")
    parser.add_argument("-t", "--temperature", type=float, metavar="T")
    parser.add_argument("--max-steps", type=int, metavar="N", help="calls to the model for each (25)")
    parser.add_argument("--max-cost", type=float, metavar="USD", help="for each")
    parser.add_argument("--max-seconds", type=float, metavar="S", help="for each")
    parser.add_argument("--json", action="store_true", help="print the outcomes as JSON")
    add_debug(parser)
