"""`python -m jmlp` runs the command `jmlp`."""

import sys

from jmlp.cli import main

sys.exit(main())
