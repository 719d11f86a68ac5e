"""Experiments over the agent and its log: compare backends and models, replay recordings."""
