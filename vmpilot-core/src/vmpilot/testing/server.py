"""The scripted server as a program: `python -m vmpilot.testing.server --script FILE`.

The first line of its standard output is the base URL; it ends on SIGINT, SIGTERM or (`--until-eof`) at the end of its
standard input. Exit code 0 if there were no problems, 1 if there were, 2 if it could not start.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from vmpilot.testing.script_file import ScriptFile, read_script
from vmpilot.testing.scripted import ScriptedServer

_ENDS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a script file until stopped; returns the exit code."""
    options = _make_parser().parse_args(arguments)
    # Blocked before any thread starts, so that only the waiting thread receives them.
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)
    try:
        server = _make_server(read_script(options.script), options)
        server.start()
    except (OSError, ValueError, OverflowError) as error:
        sys.stderr.write(f"cannot serve {options.script}: {error}\n")
        return 2
    sys.stdout.write(f"{server.base_url}\n")
    sys.stdout.flush()
    if options.until_eof:
        threading.Thread(target=_end_at_eof, args=(sys.stdin.fileno(),), daemon=True).start()
    signal.sigwait(_ENDS)
    server.stop()
    return _report(server)


def _make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "python -m vmpilot.testing.server", description="Answer an OpenAI client from a script."
    )
    parser.add_argument(
        "--script", type=Path, required=True, metavar="FILE", help="JSON or TOML (.toml) with the steps"
    )
    parser.add_argument("--port", type=int, default=0, help="port on 127.0.0.1; a free one if not given")
    parser.add_argument("--repeat", action="store_true", help="repeat the last step forever")
    parser.add_argument("--lenient", action="store_true", help="accept requests that strict providers reject")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input ends")
    return parser


def _make_server(script: ScriptFile, options: argparse.Namespace) -> ScriptedServer:
    return ScriptedServer(
        script.steps,
        strict=script.strict and not options.lenient,
        repeat_last=script.repeat_last or options.repeat,
        models=script.models,
        port=options.port,
        keep=0,
    )


def _end_at_eof(stdin: int) -> None:
    while os.read(stdin, 65536):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def _report(server: ScriptedServer) -> int:
    for problem in server.problems:
        sys.stderr.write(f"{problem}\n")
    return 1 if server.problems else 0


__all__ = ["ScriptedServer", "main"]

if __name__ == "__main__":
    sys.exit(main())
