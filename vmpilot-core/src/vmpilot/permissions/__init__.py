"""Who may do what: permission modes, rules, and what plainly reads or changes only the workspace."""

from vmpilot.permissions.gate import Gate
from vmpilot.permissions.rules import Rules
from vmpilot.permissions.verdict import Action, Mode, Verdict

__all__ = ["Action", "Gate", "Mode", "Rules", "Verdict"]
