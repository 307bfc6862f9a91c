"""The runs of a plan that ended: taken up from a report's folder, and kept there as they end."""

import json
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp import plan as planning
from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.training import watch
from jmlp.errors import StoreError
from jmlp.places import write_atomically
from jmlp.plan import Plan
from jmlp.report import check_output, read_results
from jmlp.report.files import results_head, results_json
from jmlp.results import RunResult
from jmlp.study_file import to_toml

if TYPE_CHECKING:
    import jax

    from jmlp.data import Dataset
    from jmlp.tables import ExperimentTable

SAVE_SECONDS = 10.0  # runs that end are written at most this often while others train
RESULTS = "results.json"


class Keeper:
    """Every run of a plan that ended, in memory and in `results.json`."""

    def __init__(
        self, folder: Path | None, plan: Plan, dataset: "Dataset", *, fresh: bool = False
    ) -> None:
        """Takes up what is stored in `folder` (None: nothing is kept on disk).

        Raises:
            StoreError: the folder cannot be read or written, or holds something else.
        """
        self.folder, self.plan, self.dataset = folder, plan, dataset
        self.ended: dict[str, RunResult] = {}
        self.saved = time.monotonic()
        if folder is None:
            return
        stored = folder / RESULTS
        if stored.exists() and not fresh:
            self._take_up(read_results(stored)[1])
            fresh = True
        check_output(folder, force=fresh)

    @property
    def results(self) -> list[RunResult]:
        """The runs that ended, in the plan's order."""
        return [self.ended[r.run_id] for r in self.plan.runs if r.run_id in self.ended]

    @property
    def n_diverged(self) -> int:
        """Runs whose numbers ceased to be finite: a result, and something to be told."""
        return sum(run.status == "diverged" for run in self.results)

    def train(self, hardware: Hardware, out: Output) -> int | None:
        """Trains what is not there yet; returns the signal that stopped it, if one did."""
        to_do = planning.without(self.plan, self.ended)
        if self.ended:
            out.say(
                f"{len(self.ended)} of {len(self.plan.runs)} runs are in {self.folder} already "
                "(--fresh trains them again)"
            )
        if not to_do.groups:
            return None
        devices = hardware.start()
        from jmlp import engine

        out.say(_announcement(to_do, devices))
        try:
            stopped = watch(engine.run(to_do, self.dataset, devices), to_do, out, self._keep)
        finally:  # whatever ends the training, what is finished is kept
            self.save()
        if self.n_diverged:
            out.say(f"warning: {self.n_diverged} of {len(self.results)} runs diverged")
        return stopped

    def save(self) -> None:
        """Writes `results.json`.

        Raises:
            StoreError: it cannot be written.
        """
        if self.folder is not None:
            write_atomically(self.folder / RESULTS, self._text().encode())
        self.saved = time.monotonic()

    def document(self) -> Any:
        """What `results.json` holds, as JSON values."""
        return json.loads(self._text())

    def report(self, tables: "Sequence[ExperimentTable]") -> None:
        """Writes the whole folder; the results are in it first.

        Raises:
            StoreError: a file cannot be written.
        """
        from jmlp.report import write_report

        assert self.folder is not None
        write_report(
            self.folder,
            self.plan.study,
            self.results,
            tables,
            facts=self.plan.facts,
            source=self.dataset.source,
            study_toml=to_toml(self.plan.study),
            command=_command(),
            force=True,  # whose files may be replaced was settled before training
        )

    def _text(self) -> str:
        study, facts = self.plan.study, self.plan.facts
        now = datetime.now(UTC)
        head = results_head(study, self.dataset.source, facts.digests, _command(), now)
        return results_json(head, self.results)

    def _keep(self, ended: Sequence[RunResult]) -> None:
        self.ended.update({run.run_id: run for run in ended})
        if time.monotonic() - self.saved > SAVE_SECONDS:
            self.save()

    def _take_up(self, stored: Sequence[RunResult]) -> None:
        """Runs that are there already; those of another study are never replaced unasked."""
        wanted = {run.run_id: run for run in self.plan.runs}
        foreign = sum(run.run_id not in wanted for run in stored)
        if foreign:
            raise StoreError(
                f"{self.folder}: holds runs that are not part of this study as it is now "
                f"({foreign} with other settings, seeds or data); give another folder "
                "(--output DIR), or replace all (--fresh)"
            )
        for run in stored:
            experiments = wanted[run.run_id].experiments
            self.ended[run.run_id] = replace(run, experiments=experiments)


def _command() -> str:
    return shlex.join(["jmlp", *sys.argv[1:]])


def _announcement(plan: Plan, devices: "Sequence[jax.Device]") -> str:
    from jmlp.environment import device_name

    runs, groups = len(plan.runs), len(plan.groups)
    return (
        f"training {runs} run{'s' if runs > 1 else ''} in {groups} "
        f"group{'s' if groups > 1 else ''} on "
        f"{len(devices)} x {device_name(devices[0])}"
    )
