"""VMPilot: an AI operator for the machine it runs on, whose agent engine is a plugin."""
