"""VMPilot's agent engine on LiteLLM. Nothing here imports LiteLLM before the first call to a model."""
