"""`vmpilot config set` and `vmpilot config unset`: change the user's configuration file."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vmpilot.cli._style import printable
from vmpilot.config import PRIVATE_KEYS, UserFile, current_environment, load_settings
from vmpilot.contract import UsageError
from vmpilot.permissions import Rules
from vmpilot.plugins import choose_backend, installed_backends

_RULES = ("allow", "allow_on_host", "ask", "deny")


def set_key(options: argparse.Namespace) -> int:
    """Set a key and say what else sets it. Raises the contract's errors."""
    key, text = options.key, options.value
    if text == "-":
        text = sys.stdin.read().strip()
    elif key in PRIVATE_KEYS:
        raise UsageError(
            f"{key} is secret and would stay in the shell's history: "
            f"`vmpilot config set {key} -` reads it from standard input"
        )
    if key == "backend":
        choose_backend(installed_backends(), text, asked_by="config set")
    path = current_environment().user_file
    value = UserFile(path).set_value(key, text, check=_check_rules)
    shown = "(set)" if key in PRIVATE_KEYS or "@" in text else json.dumps(value, ensure_ascii=False)
    print(printable(f"{key} = {shown}  # {path}"))
    _tell_what_overrides(key, path, options)
    return 0


def _check_rules(key: str, value: object) -> None:
    if key in _RULES and isinstance(value, list):
        try:
            Rules.read(**{key: value})
        except ValueError as error:
            raise UsageError(str(error)) from error


def unset_key(options: argparse.Namespace) -> int:
    """Remove a key. Raises `UsageError`."""
    path = current_environment().user_file
    if UserFile(path).unset_value(options.key):
        print(printable(f"{options.key} is no longer set in {path}"))
    else:
        print(printable(f"vmpilot: {options.key} is not set in {path}"), file=sys.stderr)
    return 0


def _tell_what_overrides(key: str, path: Path, options: argparse.Namespace) -> None:
    """The file is changed, but something that comes later may win here."""
    origin = load_settings(current_environment(), folder=Path(options.cwd).resolve(), options={}).origins.get(key, "")
    if str(path) not in origin:
        print(printable(f"vmpilot: {origin} also sets {key}, and wins here"), file=sys.stderr)
