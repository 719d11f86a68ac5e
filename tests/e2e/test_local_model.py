"""A real model on this machine runs real commands through each backend: effects are asserted, never text."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

FETCH_AND_ANSWER = 1_500.0
"""Seconds: the first run downloads 1.1 GB."""


def ask(folder: Path, backend: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One run of the program in `folder`, with only the given settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("VMPILOT_")}
    return subprocess.run(
        [sys.executable, "-m", "vmpilot.cli", "--backend", backend, "--model", "local", "--mode", "full", *arguments],
        cwd=folder,
        env={**kept, "VMPILOT_DATA_DIR": str(folder / ".data"), "VMPILOT_CONFIG_DIR": str(folder / ".config")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=FETCH_AND_ANSWER,
        check=False,
    )


@pytest.mark.parametrize("backend", ["litellm", "langchain"])
def test_a_request_in_plain_language_has_its_effect(backend: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder of mine"
    folder.mkdir()
    answer = ask(folder, backend, "create the file hello.txt with the text hi")
    assert answer.returncode == 0, answer.stderr
    assert (folder / "hello.txt").is_file(), answer.stderr + answer.stdout
    assert (folder / "hello.txt").read_text().strip() == "hi"
    assert answer.stdout.strip(), "the model reported the result"


def test_a_request_has_its_effect_without_native_tool_calls(tmp_path: Path) -> None:
    answer = ask(tmp_path, "litellm", "--tool-mode", "text", "create the file hello.txt with the text hi")
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "hello.txt").read_text().strip() == "hi"
    assert answer.stdout.strip(), "the model reported the result"
    assert "call-" not in answer.stdout


def test_a_conversation_continues_with_the_other_backend(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_text("1\n")
    (tmp_path / "two.txt").write_text("2\n")
    first = ask(tmp_path, "litellm", "--output", "json", "list the files in this folder")
    second = ask(tmp_path, "langchain", "--output", "json", "-c", "create the file three.txt with the text 3")
    assert first.returncode == second.returncode == 0, first.stderr + second.stderr
    results = [json.loads(run.stdout) for run in (first, second)]
    assert results[0]["conversation_id"] == results[1]["conversation_id"]
    assert (tmp_path / "three.txt").read_text().strip() == "3"
