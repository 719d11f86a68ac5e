"""What may be written behind `vmpilot replay`."""

from __future__ import annotations

import argparse


def make_parser(_command: str) -> argparse.ArgumentParser:
    """The parser for what follows the command."""
    parser = argparse.ArgumentParser(
        prog="vmpilot replay",
        description="Play a tape that --record made to a backend: the model's answers and the tools' results come from "
        "the tape, nothing is run, no key is needed. Exit code 0 if the backend asked and did the same as on the tape.",
        allow_abbrev=False,
    )
    parser.add_argument("file", metavar="FILE", help="the tape")
    parser.add_argument("--backend", metavar="NAME", help="the backend to play it to; the tape's own if left out")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    parser.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
    return parser
