"""VMPilot's agent engine on LangChain and LangGraph; the hooks are in `agent`."""
