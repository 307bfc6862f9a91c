"""Commands that take long to start, run by a process of their own: reports and exports."""

import re
from collections.abc import Sequence
from pathlib import Path

from jmlp.system import helper_client


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
        JmlpError: it could not be written.
    """
    _run("report", f"--store={folder}", f"--output={output}", "--", label)
    return output / "report.html"


def export(
    folder: Path, run_ids: Sequence[str], as_: str, target: Path, *, replace: bool = False
) -> str:
    """Writes runs for other programs, as `jmlp export` does; returns what it says.

    Args:
        folder: of the store.
        run_ids: of the runs.
        as_: the format.
        target: the file or folder.
        replace: whether what is there may be replaced.

    Raises:
        JmlpError: they could not be written.
    """
    options = [f"--as={as_}", f"--output={target}", f"--store={folder}"]
    return "\n".join(_run("export", *run_ids, *options, *(["--force"] if replace else [])))


def _run(*arguments: str) -> list[str]:
    """Runs a command of jmlp, and returns what it says.

    Raises:
        JmlpError: what it reported, or how it ended.
    """
    request = {"arguments": arguments}
    what = f"the process of jmlp {arguments[0]}"
    return [answer["say"] for answer in helper_client.ask("jmlp.cli.helper", request, what)]
