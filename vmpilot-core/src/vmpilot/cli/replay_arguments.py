"""What may be written behind `vmpilot replay`."""

from __future__ import annotations

from vmpilot.cli._options import add_debug, add_format
from vmpilot.cli._parser import Parser


def fill_replay(parser: Parser) -> None:
    """The options of `vmpilot replay`."""
    parser.description = (
        "Play a tape that --record made to a backend: the model's answers and the tools' results come from the tape, "
        "nothing is run, no key is needed. Exit code 0 if the backend asked and did the same as on the tape."
    )
    parser.add_argument("file", metavar="FILE", help="the tape")
    parser.add_argument("--backend", metavar="NAME", help="the backend to play it to; the tape's own if left out")
    add_format(parser)
    add_debug(parser)
