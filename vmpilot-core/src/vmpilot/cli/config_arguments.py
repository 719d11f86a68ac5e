"""What may be written behind `vmpilot config`."""

from __future__ import annotations

import argparse


def make_parser(command: str) -> argparse.ArgumentParser:
    """The parser for `config`."""
    parser = argparse.ArgumentParser(
        prog=f"vmpilot {command}", description="The settings: show them, and change your own file.", allow_abbrev=False
    )
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    actions.add_parser("show", help="each setting with its value and its origin")
    actions.add_parser("path", help="where your configuration file is")
    change = actions.add_parser("set", help="set a key of your configuration file")
    change.add_argument("key", metavar="KEY", help="a setting, such as backend, model or mode")
    change.add_argument("value", metavar="VALUE", help="text or TOML; - reads it from standard input")
    actions.add_parser("unset", help="remove a key from your configuration file").add_argument("key", metavar="KEY")
    for action in actions.choices.values():
        action.add_argument("--cwd", metavar="DIR", default=".", help="the folder whose settings are meant (this one)")
        action.add_argument("--output", choices=("text", "json"), default="text")
        action.add_argument("-d", "--debug", action="store_true", help="log what VMPilot does, and tracebacks")
    return parser
