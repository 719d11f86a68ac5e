"""Makes text safe to show: characters that a screen would not show faithfully become escapes such as `\\u202e`.

The set of characters follows from Unicode properties: the general category and `Default_Ignorable_Code_Point`. Python
has no table of the latter, so it is derived as in Unicode (UAX #44, DerivedCoreProperties.txt): format characters,
variation selectors and `Other_Default_Ignorable_Code_Point`, minus the few format characters that have a glyph.
"""

from __future__ import annotations

import re
import unicodedata

_ZWNJ, _ZWJ, _KEYCAP = "\u200c", "\u200d", "\u20e3"
_JOINERS = _ZWNJ + _ZWJ
_PRESENTATION = "\ufe0e\ufe0f"
"""The variation selectors for text and emoji presentation."""

_LINE = "\n\t"
_NOT_ASCII_TEXT = re.compile(r"[^\x20-\x7e\n\t]+")
_IGNORED_LETTERS = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0"  # Other_Default_Ignorable_Code_Point: grapheme joiner, fillers
    "\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0100-\U000e01ef"  # Variation_Selector
    "\U0001d159]"  # a musical symbol for "no note head", which has no glyph
)
"""Invisible characters in the categories of letters, marks or symbols."""

_WITH_GLYPH = frozenset("\u0600\u0601\u0602\u0603\u0604\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd")
"""Prepended_Concatenation_Mark: format characters that are drawn, such as the Arabic number sign."""

_EMOJI_PLANE = range(0x1F000, 0x1FB00)
"""Blocks that Unicode reserves for pictographs: Python's table may be older than an emoji there."""

_BLANK = "\u2800"  # the Braille pattern without dots
_SYMBOLS = frozenset({"So", "Sm"})
_PUNCTUATION_EMOJI = frozenset("\u203c\u2049\u3030")
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_VIRAMA = 9
"""The combining class of the virama, which joins consonants in Indic scripts."""

_CONTEXT = 3
"""Number of preceding characters that can affect a character's appearance."""


def escape_invisible(text: str, *, exact: bool = False) -> str:
    r"""`text` with control, format, unassigned and invisible characters as `\xNN`, `\uNNNN` or `\UNNNNNNNN`.

    Line feeds and tabs stay. Joiners and selectors that real text needs also stay if they have an effect: a
    presentation selector after an emoji, a zero-width joiner between two emoji, and the joiners in Arabic and Indic
    words. `exact` is for text that the user approves: it also escapes every space except U+0020, and characters
    without a defined appearance (private use).
    """
    return _escaped(text, 0, exact=exact)


class VisibleStream:
    """`escape_invisible` for text that arrives in chunks: it holds back at most one character."""

    def __init__(self) -> None:
        self._before = ""
        self._held = ""

    def feed(self, piece: str) -> str:
        """The next chunk, up to the last character whose appearance is settled."""
        text = self._held + piece
        self._held = text[-1:] if text[-1:] in (*_JOINERS, *_PRESENTATION) else ""
        return self._settle(text.removesuffix(self._held), self._held)

    def flush(self) -> str:
        """End the text and return the held-back part."""
        held, self._held = self._held, ""
        settled = self._settle(held, "")
        self._before = ""
        return settled

    def _settle(self, text: str, following: str) -> str:
        whole = self._before + text + following
        shown = _escaped(whole, len(self._before), len(whole) - len(following))
        self._before = (self._before + text)[-_CONTEXT:]
        return shown


def fold_invisible(text: str) -> str:
    """A form that is equal for texts that look the same: composed (NFC), plain spaces, nothing invisible."""
    if text.isascii() and text.isprintable():
        return text
    if text.isprintable() and not _IGNORED_LETTERS.search(text) and _BLANK not in text:
        return unicodedata.normalize("NFC", text)
    spaced = "".join(" " if _is_space(char) else char for char in text)
    return unicodedata.normalize(
        "NFC", "".join(char for char in spaced if char in _LINE or _has_look(char, exact=True))
    )


