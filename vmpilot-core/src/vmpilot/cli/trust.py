"""`vmpilot trust` and `vmpilot distrust`: whether a project's file may widen what your own allows."""

from __future__ import annotations

import argparse
from pathlib import Path

from vmpilot.cli._style import printable
from vmpilot.config import ApprovalsFile, current_environment, find_project_file, load_settings, project_root
from vmpilot.contract import UsageError
from vmpilot.machine.workspace import Workspace


def run_trust_command(options: argparse.Namespace) -> int:
    """Trust the file of a project as it is now, or take back what was approved for it."""
    folder = Workspace.at(Path(options.cwd, options.folder or ".")).root
    return _trust(folder) if options.command == "trust" else _distrust(folder)


def _trust(folder: Path) -> int:
    environment = current_environment()
    file = find_project_file(folder)
    if file is None:
        raise UsageError(f"there is no .vmpilot.toml in {folder} or above it in its repository: nothing to trust")
    load_settings(environment, folder=folder, options={})  # what is wrong in it is said before it is trusted
    ApprovalsFile(environment.config_folder).trust(file, file.read_bytes())
    settings = load_settings(environment, folder=folder, options={}).settings
    print(f"{file} is trusted, until it changes. Allowed here from now on:")
    for kind, rules in (("in the sandbox", settings.allow), ("on the host", settings.allow_on_host)):
        for rule in rules:
            print(f"  {printable(rule, exact=True)}  ({kind})")
    return 0


def _distrust(folder: Path) -> int:
    root = project_root(folder)
    ApprovalsFile(current_environment().config_folder).forget(root, find_project_file(folder))
    print(f"Nothing is approved for {root} any more, but for what your own configuration allows.")
    return 0
