"""VMPilot's agent engine on LiteLLM. Nothing imports LiteLLM before the first call to a model."""
