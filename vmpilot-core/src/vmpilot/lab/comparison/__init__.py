"""Runs one task on several backends and models, each in its own worktree or copy of a folder."""

from vmpilot.lab.comparison._candidate import Candidate, Outcome, run_candidate
from vmpilot.lab.comparison._worktree import Worktree, open_worktree

__all__ = ["Candidate", "Outcome", "Worktree", "open_worktree", "run_candidate"]
