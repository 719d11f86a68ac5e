"""The tree of commands, and how arguments are read with it. Imports nothing that is slow."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib import import_module

from vmpilot.cli import _options as request_arguments
from vmpilot.cli._parser import Parser

_LOG = ("_log", "run_log_command")
_TRUST = ("trust", "run_trust_command")

_COMMANDS: Mapping[str, tuple[str, str, tuple[str, str] | None]] = {
    "ask": ("_options", "send a request, whatever its first word", ("_request", "run_request")),
    "chats": ("log_arguments", "list, read, search, copy, rename and delete conversations", None),
    "cost": ("log_arguments", "what the model calls cost, as far as prices are known", _LOG),
    "audit": ("log_arguments", "each command that was run or denied, and by whom", _LOG),
    "compare": ("compare_arguments", "give one task to several backends and models", ("compare", "run_compare")),
    "replay": ("replay_arguments", "play a recording of --record to a backend", ("replay", "run_replay")),
    "backends": ("backends_arguments", "list, check and write agent engines", None),
    "tools": ("machine_arguments", "list the tools that the model is offered", ("tools", "list_tools")),
    "config": ("machine_arguments", "show and change the settings", None),
    "jobs": ("machine_arguments", "list, read and stop background jobs that keep running", None),
    "doctor": (
        "machine_arguments",
        "check what works here: backends, sandbox, log, programs",
        ("_doctor", "run_doctor"),
    ),
    "cache": ("machine_arguments", "look at or empty the cache of answers", None),
    "trust": ("machine_arguments", "let a project's file allow commands", _TRUST),
    "distrust": ("machine_arguments", "withdraw what was approved for a project", _TRUST),
}
"""The commands: the module whose function fill_COMMAND adds options and words, the line in the help,
and the module and function that carry the command out; None where further words say what to do."""

_EXAMPLES = """\
examples:
  vmpilot "find what fills this disk"
  journalctl -n 200 | vmpilot "what is wrong here?"
  vmpilot --model local "how many processors has this machine?"
  vmpilot -c "and how much memory?"
  vmpilot -c /compact          summarize the last conversation
  vmpilot -- --help is text    everything after -- is the request

exit codes:
  0 answered   1 the model or provider failed   2 wrong usage or configuration
  3 a limit stopped it   4 something it needed was denied   5 no usable backend
  130 interrupted
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with `command`, `action` and `run`. Wrong ones end the program (exit code 2).

    Everything behind the first `--` is words, as written. `literal` says of a request that none of its words may be
    read as anything else.
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
        description="An AI operator for this machine: ask in plain language; it acts and answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    request_arguments.add_request_options(root)
    for name, (module, summary, run) in _COMMANDS.items():
        root.add_command(name, summary, partial(_fill, module, name), run=run)
    return root


def _fill(module: str, name: str, parser: Parser) -> None:
    fill: Callable[[Parser], None] = getattr(import_module(f"vmpilot.cli.{module}"), f"fill_{name}")
    fill(parser)
