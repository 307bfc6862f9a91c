"""What the store takes and gives: frozen records, and how their parts are kept in the database."""

import hashlib
import json
import re
import struct
import time
import tomllib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jmlp.errors import ConfigError
from jmlp.results.serialization import UnreadableError, checked, member
from jmlp.store.states import RunState, StudyState
from jmlp.study.config import Hyperparams, Study
from jmlp.study.rules import FRACTION, Refused, check, plain
from jmlp.training.records import CostPoint, Progress, RunResult

if TYPE_CHECKING:
    from jmlp.training.plan import Run

# The columns of which a row holds a digest: of studies, and of runs that ended.
STUDY_DIGESTED = ("label", "name", "toml", "data", "command", "hardware", "submitted_at")
DIGESTED = (
    *("run_id", "hyperparams", "seed", "split_seed", "data", "validation_fraction"),
    *("state", "attempt", "ended_at", "record"),
)

# The members of JSON objects in records.
_DATA = {"name": str, "source": str, "digests": dict[str, str]}
_MORE_DATA = {"path": str | None, "image_shape": tuple[int, ...], "n_classes": int}
_HARDWARE = {"device": str, "cores": int | None}
_MORE_HARDWARE = {"checkpoint_seconds": float | None}

_YEAR_10000 = 253_402_300_800_000  # milliseconds of UTC, which no date can hold
_ID = re.compile(r"[0-9a-f]{64}")
_COSTS = struct.Struct("<5d")  # bytes keep every bit, NaNs included
_CHECKSUM = struct.Struct("<I")


@dataclass(frozen=True)
class Submission:
    """A study to be trained. `fresh`: what is stored of its runs does not count."""

    label: str  # its name in the store
    name: str  # the study's own
    toml: str  # the whole study; its runs share `validation_fraction` there
    data: Mapping[str, Any]  # name, source, and digests by array
    command: str  # what was typed
    hardware: Mapping[str, Any]  # device, cores
    runs: "Sequence[Run]"  # in the plan's order
    fresh: bool = False


@dataclass(frozen=True)
class StudyRow:
    """A study that was submitted."""

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
    progress: Progress  # as its worker last told it


@dataclass(frozen=True)
class RunRow:
    """A run, whatever became of it."""

    number: int  # in order of submission
    run_id: str
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    state: RunState
    epoch: int | None  # of the last cost point
    step: int | None
    attempt: int  # from 1; trained afresh it is one more
    failure: str | None
    code: int | None  # the exit code that goes with the failure
    ended_at: int | None  # UTC, milliseconds
    result: RunResult | None  # without cost points and parameters
    tags: tuple[str, ...] = field(default=())
    studies: tuple[str, ...] = field(default=())  # labels


@dataclass(frozen=True)
class Event:
    """Something that happened, in the order of ids."""

    id: int
    at: int  # UTC, milliseconds
    study: str | None
    run_id: str | None
    kind: str
    step: int | None
    detail: str


def data_from(table: Mapping[str, Any]) -> dict[str, Any]:
    """What the member "data" of a JSON object says of a study's data.

    Raises:
        UnreadableError: it is missing, or not what `jmlp study` submits.
    """
    return checked(member(table, "data", dict[str, Any]), _DATA, _MORE_DATA)


def hardware_from(table: Mapping[str, Any]) -> dict[str, Any]:
    """What the member "hardware" says that a worker is to use.

    Raises:
        UnreadableError: it is missing, or not what `jmlp study` submits.
    """
    return checked(member(table, "hardware", dict[str, Any]), _HARDWARE, _MORE_HARDWARE)


def validation_fraction(toml: str) -> float:
    """The fraction that a study's file says, or leaves at its default."""
    return float(tomllib.loads(toml).get("validation_fraction", Study.validation_fraction))


def check_toml(toml: str) -> None:
    """Whether a study's text has what the store itself needs of it.

    Raises:
        UnreadableError: it has not.
    """
    try:
        fraction = tomllib.loads(toml).get("validation_fraction", Study.validation_fraction)
    except (RecursionError, ValueError) as error:
        raise UnreadableError(f'"toml" is no study: {error}') from error
    check_fraction(fraction)


def check_fraction(fraction: Any) -> None:
    """Whether data can be split by this fraction.

    Raises:
        UnreadableError: they cannot.
    """
    try:
        FRACTION.read(fraction)
    except Refused as refused:
        wanted = FRACTION.wanted
        raise UnreadableError(f"validation_fraction must be {wanted}, got {refused}") from refused


def check_hyperparams(hp: Hyperparams) -> None:
    """Whether a network can be trained with these.

    Raises:
        UnreadableError: it cannot.
    """
    try:
        check(hp)
    except ConfigError as error:
        raise UnreadableError(f"hyperparams: {error}") from error


def check_time(at: int | None) -> None:
    """Whether a time can be shown; None is one that is not known.

    Raises:
        UnreadableError: it cannot.
    """
    if at is not None and not 0 <= at < _YEAR_10000:
        raise UnreadableError(f"it is of the time {at}")


def now() -> int:
    """UTC in milliseconds: a time for people, never to compute with."""
    return time.time_ns() // 1_000_000


def to_json(value: Any) -> str:
    """Text for the database; equal values have equal texts."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def row_digest(*values: Any) -> str:
    """What shows that no bit of a row has changed since it was written.

    Args:
        values: the columns of `DIGESTED` or `STUDY_DIGESTED`, as the database has them.
    """
    # Unlike `to_json` for any number, as a damaged row may hold one that is not finite.
    return hashlib.sha256(json.dumps(values, separators=(",", ":")).encode()).hexdigest()


def check_id(run_id: str) -> None:
    """Whether a text can be a run's id; a file is named by it.

    Raises:
        UnreadableError: it cannot.
    """
    if not _ID.fullmatch(run_id):
        raise UnreadableError(f"{plain(run_id)} is no run's id")


def with_checksum(epoch: int, step: int, has_batch_cost: int, costs: bytes) -> bytes:
    """The costs of a point with four bytes that show whether any value of it has changed."""
    place = f"{epoch} {step} {has_batch_cost} ".encode()
    return costs + _CHECKSUM.pack(zlib.crc32(place + costs))


def point_values(point: CostPoint) -> tuple[int, int, int, bytes]:
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


def point_from(epoch: int, step: int, has_batch_cost: int, costs: bytes) -> CostPoint:
    """The point that `point_values` took apart.

    Raises:
        UnreadableError: a value is not the one that was written.
    """
    plain = costs[: _COSTS.size]
    if costs != with_checksum(epoch, step, has_batch_cost, plain) or len(plain) < _COSTS.size:
        raise UnreadableError(f"the cost point of epoch {epoch} is not the one that was written")
    batch_cost, *others = _COSTS.unpack(plain)
    return CostPoint(epoch, step, batch_cost if has_batch_cost else None, *others)


def end_of(result: RunResult) -> tuple[str, int | None]:
    """The kind of event with which a run ended, and the update."""
    if result.status == "diverged":
        return "diverged", result.diverged_at
    step = result.costs[-1].step if result.costs else None
    return ("finished" if result.reached_limit else "stopped early"), step
