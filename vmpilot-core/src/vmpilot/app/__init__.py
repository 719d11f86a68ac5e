"""The `Agent`, wired from settings, backend, tools, permissions and log."""

from vmpilot.app._agent import Agent, Answer
from vmpilot.app._tool_registry import ToolReport

__all__ = ["Agent", "Answer", "ToolReport"]
