"""The one place where settings, backend, tools, policy and store become an agent."""

from vmpilot.app._agent import Agent, Answer
from vmpilot.app._tool_registry import ToolReport

__all__ = ["Agent", "Answer", "ToolReport"]
