"""Who may do what: permission modes, rules, and what plainly reads or changes only the workspace."""

from vmpilot.policy.gate import Gate
from vmpilot.policy.rules import Rules
from vmpilot.policy.verdict import Action, Mode, Verdict

__all__ = ["Action", "Gate", "Mode", "Rules", "Verdict"]
