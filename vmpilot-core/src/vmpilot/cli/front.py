"""The top of the command line: subcommands, exit codes, and the one place where any error becomes a sentence."""

from __future__ import annotations

import argparse
import logging
import os
import sys

from vmpilot.contract import UsageError, VMPilotError

_log = logging.getLogger("vmpilot")


def run(options: argparse.Namespace) -> int:
    """Carry the command out and return the exit code."""
    if options.debug:
        _log_to_standard_error()
    try:
        return _dispatch(options)
    except VMPilotError as error:
        _log.debug("ended by an error", exc_info=True)
        print(f"vmpilot: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:  # noqa: BLE001  the front end's top: a bug becomes a sentence, too
        _log.debug("unexpected error", exc_info=True)
        print(f"vmpilot: unexpected {type(error).__name__}: {error}; run with -d for details", file=sys.stderr)
        return 1


def _dispatch(options: argparse.Namespace) -> int:
    match options.command, options.words:
        case "ask", _:
            from vmpilot.cli.request import run_request

            return run_request(options)
        case "chats" | "cost" | "audit", _:
            from vmpilot.cli.log import run_log_command

            return run_log_command(options)
        case "backends", ["list"]:
            from vmpilot.cli.listing import list_backends

            return list_backends(options)
        case "config", ["show" | "path" as word]:
            from vmpilot.cli.listing import show_settings, show_user_file

            return show_settings(options) if word == "show" else show_user_file()
        case command, _:
            usage = {"backends": "vmpilot backends list", "config": "vmpilot config show|path"}[command]
            raise UsageError(f'usage: {usage}; for a request that begins so, write: vmpilot ask "{command} …"')


def _log_to_standard_error() -> None:
    """Only our own loggers: libraries' debug logs may hold what was sent, keys included."""
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(name)s: %(message)s"))
    _log.addHandler(handler)
    _log.setLevel(logging.DEBUG)
