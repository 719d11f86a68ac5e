"""How older schemas become the present one: Alembic revisions, run by `vmpilot.store.migration` and by nobody else."""
