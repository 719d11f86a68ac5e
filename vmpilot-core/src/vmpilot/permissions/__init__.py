"""Permission modes and rules, and which commands only read or only change the workspace."""

from vmpilot.permissions.decision import Action, Decision, Mode
from vmpilot.permissions.policy import PermissionPolicy
from vmpilot.permissions.rules import Rules

__all__ = ["Action", "PermissionPolicy", "Mode", "Rules", "Decision"]
