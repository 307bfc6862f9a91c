"""The records that the store accepts and returns, and how the database stores their parts."""

import hashlib
import json
import re
import struct
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jmlp.errors import ConfigError
from jmlp.results.serialization import UnreadableError, checked, member
from jmlp.store.states import RunState, StudyState
from jmlp.study.config import Hyperparams, Study, check
from jmlp.study.rules import FRACTION, Refused, plain, with_kind
from jmlp.training.records import CostPoint, Progress, RunResult

if TYPE_CHECKING:
    from jmlp.training.plan import Run

# The columns covered by a row's digest: of studies, and of completed runs.
STUDY_DIGESTED = ("label", "name", "toml", "data", "command", "hardware", "submitted_at")
DIGESTED = (
    *("run_id", "hyperparams", "seed", "split_seed", "data", "validation_fraction"),
    *("state", "attempt", "ended_at", "record"),
)

# The members of JSON objects in records.
_DATA = {"name": str, "source": str, "digests": dict[str, str]}
_MORE_DATA = {
    "path": str | None,
    "image_shape": tuple[int, ...],
    "n_classes": int,
    "table": dict[str, Any],
}
_HARDWARE = {"device": str, "cores": int | None}
_MORE_HARDWARE = {"checkpoint_seconds": float | None}

_YEAR_10000 = 253_402_300_800_000  # UTC, milliseconds; `datetime` ends before it
_ID = re.compile(r"[0-9a-f]{64}")
_COSTS = struct.Struct("<5d")  # preserves every bit, including NaNs
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class Submission:
    """A study to be trained."""

    label: str  # its name in the store
    name: str  # its name in the study file
    toml: str  # the whole study; all its runs use the `validation_fraction` in it
    data: Mapping[str, Any]  # name, source, and digests by array
    command: str  # the command line that submitted it
    hardware: Mapping[str, Any]  # device, cores
    runs: "Sequence[Run]"  # in the plan's order
    fresh: bool = False  # train its runs again, whatever the store has of them


@dataclass(frozen=True)
class StudyRow:
    """A submitted study."""

    id: int
    label: str
    name: str
    toml: str
    data: Mapping[str, Any]
    command: str
    hardware: Mapping[str, Any]
    state: StudyState
    code: int | None  # the exit code that it ended with
    failure: str | None  # why it failed
    submitted_at: int  # UTC, milliseconds
    progress: Progress  # as last reported by its worker

    def submission(self, runs: "Sequence[Run]") -> Submission:
        """The same study, to be submitted again with these runs."""
        return Submission(
            label=self.label,
            name=self.name,
            toml=self.toml,
            data=self.data,
            command=self.command,
            hardware=self.hardware,
            runs=runs,
        )


@dataclass(frozen=True)
class RunRow:
    """A run in any state."""

    number: int  # in order of submission
    run_id: str
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    state: RunState
    epoch: float | None  # of the last cost point
    step: int | None
    attempt: int  # from 1; one more each time it is trained afresh
    failure: str | None
    code: int | None  # the exit code of the failure
    ended_at: int | None  # UTC, milliseconds
    result: RunResult | None  # without cost points and parameters
    tags: tuple[str, ...] = field(default=())
    studies: tuple[str, ...] = field(default=())  # labels


@dataclass(frozen=True)
class Event:
    """Something that happened to a study or a run; ids increase in time."""

    id: int
    at: int  # UTC, milliseconds
    study: str | None
    run_id: str | None
    kind: str
    step: int | None
    detail: str


def data_from(table: Mapping[str, Any]) -> dict[str, Any]:
    """The member "data" of a JSON object, which describes a study's data.

    Raises:
        UnreadableError: it is missing, or not of the form that `jmlp study` submits.
    """
    return checked(member(table, "data", dict[str, Any]), _DATA, _MORE_DATA)


def hardware_from(table: Mapping[str, Any]) -> dict[str, Any]:
    """The member "hardware" of a JSON object, which says what a worker is to use.

    Raises:
        UnreadableError: it is missing, or not of the form that `jmlp study` submits.
    """
    return checked(member(table, "hardware", dict[str, Any]), _HARDWARE, _MORE_HARDWARE)


