"""The subcommands that show the settings."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from vmpilot.cli._options import given_settings
from vmpilot.config import current_environment, load_settings


def show_settings(options: argparse.Namespace) -> int:
    """Each setting with its value and where it comes from."""
    sourced = load_settings(current_environment(), folder=Path(options.cwd).resolve(), options=given_settings(options))
    shown = sourced.shown()
    if options.output == "text":
        for name, (value, origin) in shown.items():
            print(f"{name} = {json.dumps(value)}  # {origin}")
    else:
        print(json.dumps({name: {"value": value, "origin": origin} for name, (value, origin) in shown.items()}))
    return 0


def show_user_file(_options: argparse.Namespace) -> int:
    """Where the user's configuration file is or would be."""
    print(current_environment().user_file)
    return 0
