"""`--record` and `vmpilot replay` on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.core.cli.conftest import Here


@pytest.fixture
def recording(here: Here, tmp_path: Path) -> Path:
    """The recording of a session in which a file was created."""
    path = tmp_path / "session.recording"
    script = [Reply(tool_calls=(ScriptedCall("shell", {"command": "echo x >> made"}),)), Reply("Done.")]
    with ScriptedServer(script) as server:
        ran = here("do", "it", "--mode", "full", "--record", str(path), server=server)
    assert (ran.code, ran.out) == (0, "Done.\n")
    return path


def test_a_replay_runs_nothing(here: Here, recording: Path, tmp_path: Path) -> None:
    ran = here("replay", str(recording))
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "turn 1 (bare): 2 requests, 1 tool call, answered: same\n"
    assert (tmp_path / "work" / "made").read_text() == "x\n"


def test_a_difference_is_shown_as_a_diff(here: Here, recording: Path) -> None:
    recording.write_text(recording.read_text().replace("do it", "do that", 1).replace("do it", "do this"))
    ran = here("replay", str(recording))
    assert ran.code == 1
    assert ran.out.startswith(
        "turn 1 (bare): 2 requests, 1 tool call, answered: 2 differences\n\nrequest 1, message 2\n"
    )
    assert "  -do this\n  +do that\n" in ran.out
    (replay,) = json.loads(here("replay", str(recording), "--output", "json").out)
    assert [difference["what"] for difference in replay["differences"]] == [
        "request 1, message 2",
        "request 2, message 2",
    ]


def test_a_call_that_is_not_in_the_recording_is_an_error(here: Here, recording: Path) -> None:
    lines = [line for line in recording.read_text().splitlines() if '"tool_finished"' not in line]
    recording.write_text("\n".join(lines) + "\n")
    ran = here("replay", str(recording))
    assert (ran.code, ran.out) == (1, "")
    assert ran.err == 'vmpilot: The recording has no result for shell with {"command": "echo x >> made"}\n'


def test_a_recording_cannot_control_the_terminal(here: Here, tmp_path: Path) -> None:
    forged = tmp_path / "forged.recording"
    forged.write_text('{"type":"tape","vmpilot":"\\u001b[31mX","version":99}\n')
    ran = here("replay", str(forged))
    assert ran.code == 2
    assert "use VMPilot \\x1b[31mX" in ran.err


def test_invalid_arguments_are_rejected(here: Here, recording: Path, tmp_path: Path) -> None:
    assert here("replay", str(tmp_path / "nowhere")).code == 2
    assert here("replay", str(recording), "--backend", "nobody").code == 5
    again = here("do it", "--record", str(recording))
    assert again.code == 2
    assert "already exists" in again.err
