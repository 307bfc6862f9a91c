"""What has to be the same for a study to be resumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmlp.data.dataset import Dataset, changed_arrays
from jmlp.errors import DataError
from jmlp.training.records import NUMERICS, Provenance

# What decides bits beside what a run's id holds.
PACKAGES = ("jax", "jaxlib", "numpy")


@dataclass(frozen=True)
class Conditions:
    """What has to be the same for a checkpoint to lead to the bits of an undisturbed run."""

    attempts: Mapping[str, int]  # by run id: --fresh begins another one
    can_drop: Mapping[str, bool]  # by run id: whether the program can drop units
    digests: Mapping[str, str]  # of the data
    now: Provenance  # of any run; width and program are the cohort's

    def __call__(self, run_ids: Sequence[str], width: int) -> dict[str, Any]:
        """Of the cohort of these runs."""
        return {
            "numerics": NUMERICS,
            "attempts": {run_id: self.attempts[run_id] for run_id in run_ids},
            "width": width,
            "can_drop": self.can_drop[run_ids[0]],
            "data": dict(self.digests),
            "device": self.now.device,
            "flags": self.now.flags,
            **{package: self.now.versions[package] for package in PACKAGES},
            "settings": dict(self.now.settings or {}),
            "source": self.now.source,
        }


def check_digests(label: str, wanted: Mapping[str, str], dataset: Dataset) -> None:
    """Refuses data that are not those that a study was begun with.

    Raises:
        DataError: with the arrays that differ.
    """
    odd = changed_arrays(wanted, dataset.digests)
    if odd:
        raise DataError(
            f"{label}: the data have changed since it began ({', '.join(odd)} of {dataset.source} "
            "have another SHA-256); put the old ones back, or train all of it anew on the new ones "
            "(jmlp study … --fresh)"
        )
