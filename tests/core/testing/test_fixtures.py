"""The scripted server as a fixture: it serves, and an unfinished script fails the test."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TESTS = """
import urllib.request
from vmpilot.testing import Reply

pytest_plugins = ["vmpilot.testing.fixtures"]

def test_it_serves(scripted_server):
    server = scripted_server([], repeat_last=True)
    assert urllib.request.urlopen(server.base_url + "/models").status == 200

def test_it_checks(scripted_server):
    scripted_server([Reply("Nobody asks for this.")])
"""


def test_the_fixture_serves_and_checks(tmp_path: Path) -> None:
    (tmp_path / "test_own.py").write_text(TESTS, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", "-p", "no:cacheprovider", "-c", os.devnull, "test_own.py"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "PASSED test_own.py::test_it_serves" in done.stdout
    assert "ERROR test_own.py::test_it_checks" in done.stdout
    assert "1 of 1 steps were not used" in done.stdout
