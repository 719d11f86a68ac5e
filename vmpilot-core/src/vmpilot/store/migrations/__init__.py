"""How older schemas become the present one: Alembic revisions, run by `vmpilot.store._migration` and by nobody else."""
