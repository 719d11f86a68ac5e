"""Separates calls from text in an answer that arrives in chunks. Independent of streams and conversations.

A block that starts with the mark is always a call. A shape that may be a call (see `_shapes`) is held back. It is a
call if it is for tools that are offered, ends the answer (or is followed by a result that the model made up), and
`is_quoted` returns false for it. There are no calls in quotations: within another block, tool output boundaries,
reasoning, an indented or quoted line, or the middle of a line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable

from vmpilot.engine.text_tools._envelope import FoundCall
from vmpilot.engine.text_tools._held import Held, MarkedCall
from vmpilot.engine.text_tools._quotations import FencedQuotation, Quotation, may_open, open_quotation
from vmpilot.engine.text_tools._shapes import open_shape

LONGEST = 1_100_000
"""Maximum characters of a possible call: more than the toolbox accepts as arguments."""

_PARTS = re.compile(r"[^\n]*\n|[^\n]+")
_MADE_UP = re.compile(
    r"[\s#>*_`(\[]*(?:(?:the |tool |function )?(?:result|output|response)s?\b|<\|?/?(?:tool_re|output-|im_start|user))",
    re.IGNORECASE,
)


class AnswerReader:
    """`calls` are those found so far. Once `is_over`, nothing that follows counts."""

    def __init__(self, *, word: str, tools: Collection[str], is_quoted: Callable[[str, Iterable[str]], bool]) -> None:
        self.calls: list[FoundCall] = []
        self.is_over = False
        self._word = word
        self._tools = tools
        self._is_quoted = is_quoted
        self._out: list[str] = []
        self._blanks: list[str] = []
        self._line: list[str] = []
        self._size = 0
        self._passing = False
        self._opens_for_sure = False
        self._quotation: Quotation | None = None
        self._held: Held | None = None
        self._call: MarkedCall | None = None

    def feed(self, piece: str) -> str:
        """Add the next chunk; returns the part that is now known to be text."""
        for part in _PARTS.findall(piece):
            if self.is_over:
                break
            self._take(part)
        return self._take_out()

    def finish(self, *, proper: bool) -> str:
        """Finish the answer, complete or truncated; returns the rest of its text."""
        if self._line and not self.is_over:
            self._take_line(self._take_up_line())
        self._end(self._call, self._held, proper=proper)
        return self._take_out()

    def _end(self, call: MarkedCall | None, held: Held | None, *, proper: bool) -> None:
        if call is not None:
            self._end_call(call)
        if held is not None and not (proper and self._settle(held)):
            self._release(held)
        if not self.calls:
            self._out += self._blanks

    def _take(self, part: str) -> None:
        if self._passing:
            self._pass(part)
            self._passing = not part.endswith("\n")
            return
        self._line.append(part)
        self._size += len(part)
        if self._size + self._held_size > LONGEST:
            self._give_up(part)
        elif part.endswith("\n"):
            self._take_line(self._take_up_line())
        elif not self._may_matter():
            self._begin_passing(part)

    @property
    def _held_size(self) -> int:
        kept = self._call or self._held
        return kept.size if kept else 0

    def _take_up_line(self) -> str:
        line = "".join(self._line)
        self._line, self._size, self._opens_for_sure = [], 0, False
        return line

    def _may_matter(self) -> bool:
        """Whether the current line is needed in full."""
        if self._call is not None or self._held is not None or self._opens_for_sure:
            return True
        beginning = "".join(self._line)
        if self._quotation is not None:
            return self._quotation.may_end_with(beginning)
        opens = may_open(beginning, self._word)
        self._opens_for_sure = opens is True
        return opens is not False

    def _begin_passing(self, part: str) -> None:
        """The line that ends with this part is only text."""
        if self.calls:
            self.is_over = True
            return
        self._passing = not part.endswith("\n")
        self._pass(self._take_up_line())

    def _pass(self, part: str) -> None:
        """A part of a line that is text."""
        self._say(part)
        if self._quotation is not None and self._quotation.ended_within(part):
            self._quotation = None

    def _say(self, text: str) -> None:
        """Spaces are held until more text arrives: before a call, they are not part of the text."""
        spoken = text.rstrip()
        if spoken:
            self._out += (*self._blanks, spoken)
            self._blanks = []
        self._blanks.append(text[len(spoken) :])

    def _take_out(self) -> str:
        text = "".join(self._out)
        self._out = []
        return text

    def _take_line(self, line: str) -> None:
        if self._call is not None:
            self._take_line_of_call(self._call, line)
        elif self._quotation is not None:
            self._say(line)
            self._quotation = None if self._quotation.ended_by(line) else self._quotation
        elif self._held is not None:
            self._take_held_line(self._held, line)
        elif not self._begins_call(line):
            self._take_line_of_text(line)

    def _take_line_of_text(self, line: str) -> None:
        if self.calls:
            self.is_over = bool(line.strip())
        elif shape := open_shape(line):
            self._held = Held()
            self._go_on(self._held.begin(shape, line), self._held, line)
        else:
            self._say(line)
            self._quotation = open_quotation(line)

    def _begins_call(self, line: str) -> bool:
        self._call = call = MarkedCall.begun_by(line, self._word)
        if call is not None and call.is_over:
            self._end_call(call)
        return call is not None

    def _take_line_of_call(self, call: MarkedCall, line: str) -> None:
        call.take(line)
        if call.is_over:
            self._end_call(call)

    def _end_call(self, call: MarkedCall) -> None:
        self.calls += call.read()
        self._call = None

    def _take_held_line(self, held: Held, line: str) -> None:
        if held.fence is None and MarkedCall.begun_by(line, self._word):
            self._release(held)
            self._take_line(line)
        elif held.is_open:
            self._go_on(held.take(line), held, line)
        elif not line.strip():
            held.add(line)
        elif shape := open_shape(line):
            self._go_on(held.begin(shape, line), held, line)
        elif _MADE_UP.match(line) and self._settle(held):
            self.is_over = True
        else:
            self._release(held)
            self._take_line(line)

    def _go_on(self, may_be_call: bool, held: Held, line: str) -> None:
        """If the line shows that the held text is not a call, the line is checked again by itself."""
        if may_be_call:
            return
        held.lines.pop()
        looked_at = not held.lines
        self._release(held)
        if looked_at:
            self._say(line)
        else:
            self._take_line(line)

    def _release(self, held: Held) -> None:
        """Release it as text; if it is a block, the rest is still to come."""
        self._held = None
        self._say(held.text)
        self._quotation = FencedQuotation(held.fence) if held.fence else None

    def _settle(self, held: Held) -> bool:
        """Whether the held text consists of calls; if so, they are accepted."""
        calls = held.calls(self._tools, is_quoted=self._is_quoted)
        self.calls += calls
        self._held = None if calls else held
        return bool(calls)

    def _give_up(self, part: str) -> None:
        """The held text is too long for a call: a marked call ends, anything else is text."""
        if self._call is not None:
            self._call.take(self._take_up_line())
            self._end_call(self._call)
            self.is_over = True
            return
        if self._held is not None:
            self._release(self._held)
        self._begin_passing(part)
