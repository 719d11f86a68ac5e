"""The model's instructions at the start of a conversation, and for one that has become too long."""

from vmpilot.engine.prompts._system import system_prompt
from vmpilot.engine.prompts._text_tools import TEXT_TOOLS_REMINDER, text_tools_prompt

__all__ = ["TEXT_TOOLS_REMINDER", "system_prompt", "text_tools_prompt"]
