"""The command line. What a subcommand needs is imported when it runs, so that `vmpilot --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, *, backend: str | None = None) -> int:
    """Run the program and return its exit code; `backend` is the one used where no option names another."""
    from vmpilot.cli.arguments import parse

    options = parse(list(sys.argv[1:] if arguments is None else arguments))
    options.owns_process = arguments is None
    if options.owns_process:
        from vmpilot.cli.own_process import refuse_inspection

        refuse_inspection()
    if getattr(options, "backend", None) is None:
        options.backend = backend
    from vmpilot.cli.front import run

    return run(options)
