"""The progress of a training, in a notebook or on a terminal."""

import sys
from collections.abc import Callable, Iterable, Iterator
from html import escape
from shutil import get_terminal_size
from typing import Any

from jmlp.client.texts import estimate_text
from jmlp.training.records import Progress, epoch_text

WIDTH = 30  # characters of the bar on a terminal
ERASE_REST = "\033[K"  # of the line


def show_progress(records: Iterable[Progress]) -> Iterator[Progress]:
    """Shows the progress of a training while it is iterated over: `show_progress(run_study(...))`.

    In a notebook it is a bar below the cell; on a terminal a line on stderr; elsewhere, as in a
    script whose output goes to a file, nothing is shown.

    Args:
        records: as returned by `jmlp.run_study`.

    Yields:
        The same records.
    """
    show, end = _display()
    try:
        for progress in records:
            show(progress)
            yield progress
    finally:
        end()


def text_of(progress: Progress) -> str:
    """`3 of 12 runs done, epoch 7, about 2 min left`."""
    parts = [f"{progress.runs_done:,} of {progress.n_runs:,} runs done"]
    if progress.phase == "training":
        parts.append(f"epoch {epoch_text(progress.epoch)}")
    elif progress.runs_done < progress.n_runs:
        parts.append(progress.phase)
    if progress.remaining is not None and progress.runs_done < progress.n_runs:
        parts.append(f"{estimate_text(progress.remaining)} left")
    return ", ".join(parts)


def share_of(progress: Progress) -> float:
    """The share of the work that is done, 0 to 1; that of the runs before it is known."""
    if progress.share is not None:
        return progress.share
    return progress.runs_done / max(1, progress.n_runs)


def html_of(progress: Progress) -> str:
    """A bar, and the text beside it."""
    return (
        f'<progress value="{share_of(progress):.4f}" max="1"></progress> '
        f"{escape(text_of(progress))}"
    )


def _display() -> tuple[Callable[[Progress], object], Callable[[], object]]:
    """What shows a record here, and what is called at the end."""
    if _is_notebook():
        return _in_notebook()
    if sys.stderr.isatty():
        return _on_terminal, lambda: print(file=sys.stderr)
    return (lambda progress: None), (lambda: None)


def _is_notebook() -> bool:
    """Whether this process is the kernel of a notebook; IPython is not imported to find out."""
    ipython: Any = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and getattr(shell, "kernel", None) is not None


def _in_notebook() -> tuple[Callable[[Progress], object], Callable[[], object]]:
    from IPython import display as ipython

    display: Any = ipython.display
    handle: Any = None
    last = ""

    def show(progress: Progress) -> None:
        nonlocal handle, last
        html = html_of(progress)
        if html == last:
            return
        last, content = html, {"text/html": html, "text/plain": text_of(progress)}
        if handle is None:
            handle = display(content, raw=True, display_id=True)
        else:
            handle.update(content, raw=True)

    return show, lambda: None


def _on_terminal(progress: Progress) -> None:
    done = round(WIDTH * share_of(progress))
    line = f"[{'#' * done}{'-' * (WIDTH - done)}] {text_of(progress)}"
    line = line[: get_terminal_size().columns - 1]  # a line that wraps cannot be drawn over
    print(f"\r{line}{ERASE_REST}", end="", file=sys.stderr, flush=True)
