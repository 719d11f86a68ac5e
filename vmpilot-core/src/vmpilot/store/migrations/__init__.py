"""Upgrades older schemas to the current one: Alembic revisions, run only by `vmpilot.store._opening`."""
