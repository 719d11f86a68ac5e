"""Masks secrets in text, also in text that is streamed: known ones by value, tokens by their shape."""

from __future__ import annotations

from collections.abc import Iterable

from vmpilot.contract.secret_values import is_worth_masking
from vmpilot.machine.secrets.token_shapes import MASK, ShapeStream, mask_shapes

__all__ = ["MASK", "MaskedStream", "Masker"]


class Masker:
    """Replaces every occurrence of the given values; if they overlap or touch, by one mark.

    Values that are not worth it (`is_worth_masking`) are kept, and so are those that are part of the mark.
    """

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(sorted({value for value in values if is_worth_masking(value) and value not in MASK}))

    @property
    def values(self) -> tuple[str, ...]:
        """The values, for a masker in another process."""
        return self._values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._values)} values)"

    def mask(self, text: str) -> str:
        """`text` with each value, and everything that looks like a token or a private key, replaced by `[masked]`."""
        return mask_shapes(self.mask_values(text))

    def mask_unfinished(self, text: str) -> str:
        """`mask` for unfinished text: its end is left out if it may be the beginning of a value."""
        return self.mask(text[: self.open_from(text)])

    def mask_values(self, text: str) -> str:
        """`text` with each value replaced; shapes are not checked."""
        return _replace(text, self.find_values(text), inside=False)

    def find_values(self, text: str) -> list[tuple[int, int]]:
        """The spans of values, in order; they neither overlap nor touch."""
        return _join((start, start + len(value)) for value in self._values for start in _find_all(value, text))

    def open_from(self, text: str) -> int:
        """Where the longest end of `text` starts that is the beginning of a value."""
        return min((_find_beginning(value, text) for value in self._values), default=len(text))


class MaskedStream:
    """A masker for streamed text: it holds back only what may be the beginning of a value or a token."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._shapes = ShapeStream()
        self._held = ""
        self._covered = 0  # characters at the beginning of what is held that belong to a value
        self._inside = False  # whether the last character was masked

    def feed(self, piece: str) -> str:
        """Take the next piece; what is settled, masked."""
        text = self._held + piece
        return self._shapes.feed(self._settle(text, self._masker.open_from(text)))

    def flush(self) -> str:
        """The text has ended: what was held back, masked."""
        return self._shapes.feed(self._settle(self._held, len(self._held))) + self._shapes.flush()

    def _settle(self, text: str, cut: int) -> str:
        spans = _join([(0, self._covered), *self._masker.find_values(text)])
        settled = _replace(text[:cut], spans, inside=self._inside)
        self._held = text[cut:]
        if cut:
            self._covered = max((end - cut for start, end in spans if start < cut < end), default=0)
            self._inside = any(start < cut <= end for start, end in spans)
        return settled


def _find_all(value: str, text: str) -> Iterable[int]:
    start = text.find(value)
    while start >= 0:
        yield start
        start = text.find(value, start + 1)


def _join(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in sorted(span for span in spans if span[0] < span[1]):
        if joined and start <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _replace(text: str, spans: Iterable[tuple[int, int]], *, inside: bool) -> str:
    """`text` with a mark for each span, except one at the beginning if the previous mark covers it (`inside`)."""
    pieces: list[str] = []
    position = 0
    for start, end in spans:
        if start >= len(text):
            break
        pieces.append(text[position:start])
        if start or not inside:
            pieces.append(MASK)
        position = min(end, len(text))
    return "".join((*pieces, text[position:]))


def _find_beginning(value: str, text: str) -> int:
    start = max(0, len(text) - len(value) + 1)
    while (start := text.find(value[0], start)) >= 0:
        if value.startswith(text[start:]):
            return start
        start += 1
    return len(text)
