"""Runs commands that are slow to start, reports and exports, in processes of their own."""

import os
import re
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from jmlp.results.drawing import Drawing
from jmlp.results.serialization import strict
from jmlp.system import helper_client

FOLDER = "exports"  # in the store's folder, for those who can write nowhere else


def default_folder(folder: Path, label: str, *, served: bool) -> Path:
    """The folder in which a study's report is written by default.

    Args:
        folder: the store's folder.
        label: the study's label; characters unsuitable for a folder's name become dashes.
        served: the user is in a browser on another machine, and may write into the store only.

    Returns:
        An absolute path; the folder need not exist.
    """
    name = file_name(label) or "study"
    return (folder / FOLDER if served else Path("reports")).absolute() / name


def file_name(text: str) -> str:
    """A name for a file or folder, from any text; empty if none of its characters is suitable."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).lstrip("._-")[:64]


def unused(path: Path) -> Path:
    """The path, or with a number if it exists: `runs.json`, `runs-2.json`."""
    found, n = path, 1
    while os.path.lexists(found):
        n += 1
        found = path.with_name(f"{path.stem}-{n}{path.suffix}")
    return found


def write_report(folder: Path, label: str, output: Path) -> Path:
    """Writes the report of a stored study, as `jmlp report` does; takes seconds.

    Args:
        folder: the store's folder.
        label: the study's label.
        output: the report's folder; an existing report of the same study is replaced.

    Returns:
        The path of the report's HTML page.

    Raises:
        JmlpError: it could not be written.
    """
    _run("report", f"--store={folder}", f"--output={output}", "--", label)
    return output / "report.html"


def export(
    folder: Path, run_ids: Sequence[str], as_: str, target: Path, *, replace: bool = False
) -> str:
    """Writes runs for other programs, as `jmlp export` does; returns its output.

    Args:
        folder: the store's folder.
        run_ids: the ids of the runs.
        as_: the format.
        target: the file or folder.
        replace: whether an existing target may be replaced.

    Raises:
        JmlpError: they could not be written.
    """
    options = [f"--as={as_}", f"--output={target}", f"--store={folder}"]
    return "\n".join(_run("export", *run_ids, *options, *(["--force"] if replace else [])))


def replay(folder: Path, name: str, target: Path, *, replace: bool = False) -> str:
    """Writes the page that plays a run or a study, as `jmlp replay` does; takes seconds to minutes.

    Args:
        folder: the store's folder.
        name: the id of a run, or the label of a study.
        target: the HTML file.
        replace: whether an existing file may be replaced.

    Returns:
        The last line that the command printed, with the size of the file.

    Raises:
        JmlpError: it could not be written.
    """
    force = ["--force"] if replace else []
    return _run("replay", f"--store={folder}", f"--output={target}", *force, "--", name)[-1]


def draw(drawing: Drawing, target: Path, *, replace: bool = False) -> None:
    """Writes a picture of curves; takes seconds.

    Args:
        drawing: what to draw.
        target: the file, an `.svg` or a `.png`.
        replace: whether an existing file may be replaced.

    Raises:
        JmlpError: it could not be written.
    """
    request = {"drawing": strict(asdict(drawing)), "target": str(target), "replace": replace}
    list(helper_client.ask("jmlp.cli.helper", request, "the process that draws"))


def _run(*arguments: str) -> list[str]:
    """Runs a command of jmlp and returns its lines of output.

    Raises:
        JmlpError: it failed; the message is what it reported, or how it ended.
    """
    request = {"arguments": arguments}
    what = f"the process of jmlp {arguments[0]}"
    return [answer["say"] for answer in helper_client.ask("jmlp.cli.helper", request, what)]
