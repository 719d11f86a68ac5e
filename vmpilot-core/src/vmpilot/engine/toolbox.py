"""Runs tool calls for a backend: write-ahead record, permission, strict arguments, masking. No tool-specific code."""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, TypeAlias

import msgspec

from vmpilot.contract import (
    ApprovalRequested,
    AssistantMessage,
    Confinement,
    DeniedCall,
    Effect,
    RunsCommand,
    Tool,
    ToolCall,
    ToolError,
    ToolFinished,
    ToolOutcome,
    ToolOutput,
    ToolResult,
    ToolStarted,
    ToolUse,
    VMPilotError,
)
from vmpilot.engine.arguments import ArgumentsCheck, ArgumentsProblem, read_arguments
from vmpilot.engine.calls.bounds import MAX_ARGUMENTS, MAX_CALLS
from vmpilot.engine.journal import Journal
from vmpilot.engine.loop_detector import LoopDetector
from vmpilot.engine.order import CallOrder
from vmpilot.machine.processes.output import OutputBuffer, plain_text
from vmpilot.machine.secrets.masking import MASK, MaskedStream, Masker
from vmpilot.permissions import Decision, PermissionPolicy

Approver: TypeAlias = Callable[[ApprovalRequested], Awaitable[bool]]
"""Asks the user whether a call may run."""

_log = logging.getLogger(__name__)

_CUT = (
    "the message was cut off, so its calls are incomplete. One message may have at most "
    f"{MAX_CALLS} calls and {MAX_ARGUMENTS:,} characters of arguments"
)

_CHANGED = "its effect changed after it was allowed. Check again, then repeat the call."


@dataclass(frozen=True, slots=True)
class _RecordedCall:
    """A recorded call, with the message that contains it."""

    call: ToolCall
    message: AssistantMessage
    position: int


