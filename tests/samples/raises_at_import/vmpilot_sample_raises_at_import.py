"""Broken: it fails while it is imported."""

raise RuntimeError("no licence found")
