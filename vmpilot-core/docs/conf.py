"""Sphinx settings."""

from importlib.metadata import version as _version

project = "VMPilot"
author = "The VMPilot developers"
release = _version("vmpilot-core")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
html_theme = "alabaster"
