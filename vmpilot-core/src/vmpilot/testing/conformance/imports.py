"""The side effects of importing a module, observed in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys

from vmpilot.testing.conformance.case import Unmet

_PATIENCE = 60.0
"""Seconds allowed for an import on a busy machine."""

_PROGRAM = """
import sys, os, json, threading
path, module = json.loads(sys.stdin.readline())
sys.path[:] = path
found = []
watching = True
def watch(event, arguments):
    if not watching:
        return
    if event == "socket.connect":
        found.append(f"it connects to {arguments[1]!r:.80}")
    elif event in ("subprocess.Popen", "os.system", "os.fork", "os.posix_spawn"):
        found.append(f"it starts a process ({event})")
    elif event in ("os.mkdir", "os.remove", "os.rename"):
        if "__pycache__" not in str(arguments[0]):
            found.append(f"it changes files ({event} {arguments[0]!r:.80})")
    elif event == "open" and isinstance(arguments[0], str) and isinstance(arguments[1], str):
        if set(arguments[1]) & set("wax+") and "__pycache__" not in arguments[0]:
            found.append(f"it writes to {arguments[0]!r:.80}")
real = os.dup(1)
reading, writing = os.pipe()
os.dup2(writing, 1), os.dup2(writing, 2)
folder, variables, threads = os.getcwd(), dict(os.environ), threading.active_count()
sys.addaudithook(watch)
__import__(module)
watching = False
sys.stdout.flush(), sys.stderr.flush()
os.set_blocking(reading, False)
try:
    found.append(f"it prints {os.read(reading, 80)!r}")
except BlockingIOError:
    pass
if os.getcwd() != folder:
    found.append(f"it changes the working folder to {os.getcwd()!r}")
changed = sorted(name for name in {*variables, *os.environ} if variables.get(name) != os.environ.get(name))
if changed:
    found.append(f"it sets the environment's {', '.join(changed)}")
if threading.active_count() != threads:
    found.append(f"it starts {threading.active_count() - threads} threads")
os.write(real, json.dumps(found).encode())
os._exit(0)
"""


def look_at_import(module: str) -> tuple[str, ...]:
    """The side effects of importing the module, one phrase each; it uses this process's import path."""
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-B", "-c", _PROGRAM],
            input=json.dumps([sys.path, module]) + "\n",
            capture_output=True,
            text=True,
            timeout=_PATIENCE,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise Unmet(f"an import within {_PATIENCE:g} s", "an import that took longer") from error
    if done.returncode != 0 or not done.stdout:
        said = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise Unmet("an import in a fresh interpreter", said[0])
    return tuple(json.loads(done.stdout))
