"""Broken: it ends the program while it is imported."""

import sys

sys.exit("set LICENCE first")
