"""The options of a request, and those that other commands share with it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from vmpilot.cli._parser import HELP_TEXT, Parser

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    from typing import Any

GivenSettings = dict[str, tuple[object, str]]
"""Settings that options give: key to (value, the option's name), as `load_settings` takes them."""

_SETTINGS: Mapping[str, str] = {
    "backend": "--backend",
    "model": "--model",
    "fallback": "--fallback",
    "base_url": "--base-url",
    "temperature": "--temperature",
    "streaming": "--no-stream",
    "tool_mode": "--tool-mode",
    "cache": "--cache",
    "mode": "--mode",
    "max_steps": "--max-steps",
    "max_cost": "--max-cost",
    "max_seconds": "--max-seconds",
    "max_total_tokens": "--max-total-tokens",
}


def given_settings(arguments: argparse.Namespace) -> GivenSettings:
    """The settings that these options give."""
    given = {key: (getattr(arguments, key, None), option) for key, option in _SETTINGS.items()}
    if (model := given["model"][0]) is not None:
        # An option is meant for this request, whatever the backend's own variables say.
        given |= {"litellm_model": (model, "--model"), "langchain_model": (model, "--model")}
    return {key: (value, option) for key, (value, option) in given.items() if value is not None}


def agent_settings(arguments: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of `Agent`."""
    given = given_settings(arguments)
    values = {key: value for key, (value, _) in given.items()}
    return values | {"origins": {key: option for key, (_, option) in given.items()}}


def add_request_options(parser: Parser) -> None:
    """All options of a request, for a parser without a help option."""
    group = parser.add_argument_group("conversation")
    either = group.add_mutually_exclusive_group()
    either.add_argument("-c", "--continue", dest="latest", action="store_true", help="Continue the last conversation")
    either.add_argument("-r", "--resume", metavar="ID", help="Continue the conversation with this ID or prefix")
    group.add_argument("--fork", action="store_true", help="With -c or -r, continue a copy of the conversation")
    add_settings(parser)
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        choices=("text", "json", "jsonl"),
        default="text",
        help="text, json (one object at the end) or jsonl (one event per line, as it happens) [default: text]",
    )
    group.add_argument("--record", metavar="FILE", help="Record the session in a new file, for vmpilot replay")
    group.add_argument("-v", "--verbose", action="store_true", help="Show reasoning, full tool output, tokens and cost")
    add_debug(group)
    group.add_argument("--version", action=_Version, nargs=0, help="Show the version and exit")
    group.add_argument("-h", "--help", action="help", help=HELP_TEXT)


def add_settings(parser: Parser) -> None:
    """Options that override settings for this once, and the folder whose settings they are."""
    group = parser.add_argument_group("model")
    group.add_argument("--backend", metavar="NAME", help="Use this agent engine, such as langchain or litellm")
    group.add_argument(
        "--model",
        metavar="NAME",
        help="Use this model, such as gpt-4o, anthropic/claude-sonnet-4-5 or local (needs no API key)",
    )
    group.add_argument(
        "--fallback",
        action="append",
        metavar="NAME",
        help="Use this model if the ones before it fail; can be repeated",
    )
    group.add_argument("--base-url", metavar="URL", help="Send requests to this OpenAI-compatible server")
    group.add_argument(
        "-t", "--temperature", type=float, metavar="T", help="Sampling temperature, 0 to 2 [default: the provider's]"
    )
    group.add_argument(
        "--no-stream", dest="streaming", action="store_false", default=None, help="Get each answer in one piece"
    )
    group.add_argument(
        "--tool-mode",
        choices=("auto", "native", "text"),
        help="text: for models without native tool calls; auto (default): text if the server rejects tools",
    )
    group.add_argument(
        "--cache", metavar="WHERE", help="Reuse cached answers (temperature 0 only): off, disk or redis://…"
    )
    group = parser.add_argument_group("permissions and limits")
    group.add_argument(
        "--mode",
        choices=("observe", "operate", "full"),
        help="observe: read only; operate (default): ask when in doubt; full: run everything",
    )
    group.add_argument("--max-steps", type=int, metavar="N", help="Maximum model calls per request [default: 25]")
    group.add_argument("--max-cost", type=float, metavar="USD", help="Maximum cost per request, in US dollars")
    group.add_argument("--max-seconds", type=float, metavar="S", help="Maximum time per request, in seconds")
    group.add_argument(
        "--max-total-tokens", type=int, metavar="N", help="Maximum tokens per request, input plus output"
    )
    add_folder(group)


def add_common_options(parser: Parser, *, folder: bool = False, output: bool = True) -> None:
    """`--cwd`, `--output` and `--debug`, in this order."""
    if folder:
        add_folder(parser)
    if output:
        parser.add_argument("--output", choices=("text", "json"), default="text", help="text or json [default: text]")
    add_debug(parser)


def add_debug(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "-d", "--debug", action="store_true", help="Log VMPilot's actions and tracebacks to standard error"
    )


def add_folder(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--cwd", metavar="DIR", default=".", help="Work in this folder [default: the current one]")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        from importlib.metadata import version

        print(f"vmpilot {version('vmpilot-core')}")
        parser.exit()