class TurnToolbox:
    """The `Toolbox` of one turn. While it asks the user, it is inside the context that `asking` returns."""

    def __init__(
        self,
        tools: Iterable[Tool],
        *,
        policy: PermissionPolicy,
        approver: Approver | None,
        journal: Journal,
        masker: Masker,
        loop_detector: LoopDetector | None = None,
        asking: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._tools = {tool.spec.name: tool for tool in tools}
        self._checks = {name: ArgumentsCheck(tool.spec.parameters) for name, tool in self._tools.items()}
        self._policy = policy
        self._approver = approver
        self._journal = journal
        self._masker = masker
        self._loop_detector = loop_detector or LoopDetector()
        self._asking = asking
        self._order = CallOrder()
        self._one_question = asyncio.Lock()
        self._calls: dict[str, _RecordedCall] = {}
        self._own_ids: dict[str, list[str]] = {}
        self._live: dict[str, OutputBuffer] = {}
        self._results: dict[str, asyncio.Task[ToolResult]] = {}
        self.denied_last = False

    def message_recorded(self, message: AssistantMessage, *, asked: Sequence[ToolCall] = ()) -> None:
        """Allow the calls of a message that is on disk, or will be before the start of a call is.

        `asked` are its calls as the backend knows them, in case their ids had to be made unique.
        """
        self._loop_detector.begin_answer(len(message.tool_calls))
        for position, call in enumerate(message.tool_calls):
            self._calls[call.id] = _RecordedCall(call, message, position)
            known_as = asked[position].id if asked else call.id
            self._own_ids.setdefault(known_as, []).append(call.id)
        if message.tool_calls:
            self.denied_last = False

    @property
    def outputs(self) -> dict[str, str]:
        """The output so far of running calls, by id: masked, and without the middle if it is long."""
        return {id_: plain_text(output.capped().text) for id_, output in self._live.items()}

    async def call(self, tool_call: ToolCall) -> ToolResult:
        """See `Toolbox.call`. A repeated call gets the same result and is not run again.

        The call runs as recorded, regardless of changes by the backend.
        """
        if tool_call.id not in self._own_ids:
            return _error(tool_call, "Not run: this call is not part of a recorded message.")
        id_ = self._own_id(tool_call)
        task = self._results.get(id_)
        if task is None:
            task = self._results[id_] = asyncio.create_task(self._carry_out(self._calls[id_].call))
        try:
            result = await asyncio.shield(task)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait([task])
            raise
        return result if id_ == tool_call.id else msgspec.structs.replace(result, call_id=tool_call.id)

    def _own_id(self, asked: ToolCall) -> str:
        """The recorded id of a call: if the backend gave several calls the same id, the next one that matches."""
        own = self._own_ids[asked.id]
        if len(own) == 1:
            return own[0]
        recorded = [self._calls[id_].call for id_ in own]
        alike = [call.id for call in recorded if (call.name, call.arguments) == (asked.name, asked.arguments)] or own
        return next((id_ for id_ in alike if id_ not in self._results), alike[-1])

    async def call_all(self, tool_calls: Sequence[ToolCall]) -> tuple[ToolResult, ...]:
        """See `Toolbox.call_all`."""
        return tuple(await asyncio.gather(*map(self.call, tool_calls)))

    async def _carry_out(self, call: ToolCall) -> ToolResult:
        started = time.monotonic()
        finished, arguments = await self._read_and_run(call)
        remark = self._loop_detector.remark_on(call, arguments, finished.result, seconds=finished.seconds)
        result = msgspec.structs.replace(finished.result, remark=remark) if remark else finished.result
        self.denied_last = self.denied_last or result.denied
        seconds = time.monotonic() - started
        await self._journal.record(msgspec.structs.replace(finished, result=result, seconds=seconds))
        return result

    async def _read_and_run(self, call: ToolCall) -> tuple[ToolFinished, Mapping[str, Any] | None]:
        """The result of the call, with its arguments if they are valid; its seconds are those that the tool ran."""
        try:
            tool, arguments = self._read(call)
        except ArgumentsProblem as problem:
            _log.debug("call of %s not run: %s", call.name, problem)
            self._loop_detector.count_refusal()
            return ToolFinished(_error(call, f"Not run: {problem}. Make the call again, corrected."), 0.0), None
        self._loop_detector.count_use()
        return await self._decide_and_run(tool, call, arguments), arguments

    async def _decide_and_run(self, tool: Tool, call: ToolCall, arguments: Mapping[str, Any]) -> ToolFinished:
        try:
            async with self._order.turn() as turn:
                effect = tool.effect(arguments)
                decision = self._policy.decide(call.name, effect)
                waited = await turn.decide(alone=decision.exclusive)
                if waited and tool.effect(arguments) != effect:
                    raise ToolError(_CHANGED)
                return await self._allow_and_run(tool, call, arguments, effect=effect, decision=decision)
        except ToolError as problem:
            return ToolFinished(_error(call, f"Not run: {problem}"), 0.0)
        except VMPilotError:
            raise
        except Exception as error:  # noqa: BLE001  the one call into a tool: whatever it raises is the model's to hear
            _log.exception("tool %s failed", call.name)
            text = self._masker.mask(f"The tool failed: {type(error).__name__}: {error}")
            return ToolFinished(_error(call, text), 0.0)

    async def _allow_and_run(
        self, tool: Tool, call: ToolCall, arguments: Mapping[str, Any], *, effect: Effect, decision: Decision
    ) -> ToolFinished:
        """Run the call if it is allowed. Raises `ToolError` if it is not possible at all."""
        title = tool.title(arguments)
        if not isinstance(effect, RunsCommand):  # a command is shown exactly as it runs; other titles may quote files
            title = self._masker.mask(title)
        _log.debug(
            "permission: %s (%s; at level %s): %s", decision.action, decision.reason, decision.confinement, title
        )
        _refuse_masked(effect, decision)
        question = ApprovalRequested(call, title, decision.reason, decision.suggested_rules)
        allowed_by = await self._permission(question, decision, arguments=arguments, effect=effect)
        if allowed_by is None:
            denied = DeniedCall(call, title, self._denied_by(decision), time.time(), tool.folder)
            return ToolFinished(self._denial(call, decision), 0.0, denied=denied)
        if decision.action == "ask" and tool.effect(arguments) != effect:  # answering takes time
            raise ToolError(_CHANGED)
        await self._journal.record(ToolStarted(call, title, allowed_by, time.time(), tool.folder))
        return await self._run(tool, call, arguments, decision.confinement)

    def _read(self, call: ToolCall) -> tuple[Tool, dict[str, Any]]:
        recorded = self._calls[call.id]
        if not recorded.message.ended_properly:
            raise ArgumentsProblem(_CUT)
        if recorded.position >= MAX_CALLS:
            raise ArgumentsProblem(f"one message may have at most {MAX_CALLS} calls, and this one exceeds that")
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(sorted(self._tools)) or "none"
            raise ArgumentsProblem(f'unknown tool "{call.name[:100]}"; the tools are: {names}')
        arguments = read_arguments(call.arguments)
        self._checks[call.name](arguments)
        return tool, arguments

    async def _permission(
        self, question: ApprovalRequested, decision: Decision, *, arguments: Mapping[str, Any], effect: Effect
    ) -> str | None:
        """The source of the permission, or None."""
        if decision.action == "allow":
            return decision.reason
        if decision.action == "deny" or self._approver is None:
            return None
        async with self._one_question:
            digest = fingerprint(question.call.name, arguments, effect)
            question = msgspec.structs.replace(question, digest=digest)
            self._journal.emit(question)
            with self._asking():
                allowed = await self._approver(question)
        _log.debug("the user %s it", "allowed" if allowed else "declined")
        return "the user" if allowed else None

    def _denied_by(self, decision: Decision) -> str:
        if decision.action == "deny":
            return decision.reason
        return "the user" if self._approver is not None else f"no one to ask ({decision.reason})"

    def _denial(self, call: ToolCall, decision: Decision) -> ToolResult:
        if decision.action == "deny" and self._policy.mode == "observe":
            why = f"{decision.reason}. The user can start VMPilot with --mode operate or --mode full to allow more"
        elif decision.action == "deny":
            why = f"{decision.reason}. Only the user can change that rule"
        elif self._approver is None:
            hint = "" if self._policy.mode == "full" else ". The user can allow it with --mode full"
            why = f"{decision.reason}, and no terminal is attached to ask the user{hint}"
        else:
            why = "the user declined"
        text = f"Denied: {why}. Do not try to get around it: continue without it, or tell the user what you need."
        return ToolResult(call.id, call.name, text, is_error=True, denied=True)

    async def _run(
        self, tool: Tool, call: ToolCall, arguments: Mapping[str, Any], confinement: Confinement
    ) -> ToolFinished:
        live = MaskedStream(self._masker)
        output = self._live[call.id] = OutputBuffer()
        started = time.monotonic()

        def show(text: str) -> None:
            if text:
                output.append(text)
                self._journal.emit(ToolOutput(call.id, text))

        try:
            outcome = await tool.run(arguments, ToolUse(lambda piece: show(live.feed(piece)), confinement))
        except ToolError as problem:
            outcome = ToolOutcome(str(problem), is_error=True)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            outcome = ToolOutcome(
                "The tool stopped before it finished. It may have had partial effects.", is_error=True
            )
        finally:
            show(live.flush())
        del self._live[call.id]
        seconds = time.monotonic() - started
        how = "failed" if outcome.is_error else "ended"
        _log.debug("tool %s %s after %.1f s, %d characters", call.name, how, seconds, len(outcome.text))
        result = ToolResult(call.id, call.name, self._masker.mask(outcome.text), is_error=outcome.is_error)
        return ToolFinished(result, seconds, exit_code=outcome.exit_code, folder=outcome.folder)


def fingerprint(tool: str, arguments: Mapping[str, Any], effect: Effect) -> str:
    """SHA-256 of the call and its effect: an answer with this digest cannot refer to any other call."""
    return hashlib.sha256(json.dumps([tool, arguments, repr(effect)], sort_keys=True).encode()).hexdigest()


def _refuse_masked(effect: Effect, decision: Decision) -> None:
    if isinstance(effect, RunsCommand) and decision.confinement != "read" and MASK in effect.line:
        raise ToolError(
            f"{MASK} stands for a secret that you cannot see, so it must not be written anywhere. Leave the secret "
            f"in place (sed can change the lines around it), or ask the user to do this step."
        )


def _error(call: ToolCall, text: str) -> ToolResult:
    return ToolResult(call.id, call.name, text, is_error=True)
