"""Reports, written by a process of their own: what draws their plots takes long to start."""

import re
import subprocess
from pathlib import Path

from jmlp.errors import StoreError
from jmlp.study.rules import plain
from jmlp.system import diagnosis, processes


def default_folder(folder: Path, label: str, *, served: bool) -> Path:
    """Where a study's report is written, by default.

    Args:
        folder: of the store.
        label: of the study; what no folder can be named becomes a dash.
        served: the one who asks sits at another machine, who may write into the store only.

    Returns:
        An absolute path; the folder may be there or not.
    """
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", label).lstrip("._-")[:64] or "study"
    return (folder / "exports" if served else Path("reports")).absolute() / name


def write_report(folder: Path, label: str, output: Path) -> Path:
    """Writes the report of a stored study, as `jmlp report` does; takes seconds.

    Args:
        folder: of the store.
        label: of the study.
        output: the report's folder; a report of the same study that is there is replaced.

    Returns:
        The report's page, which a browser shows.

    Raises:
        StoreError: it could not be written.
    """
    command = ["-m", "jmlp", "report", "--quiet", "--store", str(folder)]
    done = processes.run(
        *command,
        *("--output", str(output), "--", label),
        stdout=subprocess.DEVNULL,  # the tables
    )
    if done.returncode:
        raise StoreError(_reason(label, done.returncode, done.stderr))
    return output / "report.html"


def _reason(label: str, code: int, printed: str) -> str:
    """What went wrong, in the command's own words where it has said it."""
    _, found, error = printed.partition(diagnosis.COMMAND_ERROR)
    if found:
        return error.strip()
    again = f"write it in a terminal to see more (jmlp report {plain(label)})"
    last = diagnosis.last_words(printed)
    words = f": {last}" if last else ""
    return f"the report's process {diagnosis.how_it_ended(code)}{words}; {again}"
