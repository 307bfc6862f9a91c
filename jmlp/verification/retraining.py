"""Retrains stored runs at their original width, and compares each as it ends."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from jmlp import data as datasets
from jmlp.data.dataset import Dataset, changed_arrays
from jmlp.errors import DataError
from jmlp.results.serialization import progress_table
from jmlp.store import run_files
from jmlp.study.config import STATIC_FIELDS, Study
from jmlp.system.environment import Device
from jmlp.system.helper_server import Send
from jmlp.training import engine
from jmlp.training.plan import Cohort, Group, Plan, Run, data_facts
from jmlp.training.records import RunResult
from jmlp.verification.comparison import as_stored, compare


@dataclass(frozen=True)
class Part:
    """Runs on the same data, split by the same fraction: one plan."""

    dataset: Dataset
    validation_fraction: float
    results: Sequence[RunResult]  # as stored, without parameters

    def plan(self, groups: Sequence[Group]) -> Plan:
        """A plan of the given groups on this data."""
        study = Study(
            "jmlp verify",
            (),
            data=self.dataset.name,
            validation_fraction=self.validation_fraction,
        )
        return Plan(study, data_facts(self.dataset), tuple(groups))


class Retraining:
    """Retrains stored runs and reports how each compares."""

    def __init__(
        self,
        folder: Path,
        device: Device,
        cores: int | None,
        send: Send,
        *,
        alone: bool = False,
    ) -> None:
        """Prepare the retraining; nothing is trained yet.

        Args:
            folder: the store.
            device: the kind of device to train on.
            cores: CPU cores; None for the default.
            send: called with each message of `jmlp.verification.helper`.
            alone: whether nothing else in this process uses JAX.

        Raises:
            DeviceError: there is no such device.
        """
        self.folder, self.send, self.alone = folder, send, alone
        self.devices = engine.take_devices(device, cores)

    def run(self, run_ids: Sequence[str]) -> None:
        """Retrains these runs, and reports a verdict on each.

        Raises:
            CheckpointError: the file of a run is damaged.
            ConfigError: the runs do not fit into memory.
            DataError: the data cannot be loaded, or is not that of the runs.
            DeviceError: a device ran out of memory.
        """
        for part in self._parts(run_ids):
            plan = part.plan(make_groups(part.results))
            for progress in engine.Training(plan, part.dataset, self.devices, alone=self.alone):
                for result in progress.results:
                    stored = run_files.read(run_files.path_of(self.folder, result.run_id))
                    self.send({"verdict": asdict(compare(stored, as_stored(result)))})
                self.send({"progress": progress_table(progress, points=True)})

    def _parts(self, run_ids: Sequence[str]) -> list[Part]:
        """Groups the runs by their data, which is checked before anything is trained."""
        results: dict[tuple[str, str, float], list[RunResult]] = defaultdict(list)
        data_of: dict[str, Mapping[str, Any]] = {}
        for run_id in run_ids:
            # Arrays are read again for the comparison, since all of them may not fit into memory.
            stored = run_files.read(run_files.path_of(self.folder, run_id))
            data, fraction = stored.about["data"], stored.about["validation_fraction"]
            named = {key: data.get(key) for key in ("name", "path", "table")}
            source = json.dumps(named, sort_keys=True)
            data_of[source] = named
            digests = json.dumps(data["digests"], sort_keys=True)
            results[source, digests, fraction].append(stored.result)
        loaded: dict[str, Dataset] = {}
        parts = []
        for (source, digests, fraction), members in results.items():
            if source not in loaded:
                loaded[source] = datasets.load_stored(
                    data_of[source], lambda text: self.send({"say": text})
                )
            check_digests(json.loads(digests), loaded[source])
            parts.append(Part(loaded[source], fraction, members))
        return parts


def make_groups(results: Sequence[RunResult]) -> list[Group]:
    """Groups with the runs' original programs, as full as possible; bits do not depend on that."""
    cohorts: dict[tuple[Any, ...], list[RunResult]] = defaultdict(list)
    for result in results:
        static = tuple(getattr(result.hyperparams, name) for name in STATIC_FIELDS)
        program = static, result.provenance.width, result.provenance.can_drop
        cohorts[program, result.seed, result.split_seed].append(result)
    groups: dict[tuple[Any, int, bool], list[Cohort]] = defaultdict(list)
    for ((static, width, can_drop), seed, split_seed), members in cohorts.items():
        for part in batched(members, width):
            runs = [Run(r.run_id, r.hyperparams, r.seed, r.split_seed, r.experiments) for r in part]
            groups[static, width, can_drop].append(Cohort(seed, split_seed, tuple(runs)))
    return [
        Group(width, tuple(members), can_drop) for (_, width, can_drop), members in groups.items()
    ]


def batched(results: Sequence[RunResult], max_runs: int) -> Iterator[Sequence[RunResult]]:
    """Splits `results` into parts of at most `max_runs`."""
    for first in range(0, len(results), max_runs):
        yield results[first : first + max_runs]


def check_digests(expected: Mapping[str, str], dataset: Dataset) -> None:
    """Refuses data other than that of the runs.

    Raises:
        DataError: with the names of the arrays that differ.
    """
    changed = changed_arrays(expected, dataset.digests)
    if changed:
        raise DataError(
            f"{dataset.source}: the data have changed since the runs were trained: the SHA-256 of "
            f"{', '.join(changed)} differs; restore the old data, and verify again"
        )
