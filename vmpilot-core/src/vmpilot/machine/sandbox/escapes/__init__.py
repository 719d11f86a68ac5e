"""Attempts to escape from a sandbox, made inside it. The package also runs alone: standard library only."""
