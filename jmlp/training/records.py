"""Records of training: frozen dataclasses in plain Python and NumPy, without JAX."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from jmlp.errors import CheckFailed
from jmlp.study.config import Hyperparams
from jmlp.study.rules import EvaluateEvery

if TYPE_CHECKING:  # so that code that only reads results need not import NumPy
    from numpy.typing import NDArray

# The version of the numerics, part of every run's id. A golden test fails unless it is raised
# whenever numbers change.
NUMERICS = 2

UNKNOWN, USUAL = "unknown", "as usual"  # for settings absent from a record

# A run has collapsed if it predicts one class for the whole validation part: of at least
# `FEWEST_FOR_COLLAPSE` examples, at least `FEWEST_OF_OTHERS` of them of other classes. With fewer
# it may be chance, or correct.
FEWEST_FOR_COLLAPSE = 20
FEWEST_OF_OTHERS = 5

Status = Literal["finished", "diverged"]
Phase = Literal["starting", "compiling", "training", "finished"]
Ending = Literal["diverged", "stopped early", "limit"]


@dataclass(frozen=True)
class Evaluations:
    """When a run is evaluated: before the first update, and then at regular intervals.

    Evaluations are counted from 0, the one before the first update.
    """

    n_steps: int  # updates per epoch
    every: EvaluateEvery = "epoch"

    @property
    def interval(self) -> int:
        """Updates from one evaluation to the next."""
        return self.n_steps if self.every == "epoch" else self.every

    def last(self, epochs: int) -> int:
        """The last evaluation of a training of so many epochs.

        Updates after it, fewer than an interval, could not affect the result and are not made.
        """
        return epochs * self.n_steps // self.interval

    def epoch_of(self, update: int) -> float:
        """The epoch of an update, counted from 1; 0 before the first one.

        If evaluations are by epoch, it is the integer number of the epoch. Otherwise, it is the
        number of updates in epochs, a float.
        """
        if self.every == "epoch":
            return -(-update // self.n_steps)
        return update / self.n_steps

    def epoch(self, evaluation: int) -> float:
        """The epoch at an evaluation, in the form of `epoch_of`."""
        return self.epoch_of(evaluation * self.interval)


@dataclass(frozen=True)
class CostPoint:
    """One evaluation of one run. Costs are mean cross-entropy in nats; accuracies 0 to 1."""

    epoch: float  # in the form of `Evaluations.epoch_of`, as in the other records
    step: int  # updates made so far
    batch_cost: float | None  # mean of the optimised mini-batch costs since the last point
    training_cost: float  # on a fixed sample of the training part, by `predict`
    training_accuracy: float
    validation_cost: float
    validation_accuracy: float


@dataclass(frozen=True)
class Provenance:
    """The device, program and software a run was computed with; never part of its id."""

    device: str
    width: int  # lanes of the program, padding included
    flags: str  # XLA_FLAGS
    versions: Mapping[str, str]  # jmlp, jax, jaxlib, numpy, python
    can_drop: bool  # whether the program can drop units, because some lane of its group does
    # Other settings that can change bits, where they differ from the defaults of jmlp or JAX.
    settings: Mapping[str, str] | None = field(default=None, metadata={"added": True})
    # Digest of the numerical code (`jmlp.system.numerics`). Both are None in older records.
    source: str | None = field(default=None, metadata={"added": True})

    @property
    def program(self) -> str:
        """Which of the two possible programs of a group it was, as shown to users."""
        return "with dropout" if self.can_drop else "without dropout"

    def facts(self) -> dict[str, str]:
        """All entries by name, as shown to users."""
        return {
            "device": self.device,
            "lane width": str(self.width),
            "program": self.program,
            "XLA flags": self.flags or "none",
            "source": self.source or UNKNOWN,
            **{f"version of {package}": text for package, text in sorted(self.versions.items())},
            **(self.settings or {}),
        }


def made_with(where: Sequence[Provenance]) -> dict[str, list[str]]:
    """What several runs were computed with: for each name, one value per run.

    Args:
        where: the provenance of each run.
    """
    facts = [one.facts() for one in where]
    absent = [UNKNOWN if one.settings is None else USUAL for one in where]
    names = dict.fromkeys(name for one in facts for name in one)
    return {
        name: [
            one.get(name, UNKNOWN if name.startswith("version of ") else without)
            for one, without in zip(facts, absent, strict=True)
        ]
        for name in names
    }


def changes(old: Provenance, new: Provenance) -> dict[str, str]:
    """Differences between two provenances by name, such as `0.10.0, now 0.12.0`."""
    pairs = made_with([old, new])
    return {name: f"{was}, now {now}" for name, (was, now) in pairs.items() if was != now}


@dataclass(frozen=True, repr=False)
class Snapshot:
    """Parameters and batch-norm state at an evaluation."""

    epoch: float
    params: Any
    state: Any

    def __repr__(self) -> str:
        return f"Snapshot(epoch {epoch_text(self.epoch)})"


@dataclass(frozen=True, repr=False)
class RunResult:
    """The result of an ended run. A diverged run has no accuracies; `test_*` needs a test set."""

    run_id: str  # empty if `jmlp.fit` was given functions that no id can identify
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    experiments: tuple[str, ...]
    status: Status
    diverged_at: int | None  # the update that gave a non-finite number, from 1; 0: before the first
    collapsed: bool  # predicts one class for the whole validation part: see FEWEST_FOR_COLLAPSE
    best_epoch: float | None  # the epoch whose parameters are kept
    stopped_epoch: float  # the last one trained
    reached_limit: bool  # stopped by `epochs`, not by patience: see `reached_limit`
    training_accuracy: float | None  # on the whole training part, with the kept parameters
    validation_accuracy: float | None
    test_accuracy: float | None
    training_cost: float | None
    validation_cost: float | None
    test_cost: float | None
    costs: tuple[CostPoint, ...]
    provenance: Provenance
    params: Any  # the kept parameters, a pytree of NumPy arrays as `jmlp.predict` takes it
    state: Any  # the kept batch-norm state
    last: Snapshot | None  # at the end of training; None if the result was read without parameters
    snapshots: tuple[Snapshot, ...]  # at evaluations 0, 1, 2, 3, 5, 8 ..., as far as they fit
    # Wall-clock seconds in training until it stopped, not divided among the runs beside it; without
    # compiling and pauses. None if an earlier version trained it, wholly or in part.
    training_seconds: float | None = field(default=None, compare=False, metadata={"added": True})
    # What the network accepts and answers (a `data.contract.Contract`; importing that takes NumPy),
    # with the scale of its split, if it was trained on a table or by `jmlp.fit`; None: as the data.
    contract: Any = field(default=None, compare=False, metadata={"added": True})
    # The kept parameters as a `jmlp.Network`, if the library trained the run and it has not
    # diverged. Untyped, because a network is of a higher level than this record.
    network: Any = field(default=None, compare=False, metadata={"added": True})

    def __repr__(self) -> str:
        accuracies = [
            f"{part} accuracy {share:.2%}"
            for part in ("training", "validation", "test")
            if (share := getattr(self, f"{part}_accuracy")) is not None
        ]
        ended = f"{self.status} in epoch {epoch_text(self.stopped_epoch)}"
        collapsed = ["collapsed"] if self.collapsed else []
        facts = [f"seed {self.seed}", ended, *collapsed, *accuracies]
        return f"RunResult({self.run_id[:8] or 'without id'}, {', '.join(facts)})"

    def _repr_html_(self) -> str:
        """The same for a notebook: costs and accuracies of the kept network as a table."""
        from html import escape

        numbers = [
            (part, getattr(self, f"{part}_cost"), getattr(self, f"{part}_accuracy"))
            for part in ("training", "validation", "test")
        ]
        rows = "".join(
            f"<tr><th>{part}</th><td>{cost:.4f}</td><td>{accuracy:.2%}</td></tr>"
            for part, cost, accuracy in numbers
            if cost is not None and accuracy is not None
        )
        head = "<thead><tr><th></th><th>cost, nats</th><th>accuracy</th></tr></thead>"
        table = f"<table>{head}<tbody>{rows}</tbody></table>" if rows else ""
        return f"<p>{escape(repr(self))}</p>{table}"

    def predict(self, x: Any) -> Any:
        """The class of each example of `x`, by the kept parameters; see `Network.predict`."""
        return self._trained().predict(x)

    def score(self, x: Any, y: Any = None, what: Literal["accuracy", "cost"] = "accuracy") -> float:
        """The share of `x` that is classified as `y`, or the mean cost; see `Network.score`."""
        found: float = self._trained().score(x, y, what)
        return found

    def save(self, path: Any) -> None:
        """Writes the kept network to a file for `jmlp.load`; see `Network.save`."""
        self._trained().save(path)

    def _trained(self) -> Any:
        if self.network is not None:
            return self.network
        reason = "it diverged" if self.status == "diverged" else "it was not trained by the library"
        raise CheckFailed(f"run {self.run_id[:8] or 'without id'}: has no network: {reason}")


def reached_limit(patience: int | None, best: float, stopped: float, limit: float) -> bool:
    """Whether a run that did not diverge was stopped only by its limit.

    A run whose patience ran out at the limit would not have continued with a higher one.

    Args:
        patience: evaluations without a better one after which the run stops.
        best: its best evaluation.
        stopped: its last evaluation.
        limit: the last evaluation it may have.
    """
    out_of_patience = patience is not None and stopped - best >= patience
    return stopped == limit and not out_of_patience


def epoch_text(epoch: float | None) -> str:
    """An epoch as shown to users: `3`; `3.25` if evaluations are by updates; a dash for none."""
    if epoch is None:
        return "–"
    return str(epoch) if isinstance(epoch, int) else f"{epoch:.2f}"


@dataclass(frozen=True)
class CohortState:
    """A copy on the host of a cohort in training, between two chunks: all that resuming needs.

    It omits what is a function of the seed and the number of updates (batch order, dropout masks).
    """

    run_ids: tuple[str, ...]  # of the lanes in use, in their order
    width: int  # lanes, padding included
    evaluation: int  # the number of the next evaluation; if `step` is 0, of the last one
    step: int  # updates made in the interval before the next evaluation
    evaluations: Evaluations
    arrays: "Mapping[str, NDArray[Any]]"  # the training state by name, lanes as the first axis
    costs: tuple[tuple[CostPoint, ...], ...]  # by lane in use
    snapshots: tuple[tuple[Snapshot, ...], ...]  # by lane in use; params by name, state None
    # As `RunResult.training_seconds`, so far, by lane in use; None if an earlier version saved it.
    seconds: tuple[float, ...] | None = field(default=None, compare=False)

    @property
    def updates(self) -> int:
        """Updates made since the start of training."""
        done = self.evaluation - 1 if self.step else self.evaluation
        return done * self.evaluations.interval + self.step


@dataclass(frozen=True)
class Stop:
    """Why and when a run stopped training."""

    why: Ending
    epoch: float
    step: int  # the last update, or the one that gave a non-finite number; from 1


@dataclass(frozen=True, repr=False)
class Progress:
    """The progress of a training, and what is new since the previous record.

    Iterating over these records drives the training. As JSON, the store keeps the latest one of a
    study in training. Times are wall-clock times in UTC, in milliseconds, only to be shown.
    """

    phase: Phase = "starting"
    group: int = 0  # counted from 1
    n_groups: int = 0
    name: str = ""  # of the group
    runs_done: int = 0
    n_runs: int = 0
    epoch: float = 0  # the furthest epoch among the cohorts in training
    at: int | None = None  # when this record was made; None in records of earlier versions
    phase_began: int | None = None  # of `phase`, in the present group
    elapsed: float = 0.0  # seconds since the start
    remaining: float | None = None  # estimated seconds; None before there is an estimate
    # Of all work, 0 to 1: examples times lanes, as many as early stopping is expected to leave. It
    # never falls, and is 1 only when all runs have ended. None in records of earlier versions.
    share: float | None = None
    # Examples that went through an update, times the runs in training, per second of the last ten
    # seconds of training, evaluations included; None in its first second.
    examples_per_second: float | None = None
    # Runs that ended, by the time in training so far; None before the first one has ended.
    runs_per_minute: float | None = None
    # By run id: mean of the optimised mini-batch costs since the last evaluation, up to the chunk
    # before the one that is running. Empty in the first two chunks after an evaluation.
    batch_costs: Mapping[str, float] = field(default_factory=dict)
    # By run id: runs that have stopped but whose results must wait for the rest of their cohort.
    stops: Mapping[str, Stop] = field(default_factory=dict)
    points: Mapping[str, CostPoint] = field(default_factory=dict)  # by run id
    results: tuple[RunResult, ...] = ()  # of ended runs; never part of the JSON

    def __repr__(self) -> str:
        return (
            f"Progress({self.phase}, {self.runs_done:,} of {self.n_runs:,} runs done, epoch "
            f"{epoch_text(self.epoch)}, {len(self.points)} new points, {len(self.results)} new "
            "results)"
        )
