"""One task done by several backends and models, each in a folder of its own, and what came of it side by side."""

from vmpilot.lab.comparison.contest import Entrant, Outcome, run_entrant
from vmpilot.lab.comparison.places import Place, open_place

__all__ = ["Entrant", "Outcome", "Place", "open_place", "run_entrant"]
