"""The one place where settings, backend, tools, policy and store become an agent."""

from vmpilot.app.agent import Agent, Answer
from vmpilot.app.tool_registry import ToolReport

__all__ = ["Agent", "Answer", "ToolReport"]
