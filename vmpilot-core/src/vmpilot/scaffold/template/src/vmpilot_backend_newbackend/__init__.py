"""The agent engine `newbackend` for VMPilot; the hooks are in `agent`."""
