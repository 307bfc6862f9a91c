"""Stress-tests the store, the checkpoints and the worker, and prints a table.

    .venv/bin/python scripts/stress [ROW…] [--quick] [--seed N] [--cases N] [--json FILE]

Each row is a process of its own; all of them share one folder of compiled programs. Problems are
reported at once; the exit code is 1 if a row fails. `--quick` does a tenth of each.
"""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from measuring import main  # noqa: E402 - after the path

# The module that measures each row, in the order of the table.
ROWS = {
    "kill": "kills",
    "faults": "faults",
    "boundaries": "training",
    "damage": "damage",
    "many": "many",
    "nan": "training",
    "term": "terms",
    "same": "training",
    "cost": "cost",
    "full": "full",
    "memory": "memory",
    "rebuild": "rebuilding",
    "output": "output",
    "tables": "tables",
}

if __name__ == "__main__":
    sys.exit(main(HERE, __doc__, ROWS))
