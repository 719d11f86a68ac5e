"""`vmpilot distrust`: withdraw what was approved for a project."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The folder to distrust."""
    parser = commands.add_command(
        "distrust", description="Stop trusting a project's .vmpilot.toml, and remove the rules saved for the project."
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="Folder of the project [default: the current one]")
    add_common_options(parser, folder=True, output=False)


def run(arguments: argparse.Namespace) -> int:
    """Remove the project's approvals."""
    from pathlib import Path

    from vmpilot.config import ApprovalsFile, current_environment, find_project_file, project_root
    from vmpilot.machine.workspace import Workspace

    folder = Workspace.at(Path(arguments.cwd, arguments.folder or ".")).root
    root = project_root(folder)
    ApprovalsFile(current_environment().config_folder).forget(root, find_project_file(folder))
    print(f"Removed all approvals for {root}. Only your own configuration allows commands there now.")
    return 0