def find_look_alike(text: str, wanted: str) -> str | None:
    """The part of the line `text` that looks like `wanted` but differs; takes time quadratic in the line."""
    folded = fold_invisible(wanted)
    if not folded or wanted in text or folded not in fold_invisible(text):
        return None
    ends = range(len(text) + 1)
    start = max(start for start in ends if folded in fold_invisible(text[start:]))
    return next((text[start:end] for end in ends[start:] if fold_invisible(text[start:end]) == folded), None)


def describe_difference(there: str, given: str) -> str:
    """The first difference of two texts that look the same, as in `U+202F NARROW NO-BREAK SPACE instead of …`."""
    at = next((i for i, (a, b) in enumerate(zip(there, given, strict=False)) if a != b), min(len(there), len(given)))
    return f"{_name_character(there, at)} instead of {_name_character(given, at)}"


def _escaped(text: str, start: int, end: int | None = None, *, exact: bool = False) -> str:
    pieces: list[str] = []
    end = len(text) if end is None else end
    position = start
    for found in _NOT_ASCII_TEXT.finditer(text, start, end):
        if found[0].isprintable() and not _IGNORED_LETTERS.search(found[0]) and not (exact and _BLANK in found[0]):
            continue
        pieces.append(text[position : found.start()])
        pieces += (
            text[at] if _is_shown(text, at, exact=exact) else _escape(text[at])
            for at in range(found.start(), found.end())
        )
        position = found.end()
    return "".join((*pieces, text[position:end]))


def _is_shown(text: str, at: int, *, exact: bool) -> bool:
    char = text[at]
    if char in _JOINERS:
        return _joins_letters(text, at) or (char == _ZWJ and _joins_emoji(text, at))
    if char in _PRESENTATION:
        return _presents_emoji(text, at)
    return _has_look(char, exact=exact)


def _has_look(char: str, *, exact: bool) -> bool:
    """Whether the character is recognizable by itself."""
    if char == _BLANK or _IGNORED_LETTERS.match(char):
        return char == _BLANK and not exact
    if char.isprintable() or char in _WITH_GLYPH:
        return True
    category = unicodedata.category(char)
    if category == "Cn":
        return ord(char) in _EMOJI_PLANE
    return not exact and category in {"Zs", "Co"}


def _is_space(char: str) -> bool:
    return char == _BLANK or unicodedata.category(char) == "Zs"


def _joins_letters(text: str, at: int) -> bool:
    """Next to a virama, or between two Arabic letters."""
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if any(char and unicodedata.combining(char) == _VIRAMA for char in (before, after)):
        return True
    return _is_arabic(before) and _is_arabic(after)


def _is_arabic(char: str) -> bool:
    return bool(char) and unicodedata.bidirectional(char) == "AL" and char.isalpha()


def _joins_emoji(text: str, at: int) -> bool:
    before = at - 1
    if before > 0 and (text[before] in _PRESENTATION or ord(text[before]) in _SKIN_TONES):
        before -= 1
    return before >= 0 and _is_emoji(text[before]) and _is_emoji(text[at + 1 : at + 2])


def _presents_emoji(text: str, at: int) -> bool:
    before = text[at - 1 : at] if at else ""
    keycap = text[at + 1 : at + 2] == _KEYCAP and before in tuple("0123456789#*")
    return keycap or _is_emoji(before)


def _is_emoji(char: str) -> bool:
    """An approximation of the property Emoji, which Python lacks: non-ASCII symbols."""
    if not char or char.isascii():
        return False
    return unicodedata.category(char) in _SYMBOLS or char in _PUNCTUATION_EMOJI or ord(char) in _EMOJI_PLANE


def _escape(char: str) -> str:
    code = ord(char)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _name_character(text: str, at: int) -> str:
    """The character with its combining marks."""
    end = at + 1
    while end < len(text) and unicodedata.combining(text[end]):
        end += 1
    named = (f"U+{ord(char):04X} {unicodedata.name(char, '')}".rstrip() for char in text[at:end])
    return " with ".join(named) or "nothing"
