"""The chunk loop: a plan goes in, an iterator of progress comes out.

Whoever stops consuming stops the training. Each `next` waits for at most one chunk (50 to 200 ms of
work); one chunk runs while at most one more is queued, so the device never waits for Python and a
stop never waits for a queue.
"""

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from numpy.typing import NDArray

from jmlp import environment, program
from jmlp import plan as planning
from jmlp.config import Hyperparams
from jmlp.data import order as datasets
from jmlp.data.dataset import Dataset
from jmlp.errors import DeviceError
from jmlp.outcome import Ended, Outcome
from jmlp.plan import Cohort, Group, Plan
from jmlp.program import Program
from jmlp.results import CostPoint, Progress, Provenance, RunResult
from jmlp.tracker import Tracker
from jmlp.train import (
    Data,
    Measurement,
    Parts,
    root_key,
    stack_hyperparams,
)

Rows = NDArray[np.int32]

CHUNK_SECONDS = (0.05, 0.2)  # chunks are doubled below and halved above
FIRST_CHUNK = 16  # steps

# Cohorts in training at once on a device. One fills a CPU core; a GPU waits for kernels to start
# unless it has many. A constant, so that bits don't depend on how many seeds a study has.
SLOTS = {"cpu": 1}
SLOTS_ON_ACCELERATORS = 16


def find_devices(kind: str) -> list[jax.Device]:
    """The devices of a kind: `auto` (what JAX prefers), `cpu` or `gpu`.

    Raises:
        DeviceError: there is none. Never another kind than asked for.
    """
    try:
        return jax.devices() if kind == "auto" else jax.devices(kind)
    except RuntimeError as error:
        raise DeviceError(
            f"--device {kind}: JAX finds no such device ({str(error).splitlines()[0]}); "
            "use --device cpu, or see what `jmlp doctor` says"
        ) from error


def run(
    plan: Plan,
    dataset: Dataset,
    devices: Sequence[jax.Device] | None = None,
    split: tuple[Rows, Rows] | None = None,
) -> Iterator[Progress]:
    """Trains every run of a plan.

    Args:
        plan: of `plan.make_plan`, for this data set.
        dataset: what to train on.
        devices: to share the cohorts out over; default: all that JAX prefers.
        split: the rows of training and validation part; default: by the runs' split seeds.

    Yields:
        What is new, at least once a chunk; the last one has the phase "finished".

    Raises:
        ConfigError: the plan does not fit into memory (before anything is allocated).
        DeviceError: a device ran out of memory.
    """
    devices = find_devices("auto") if devices is None else devices
    if devices[0].platform == "cpu":
        planning.check_memory(plan, len(devices))
    mesh = Mesh(np.array(_with_company(devices)), ("slots",))
    tracker = Tracker(plan)
    try:
        placed = _place(dataset, mesh)
        for number, group in enumerate(plan.groups, start=1):
            tracker.begin(number)
            yield tracker.progress("compiling")
            for points, results in _GroupTraining(
                plan, group, dataset, placed, mesh, len(devices), tracker, split
            ).run():
                yield tracker.progress("training", points, results)
    except jax.errors.JaxRuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        raise DeviceError(
            f"{devices[0]}: out of memory ({str(error).splitlines()[0]}); use smaller layers or "
            "batches, or free the device"
        ) from error
    yield tracker.progress("finished")


def _with_company(devices: Sequence[jax.Device]) -> Sequence[jax.Device]:
    """One CPU device gets an idle one beside it, where there is one.

    XLA compiles a program for one device otherwise than for several (seen: other last digits with
    Adam, batch norm and dropout together), and bits must not depend on the number of cores.
    """
    if len(devices) > 1 or devices[0].platform != "cpu":
        return devices
    idle = [device for device in jax.devices("cpu") if device != devices[0]]
    return [devices[0], *idle[:1]]


def _place(dataset: Dataset, mesh: Mesh) -> Data:
    """Training set, then test set, copied to every device once."""
    x: NDArray[Any] = dataset.x_train
    y: NDArray[Any] = dataset.y_train
    if dataset.x_test is not None and dataset.y_test is not None:
        x, y = np.concatenate([x, dataset.x_test]), np.concatenate([y, dataset.y_test])
    everywhere = NamedSharding(mesh, program.EVERYWHERE)
    return Data(jax.device_put(x, everywhere), jax.device_put(y, everywhere))