def validation_fraction(toml: str) -> float:
    """The validation fraction in a study's text, or the default."""
    return float(tomllib.loads(toml).get("validation_fraction", Study.validation_fraction))


def check_toml(toml: str) -> None:
    """Checks that a study's text contains what the store itself needs.

    Raises:
        UnreadableError: it does not.
    """
    try:
        fraction = tomllib.loads(toml).get("validation_fraction", Study.validation_fraction)
    except (RecursionError, ValueError) as error:
        raise UnreadableError(f'"toml" is not a study: {error}') from error
    check_fraction(fraction)


def check_fraction(fraction: Any) -> None:
    """Checks that data can be split by this fraction.

    Raises:
        UnreadableError: they cannot.
    """
    try:
        FRACTION.read(fraction)
    except Refused as refused:
        wanted = FRACTION.wanted
        raise UnreadableError(f"validation_fraction must be {wanted}, got {refused}") from refused


def check_hyperparams(hp: Hyperparams) -> None:
    """Checks that a network can be trained with these hyperparameters.

    Raises:
        UnreadableError: it cannot.
    """
    try:
        check(hp)
    except ConfigError as error:
        raise UnreadableError(f"hyperparams: {error}") from error


def check_time(at: int | None) -> None:
    """Checks that a time can be displayed; None is an unknown time.

    Raises:
        UnreadableError: it cannot.
    """
    if at is not None and not 0 <= at < _YEAR_10000:
        raise UnreadableError(f"its time is {at}")


def to_json(value: Any) -> str:
    """Canonical JSON for the database: equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def row_digest(*values: Any) -> str:
    """A digest that shows whether any bit of a row has changed since it was written.

    Args:
        values: the columns in `DIGESTED` or `STUDY_DIGESTED`, as the database stores them.
    """
    # Unlike `to_json`, it accepts non-finite numbers, which a damaged row may contain.
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def check_id(run_id: str) -> None:
    """Checks that a text can be a run's id, since files are named after it.

    Raises:
        UnreadableError: it cannot.
    """
    if not _ID.fullmatch(run_id):
        raise UnreadableError(f"{plain(run_id)} is not a run id")


def check_epoch(epoch: object) -> None:
    """Checks that an epoch is a number or missing, since its column takes values of any type.

    Raises:
        UnreadableError: it is not.
    """
    if epoch is not None and type(epoch) not in (int, float):
        raise UnreadableError(f"its epoch is {with_kind(epoch)}, not a number")


def with_checksum(epoch: float, step: int, has_batch_cost: int, costs: bytes) -> bytes:
    """The costs of a point, followed by a CRC over all its values, of four bytes."""
    place = f"{epoch} {step} {has_batch_cost} ".encode()
    return costs + _CHECKSUM.pack(zlib.crc32(place + costs))


def point_values(point: CostPoint) -> tuple[float, int, int, bytes]:
    """Epoch, step, whether there is a batch cost, and five little-endian float64 with a CRC."""
    has_batch_cost = point.batch_cost is not None
    costs = _COSTS.pack(
        point.batch_cost if point.batch_cost is not None else 0.0,
        point.training_cost,
        point.training_accuracy,
        point.validation_cost,
        point.validation_accuracy,
    )
    place = point.epoch, point.step, int(has_batch_cost)
    return *place, with_checksum(*place, costs)


def point_from(epoch: float, step: int, has_batch_cost: int, costs: bytes) -> CostPoint:
    """The point whose values `point_values` returned.

    Raises:
        UnreadableError: a value has changed since it was written.
    """
    check_epoch(epoch)
    plain = costs[: _COSTS.size]
    if costs != with_checksum(epoch, step, has_batch_cost, plain) or len(plain) < _COSTS.size:
        raise UnreadableError(f"the cost point of epoch {epoch} is not the one that was written")
    batch_cost, *others = _COSTS.unpack(plain)
    return CostPoint(epoch, step, batch_cost if has_batch_cost else None, *others)


def end_of(result: RunResult) -> tuple[str, int | None]:
    """The kind of event with which a run ended, and the update at which it ended."""
    if result.status == "diverged":
        return "diverged", result.diverged_at
    step = result.costs[-1].step if result.costs else None
    return ("finished" if result.reached_limit else "stopped early"), step
