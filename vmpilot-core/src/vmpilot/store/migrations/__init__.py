"""How older schemas become the present one: Alembic revisions, run by `vmpilot.store._opening` and by nobody else."""
