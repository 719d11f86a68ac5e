"""Who may do what: permission modes, rules, and what plainly reads or changes only the workspace."""

from vmpilot.permissions.decision import Action, Decision, Mode
from vmpilot.permissions.policy import PermissionPolicy
from vmpilot.permissions.rules import Rules

__all__ = ["Action", "PermissionPolicy", "Mode", "Rules", "Decision"]
