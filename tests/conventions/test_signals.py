"""The tests do not depend on the signals that their parent process ignores or blocks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import signal, sys
numbers = {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGTERM, signal.SIGCHLD}
for number in numbers:
    signal.signal(number, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
from tests.conftest import pytest_configure
pytest_configure()
print([number.name for number in numbers if signal.getsignal(number) is signal.SIG_IGN])
print(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
try:
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_inherited_signals_are_restored() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=root, capture_output=True, text=True, check=False)
    assert done.stdout == "[]\nset()\ninterrupted\n", done.stderr
