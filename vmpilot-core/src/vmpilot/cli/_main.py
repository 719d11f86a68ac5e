"""The top of the command line: exit codes, and the one place where every error becomes a sentence."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmpilot.cli._streams import OutputError, safe_streams

TYPE_CHECKING = False  # see vmpilot/__init__.py
if TYPE_CHECKING:
    import argparse

_PR_SET_DUMPABLE = 4  # linux/prctl.h


def main(arguments: Sequence[str] | None = None, *, backend: str | None = None) -> int:
    """Run the program and return its exit code; `backend` is used unless an option names another."""
    with safe_streams():
        try:
            given = list(sys.argv[1:] if arguments is None else arguments)
            return _run(given, backend, owns_process=arguments is None)
        except OutputError as error:
            if str(error):
                print(f"vmpilot: {error}", file=sys.stderr)
            return 1


def _run(given: list[str], backend: str | None, *, owns_process: bool) -> int:
    from vmpilot.cli._arguments import parse

    try:
        arguments = parse(given)
        arguments.owns_process = owns_process
        if owns_process:
            _refuse_inspection()
        if getattr(arguments, "backend", None) is None:
            arguments.backend = backend
        if not arguments.debug:
            return _run_command(arguments)
        from vmpilot.cli._debug_log import logging_to_standard_error

        with logging_to_standard_error():
            return _run_command(arguments)
    finally:
        sys.stdout.flush()  # a full device is noticed here, not when Python exits


def _run_command(arguments: argparse.Namespace) -> int:
    import logging

    from vmpilot.cli.commands import load_command
    from vmpilot.contract import VMPilotError

    log = logging.getLogger("vmpilot")
    try:
        exit_code: int = load_command(arguments.command).run(arguments)
        return exit_code
    except VMPilotError as error:
        log.debug("ended by an error", exc_info=True)
        _print_error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except OutputError:
        raise
    except Exception as error:  # the front end's top: a bug becomes a sentence, too
        log.debug("unexpected error", exc_info=True)
        _print_error(f"Unexpected {type(error).__name__}: {error}. Run with -d for details.")
        return 1


def _print_error(sentence: str) -> None:
    """Errors quote servers, plugins and files, whose texts must not control the terminal."""
    from vmpilot.cli._style import printable

    print(printable(f"vmpilot: {sentence}"), file=sys.stderr)


def _refuse_inspection() -> None:
    """Forbid other processes of this user to read this one's memory and environment, and to trace it (prctl(2)).

    `/proc/PID/environ` shows the environment as it was when the program started, whatever was removed from it later,
    so this keeps keys from commands that run outside the sandbox. Programs that this process starts are not affected:
    the kernel resets the flag on execve(2). It costs core dumps, and debuggers need CAP_SYS_PTRACE.
    """
    if sys.platform != "linux":
        return
    try:
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    except (ImportError, OSError, AttributeError):  # a Python without ctypes, or a libc without prctl
        pass
