"""What the model is told before the conversation begins."""

from vmpilot.prompts.system import system_prompt

__all__ = ["system_prompt"]
