"""Starts commands below a supervisor process, reads their output, and ends every process that they started."""
