"""`python -m vmpilot`."""

import sys

from vmpilot.cli import main

sys.exit(main())
