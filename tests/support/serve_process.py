"""`jmlp serve` in a separate process."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serve(
    folder: Path, *first: str, options: Sequence[str] = ()
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The command, and the address that it prints; what comes `first` starts it."""
    options = ["--port", "0", "--no-open", "--store", str(folder), *options]
    process = subprocess.Popen(
        [*first, sys.executable, "-m", "jmlp", "serve", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "JMLP_CONFIG": str(folder.parent / "config")},
    )
    with process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()
