"""Tool calls for models without native ones: described in the prompt, recovered from the answer's text.

A block that starts with the conversation's word is a call. Text that merely looks like a call is one under conditions
that quoted text does not meet; see `_reader` and `_quotes` for the rules.
"""

from vmpilot.engine.text_tools._mark import CallMark
from vmpilot.engine.text_tools._rewriting import without_tools
from vmpilot.engine.text_tools._stream import TextToolsAnswer

__all__ = ["CallMark", "TextToolsAnswer", "without_tools"]
