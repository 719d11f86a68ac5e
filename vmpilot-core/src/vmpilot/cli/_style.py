"""Bold and dim text, and text that is safe to print on a terminal."""

from __future__ import annotations

from vmpilot.contract.invisible import escape_invisible


def printable(text: str, *, exact: bool = False) -> str:
    """The text with invisible and control characters as escapes; see `escape_invisible`."""
    return escape_invisible(text, exact=exact)


class Style:
    """Emphasis on a terminal, plain text elsewhere."""

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

    def bold(self, text: str) -> str:
        return f"\x1b[1m{text}\x1b[0m" if self.enabled else text

    def dim(self, text: str) -> str:
        return f"\x1b[2m{text}\x1b[0m" if self.enabled else text
