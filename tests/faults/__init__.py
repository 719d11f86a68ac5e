"""Named faults of models and their servers, each with what a good client does, and a verifier that is the same for all.

The scripted server plays them; any client that gives VMPilot's events can be put through them (`play`).
"""

from tests.faults.catalog import FAULTS, find_faults
from tests.faults.fault import ANSWER, MARKS, Fault, Outcome

__all__ = ["ANSWER", "FAULTS", "MARKS", "Fault", "Outcome", "find_faults"]
