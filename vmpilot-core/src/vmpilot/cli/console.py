"""The turn for a person: the answer on standard output, everything else on standard error."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

from vmpilot.cli.consumption import NO_LIMITS, ShownLimits, consumption
from vmpilot.cli.style import Style, printable
from vmpilot.cli.terminal import Terminal
from vmpilot.cli.tool_view import ToolView, call_in_words, refusal, shortened
from vmpilot.config import kept_rules
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
from vmpilot.local_model.progress import Progress


class Console:
    """Shows events as text. On a terminal the answer streams; into a pipe it goes whole, without what led to it."""

    def __init__(
        self,
        terminal: Terminal | None,
        *,
        verbose: bool,
        output_lines: int,
        limits: ShownLimits = NO_LIMITS,
    ) -> None:
        self._terminal = terminal
        self._mode = ""
        self._limits = limits
        self._verbose = verbose
        self._max_lines = None if verbose else output_lines
        self._streams = sys.stdout.isatty()
        self._style = Style(enabled=sys.stderr.isatty())
        self._line_is_open = False
        self._visible = VisibleStream()
        self._answers: dict[str, asyncio.Future[bool]] = {}
        self._tools: dict[str, ToolView] = {}
        self._calls: dict[str, ToolCall] = {}
        self._titles: dict[str, str] = {}
        self._heading = ""  # the call whose title stands above what was printed last
        self._stage = ""
        self.keep_rules: Callable[[tuple[str, ...]], None] = lambda _rules: None

    async def approve(self, request: ApprovalRequested) -> bool:
        """The person's word on a call. The question is put by `show`, in its place among the other events."""
        answer: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._answers[request.call.id] = answer
        return await answer

    def progress(self, progress: Progress) -> None:
        """A long preparation goes on: one line that changes on a terminal, one line for each stage elsewhere."""
        share = f" {progress.done * 100 // progress.total} %" if progress.total else ""
        if self._style.enabled:
            print(f"\r\x1b[K{progress.stage}{share}", end="", file=sys.stderr, flush=True)
            self._line_is_open = True
        elif progress.stage != self._stage:
            self._note(progress.stage)
        self._stage = progress.stage

    async def show(self, event: Event) -> None:
        """Show one event, and put its question to the person where it is one."""
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
                self._show_progress_of_turn(event)
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
        """Calls that run side by side are shown one after the other: the first live, the others when it is done."""
        match event:
            case ToolStarted():
                self._tools[event.call.id] = ToolView(event, self._style, max_lines=self._max_lines)
            case ToolOutput():
                self._tools[event.call_id].add(event.text)
            case ToolFinished() if view := self._tools.get(event.result.call_id):
                view.finish(event)
            case ToolFinished():
                self._show_refused(event)
        while self._tools:
            first = next(iter(self._tools.values()))
            self._show_lines(first)
            if not first.done:
                break
            del self._tools[first.call_id]

    def _show_refused(self, event: ToolFinished) -> None:
        """A call that was not run; if it was not even read, it has no title."""
        result = event.result
        call = self._calls.get(result.call_id)
        title = result.name if call is None else call_in_words(call)
        self._head(result.call_id, title if event.denied is None else event.denied.title)
        self._note(self._style.dim(printable(refusal(result.text))))

    def _show_lines(self, view: ToolView) -> None:
        lines = view.take_lines()
        if lines or view.call_id not in self._titles:
            self._head(view.call_id, view.title)
        for line in lines:
            self._note(line)

    def _head(self, call_id: str, title: str) -> None:
        """Put the call's title above what follows, unless it stands there; the second time its first line does."""
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
            always = await self._confirm_rules(event.always, withdrawn=answer)
        if not answer.done():
            answer.set_result(always or word in {"y", "yes"})

    async def _confirm_rules(self, rules: tuple[str, ...], *, withdrawn: asyncio.Future[bool]) -> bool:
        """Show what would be kept before it is kept; whether the person wants it so."""
        assert self._terminal is not None, "asked through a terminal"  # noqa: S101
        self._note("From now on, in this project and without being asked:")
        for key, kept in kept_rules(rules).items():
            for rule in kept:
                exactly = "exactly this, outside the sandbox" if key == "allow_on_host" else "all that begins so"
                self._note(f"  {printable(rule.removesuffix(' $'), exact=True)}  ({exactly})")
        word = await self._terminal.ask("Keep that? [y/N] ", withdrawn=withdrawn)
        if withdrawn.done() or word.lower() not in {"y", "yes"}:
            return False
        self.keep_rules(rules)
        return True

    def _show_progress_of_turn(self, event: TurnStarted | Retrying | Notice | LimitReached | TurnEnded) -> None:
        match event:
            case TurnStarted():
                self._mode = event.terms.mode if event.terms else ""
                if self._verbose:
                    self._note(self._style.dim(f"conversation {event.conversation_id}, {event.backend}, {event.model}"))
            case Retrying():
                when = f" in {event.delay:.1f} s" if event.delay else ""
                self._note(printable(f"{event.why}; trying again{when}"))
            case Notice() | LimitReached():
                text = event.text if self._verbose else shortened(event.text)
                self._note(self._style.bold(printable(text)))
            case TurnEnded():
                self._end_turn(event)

    def _end_turn(self, event: TurnEnded) -> None:
        for view in self._tools.values():
            self._show_lines(view)
        if event.reason == "denied":
            self._note(f"vmpilot: something that this needed was denied{self._way_out()}")
        elif event.reason == "interrupted":
            self._note("vmpilot: interrupted")
        elif event.error is not None:
            self._note(printable(f"vmpilot: {event.error}"))
        if self._verbose:
            self._note(self._style.dim(consumption(event, self._limits)))

    def _way_out(self) -> str:
        """How the person can allow what was denied, where it was not they who said no."""
        if self._mode == "observe":
            return "; mode observe only reads, --mode operate lets more run"
        if self._terminal is None:
            by_mode = "" if self._mode == "full" else " or by --mode full"
            return (
                ", for nobody was there to be asked: run it in a terminal, or allow it by a rule in your "
                f"configuration file (allow, allow_on_host){by_mode}"
            )
        return ""

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
