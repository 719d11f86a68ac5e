"""A program that has imported VMPilot and forks for each run of its command line, to save the start of Python.

It is a separate process from the tests. Each line of its standard input is a JSON object, answered by one line:
`{"run": …}` by the process id of a child that waits for its start signal (a byte in a named pipe), `{"wait": PID}`
by the exit code, negative for a signal.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import sys
from contextlib import suppress
from typing import Any

import vmpilot.store

_WANTED = (
    "vmpilot.app",
    "vmpilot.cli.commands",
    "vmpilot.cli._request",
    "vmpilot_sample_bare",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql.psycopg",
    "psycopg",
    "jsonschema_rs",
    "httpx",
    "httpcore",
    "certifi",
    "anyio.streams.tls",
    "anyio._backends._asyncio",
)


def import_all() -> None:
    """Import what a run would import later; a missing module only costs time."""
    for name in _WANTED:
        with suppress(ImportError):
            importlib.import_module(name)
    for module in pkgutil.iter_modules(vmpilot.store.__path__, "vmpilot.store."):
        with suppress(ImportError):
            importlib.import_module(module.name)
    gc.collect()
    gc.freeze()


def serve() -> list[str] | None:
    """Answer until the input ends (None), or return a run's arguments in the child that executes it."""
    for line in sys.stdin:
        match json.loads(line):
            case {"run": dict(run)}:
                child = os.fork()
                if child == 0:
                    return _become(run)
                print(child, flush=True)
            case {"wait": int(child)}:
                print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    return None


def _become(run: dict[str, Any]) -> list[str]:
    """Set up the run's session, folder and environment, and wait for the start signal."""
    os.setsid()
    os.chdir(run["folder"])
    os.environ.clear()
    os.environ.update(run["environment"])
    for descriptor, path, flags in (
        (0, os.devnull, os.O_RDONLY),
        (1, run["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
        (2, run["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC),
    ):
        opened = os.open(path, flags)
        os.dup2(opened, descriptor)
        os.close(opened)
    go = os.open(run["go"], os.O_RDONLY)
    os.read(go, 1)
    os.close(go)
    arguments: list[str] = run["arguments"]
    return arguments


if __name__ == "__main__":
    import_all()
    if (words := serve()) is not None:
        from vmpilot.cli import main

        sys.exit(main(words))
