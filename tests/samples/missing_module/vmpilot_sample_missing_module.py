"""Broken: the entry point names a missing module."""
