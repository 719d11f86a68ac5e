"""Starts commands below a supervisor process, reads their output, and ends all that they started."""
