"""Named faults of models and their servers, what a good client does about each, and one verifier for all of them.

The scripted server plays them; `play` puts any client that yields VMPilot's events through them.
"""

from tests.faults.catalog import FAULTS, find_faults
from tests.faults.fault import ANSWER, MARKS, Fault, Outcome

__all__ = ["ANSWER", "FAULTS", "MARKS", "Fault", "Outcome", "find_faults"]
