"""The modes: denials, approvals, and how the model and the caller are informed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from vmpilot.contract import ApprovalRequested, ToolStarted
from vmpilot.testing import Reply, ScriptedCall, ScriptedServer

if TYPE_CHECKING:
    from tests.system.conftest import Machine

ASKS = "sh -c 'touch changed'"
"""A nested shell is not analyzed, so it needs approval."""

CHANGE = Reply(tool_calls=(ScriptedCall("shell", {"command": ASKS}),))
LOOK = Reply(tool_calls=(ScriptedCall("shell", {"command": "ls"}),))


class Person:
    """Answers every question in the same way, and records the questions."""

    def __init__(self, answer: bool) -> None:
        self.answer = answer
        self.asked: list[str] = []

    async def __call__(self, request: ApprovalRequested) -> bool:
        self.asked.append(request.title)
        return self.answer


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        pytest.param({"mode": "observe"}, "observe mode", id="observe"),
        pytest.param({"mode": "observe", "approver": Person(True)}, "observe mode", id="observe with a person"),
        pytest.param({"mode": "operate"}, "no terminal is attached to ask the user", id="operate alone"),
        pytest.param({"mode": "operate", "approver": Person(False)}, "the user declined", id="operate and no"),
    ],
)
async def test_a_denied_call_does_not_run_and_is_reported(
    machine: Machine, settings: dict[str, Any], told: str
) -> None:
    with ScriptedServer([CHANGE, Reply("I could not.")]) as server:
        seen = await machine.ask(server, **settings)
    assert not (machine.folder / "changed").exists()
    assert seen.of(ToolStarted) == []
    assert told in server.requests[1].messages[-1]["content"]
    assert [result.denied for result in seen.results] == [True]
    assert (seen.end.reason, seen.end.exit_code) == ("denied", 4)
    assert seen.messages[-1].text == "I could not."


async def test_an_approved_call_runs(machine: Machine) -> None:
    person = Person(True)
    with ScriptedServer([CHANGE, Reply("Changed.")]) as server:
        seen = await machine.ask(server, mode="operate", approver=person)
    assert (machine.folder / "changed").exists()
    assert person.asked == [f"$ {ASKS}"]
    assert [event.title for event in seen.of(ApprovalRequested)] == [f"$ {ASKS}"]
    assert [event.allowed_by for event in seen.of(ToolStarted)] == ["the user"]
    assert (seen.end.reason, seen.end.exit_code) == ("answered", 0)


@pytest.mark.parametrize("mode", ["observe", "operate", "full"])
async def test_reading_is_allowed_in_every_mode(machine: Machine, mode: str) -> None:
    with ScriptedServer([LOOK, Reply("Nothing there.")]) as server:
        seen = await machine.ask(server, mode=mode, approver=Person(False))
    allowed_by = "Full mode" if mode == "full" else "Read-only"
    assert [event.allowed_by for event in seen.of(ToolStarted)] == [allowed_by]
    assert seen.end.exit_code == 0


async def test_only_workspace_changes_run_without_approval_in_mode_operate(machine: Machine) -> None:
    person = Person(False)
    escape = "touch ../outside"
    calls = tuple(ScriptedCall("shell", {"command": command}) for command in ("touch inside", escape))
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        await machine.ask(server, mode="operate", approver=person)
    assert (machine.folder / "inside").exists()
    assert not (machine.folder.parent / "outside").exists()
    assert person.asked == [f"$ {escape}"]


async def test_rules_allow_and_deny(machine: Machine) -> None:
    person = Person(False)
    commands = ("touch one", "env touch two", "env touch three")
    calls = tuple(ScriptedCall("shell", {"command": command}) for command in commands)
    rules = {"deny": ("shell: touch one",), "allow_on_host": ("shell: env touch two",)}
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        await machine.ask(server, mode="operate", approver=person, **rules)
    assert {path.name for path in machine.folder.iterdir()} >= {"two"}
    assert not {path.name for path in machine.folder.iterdir()} & {"one", "three"}
    assert person.asked == ["$ env touch three"]


async def test_in_mode_full_nothing_needs_approval(machine: Machine) -> None:
    person = Person(False)
    with ScriptedServer([CHANGE, Reply("Changed.")]) as server:
        await machine.ask(server, mode="full", approver=person)
    assert (machine.folder / "changed").exists()
    assert person.asked == []


async def test_a_turn_that_continues_after_a_denial_is_not_denied(machine: Machine) -> None:
    with ScriptedServer([CHANGE, LOOK, Reply("I only looked.")]) as server:
        seen = await machine.ask(server, mode="observe")
    assert (seen.end.reason, seen.end.exit_code) == ("answered", 0)


async def test_questions_are_asked_one_at_a_time_and_in_order(machine: Machine) -> None:
    calls = tuple(ScriptedCall("shell", {"command": f"env touch {name}"}) for name in ("one", "two", "three"))
    person = Person(True)
    with ScriptedServer([Reply(tool_calls=calls), Reply("Done.")]) as server:
        seen = await machine.ask(server, mode="operate", approver=person)
    assert person.asked == ["$ env touch one", "$ env touch two", "$ env touch three"]
    kinds = [type(event) for event in seen.events if isinstance(event, ApprovalRequested | ToolStarted)]
    assert kinds == [ApprovalRequested, ToolStarted] * 3
