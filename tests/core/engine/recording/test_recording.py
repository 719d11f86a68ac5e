"""Recordings: written line by line, read turn by turn, masked; damage is reported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vmpilot.contract import (
    AssistantMessage,
    Event,
    Message,
    MessageCompleted,
    ModelCall,
    ModelSettings,
    Secret,
    TextDelta,
    ToolCall,
    ToolResult,
    TurnEnded,
    UsageError,
    UserMessage,
)
from vmpilot.engine.recording import Recording, RecordingWriter, TurnAsked, read_recording

ASKED = TurnAsked("t1", "echo", "m", "Be good.", (UserMessage.from_text("Go."),))
CALL = AssistantMessage("I look.", tool_calls=(ToolCall("c1", "shell", '{"command": "ls"}'),), finish="tool_calls")
RESULT = ToolResult("c1", "shell", "a\ud800\0b")
ANSWER = MessageCompleted(AssistantMessage("Done: hunter2."))
BEGUN = b'{"type":"tape","vmpilot":"0.1.0","version":1}\n'
TURN = b'{"type":"turn","turn":"t","backend":"b","model":"m","system":"","messages":'


def call(*messages: Message, system: str = "Be good.") -> ModelCall:
    settings = ModelSettings(base_url="http://127.0.0.1:9/v1", api_key=Secret("sk-of-the-person"))
    return ModelCall(messages, system, "m", settings, ())


def write(path: Path) -> RecordingWriter:
    writer = RecordingWriter(path, mask=lambda text: text.replace("hunter2", "[masked]"))
    turn = writer.begin_turn(ASKED)
    user = ASKED.messages[0]
    turn.exchange(call(user), answer=ANSWER)
    turn.exchange(call(user, CALL, RESULT), error="RateLimited: too many")
    turn.exchange(call(user, CALL, RESULT), answer=ANSWER)
    turn.exchange(call(UserMessage.from_text("Sum up."), system="Be short."), answer=ANSWER)
    seen: list[Event] = [TextDelta("Done: hunter2."), *[ANSWER] * 3, TurnEnded("answered", 1.0)]
    for event in seen:
        turn.see(event)
    return writer


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write(tmp_path / "t.recording").close()
    return tmp_path / "t.recording"


def read(path: Path) -> Recording:
    return read_recording(path)


async def test_recorded_calls_are_read_back_and_failures_are_not_answers(path: Path) -> None:
    (turn,) = read(path).turns
    user = ASKED.messages[0]
    assert turn.asked == ASKED
    assert [asked.messages for asked in turn.calls] == [
        (user,),
        (user, CALL, RESULT),
        (UserMessage.from_text("Sum up."),),
    ]
    assert [asked.system for asked in turn.calls] == ["Be good.", "Be good.", "Be short."]
    assert {asked.answer.message.text for asked in turn.calls} == {"Done: [masked]."}
    assert [type(event).__name__ for event in turn.events] == ["MessageCompleted"] * 3 + ["TurnEnded"]


def test_a_recording_has_no_secrets_and_is_private(path: Path) -> None:
    text = path.read_text()
    assert "hunter2" not in text
    assert "sk-of-the-person" not in text
    assert "127.0.0.1" not in text
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_message_is_written_once(path: Path) -> None:
    assert path.read_text().count("I look.") == 1


def test_a_truncated_line_is_omitted_and_reported(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-5])
    recording = read(path)
    assert not recording.whole
    assert not any(isinstance(event, TurnEnded) for event in recording.turns[0].events)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is not a recording"),
        (b"not json\n", "cannot read line 1"),
        (b'{"type":"reply"}\n', "cannot read line 1"),
        (b'{"type":"seen","turn":"t","event":{"type":"notice","text":"x"}}\n', "is not a recording"),
        (
            b'{"type":"tape","vmpilot":"9.0","version":99}\n',
            "version 99, but this VMPilot reads version 1; use VMPilot 9.0",
        ),
        (b'{"type":"tape","vmpilot":"0.1.0","version":1}\n', "contains no turns"),
        (b"[" * 100_000 + b"\n", "cannot read line 1"),
        (BEGUN + TURN + b"[]}\n", "user's message"),
        (BEGUN + TURN + b'[{"type":"assistant","text":"x"}]}\n', "user's message"),
    ],
)
def test_an_invalid_recording_is_rejected(tmp_path: Path, content: bytes, told: str) -> None:
    (tmp_path / "t.recording").write_bytes(content)
    with pytest.raises(UsageError, match=told):
        read(tmp_path / "t.recording")


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "t.recording").write_text("mine")
    with pytest.raises(UsageError, match="already exists"):
        RecordingWriter(tmp_path / "t.recording", mask=str)
    with pytest.raises(UsageError, match="cannot write the recording"):
        RecordingWriter(tmp_path / "no" / "t.recording", mask=str)
    assert (tmp_path / "t.recording").read_text() == "mine"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="the system has no device that is always full")  # noqa: PTH110
async def test_a_full_disk_ends_the_recording_but_not_the_session(tmp_path: Path) -> None:
    writer = RecordingWriter(tmp_path / "t.recording", mask=str)
    descriptor = os.open("/dev/full", os.O_WRONLY)
    os.dup2(descriptor, writer._file.fileno())
    os.close(descriptor)
    turn = writer.begin_turn(ASKED)
    turn.see(TurnEnded("answered", 1.0))
    assert writer.problem is not None
    assert "is incomplete: No space left" in writer.problem
    writer.close()
