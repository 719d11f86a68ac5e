"""Broken: the entry point names another module, which is not there."""