@dataclass
class _Slot:
    """One cohort in training."""

    cohort: Cohort
    training: Rows  # of the data, as in `Parts`
    validation: Rows
    epoch: int = 0  # epochs done
    points: list[list[CostPoint]] = field(default_factory=list)  # by lane
    active: bool = True  # whether any lane is still training

    @property
    def fresh(self) -> bool:
        """Whether it was not evaluated yet."""
        return not any(self.points)


class _GroupTraining:
    """The cohorts of one group on their way through the slots of one compiled program."""

    def __init__(
        self,
        plan: Plan,
        group: Group,
        dataset: Dataset,
        data: Data,
        mesh: Mesh,
        n_busy: int,  # devices of the mesh that train, the first ones
        tracker: Tracker,
        split: tuple[Rows, Rows] | None,
    ) -> None:
        self.plan, self.group, self.data, self.tracker = plan, group, data, tracker
        self.split = split
        self.program = Program(mesh, dataset.n_in, dataset.n_classes, group.dropout)
        # Only training itself depends on the batch size and on whether units are dropped: with
        # these out of the way, groups that differ in nothing else share the other programs.
        self.common = replace(self.program, dropout=False)
        self.n_steps = planning.n_steps(plan.n_training, group.hyperparams.batch_size)
        per_device = SLOTS.get(mesh.devices.flat[0].platform, SLOTS_ON_ACCELERATORS)
        self.slots: list[_Slot | None] = [None] * (per_device * mesh.size)
        self.n_usable = per_device * n_busy
        self.waiting = deque(group.cohorts)
        n_test = 0 if dataset.y_test is None else len(dataset.y_test)
        self.test = len(dataset.y_train) + np.arange(n_test, dtype=np.int32)
        self.outcome = Outcome(
            n_steps=self.n_steps,
            n_training=plan.n_training,
            n_validation=plan.n_validation,
            n_test=n_test,
            provenance=Provenance(
                device=environment.device_name(mesh.devices.flat[0]),
                width=group.width,
                flags=environment.flags(),
                versions=environment.versions(),
            ),
        )
        self.chunk = FIRST_CHUNK

    def run(self) -> Iterator[tuple[dict[str, CostPoint], tuple[RunResult, ...]]]:
        """Trains all cohorts; yields new points and ended runs, at least once a chunk."""
        self.fill()
        self.state = program.blank(self.common, self.common_hp, self.keys)
        while any(self.slots):
            fresh = [slot is not None and slot.fresh for slot in self.slots]
            if any(fresh):
                lanes = self.starting_lanes()
                self.state = program.refill(
                    self.common, self.state, self.common_hp, self.keys, lanes
                )
                yield self.evaluate(fresh), ()
            for _ in self.train_epoch():
                yield {}, ()
            points = self.evaluate([slot is not None for slot in self.slots])
            results = self.take_finished()
            self.tracker.measured([slot.epoch for slot in self.slots if slot])
            yield points, results
            if results:
                self.fill()

    def fill(self) -> None:
        """Puts waiting cohorts into empty slots, and what they need on the devices."""
        for index, slot in enumerate(self.slots[: self.n_usable]):
            if slot is None and self.waiting:
                self.slots[index] = self.new_slot(self.waiting.popleft())
        # An empty slot needs arrays of the right shape: any cohort's will do, since no lane trains.
        some = next((slot for slot in self.slots if slot is not None), None)
        if some is None:
            return
        shown = [slot or some for slot in self.slots]
        self.hp = self.program.put_slots(_stack([self.lane_hyperparams(s.cohort) for s in shown]))
        self.common_hp = replace(self.hp, batch_size=0)
        self.keys = self.program.put_slots(np.stack([root_key(s.cohort.seed) for s in shown]))
        self.parts = Parts(
            training=self.program.put_slots(np.stack([s.training for s in shown])),
            validation=self.program.put_slots(np.stack([s.validation for s in shown])),
            test=self.program.put_slots(np.stack([self.test for _ in shown])),
        )
        self.order = self.next_order()

    def new_slot(self, cohort: Cohort) -> _Slot:
        """A cohort before its first evaluation."""
        facts, study = self.plan.facts, self.plan.study
        training, validation = self.split or datasets.split(
            facts.n_examples, cohort.split_seed, study.validation_fraction
        )
        return _Slot(cohort, training, validation, points=[[] for _ in cohort.runs])

    def lane_hyperparams(self, cohort: Cohort) -> Hyperparams:
        """Of every lane; padding repeats the first run and never trains."""
        runs = [run.hyperparams for run in cohort.runs]
        return stack_hyperparams(runs + [runs[0]] * (self.group.width - len(runs)))

    def starting_lanes(self) -> NDArray[np.bool_]:
        """The lanes of fresh cohorts, `(slots, width)`."""
        lanes = np.zeros((len(self.slots), self.group.width), np.bool_)
        for index, slot in enumerate(self.slots):
            if slot is not None and slot.fresh:
                lanes[index, : len(slot.cohort.runs)] = True
        return lanes

    def next_order(self) -> NDArray[np.int32]:
        """The rows of the coming epoch's mini-batches, `(slots, steps, B)`."""
        batch_size = self.group.hyperparams.batch_size
        order = np.zeros((len(self.slots), self.n_steps, batch_size), np.int32)
        for index, slot in enumerate(self.slots):
            if slot is not None:
                shuffled = datasets.batch_order(
                    slot.cohort.seed, slot.epoch + 1, len(slot.training)
                )
                used = shuffled[: order[index].size]
                order[index] = slot.training[used].reshape(order[index].shape)
        return order

    def train_epoch(self) -> Iterator[None]:
        """Trains all slots for an epoch; yields after each chunk."""
        order = self.program.put_slots(self.order)
        steps_before = np.array(
            [slot.epoch * self.n_steps if slot else 0 for slot in self.slots], np.int32
        )
        for slot in self.slots:
            if slot is not None:
                slot.epoch += 1
        first, running = 0, None
        while first < self.n_steps:
            count = min(self.chunk, self.n_steps - first)
            started = time.monotonic()
            self.state, ticket = program.advance(
                self.program,
                self.state,
                self.hp,
                self.keys,
                order,
                steps_before,
                self.data,
                np.int32(first),
                np.int32(count),
            )
            if first == 0:
                self.order = self.next_order()  # one epoch ahead, while the device works
            if running is not None:
                running.block_until_ready()
                self.adapt_chunk(time.monotonic() - started)
            first, running = first + count, ticket
            yield

    def adapt_chunk(self, seconds: float) -> None:
        """Keeps a chunk within its time; the length changes no number."""
        shortest, longest = CHUNK_SECONDS
        if seconds < shortest:
            self.chunk = min(2 * self.chunk, self.n_steps)
        elif seconds > longest:
            self.chunk = max(1, self.chunk // 2)

    def evaluate(self, wanted: Sequence[bool]) -> dict[str, CostPoint]:
        """Measures some slots at their epochs and takes down what is new, by run id."""
        epochs = np.array([slot.epoch if slot else 0 for slot in self.slots], np.int32)
        self.state, measurement = program.evaluate(
            self.common,
            self.state,
            self.common_hp,
            self.parts,
            epochs,
            np.array(wanted),
            self.data,
            np.int32(self.n_steps),
        )
        measured: Measurement = jax.device_get(measurement)
        points = {}
        for index, slot in enumerate(self.slots):
            if slot is None or not wanted[index]:
                continue
            slot.active = bool(measured.active[index].any())
            for lane, lane_run in enumerate(slot.cohort.runs):
                if measured.counted[index, lane]:
                    numbers = jax.tree.map(lambda a, at=(index, lane): a[at], measured)
                    point = self.outcome.point(slot.epoch, numbers)
                    slot.points[lane].append(point)
                    points[lane_run.run_id] = point
        return points

    def take_finished(self) -> tuple[RunResult, ...]:
        """The results of cohorts whose lanes have all stopped; their slots become empty."""
        done = [slot is not None and not slot.active for slot in self.slots]
        if not any(done):
            return ()
        finals = jax.device_get(
            program.finals(self.common, self.state, self.parts, np.array(done), self.data)
        )
        ended = jax.device_get(Ended(*(getattr(self.state, name) for name in Ended._fields)))
        results: list[RunResult] = []
        for index, slot in enumerate(self.slots):
            if slot is not None and done[index]:
                for lane, run in enumerate(slot.cohort.runs):
                    at = (index, lane)
                    lane_ended, lane_finals = jax.tree.map(
                        lambda a, at=at: np.array(a[at]), (ended, finals)
                    )
                    costs = slot.points[lane]
                    results.append(self.outcome.result(run, costs, lane_ended, lane_finals))
                self.tracker.finished(len(slot.cohort.runs), slot.epoch)
                self.slots[index] = None
        return tuple(results)


def _stack(trees: Sequence[Any]) -> Any:
    """Equal trees of arrays as one tree with a new first axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
