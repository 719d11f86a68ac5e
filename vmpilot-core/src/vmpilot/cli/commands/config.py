"""`vmpilot config`: show settings, and change the user's configuration file."""

from __future__ import annotations

import argparse
import json
import sys

from vmpilot.cli._options import add_common_options, add_debug, add_settings, given_settings
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The actions on settings."""
    config = commands.add_command("config", description="Show and change settings.")
    show = config.add_command("show", "Show each setting, its value and its origin")
    add_settings(show)
    add_common_options(show)
    add_debug(config.add_command("path", "Show the path of your configuration file"))
    key_help = "A setting, such as backend, model or mode"
    set_ = config.add_command("set", "Change a setting in your configuration file")
    set_.add_argument("key", metavar="KEY", help=key_help)
    set_.add_argument("value", metavar="VALUE", help="Text or TOML; - reads it from standard input")
    add_common_options(set_, folder=True, output=False)
    unset = config.add_command("unset", "Remove a setting from your configuration file")
    unset.add_argument("key", metavar="KEY", help=key_help)
    add_common_options(unset, folder=True, output=False)


def run(arguments: argparse.Namespace) -> int:
    """Carry out the action. Raises the contract's errors."""
    actions = {"show": _show, "path": _show_path, "set": _set, "unset": _unset}
    actions[arguments.action](arguments)
    return 0


def _show(arguments: argparse.Namespace) -> None:
    from pathlib import Path

    from vmpilot.config import current_environment, load_settings

    folder = Path(arguments.cwd).resolve()
    shown = load_settings(current_environment(), folder=folder, options=given_settings(arguments)).shown()
    if arguments.output == "text":
        for name, (value, origin) in shown.items():
            print(f"{name} = {json.dumps(value)}  # {origin}")
    else:
        print(json.dumps({name: {"value": value, "origin": origin} for name, (value, origin) in shown.items()}))


def _show_path(_arguments: argparse.Namespace) -> None:
    from vmpilot.config import current_environment

    print(current_environment().user_file)


def _set(arguments: argparse.Namespace) -> None:
    """Set a key and say if another source overrides it here."""
    from pathlib import Path

    from vmpilot.cli._style import printable
    from vmpilot.config import PRIVATE_KEYS, UserFile, current_environment, load_settings
    from vmpilot.contract import UsageError
    from vmpilot.plugins import choose_backend, installed_backends

    key, text = arguments.key, arguments.value
    if text == "-":
        text = sys.stdin.read().strip()
    elif key in PRIVATE_KEYS:
        raise UsageError(
            f"{key} is secret and would stay in your shell's history. "
            f"Use `vmpilot config set {key} -`, which reads it from standard input."
        )
    if key == "backend":
        choose_backend(installed_backends(), text, asked_by="config set")
    path = current_environment().user_file
    value = UserFile(path).set_value(key, text, check=_check_rules)
    shown = "(set)" if key in PRIVATE_KEYS or "@" in text else json.dumps(value, ensure_ascii=False)
    print(printable(f"{key} = {shown}  # {path}"))
    settings = load_settings(current_environment(), folder=Path(arguments.cwd).resolve(), options={})
    origin = settings.origins.get(key, "")
    if str(path) not in origin:
        print(printable(f"vmpilot: Overridden here: {origin} also sets {key}."), file=sys.stderr)


def _check_rules(key: str, value: object) -> None:
    from vmpilot.contract import UsageError
    from vmpilot.permissions import Rules

    if key in {"allow", "allow_on_host", "ask", "deny"} and isinstance(value, list):
        try:
            Rules.read(**{key: value})
        except ValueError as error:
            raise UsageError(str(error)) from error


def _unset(arguments: argparse.Namespace) -> None:
    from vmpilot.cli._style import printable
    from vmpilot.config import UserFile, current_environment

    path = current_environment().user_file
    if UserFile(path).unset_value(arguments.key):
        print(printable(f"Removed {arguments.key} from {path}"))
    else:
        print(printable(f"vmpilot: {arguments.key} is not set in {path}"), file=sys.stderr)
