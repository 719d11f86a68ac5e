"""Tool calls for models without native ones: described in the prompt, recovered from the answer's text.

A block that begins with the conversation's own word is a call. What merely looks like one is a call under conditions
that quoted text does not meet; see `_reader` and `_quotes` for the rules.
"""

from vmpilot.engine.text_tools._mark import CallMark
from vmpilot.engine.text_tools._rewriting import without_tools
from vmpilot.engine.text_tools._stream import TextToolsAnswer

__all__ = ["CallMark", "TextToolsAnswer", "without_tools"]
