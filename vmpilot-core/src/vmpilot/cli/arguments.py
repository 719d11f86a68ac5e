"""What may be written on the command line, and the help for it. Imports nothing that is slow."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from importlib import import_module

_PARSERS: Mapping[str, str] = {
    "audit": "log_arguments",
    "backends": "backends_arguments",
    "chats": "log_arguments",
    "compare": "compare_arguments",
    "config": "config_arguments",
    "cost": "log_arguments",
    "replay": "replay_arguments",
}
"""Commands with options of their own: the module that knows them."""

COMMANDS = ("ask", "cache", "tools", "doctor", "trust", "distrust", *_PARSERS)

_EXAMPLES = """\
examples:
  vmpilot "find what fills this disk"
  journalctl -n 200 | vmpilot "what is wrong here?"
  vmpilot --model local "how many processors has this machine?"
  vmpilot -c "and how much memory?"
  vmpilot -c /compact          have the last conversation summarised

commands (a first word that is none of these begins a request):
  vmpilot ask REQUEST          the request, whatever its first word
  vmpilot backends list        the installed backends, and which one is used
  vmpilot backends check NAME  the conformance suite; needs no key
  vmpilot backends new NAME    begin a backend of your own
  vmpilot chats ACTION         list, show, search, export, import, fork, …
  vmpilot cost                 what was used, by day, model or conversation
  vmpilot audit                each command that was run or denied, and by whom
  vmpilot compare TASK         one task by several backends and models
  vmpilot replay FILE          play a tape of --record to a backend
  vmpilot cache stats|clear    the answers that are kept to be given again
  vmpilot config show|path     the settings and their origins; your file
  vmpilot config set KEY VALUE change your file; unset KEY removes a key
  vmpilot tools                which tools the model is offered, and why
  vmpilot doctor               what works here: backends, sandbox, log, programs
  vmpilot trust [DIR]          let a project's file allow; distrust ends it

exit codes:
  0 answered   1 the model or provider failed   2 wrong usage or configuration
  3 a limit stopped it   4 something it needed was denied   5 no usable backend
  130 interrupted
"""


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with `command` (one of `COMMANDS`) and its `words`. Wrong ones end the program (exit code 2)."""
    command = arguments[0] if arguments and arguments[0] in COMMANDS else "ask"
    rest = arguments[1:] if arguments and arguments[0] == command else arguments
    if command in _PARSERS:
        parser: argparse.ArgumentParser = import_module(f"vmpilot.cli.{_PARSERS[command]}").make_parser(command)
        options = parser.parse_args(rest, argparse.Namespace(backend=None, words=[]))
    else:
        options = _parser().parse_intermixed_args(rest)
    options.command = command
    return options


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="vmpilot",
        usage="vmpilot [options] [REQUEST …]",
        description="An AI operator for this machine: ask in plain language; it acts and answers.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("words", nargs="*", metavar="REQUEST", help="what is to be done; standard input is added to it")
    _add_conversation(parser)
    _add_model(parser)
    _add_permission(parser)
    _add_output(parser)
    return parser


def _add_conversation(parser: argparse.ArgumentParser) -> None:
    conversation = parser.add_argument_group("conversation")
    conversation.add_argument("--fork", action="store_true", help="with -c or -r: go on with a copy of it")
    group = conversation.add_mutually_exclusive_group()
    group.add_argument("-c", "--continue", dest="latest", action="store_true", help="go on with the last conversation")
    group.add_argument(
        "-r", "--resume", metavar="ID", help="go on with this conversation (the beginning of its id does)"
    )


def _add_model(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("model")
    group.add_argument("--backend", metavar="NAME", help="the agent engine, such as langchain or litellm")
    group.add_argument(
        "--model", metavar="NAME", help="such as gpt-4o or anthropic/claude-sonnet-4-5; local needs no key"
    )
    group.add_argument(
        "--fallback", action="append", metavar="NAME", help="a model to ask where those before it fail; repeatable"
    )
    group.add_argument("--base-url", metavar="URL", help="an OpenAI-compatible server")
    group.add_argument("-t", "--temperature", type=float, metavar="T", help="0 to 2; the provider's choice if left out")
    group.add_argument(
        "--no-stream", dest="streaming", action="store_false", default=None, help="ask for each answer in one piece"
    )
    group.add_argument(
        "--tool-mode",
        choices=("auto", "native", "text"),
        help="text: tools for models that know none; auto (default): that where the server takes no tools",
    )
    group.add_argument(
        "--cache", metavar="WHERE", help="off, disk or redis://…: give answers of temperature 0 again that are known"
    )


def _add_permission(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("permission and limits")
    group.add_argument(
        "--mode",
        choices=("observe", "operate", "full"),
        help="observe: only read; operate (default): reading is free, the rest is asked about; full: all runs",
    )
    group.add_argument("--max-steps", type=int, metavar="N", help="calls to the model in one request (25)")
    group.add_argument("--max-cost", type=float, metavar="USD", help="what one request may cost, in US dollars")
    group.add_argument("--max-seconds", type=float, metavar="S", help="how long one request may take")
    group.add_argument("--max-total-tokens", type=int, metavar="N", help="tokens of one request, in and out")
    group.add_argument("--cwd", metavar="DIR", default=".", help="the folder to work in (this one)")


def _add_output(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        choices=("text", "json", "jsonl"),
        default="text",
        help="text; json: one object at the end; jsonl: each event as it comes",
    )
    group.add_argument("--record", metavar="FILE", help="tape the session for vmpilot replay; FILE must be new")
    group.add_argument("-v", "--verbose", action="store_true", help="show reasoning, whole outputs, tokens and cost")
    group.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
    group.add_argument("--version", action=_Version, nargs=0, help="show the version and end")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        from importlib.metadata import version

        print(f"vmpilot {version('vmpilot-core')}")
        parser.exit()
