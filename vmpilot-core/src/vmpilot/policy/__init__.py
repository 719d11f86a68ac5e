"""Who may do what: the permission modes and the check for commands that plainly only read."""

from vmpilot.policy.gate import Action, Gate, Mode, Verdict
from vmpilot.policy.reading import plainly_reads

__all__ = ["Action", "Gate", "Mode", "Verdict", "plainly_reads"]
