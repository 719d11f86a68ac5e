"""The options of a request, and those that other commands share with it."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from vmpilot.cli._parser import Parser

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


def given_settings(options: argparse.Namespace) -> GivenSettings:
    """The settings that these options give."""
    given = {key: (getattr(options, key, None), option) for key, option in _SETTINGS.items()}
    if (model := given["model"][0]) is not None:
        # An option is meant for this request, whatever the backend's own variables say.
        given |= {"litellm_model": (model, "--model"), "langchain_model": (model, "--model")}
    return {key: (value, option) for key, (value, option) in given.items() if value is not None}


def agent_settings(options: argparse.Namespace) -> dict[str, Any]:
    """The same as arguments of `Agent`."""
    given = given_settings(options)
    return {"origins": {key: option for key, (_, option) in given.items()}} | {
        key: value for key, (value, _) in given.items()
    }


def fill_ask(parser: Parser) -> None:
    """The request and all its options."""
    parser.prog = "vmpilot"  # errors are about a request, whether `ask` was written or not
    parser.usage = "vmpilot [ask] [options] [--] [REQUEST …]"
    parser.add_argument("words", nargs="*", metavar="REQUEST", help="what to do; standard input is added to it")
    add_request_options(parser)


def add_request_options(parser: Parser) -> None:
    """All options of a request."""
    _add_conversation(parser)
    add_settings(parser)
    _add_output(parser)


def add_settings(parser: Parser) -> None:
    """Options that override settings for this once, and the folder whose settings they are."""
    _add_model(parser)
    _add_permission(parser)


def add_debug(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")


def add_format(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--output", choices=("text", "json"), default="text", help="text (default) or json")


def add_folder(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--cwd", metavar="DIR", default=".", help="the folder to work in (this one)")


def _add_conversation(parser: Parser) -> None:
    conversation = parser.add_argument_group("conversation")
    conversation.add_argument("--fork", action="store_true", help="with -c or -r: go on with a copy of it")
    group = conversation.add_mutually_exclusive_group()
    group.add_argument("-c", "--continue", dest="latest", action="store_true", help="go on with the last conversation")
    group.add_argument(
        "-r", "--resume", metavar="ID", help="go on with this conversation (the beginning of its id does)"
    )


def _add_model(parser: Parser) -> None:
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
        help="text: for models without native tool calls; auto (default): text if the server rejects tools",
    )
    group.add_argument(
        "--cache", metavar="WHERE", help="off, disk or redis://…: reuse cached answers (temperature 0 only)"
    )


def _add_permission(parser: Parser) -> None:
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
    add_folder(group)


def _add_output(parser: Parser) -> None:
    group = parser.add_argument_group("output")
    group.add_argument(
        "--output",
        choices=("text", "json", "jsonl"),
        default="text",
        help="text; json: one object at the end; jsonl: each event as it comes",
    )
    group.add_argument("--record", metavar="FILE", help="recording the session for vmpilot replay; FILE must be new")
    group.add_argument("-v", "--verbose", action="store_true", help="show reasoning, whole outputs, tokens and cost")
    add_debug(group)
    group.add_argument("--version", action=_Version, nargs=0, help="show the version and end")


class _Version(argparse.Action):
    """Looks the version up only when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: object) -> None:
        from importlib.metadata import version

        print(f"vmpilot {version('vmpilot-core')}")
        parser.exit()
