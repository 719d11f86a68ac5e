"""Broken: the entry point names an attribute that is not there."""
