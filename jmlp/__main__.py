"""`python -m jmlp` is the command `jmlp`."""

import sys

from jmlp.cli import main

sys.exit(main())
