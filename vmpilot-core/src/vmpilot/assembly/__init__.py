"""The one place where settings, backend, tools, policy and store become an agent."""

from vmpilot.assembly.agent import Agent, Answer
from vmpilot.assembly.toolkit import ToolReport

__all__ = ["Agent", "Answer", "ToolReport"]
