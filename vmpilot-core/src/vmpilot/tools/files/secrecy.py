"""A masked value is never written back: the mark that stands for it is no content."""

from __future__ import annotations

from vmpilot.contract import ToolError
from vmpilot.machine.secrets.masking import MASK


def reject_masks(text: str, *, present: str, shown: str) -> None:
    """Raises `ToolError` where `text` has more marks than `present`, which it replaces."""
    if text.count(MASK) > present.count(MASK):
        raise ToolError(
            f"{MASK} stands for a secret that you cannot see; a masked value is never written back, so {shown} was not "
            f"touched. Edit only the lines around it, or ask the user to put the secret there."
        )
