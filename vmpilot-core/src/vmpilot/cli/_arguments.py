"""The tree of commands, and how arguments are read with it. Imports nothing slow."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from vmpilot.cli._options import add_request_options
from vmpilot.cli._parser import Parser
from vmpilot.cli.commands import announce_commands

_EPILOG = """\
examples:
  vmpilot "find what fills this disk"
  journalctl -n 200 | vmpilot "what is wrong here?"
  vmpilot --model local "how many processors does this machine have?"
  vmpilot -c "and how much memory?"
  vmpilot -c /compact          summarize the last conversation
  vmpilot -- --help is text    everything after -- is the request

exit codes:
  0    answered
  1    the model or the provider failed
  2    invalid usage or configuration
  3    a limit was reached
  4    an action was denied
  5    no usable backend
  130  interrupted
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with `command` and `action`. Invalid ones end the program (exit code 2).

    Everything after the first `--` is words, as written. `literal` is set on a request whose words must not be read as
    anything else.
    """
    end = arguments.index("--") if "--" in arguments else len(arguments)
    before, verbatim = arguments[:end], arguments[end + 1 :]
    root = make_parser()
    parser, rest, word = root.route(before)
    is_implied = parser is root
    if is_implied:
        if word is None and not {"-h", "--help"}.isdisjoint(rest):
            root.print_help()
            root.exit()
        parser = root.command("ask")
    options = parser.read(rest, verbatim)
    if options.command == "ask":
        typed = options.words[: len(options.words) - len(verbatim)]
        options.literal = not is_implied or ("--" in arguments and not typed)
        if typed and not options.literal:
            from vmpilot.cli._typos import refuse_mistyped_command

            refuse_mistyped_command(root, typed)
    return options


def make_parser() -> Parser:
    """The tree of all commands."""
    root = Parser(
        prog="vmpilot",
        usage="vmpilot [options] [REQUEST …]\n       vmpilot COMMAND [options] …",
        description="An AI operator for this machine. Ask in plain language; it does the work and answers.",
        epilog=_EPILOG,
        add_help=False,
    )
    announce_commands(root)
    add_request_options(root)
    return root
