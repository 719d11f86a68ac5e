"""Shows a turn to the user: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from vmpilot.cli._style import Style, printable
from vmpilot.cli._table import count
from vmpilot.cli._terminal import Terminal
from vmpilot.cli._tool_view import ToolView, denial_reason, describe_call, shortened
from vmpilot.config import Settings, saved_rules
from vmpilot.contract import (
    ApprovalRequested,
    Event,
    HistoryCompacted,
    LimitReached,
    MessageCompleted,
    Notice,
    ReasoningDelta,
    Retrying,
    TextDelta,
    ToolCall,
    ToolFinished,
    ToolOutput,
    ToolStarted,
    TurnEnded,
    TurnStarted,
)
from vmpilot.contract.invisible import VisibleStream
from vmpilot.local_model import Progress


class Console:
    """Shows events as text. A terminal gets the answer as it streams; a pipe gets the final answer in one piece."""

    def __init__(
        self,
        terminal: Terminal | None,
        *,
        verbose: bool,
        settings: Settings,
    ) -> None:
        self._terminal = terminal
        self._mode = ""
        self._settings = settings
        self._verbose = verbose
        self._max_lines = None if verbose else settings.tool_output_lines
        self._streams = sys.stdout.isatty()
        self._style = Style(enabled=sys.stderr.isatty())
        self._line_is_open = False
        self._visible = VisibleStream()
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._tools: dict[str, ToolView] = {}
        self._calls: dict[str, ToolCall] = {}
        self._titles: dict[str, str] = {}
        self._denied: list[str] = []
        self._heading = ""  # the call whose title was printed last
        self._stage = ""
        self.save_rules: Callable[[tuple[str, ...]], None] = lambda _rules: None

    async def approve(self, request: ApprovalRequested) -> bool:
        """The user's decision on a call. `show` asks the question, in its place among the other events."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers[request.call.id] = answer
        return await answer

    def progress(self, progress: Progress) -> None:
        """Show a long preparation: one line that changes on a terminal, a line per stage elsewhere."""
        share = f" {progress.done * 100 // progress.total} %" if progress.total else ""
        if self._style.enabled:
            print(f"\r\x1b[K{progress.stage}{share}", end="", file=sys.stderr, flush=True)
            self._line_is_open = True
        elif progress.stage != self._stage:
            self._note(progress.stage)
        self._stage = progress.stage

    async def show(self, event: Event) -> None:
        """Show one event; if it requests approval, ask the user."""
        match event:
            case TextDelta() | ReasoningDelta():
                self._show_delta(event)
            case MessageCompleted():
                self._end_message(event)
            case ToolStarted() | ToolOutput() | ToolFinished():
                self._show_tool(event)
            case ApprovalRequested():
                await self._ask(event)
            case TurnStarted() | Retrying() | Notice() | LimitReached() | TurnEnded():
                self._show_turn(event)
            case HistoryCompacted():
                self._note(self._style.dim(f"({event.text})"))
            case _:
                pass

    def _show_delta(self, event: TextDelta | ReasoningDelta) -> None:
        if isinstance(event, ReasoningDelta):
            if self._verbose:
                self._write(self._style.dim(printable(event.text)), to_error=True)
        elif self._streams:
            self._clear_progress()
            self._write(self._visible.feed(event.text), to_error=False)

    def _end_message(self, event: MessageCompleted) -> None:
        message = event.message
        self._calls = {call.id: call for call in message.tool_calls}
        if self._streams:
            self._write(self._visible.flush(), to_error=False)
            self._end_line()
        elif message.text and message.tool_calls:
            self._note(printable(message.text.rstrip("\n")))
        elif message.text:
            print(message.text.rstrip("\n"), flush=True)

    def _show_tool(self, event: ToolStarted | ToolOutput | ToolFinished) -> None:
        """Parallel calls are shown one after the other: the first one live, the others when it is done."""
        match event:
            case ToolStarted():
                self._tools[event.call.id] = ToolView(event, self._style, max_lines=self._max_lines)
            case ToolOutput():
                self._tools[event.call_id].add(event.text)
            case ToolFinished() if view := self._tools.get(event.result.call_id):
                view.finish(event)
            case ToolFinished():
                self._show_not_run(event)
        while self._tools:
            first = next(iter(self._tools.values()))
            self._show_lines(first)
            if not first.done:
                break
            del self._tools[first.call_id]

    def _show_not_run(self, event: ToolFinished) -> None:
        """A call that was not run; one that could not be parsed has no title."""
        result = event.result
        call = self._calls.get(result.call_id)
        title = result.name if call is None else describe_call(call)
        reason = denial_reason(result.text)
        if event.denied is not None:
            title = event.denied.title
            self._denied.append(title.removeprefix("$ ").splitlines()[0])
            if event.denied.denied_by == "the user":
                reason = "You declined."
        self._head(result.call_id, title)
        self._note(self._style.dim(printable(reason)))

    def _show_lines(self, view: ToolView) -> None:
        lines = view.take_lines()
        if lines or view.call_id not in self._titles:
            self._head(view.call_id, view.title)
        for line in lines:
            self._note(line)

    def _head(self, call_id: str, title: str) -> None:
        """Print the call's title unless it was printed last; from the second time on, only its first line."""
        if self._heading == call_id:
            return
        self._heading = call_id
        first, *more = self._titles.get(call_id, title).split("\n")
        if call_id in self._titles and more:
            more = ["…"]
        self._titles.setdefault(call_id, title)
        for line in (first, *more):
            self._note(self._style.bold(printable(line, exact=True)))

    async def _ask(self, event: ApprovalRequested) -> None:
        answer = self._answers.pop(event.call.id, None)
        if answer is None or self._terminal is None:
            return
        self._head(event.call.id, event.title)
        choices = "[y/N/always]" if event.always else "[y/N]"
        word = (await self._terminal.ask(f"{printable(event.why)}. Run it? {choices} ", withdrawn=answer)).lower()
        always = bool(event.always) and word in {"a", "always"}
        if always and not answer.done():
            await self._offer_rules(event.always, withdrawn=answer)
        if not answer.done():
            answer.set_result(always or word in {"y", "yes"})

    async def _offer_rules(self, rules: tuple[str, ...], *, withdrawn: asyncio.Future[bool]) -> None:
        """Show the rules, and save them if the user agrees. The call itself is allowed either way."""
        assert self._terminal is not None, "asked through a terminal"  # noqa: S101
        self._note("Always allow in this project, without asking:")
        for key, saved in saved_rules(rules).items():
            for rule in saved:
                scope = (
                    "exactly this command, outside the sandbox"
                    if key == "allow_on_host"
                    else "anything that starts with this"
                )
                self._note(f"  {printable(rule.removesuffix(' $'), exact=True)}  ({scope})")
        noun = "this rule" if len(rules) == 1 else "these rules"
        word = await self._terminal.ask(f"Save {noun}? (no: run it once) [y/N] ", withdrawn=withdrawn)
        if not withdrawn.done() and word.lower() in {"y", "yes"}:
            self.save_rules(rules)

    def _show_turn(self, event: TurnStarted | Retrying | Notice | LimitReached | TurnEnded) -> None:
        match event:
            case TurnStarted():
                self._mode = event.terms.mode if event.terms else ""
                if self._verbose:
                    self._note(self._style.dim(f"conversation {event.conversation_id}, {event.backend}, {event.model}"))
            case Retrying():
                when = f" in {event.delay:.1f} s" if event.delay else ""
                self._note(printable(f"{event.why}; retrying{when}"))
            case Notice() | LimitReached():
                text = event.text if self._verbose else shortened(event.text)
                self._note(self._style.bold(printable(text)))
            case TurnEnded():
                self._end_turn(event)

    def _end_turn(self, event: TurnEnded) -> None:
        for view in self._tools.values():
            self._show_lines(view)
        if event.reason == "denied":
            self._note(printable(f"vmpilot: {self._describe_denial()}"))
        elif event.reason == "interrupted":
            self._note("vmpilot: Interrupted.")
        elif event.error is not None:
            self._note(printable(f"vmpilot: {event.error}"))
        if self._verbose:
            self._note(self._style.dim(describe_usage(event, self._settings)))

    def _describe_denial(self) -> str:
        """What was denied, and how the user can allow it unless it was the user who declined."""
        shown = ", ".join(f"`{title}`" for title in self._denied[:3]) + (", …" if len(self._denied) > 3 else "")
        text = f"{count(len(self._denied), 'action')} {'was' if len(self._denied) == 1 else 'were'} denied: {shown}"
        if self._mode == "observe":
            return f"{text}\nMode observe only reads. To allow more, use --mode operate."
        if self._terminal is None:
            by_mode = "" if self._mode == "full" else ", or use --mode full"
            return (
                f"{text}\nNo terminal is attached to ask for approval. Run the request in a terminal, or allow the "
                f"action with a rule in your configuration file (allow, allow_on_host){by_mode}."
            )
        return text

    def _note(self, text: str) -> None:
        self._end_line()
        print(text, file=sys.stderr, flush=True)

    def _write(self, text: str, *, to_error: bool) -> None:
        if not text:
            return
        print(text, end="", file=sys.stderr if to_error else sys.stdout, flush=True)
        self._line_is_open = not text.endswith("\n")

    def _end_line(self) -> None:
        self._clear_progress()
        if self._line_is_open:
            print(flush=True, file=sys.stdout if self._streams else sys.stderr)
            self._line_is_open = False

    def _clear_progress(self) -> None:
        if self._stage and self._style.enabled:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
            self._line_is_open = False
        self._stage = ""


def describe_usage(end: TurnEnded, limits: Settings) -> str:
    """Tokens, cost, steps and seconds of a turn, each with its limit if there is one."""
    usage = end.usage
    tokens = f"{usage.input_tokens} tokens in, {usage.output_tokens} out"
    if limits.max_total_tokens is not None:
        tokens += f" (of {limits.max_total_tokens:,})"
    cost = "cost unknown" if end.cost is None else f"${end.cost:.4f}"
    if limits.max_cost is not None:
        cost += f" (of ${limits.max_cost:g})"
    seconds = f"{end.seconds:.1f} s"
    if limits.max_seconds is not None:
        seconds += f" (of {limits.max_seconds:g} s)"
    return f"{tokens}, {cost}, {count(end.steps, 'step')} (of {limits.max_steps}), {seconds}"
