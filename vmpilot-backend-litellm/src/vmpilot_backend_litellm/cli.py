"""`python -m vmpilot_backend_litellm.cli`: the same program with this backend."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from vmpilot import cli


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code; `--backend` still names another."""
    return cli.main(arguments, backend="litellm")


if __name__ == "__main__":
    sys.exit(main())
