"""Measures the app in real terminals, and prints a table.

    .venv/bin/python scripts/terminal [ROW…] [--quick] [--seed N] [--cases N] [--json FILE]

Each row is a process of its own. What is wrong is reported at once; the exit code is 1 if a figure
falls short. `--quick` does a tenth of each. Nothing else should be at work on the machine.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[1:1] = [str(HERE.parent), str(HERE.parent.parent / "tests" / "support")]

from measuring import main  # noqa: E402 - not before it is found

# Row by row: the module that measures it, in the order of the table.
ROWS = {
    "paint": "drawing",
    "redraw": "drawing",
    "gap": "overhead",
    "slowdown": "overhead",
    "steering": "steering",
    "compiling": "steering",
    "sizes": "sizes",
    "keys": "keys",
    "ends": "ends",
    "served": "served",
}

if __name__ == "__main__":
    sys.exit(main(HERE, __doc__, ROWS, nice=0))
