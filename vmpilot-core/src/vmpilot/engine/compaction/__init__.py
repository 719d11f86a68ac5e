"""Compaction: old tool output is dropped first, then a summary replaces the oldest messages."""
