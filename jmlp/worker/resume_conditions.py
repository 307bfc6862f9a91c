"""What has to match for a study to be resumed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jmlp.data.dataset import Dataset, changed_arrays
from jmlp.errors import DataError
from jmlp.training.records import NUMERICS, Provenance

# The packages that affect a run's bits; a run's id does not contain their versions.
PACKAGES = ("jax", "jaxlib", "numpy")


@dataclass(frozen=True)
class Conditions:
    """What has to match for a resumed run to give the same bits as an undisturbed one."""

    attempts: Mapping[str, int]  # by run id: --fresh begins another attempt
    can_drop: Mapping[str, bool]  # by run id: whether the program can drop units
    digests: Mapping[str, str]  # of the data
    now: Provenance  # the same for all runs, except for width and program, which are the cohort's

    def __call__(self, run_ids: Sequence[str], width: int) -> dict[str, Any]:
        """The conditions of the cohort that consists of these runs."""
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
    """Checks that the data are those with which a study was begun.

    Raises:
        DataError: they are not; the message names the arrays that differ.
    """
    changed = changed_arrays(wanted, dataset.digests)
    if changed:
        raise DataError(
            f"{label}: the data have changed since it began ({', '.join(changed)} of "
            f"{dataset.source} have another SHA-256); put the old ones back, or train all of it "
            "again on the new ones (jmlp study … --fresh)"
        )
