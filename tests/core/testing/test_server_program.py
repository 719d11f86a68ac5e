"""The scripted server as a separate program."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from vmpilot.contract.messages import Usage
from vmpilot.testing import Drop, Framing, HttpError, Raw, Reply, ScriptedCall, ScriptedServer, Stall
from vmpilot.testing.script_file import read_script

TOML = """
models = ["one"]
[[steps]]
type = "reply"
text = "grüße"
delay = 0.01
[[steps.tool_calls]]
name = "shell"
arguments = {command = "ls"}
[[steps]]
type = "http_error"
status = 429
headers = {Retry-After = "1"}
"""
ASK = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


@contextmanager
def run_program(*arguments: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-W", "error", "-m", "vmpilot.testing.server", *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as program:
        try:
            assert program.stdout is not None
            yield program, program.stdout.readline().strip()
        finally:
            program.kill()


def test_toml_and_sigterm(tmp_path: Path, client: httpx.Client) -> None:
    script = tmp_path / "script.toml"
    script.write_text(TOML, encoding="utf-8")
    with run_program("--script", str(script)) as (program, base_url):
        assert client.get(f"{base_url}/models").json()["data"][0]["id"] == "one"
        first = client.post(f"{base_url}/chat/completions", json=ASK).json()["choices"][0]["message"]
        second = client.post(f"{base_url}/chat/completions", json=ASK)
        program.send_signal(signal.SIGTERM)
        assert program.communicate(timeout=10) == ("", "")
    assert program.returncode == 0
    assert first["content"] == "grüße"
    assert first["tool_calls"][0]["function"] == {"name": "shell", "arguments": '{"command": "ls"}'}
    assert (second.status_code, second.headers["retry-after"]) == (429, "1")


def test_json_repeat_port_and_end_of_input(tmp_path: Path, client: httpx.Client) -> None:
    with ScriptedServer([]) as other:
        port = str(urlsplit(other.base_url).port)
    script = tmp_path / "script.json"
    script.write_text('[{"type": "reply", "text": "a \\ud83d"}]', encoding="utf-8")
    with run_program("--script", str(script), "--repeat", "--until-eof", "--port", port) as (program, base_url):
        assert base_url == f"http://127.0.0.1:{port}/v1"
        answers = [client.post(f"{base_url}/chat/completions", json=ASK).json() for _ in range(3)]
        assert program.communicate(timeout=10) == ("", "")  # it closes the program's standard input
    assert program.returncode == 0
    assert {answer["choices"][0]["message"]["content"] for answer in answers} == {"a \ud83d"}


def test_problems_are_reported_at_the_end(tmp_path: Path, client: httpx.Client) -> None:
    script = tmp_path / "script.json"
    script.write_text('{"steps": []}', encoding="utf-8")
    with run_program("--script", str(script)) as (program, base_url):
        assert client.post(f"{base_url}/chat/completions", json=ASK).status_code == 500
        assert client.post(f"{base_url}/chat/completions", json={}).status_code == 400
        program.send_signal(signal.SIGINT)
        _, errors = program.communicate(timeout=10)
    assert program.returncode == 1
    assert "THE SCRIPT HAS RUN OUT: request 1" in errors
    assert "request 2: messages: must be a list" in errors


def test_lenient(tmp_path: Path, client: httpx.Client) -> None:
    script = tmp_path / "script.json"
    script.write_text('[{"type": "reply"}]', encoding="utf-8")
    with run_program("--script", str(script), "--lenient", "--until-eof") as (program, base_url):
        assert client.post(f"{base_url}/chat/completions", json={}).status_code == 200
        assert program.communicate(timeout=10) == ("", "")
    assert program.returncode == 0


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("missing.json", None, "No such file"),
        ("broken.json", "{", "line 1 column 2"),
        ("broken.toml", "steps = [", "Invalid value"),
        ("wrong.json", '[{"type": "answer"}]', "is not a valid script: Invalid value 'answer' - at `$.steps[0].type`"),
        ("typed.json", '[{"type": "reply", "text": 5}]', "Expected `str`, got `int` - at `$.steps[0].text`"),
        ("unknown.json", '{"steps": [], "stricter": true}', "unknown field `stricter`"),
        ("misspelt.json", '[{"type": "reply", "txt": "a"}]', "unknown field `txt`"),
    ],
)
def test_an_invalid_script_is_an_error(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    script = tmp_path / name
    if content is not None:
        script.write_text(content, encoding="utf-8")
    with run_program("--script", str(script)) as (program, first_line):
        _, errors = program.communicate(timeout=10)
    assert (program.returncode, first_line) == (2, "")
    assert errors.startswith(f"cannot serve {script}: ")
    assert message in errors


def test_every_step_can_be_written_in_a_file(tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    steps = [
        {
            "type": "reply",
            "text": "a b",
            "reasoning": "r",
            "tool_calls": [{"name": "n", "arguments": "{", "id": None, "index": 3, "chunks": ["{"]}],
            "usage": {"input_tokens": 1},
            "finish": "length",
            "chunks": 2,
            "framing": {"line_end": "\r\n", "packet_bytes": 1, "done": False},
        },
        {"type": "drop", "after": 3, "reset": True, "reply": {"type": "reply", "text": "x"}},
        {"type": "stall", "after": "request", "keep_alive_comments": True},
        {"type": "raw", "body": "/w==", "text": "t", "content_type": "text/html"},
        {"type": "http_error", "status": 500, "body": {"a": 1}},
    ]
    script.write_text(json.dumps({"steps": steps, "strict": False, "repeat_last": True}), encoding="utf-8")
    read = read_script(script)
    assert (read.strict, read.repeat_last, read.models) == (False, True, ("scripted",))
    assert read.steps == (
        Reply(
            "a b",
            "r",
            (ScriptedCall("n", "{", id=None, index=3, chunks=("{",)),),
            usage=Usage(input_tokens=1),
            finish="length",
            chunks=2,
            framing=Framing(line_end="\r\n", packet_bytes=1, done=False),
        ),
        Drop(3, Reply("x"), reset=True),
        Stall("request", keep_alive_comments=True),
        Raw(b"\xff", "t", content_type="text/html"),
        HttpError(500, body={"a": 1}),
    )
