"""LiteLLM is imported without network access and without output."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import socket, sys

def refuse(*args):
    raise AssertionError("the import reached for the network")

socket.socket.connect = socket.getaddrinfo = refuse
from vmpilot_backend_litellm.library import import_litellm
litellm = import_litellm()
assert litellm.telemetry is False
assert litellm.success_callback == litellm.failure_callback == litellm.callbacks == []
print(len(litellm.model_cost))
"""


def test_import_is_quiet_and_stays_off_the_network() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    assert int(done.stdout) > 1000
    assert done.stderr == ""
