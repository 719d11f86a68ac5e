"""Everything that touches the machine: processes, the sandbox, secrets, and the workspace."""
