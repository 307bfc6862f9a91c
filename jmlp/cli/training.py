"""What the commands that train share: a study is queued, trained, and has ended or not."""

import shlex
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.cli.output import Output

if TYPE_CHECKING:
    from jmlp.client.submitting import Submitted
    from jmlp.data import Dataset
    from jmlp.training.plan import Plan


def queue(
    folder: Path,
    label: str,
    plan: "Plan",
    dataset: "Dataset",
    request: Mapping[str, Any],
    out: Output,
    *,
    fresh: bool,
    named: bool = False,
) -> "Submitted":
    """Puts a study into the queue, and prints the urgent notes on its plan; see `submit`."""
    from jmlp.client.plans import plan_notes
    from jmlp.client.submitting import submit

    submitted = submit(
        folder,
        label,
        plan,
        dataset,
        request,
        out.say,
        command=command_line(),
        fresh=fresh,
        named=named,
    )
    for note in plan_notes(plan, urgent=True):
        out.say(f"note: {note}")
    return submitted


def train(submitted: "Submitted", out: Output) -> int | None:
    """Trains a queued study, and prints how to resume it if it is not over then.

    Returns:
        The exit code if the study is not over; else None.

    Raises:
        JmlpError: the worker could not start.
    """
    from jmlp.cli import session

    stopped = session.train(submitted.folder, submitted.label, out)
    results, state = submitted.results(), submitted.row().state
    if stopped is not None or state not in ("done", "failed"):
        out.say(how_to_resume(submitted, state, len(results)))
        return 128 + (stopped or signal.SIGTERM)
    if n_diverged := sum(run.status == "diverged" for run in results):
        out.say(f"warning: {n_diverged} of {len(results)} runs diverged")
    return None


def command_line() -> str:
    """The command line of this process, as the store and reports record it."""
    return shlex.join(["jmlp", *sys.argv[1:]])


def how_to_resume(submitted: "Submitted", state: str, n_done: int) -> str:
    """The message of a command that ends before the study, which another worker may be training."""
    label = submitted.label
    done = f"{n_done} of {submitted.n_runs()} runs of {label} are done"
    if state in ("done", "failed"):
        return f"{done}: jmlp report {label} shows them"
    worker = submitted.worker()
    if worker is None:
        how = state if state in ("stopped", "interrupted") else "interrupted"
        return f"{how}: {done}; jmlp resume {label}, or the same command, continues"
    if worker.study == label:
        return f"left: {done}; it is {state}: jmlp attach {label} shows it"
    return f"left: {done}; it is {state} behind {worker.study}: jmlp resume {label} trains it"
