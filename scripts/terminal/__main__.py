"""Measures the app in real terminals, and prints a table.

    .venv/bin/python scripts/terminal [ROW…] [--quick] [--seed N] [--cases N] [--json FILE]

Each row is a process of its own. Problems are reported at once; the exit code is 1 if a row fails.
`--quick` does a tenth of each. The machine should be otherwise idle.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[1:1] = [str(HERE.parent), str(HERE.parent.parent / "tests" / "support")]

from measuring import main  # noqa: E402 - after the path

# The module that measures each row, in the order of the table.
ROWS = {
    "paint": "drawing",
    "redraw": "drawing",
    "gap": "overhead",
    "slowdown": "overhead",
    "steering": "steering",
    "compiling": "steering",
    "sizes": "sizes",
    "keys": "keys",
    "typing": "typing_fast",
    "ends": "ends",
    "served": "served",
}

if __name__ == "__main__":
    sys.exit(main(HERE, __doc__, ROWS, nice=0))
