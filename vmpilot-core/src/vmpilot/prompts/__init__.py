"""What the model is told before the conversation begins, and when it has become too long."""

from vmpilot.prompts.summary import summary_prompt
from vmpilot.prompts.system import system_prompt

__all__ = ["summary_prompt", "system_prompt"]
