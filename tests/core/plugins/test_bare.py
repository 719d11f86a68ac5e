"""The sample that is a real backend, against a real server, under the real core."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from vmpilot.testing import HttpError, Reply, ScriptedCall, ScriptedServer


def run(environment: dict[str, str], server: ScriptedServer) -> subprocess.CompletedProcess[str]:
    arguments = ["--backend", "bare", "--model", "m", "--base-url", server.base_url, "--output", "json", "hello"]
    return subprocess.run(
        [sys.executable, "-m", "vmpilot", *arguments],
        env={**environment, "VMPILOT_API_KEY": "k-0123456789"},
        cwd=environment["HOME"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_it_answers_with_tools(sample_environment: Callable[..., dict[str, str]]) -> None:
    call = ScriptedCall("shell", {"command": "echo from the shell"})
    with ScriptedServer([Reply(tool_calls=(call,)), Reply("done")]) as server:
        ran = run(sample_environment("bare"), server)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["answer"] == "done"
    assert "from the shell" in str(server.requests[1].body["messages"][-1])
    assert server.problems == ()


def test_a_wrong_key_is_an_error_of_the_contract(sample_environment: Callable[..., dict[str, str]]) -> None:
    with ScriptedServer([HttpError(401)]) as server:
        ran = run(sample_environment("bare"), server)
    assert ran.returncode == 1
    assert "status 401" in ran.stderr + ran.stdout
    assert "k-0123456789" not in ran.stderr + ran.stdout
