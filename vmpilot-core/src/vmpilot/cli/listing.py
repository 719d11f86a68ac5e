"""The subcommands that show what is there: backends and settings."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from vmpilot.config import current_environment, load_settings
from vmpilot.contract import BackendError
from vmpilot.plugins import choose_backend, installed_backends, load_backend


def list_backends(options: argparse.Namespace) -> int:
    """A row for each installed backend; exit code 5 where none can be used. Imports the chosen one only."""
    environment = current_environment()
    given = {} if options.backend is None else {"backend": (options.backend, "--backend")}
    sourced = load_settings(environment, folder=Path(options.cwd).resolve(), options=given)
    installed = installed_backends()
    try:
        choice = choose_backend(installed, sourced.settings.backend, asked_by=sourced.origins.get("backend", ""))
        load_backend(choice.backend)
        chosen, why, problem = choice.backend, f"chosen: {choice.why}", None
    except BackendError as error:
        chosen, why, problem = None, "", error
    rows = [
        {
            "name": backend.name,
            "distribution": backend.distribution,
            "version": backend.version,
            "chosen": backend == chosen,
            "note": why if backend == chosen else "",
        }
        for backend in installed
    ]
    if options.output == "text":
        for row in rows:
            print(f"{row['name']:<12} {row['distribution']} {row['version']}  {row['note']}".rstrip())
    else:
        print(json.dumps(rows))
    if problem is not None:
        print(f"vmpilot: {problem}", file=sys.stderr)
        return problem.exit_code
    return 0


def show_settings(options: argparse.Namespace) -> int:
    """Each setting with its value and where it comes from."""
    sourced = load_settings(current_environment(), folder=Path(options.cwd).resolve(), options={})
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
