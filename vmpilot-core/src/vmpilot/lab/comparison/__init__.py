"""One task done by several backends and models, each in a folder of its own, and what came of it side by side."""

from vmpilot.lab.comparison._candidate import Candidate, Outcome, run_candidate
from vmpilot.lab.comparison._worktree import Worktree, open_worktree

__all__ = ["Candidate", "Outcome", "Worktree", "open_worktree", "run_candidate"]
