"""Broken: the entry point names a missing attribute."""
