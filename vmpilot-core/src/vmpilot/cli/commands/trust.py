"""`vmpilot trust`: let a project's configuration file allow commands."""

from __future__ import annotations

import argparse

from vmpilot.cli._options import add_common_options
from vmpilot.cli._parser import Parser


def add_parser(commands: Parser) -> None:
    """The folder to trust."""
    parser = commands.add_command(
        "trust",
        description=(
            "Trust a project's .vmpilot.toml as it is now, so that its rules can allow commands. Trust ends when the "
            "file changes."
        ),
    )
    parser.add_argument("folder", nargs="?", metavar="DIR", help="Folder of the project [default: the current one]")
    add_common_options(parser, folder=True, output=False)


def run(arguments: argparse.Namespace) -> int:
    """Trust the file and print what it allows. Raises `UsageError` if none exists."""
    from pathlib import Path

    from vmpilot.cli._style import printable
    from vmpilot.config import ApprovalsFile, current_environment, find_project_file, load_settings
    from vmpilot.contract import UsageError
    from vmpilot.machine.workspace import Workspace

    folder = Workspace.at(Path(arguments.cwd, arguments.folder or ".")).root
    environment = current_environment()
    file = find_project_file(folder)
    if file is None:
        raise UsageError(f"Nothing to trust: no .vmpilot.toml in {folder} or above it in its repository.")
    load_settings(environment, folder=folder, options={})  # mistakes in it are reported before it is trusted
    ApprovalsFile(environment.config_folder).trust(file, file.read_bytes())
    settings = load_settings(environment, folder=folder, options={}).settings
    print(f"Trusted {file} until it changes. Allowed here from now on:")
    for kind, rules in (("in the sandbox", settings.allow), ("on the host", settings.allow_on_host)):
        for rule in rules:
            print(f"  {printable(rule, exact=True)}  ({kind})")
    return 0
