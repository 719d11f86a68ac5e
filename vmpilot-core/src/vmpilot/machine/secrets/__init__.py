"""Keeps secrets out of text and out of the environment of commands."""
