"""The command line. What a subcommand needs is imported when it runs, so that `vmpilot --help` is quick."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None, *, backend: str | None = None) -> int:
    """Run the program and return its exit code; `backend` is the one used where no option names another."""
    from vmpilot.cli._streams import OutputError, safe_streams

    with safe_streams():
        try:
            given = list(sys.argv[1:] if arguments is None else arguments)
            return _run(given, backend, owns_process=arguments is None)
        except OutputError as error:
            if str(error):
                print(f"vmpilot: {error}", file=sys.stderr)
            return 1


def _run(arguments: list[str], backend: str | None, *, owns_process: bool) -> int:
    from vmpilot.cli._arguments import parse

    try:
        options = parse(arguments)
        options.owns_process = owns_process
        if owns_process:
            from vmpilot.cli.own_process import refuse_inspection

            refuse_inspection()
        if getattr(options, "backend", None) is None:
            options.backend = backend
        from vmpilot.cli._main import run

        return run(options)
    finally:
        sys.stdout.flush()  # also of the help, so that a full device is noticed here and not when Python ends
