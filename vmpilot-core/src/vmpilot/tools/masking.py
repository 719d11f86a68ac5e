"""Takes secrets out of text, also out of text that comes in pieces: known ones by value, tokens by their shape."""

import re
from collections.abc import Iterable

from vmpilot.tools.token_shapes import MASK, ShapeStream, mask_shapes

__all__ = ["MASK", "MaskedStream", "Masker"]


class Masker:
    """Replaces every occurrence of the given values; where several begin at one place, the longest counts."""

    def __init__(self, values: Iterable[str]) -> None:
        self._values = tuple(sorted({value for value in values if value}, key=len, reverse=True))

    @property
    def values(self) -> tuple[str, ...]:
        """What it replaces, for a masker in another process."""
        return self._values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({len(self._values)} values)"

    def mask(self, text: str) -> str:
        """Give `text` with each value, and whatever looks like a token or a private key, replaced by `[masked]`."""
        return mask_shapes(self.mask_values(text))

    def mask_values(self, text: str) -> str:
        """Give `text` with each value replaced; shapes are not looked at."""
        present = self._present(text)
        return _pattern(present).sub(MASK, text) if present else text

    def split(self, text: str) -> tuple[str, str]:
        """Give the part of `text` that is settled, masked, and the rest, which may be the beginning of a value."""
        if not self._values:
            return text, ""
        present = self._present(text)
        pattern = _pattern(present) if present else None
        done: list[str] = []
        position, held = 0, self._held_from(text, 0)
        while pattern and (match := pattern.search(text, position)) and match.start() < held:
            done += text[position : match.start()], MASK
            position = match.end()
            if position > held:
                held = self._held_from(text, position)
        done.append(text[position:held])
        return "".join(done), text[held:]

    def _present(self, text: str) -> list[str]:
        return [value for value in self._values if value in text]

    def _held_from(self, text: str, position: int) -> int:
        """Give where, from `position` on, the longest end of `text` starts that is the beginning of a value."""
        return min((_find_beginning(value, text, position) for value in self._values), default=len(text))


class MaskedStream:
    """A masker for text that comes in pieces: it holds back only what may be the beginning of a value."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._shapes = ShapeStream()
        self._held = ""

    def feed(self, piece: str) -> str:
        """Take the next piece and give what is settled by now, masked."""
        settled, self._held = self._masker.split(self._held + piece)
        return self._shapes.feed(settled)

    def flush(self) -> str:
        """Give what was held back, masked; the text is over."""
        held, self._held = self._held, ""
        return self._shapes.feed(self._masker.mask_values(held)) + self._shapes.flush()


def _pattern(values: list[str]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, values)))


def _find_beginning(value: str, text: str, position: int) -> int:
    start = max(position, len(text) - len(value) + 1)
    while (start := text.find(value[0], start)) >= 0:
        if value.startswith(text[start:]):
            return start
        start += 1
    return len(text)
