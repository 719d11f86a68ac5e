"""The top of the command line: subcommands, exit codes, and the one place where any error becomes a sentence."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from importlib import import_module

from vmpilot.cli._streams import OutputError
from vmpilot.contract import VMPilotError

_log = logging.getLogger("vmpilot")


def run(options: argparse.Namespace) -> int:
    """Carry the command out and return the exit code."""
    if options.debug:
        from vmpilot.cli._debug_log import logging_to_standard_error

        with logging_to_standard_error():
            return _run(options)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        return _dispatch(options)
    except VMPilotError as error:
        _log.debug("ended by an error", exc_info=True)
        _complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OutputError:
        raise
    except Exception as error:  # noqa: BLE001  the front end's top: a bug becomes a sentence, too
        _log.debug("unexpected error", exc_info=True)
        _complain(f"unexpected {type(error).__name__}: {error}; run with -d for details")
        return 1


def _complain(sentence: str) -> None:
    """Errors quote servers, plugins and files, whose texts must not steer the terminal."""
    from vmpilot.cli._style import printable

    print(printable(f"vmpilot: {sentence}"), file=sys.stderr)


def _dispatch(options: argparse.Namespace) -> int:
    """Run the command's function; only its own module is imported."""
    module, function = options.run
    run: Callable[[argparse.Namespace], int] = getattr(import_module(f"vmpilot.cli.{module}"), function)
    return run(options)
