"""Stored runs, trained again at the width that they had, each compared as it ends."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
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
from jmlp.training import engine
from jmlp.training.plan import Cohort, Group, Plan, Run, data_facts
from jmlp.training.records import RunResult
from jmlp.verification.comparison import as_stored, compare

Tell = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True)
class Part:
    """Runs on the same data, split by the same fraction: one plan."""

    dataset: Dataset
    validation_fraction: float
    results: Sequence[RunResult]  # as stored, without parameters

    def plan(self, groups: Sequence[Group]) -> Plan:
        """These groups on this data."""
        study = Study(
            "jmlp verify",
            (),
            data=self.dataset.name,
            validation_fraction=self.validation_fraction,
        )
        return Plan(study, data_facts(self.dataset), tuple(groups))


class Retraining:
    """Trains stored runs again and tells how each compares."""

    def __init__(
        self,
        folder: Path,
        device: Device,
        cores: int | None,
        tell: Tell,
        *,
        alone: bool = False,
    ) -> None:
        """Nothing is trained yet.

        Args:
            folder: of the store.
            device: what trains.
            cores: of the CPU; None: as many as usual.
            tell: takes each message of `jmlp.verification.helper`.
            alone: nothing else in this process uses JAX.

        Raises:
            DeviceError: there is no such device.
        """
        self.folder, self.tell, self.alone = folder, tell, alone
        self.devices = engine.take_devices(device, cores)

    def run(self, run_ids: Sequence[str]) -> None:
        """Trains these runs, and tells a verdict for each.

        Raises:
            CheckpointError: the file of a run is damaged.
            ConfigError: the runs do not fit into memory.
            DataError: the data cannot be had, or are not those that the runs were trained on.
            DeviceError: a device ran out of memory.
        """
        for part in self._parts(run_ids):
            plan = part.plan(make_groups(part.results))
            for progress in engine.Training(plan, part.dataset, self.devices, alone=self.alone):
                for result in progress.results:
                    stored = run_files.read(run_files.path_of(self.folder, result.run_id))
                    self.tell({"verdict": asdict(compare(stored, as_stored(result)))})
                self.tell({"progress": progress_table(progress, points=True)})

    def _parts(self, run_ids: Sequence[str]) -> list[Part]:
        """The runs by their data, which are checked before anything is trained."""
        results: dict[tuple[str, str, float], list[RunResult]] = defaultdict(list)
        for run_id in run_ids:
            # Arrays are read again when they are compared: all of them at once may be too many.
            stored = run_files.read(run_files.path_of(self.folder, run_id))
            data, fraction = stored.about["data"], stored.about["validation_fraction"]
            source = data.get("path") or data["name"]
            digests = json.dumps(data["digests"], sort_keys=True)
            results[source, digests, fraction].append(stored.result)
        loaded: dict[str, Dataset] = {}
        parts = []
        for (source, digests, fraction), members in results.items():
            if source not in loaded:
                loaded[source] = datasets.load(source, lambda text: self.tell({"say": text}))
            check_digests(json.loads(digests), loaded[source])
            parts.append(Part(loaded[source], fraction, members))
        return parts


def make_groups(results: Sequence[RunResult]) -> list[Group]:
    """Groups for the programs that these runs had, as full as can be: neighbours change no bits."""
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


def batched(results: Sequence[RunResult], most: int) -> Iterator[Sequence[RunResult]]:
    """Parts of at most so many."""
    for first in range(0, len(results), most):
        yield results[first : first + most]


def check_digests(wanted: Mapping[str, str], dataset: Dataset) -> None:
    """Refuses data that are not those that runs were trained on.

    Raises:
        DataError: with the arrays that differ.
    """
    odd = changed_arrays(wanted, dataset.digests)
    if odd:
        raise DataError(
            f"{dataset.source}: the data have changed since the runs were trained: "
            f"{', '.join(odd)} have another SHA-256; put the old ones back, and verify then"
        )
