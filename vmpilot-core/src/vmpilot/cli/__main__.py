"""`python -m vmpilot.cli`."""

import sys

from vmpilot.cli import main

sys.exit(main())
