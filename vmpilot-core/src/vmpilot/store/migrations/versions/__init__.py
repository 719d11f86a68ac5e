"""One revision per schema version. A revision is never changed once it is released."""
