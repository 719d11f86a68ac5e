"""What may be written behind `vmpilot replay`."""

from __future__ import annotations

from vmpilot.cli._options import add_debug, add_format
from vmpilot.cli._parser import Parser


def fill_replay(parser: Parser) -> None:
    """The options of `vmpilot replay`."""
    parser.description = (
        "Replay a session recorded with --record. The model's answers and the tools' results come from the recording: "
        "nothing is run, and no key is needed. Exit code 0 if the backend asked and did the same as in the recording."
    )
    parser.add_argument("file", metavar="FILE", help="the recording")
    parser.add_argument(
        "--backend", metavar="NAME", help="the backend to replay it on (default: the one that was recorded)"
    )
    add_format(parser)
    add_debug(parser)
