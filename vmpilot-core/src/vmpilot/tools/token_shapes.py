"""Takes tokens and private keys out of text by their well-known shapes, also out of text that comes in pieces.

The shapes are those that the issuers publish for secret scanning: a fixed beginning, then a long run of characters.
"""

from __future__ import annotations

import re
from collections.abc import Callable

MASK = "[masked]"

_SHAPES = {
    "sk-": r"[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, OpenRouter
    "ghp_": r"[A-Za-z0-9]{36,}",
    "gho_": r"[A-Za-z0-9]{36,}",
    "ghu_": r"[A-Za-z0-9]{36,}",
    "ghs_": r"[A-Za-z0-9]{36,}",
    "ghr_": r"[A-Za-z0-9]{36,}",
    "github_pat_": r"[A-Za-z0-9_]{22,}",
    "glpat-": r"[A-Za-z0-9_-]{20,}",
    "AKIA": r"[A-Z0-9]{16}(?![A-Za-z0-9_])",  # Amazon
    "ASIA": r"[A-Z0-9]{16}(?![A-Za-z0-9_])",
    "AIza": r"[A-Za-z0-9_-]{35}",  # Google
    "ya29.": r"[A-Za-z0-9_-]{20,}",
    "xoxb-": r"[A-Za-z0-9-]{10,}",  # Slack
    "xoxp-": r"[A-Za-z0-9-]{10,}",
    "xoxa-": r"[A-Za-z0-9-]{10,}",
    "xoxs-": r"[A-Za-z0-9-]{10,}",
    "xapp-": r"[A-Za-z0-9-]{10,}",
    "sk_live_": r"[A-Za-z0-9]{16,}",  # Stripe
    "rk_live_": r"[A-Za-z0-9]{16,}",
    "hf_": r"[A-Za-z0-9]{30,}",
    "npm_": r"[A-Za-z0-9]{36,}",
    "pypi-": r"[A-Za-z0-9_-]{50,}",
    "SG.": r"[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    "eyJ": r"[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",  # JSON Web Token, RFC 7519
}
_TOKEN = re.compile(
    r"(?<![A-Za-z0-9_])(?:" + "|".join(f"{re.escape(begin)}{rest}" for begin, rest in _SHAPES.items()) + ")"
)
_OPEN_TOKEN = re.compile(r"(?<![A-Za-z0-9_])(?:" + "|".join(map(re.escape, _SHAPES)) + r")[A-Za-z0-9_.-]*\Z")
_LONGEST_TOKEN = 8_192

_KEY_BEGIN = "-----BEGIN "
_KEY_BODY = r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----(?:[A-Za-z0-9+/=\s\\:,]|-(?!-))*"
_KEY_END = r"-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY-----"
_KEY = re.compile(f"{_KEY_BODY}(?:{_KEY_END})?")
"""PEM, RFC 7468; without its end where the output was cut."""
_WHOLE_KEY = re.compile(_KEY_BODY + _KEY_END)
_OPEN_KEY = re.compile(
    r"-----BEGIN (?:[A-Za-z0-9+/=\s\\:,]|-(?!----END ))*"
    r"(?:-{1,5}(?:E(?:N(?:D[A-Z0-9 ]*-{0,4})?)?)?)?\Z"
)
_LONGEST_KEY = 20_000

_WORD = re.compile(r"[A-Za-z0-9_]")


def mask_shapes(text: str) -> str:
    """The text with whatever looks like a private key or a token replaced by `[masked]`."""
    return _mask_tokens(_mask_keys(text, 0), 0)


class ShapeStream:
    """The same for text that comes in pieces: it holds back what may be the beginning of a key or a token."""

    def __init__(self) -> None:
        self._keys = _Stage(_mask_keys, _open_key_from)
        self._tokens = _Stage(_mask_tokens, _open_token_from)

    def feed(self, piece: str) -> str:
        """Take the next piece and give what is settled by now, masked."""
        return self._tokens.feed(self._keys.feed(piece))

    def flush(self) -> str:
        """Give what was held back, masked; the text is over."""
        return self._tokens.feed(self._keys.flush()) + self._tokens.flush()


class _Stage:
    """One of the two passes. `mask` and `open_from` take a text and the place from which on it counts."""

    def __init__(self, mask: Callable[[str, int], str], open_from: Callable[[str, int], int]) -> None:
        self._mask = mask
        self._open_from = open_from
        self._held = ""
        self._before = ""

    def feed(self, piece: str) -> str:
        text = self._before + self._held + piece
        cut = self._open_from(text, len(self._before))
        return self._settle(text, cut)

    def flush(self) -> str:
        text = self._before + self._held
        return self._settle(text, len(text))

    def _settle(self, text: str, cut: int) -> str:
        settled = self._mask(text[:cut], len(self._before))
        self._before, self._held = text[max(0, cut - 1) : cut], text[cut:]
        return settled


def _mask_keys(text: str, start: int) -> str:
    return _mask(_KEY, text, start) if _KEY_BEGIN in text else text[start:]


def _mask_tokens(text: str, start: int) -> str:
    return _mask(_TOKEN, text, start) if any(begin in text for begin in _SHAPES) else text[start:]


def _mask(secret: re.Pattern[str], text: str, start: int) -> str:
    """`text` from `start` on, masked; what stands before only tells where a word begins."""
    pieces: list[str] = []
    position = start
    for found in secret.finditer(text, start):
        pieces += text[position : found.start()], MASK
        position = found.end()
    return "".join((*pieces, text[position:]))


def _open_key_from(text: str, start: int) -> int:
    """Where the end of `text` begins that may yet become a key."""
    start = max(start, len(text) - _LONGEST_KEY)
    for found in _WHOLE_KEY.finditer(text, start):
        start = found.end()
    key = _OPEN_KEY.search(text, start)
    return key.start() if key else _beginning_from(text, start, (_KEY_BEGIN,))


def _open_token_from(text: str, start: int) -> int:
    """Where the end of `text` begins that may yet become a token."""
    start = max(start, len(text) - _LONGEST_TOKEN)
    token = _OPEN_TOKEN.search(text, start) if any(begin in text for begin in _SHAPES) else None
    return token.start() if token else _beginning_from(text, start, tuple(_SHAPES))


def _beginning_from(text: str, start: int, begins: tuple[str, ...]) -> int:
    """Where, from `start` on, the end of `text` is an unfinished one of `begins`."""
    for position in range(max(start, len(text) - max(map(len, begins))), len(text)):
        bounded = text[position] == "-" or position == 0 or not _WORD.match(text[position - 1])
        if bounded and any(begin.startswith(text[position:]) for begin in begins):
            return position
    return len(text)
