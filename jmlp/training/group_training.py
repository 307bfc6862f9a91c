"""Trains the cohorts of one group in the slots of its compiled functions."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from jmlp.data.contract import Contract
from jmlp.data.dataset import Dataset
from jmlp.nn.augmentation import augmentation_of
from jmlp.nn.cost import balanced_weights
from jmlp.nn.tensors import name_tensors
from jmlp.study.config import Hyperparams
from jmlp.training import load_balance, program
from jmlp.training import plan as planning
from jmlp.training.blocks import Data
from jmlp.training.eta import LONGEST_CHUNK, Tracker
from jmlp.training.outcome import Ended, Outcome, provenance
from jmlp.training.plan import Cohort, Group, Plan, Scaling
from jmlp.training.program import (
    Cohorts,
    EvaluationInputs,
    Finals,
    Parts,
    Setup,
    random_inputs,
    root_key,
    stack_hyperparams,
)
from jmlp.training.records import CohortState, Progress, RunResult, Snapshot
from jmlp.training.single_run import Measurement, TrainState
from jmlp.training.slots import (
    Slot,
    add_snapshot,
    has_snapshot,
    name_leaves,
    new_slot,
    restore_slot,
    save_slot,
)
from jmlp.training.strategies import AllAtOnce, Chunk, Interval, InTurn, Strategy

Rows = NDArray[np.int32]
LoadSaved = Callable[[Cohort, int], CohortState | None]  # takes a cohort and its program's width

CHUNK_SECONDS = (0.05, LONGEST_CHUNK)  # chunks are doubled if faster, halved if slower
FIRST_CHUNK = 16  # steps

LANES_PER_CALL = 10  # evaluated on a device before control returns to Python


class Scaled(NamedTuple):
    """A table standardised by the training part of one split."""

    first: int  # the row of `Data` with its first example
    contract: Contract  # of the networks trained on it


class StartedChunk(NamedTuple):
    """A chunk that was given to the devices."""

    costs: jax.Array  # the sums that `program.advance` returns
    first: int  # step of the interval
    end: int
    lanes: int  # in training at its start


class GroupTraining:
    """The training of one group: feeds its cohorts through the slots of one compiled program."""

    def __init__(
        self,
        plan: Plan,
        group: Group,
        dataset: Dataset,
        data: Data,
        mesh: Mesh,
        n_busy: int,  # devices of the mesh that train, the first ones
        tracker: Tracker,
        rows: tuple[Rows, Rows] | None,  # of training and validation part, in place of a split
        scaled: Mapping[Scaling, Scaled],  # empty unless the data are a table
        load_saved: LoadSaved,
        max_programs: int,  # kept per compiled function
    ) -> None:
        self.max_programs = max_programs
        self.plan, self.group, self.data, self.tracker = plan, group, data, tracker
        self.dataset, self.scaled = dataset, scaled
        self.rows, self.load_saved = rows, load_saved
        on_cpu = mesh.devices.flat[0].platform == "cpu"
        strategy: Strategy = InTurn() if on_cpu else AllAtOnce()
        self.setup = Setup(mesh, dataset.n_in, dataset.n_classes, strategy)
        self.evaluations = planning.evaluations(plan.n_training, group.hyperparams)
        self.interval = self.evaluations.interval
        self.augmentation = augmentation_of(group.hyperparams, plan.facts.plane)
        self.n_busy = n_busy
        self.per_device = strategy.n_slots(plan, group, n_busy)
        self.slots: list[Slot | None] = [None] * (self.per_device * mesh.size)
        self.waiting = deque(group.cohorts)
        self.labels = dataset.y_train
        n_test = 0 if dataset.y_test is None else len(dataset.y_test)
        self.test = len(dataset.y_train) + np.arange(n_test, dtype=np.int32)
        self.outcome = Outcome(
            evaluations=self.evaluations,
            n_training=plan.n_training,
            n_validation=plan.n_validation,
            n_test=n_test,
            provenance=provenance(list(mesh.devices.flat), group.width, group.can_drop),
        )
        self.chunk = FIRST_CHUNK  # steps
        self.running: StartedChunk | None = None  # the chunk started last
        self.state: TrainState | None = None
        self.counted = 0.0  # seconds of the tracker's work up to which slots have theirs
        # Set by `put_inputs`; both are needed from the first `fill_slots` on.
        self.cohorts: Cohorts
        self.order: NDArray[np.int32]  # of the next interval
        self.class_weights: NDArray[np.float32] | None = None  # of all slots, (slots, C)

    def run(self) -> Iterator[Progress]:
        """Trains all cohorts; yields at least once per chunk."""
        self.fill_slots()
        self.state = program.blank(self.setup, self.cohorts)
        for _ in self.compile():
            yield self.tracker.progress("compiling")
        self.tracker.compiled()
        self.counted = self.tracker.worked
        while any(self.slots):
            self.tracker.measured([slot.evaluation for slot in self.slots if slot])
            fresh = [slot is not None and slot.fresh for slot in self.slots]
            if any(fresh):
                lanes = self.starting_lanes()
                self.state = program.refill(self.setup, self.state, self.cohorts, lanes)
                yield from self.evaluate(fresh)
            for _ in self.train_interval():
                yield self.tracker.progress()
            self.tracker.batch_costs = {}
            yield from self.evaluate([slot is not None for slot in self.slots])
            if self.running is not None:
                self.count_examples(self.running)
            self.tracker.measured([slot.evaluation for slot in self.slots if slot])
            ended = False
            for progress in self.collect_finished():
                ended = True
                yield progress
            if ended and self.waiting:
                self.fill_slots()
            self.balance()

    def count_seconds(self) -> None:
        """Adds the time since the last call to all slots."""
        now = self.tracker.worked
        for slot in self.slots:
            if slot is not None:
                slot.add_seconds(now - self.counted)
        self.counted = now

    def compile(self) -> Iterator[None]:
        """Compiles every program before training starts, by calls that change nothing.

        A compile cannot be interrupted, so none may delay a checkpoint after a chunk or the answer
        to a request.
        """
        no_slot = np.zeros(len(self.slots), np.bool_)
        no_lane = np.zeros((len(self.slots), self.group.width), np.bool_)
        self.state = self.first_call(program.refill, self.state, self.cohorts, no_lane)
        yield
        self.state, _ = self.first_call(program.evaluate, self.state, self.evaluation_of(no_slot))
        yield
        no_steps = self.chunk_of(self.intervals(self.order), first=0, end=0)
        self.state, _ = self.first_call(program.advance, self.state, no_steps)
        yield
        self.first_call(program.finals, self.state, self.cohorts.parts, no_lane, self.data)
        yield

    def first_call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls one of the compiled functions for the first time in this group."""
        return program.call_first(function, self.max_programs, self.setup, *arguments)

    def intervals(self, order: NDArray[np.int32]) -> Interval:
        """The inputs of the next interval of all slots, on the devices."""
        steps_before = [slot.evaluation * self.interval if slot else 0 for slot in self.slots]
        hp, keys = random_inputs(
            self.cohorts.hp,
            self.cohorts.keys,
            can_drop=self.group.can_drop,
            augments=self.augmentation is not None,
        )
        return Interval(
            hp=hp,
            root_key=keys,
            order=self.setup.put_slots(order),
            steps_before=np.array(steps_before, np.int32),
            n_steps=self.evaluations.n_steps,
            class_weights=self.class_weights,
            augmentation=self.augmentation,
        )

    def chunk_of(self, intervals: Interval, first: int, end: int) -> Chunk:
        """The steps of an interval from `first` up to but excluding `end`."""
        return Chunk(intervals, self.data, np.int32(first), np.int32(end))

    def evaluation_of(self, wanted: NDArray[np.bool_]) -> EvaluationInputs:
        """The inputs for evaluating the slots in `wanted` after the updates they have made."""
        numbers = np.array([slot.evaluation if slot else 0 for slot in self.slots], np.int32)
        interval = np.int32(self.interval)
        return EvaluationInputs(self.cohorts, numbers, self.last, wanted, self.data, interval)

    def copies(self) -> list[CohortState]:
        """Copies of all cohorts in training, after waiting for the chunks already started."""
        if self.state is None:
            return []
        with self.tracker.copies():
            named = name_leaves(jax.device_get(self.state))
        copies = []
        for index, slot in enumerate(self.slots):
            if slot is None or slot.fresh:
                continue
            arrays = {name: np.array(leaf[index]) for name, leaf in named.items()}
            copies.append(slot.saved or save_slot(slot, arrays, self.group.width, self.evaluations))
        return copies

    def fill_slots(self) -> None:
        """Puts waiting cohorts into empty slots, and the inputs of all slots on the devices."""
        self.count_seconds()
        for index in load_balance.fill_order(self.n_busy, self.per_device):
            if self.slots[index] is None and self.waiting:
                self.slots[index] = self.open_slot(self.waiting.popleft())
        self.put_inputs()

    def put_inputs(self) -> None:
        """Puts the inputs of the cohorts in all slots on the devices."""
        # An empty slot needs arrays of the right shape; as no lane trains, any cohort's will do.
        filler = next((slot for slot in self.slots if slot is not None), None)
        if filler is None:
            return
        filled = [slot or filler for slot in self.slots]
        hp = planning.as_compiled(_stack([self.lane_hyperparams(s.cohort) for s in filled]))
        parts = Parts(
            training=np.stack([s.training for s in filled]),
            validation=np.stack([s.validation for s in filled]),
            test=np.stack([self.test + self.first_row(s.cohort) for s in filled]),
        )
        keys = np.stack([root_key(s.cohort.seed) for s in filled])
        if self.group.hyperparams.class_weight == "balanced":
            self.class_weights = np.stack([self.balanced_weights(s) for s in filled])
        self.cohorts = self.setup.put_slots(Cohorts(hp, keys, parts))
        epochs: Any = hp.epochs  # (slots, lanes)
        last = [self.evaluations.last(int(n)) for n in epochs.flat]
        self.last = np.array(last, np.int32).reshape(epochs.shape)
        self.order = self.next_order()

    def balance(self) -> None:
        """Moves cohorts to other devices if that saves enough time."""
        lanes = {i: sum(slot.training_lanes) for i, slot in enumerate(self.slots) if slot}
        source = self.setup.strategy.moves(lanes, self.n_busy, self.per_device)
        if source is None:
            return
        source += range(len(source), len(self.slots))  # slots of idle devices stay
        self.slots = [self.slots[index] for index in source]
        state = jax.device_get(self.state)
        self.state = self.setup.put_slots(jax.tree.map(lambda a: a[np.array(source)], state))
        self.put_inputs()

    def open_slot(self, cohort: Cohort) -> Slot:
        """A slot for a cohort, new or resumed from its saved state."""
        training, validation = self.rows or self.dataset.split(
            cohort.split_seed, self.plan.study.validation_fraction
        )
        first, saved = self.first_row(cohort), self.load_saved(cohort, self.group.width)
        slot = new_slot(cohort, training + first, validation + first, saved)
        self.tracker.resumed(slot.evaluation, slot.resume_step)
        return slot

    def balanced_weights(self, slot: Slot) -> NDArray[np.float32]:
        """The weights of the classes in a slot's training part, `(C,)`."""
        labels = self.labels[slot.training - self.first_row(slot.cohort)]
        return balanced_weights(np.bincount(labels, minlength=self.setup.n_classes))

    def first_row(self, cohort: Cohort) -> np.int32:
        """The row of `Data` with the first example of a cohort."""
        scaled = self.scaled.get(planning.scaling_of(cohort.runs[0]))
        return np.int32(0 if scaled is None else scaled.first)

    def lane_hyperparams(self, cohort: Cohort) -> Hyperparams:
        """The hyperparameters of all lanes; padding repeats the first run and never trains."""
        runs = [run.hyperparams for run in cohort.runs]
        return stack_hyperparams(runs + [runs[0]] * (self.group.width - len(runs)))

    def starting_lanes(self) -> NDArray[np.bool_]:
        """Mask of the lanes of fresh cohorts, `(slots, width)`."""
        lanes = np.zeros((len(self.slots), self.group.width), np.bool_)
        for index, slot in enumerate(self.slots):
            if slot is not None and slot.fresh:
                lanes[index, : len(slot.cohort.runs)] = True
        return lanes

    def next_order(self) -> NDArray[np.int32]:
        """The rows of the next interval's mini-batches, `(slots, steps, B)`."""
        n, batch_size = self.interval, self.group.hyperparams.batch_size
        order = np.zeros((len(self.slots), n, batch_size), np.int32)
        for index, slot in enumerate(self.slots):
            if slot is not None:
                used = planning.examples_of_updates(
                    self.group.hyperparams, slot.cohort.seed, slot.evaluation * n, n, slot.training
                )
                order[index] = slot.training[used]
        return order

    def train_interval(self) -> Iterator[None]:
        """Trains all slots up to their next evaluation; yields after each chunk."""
        intervals = self.intervals(self.order)
        for slot in self.slots:
            if slot is not None:
                slot.evaluation += 1
        starts = [slot.resume_step for slot in self.slots if slot is not None]
        first, order_ready = min(starts), False
        self.running = None
        while True:
            self.resume_slots(first)
            if first == self.interval:
                break
            # A cohort saved within an interval waits until the others reach its step.
            next_start = min([start for start in starts if start > first], default=self.interval)
            end = min(first + self.chunk, next_start)
            started = time.monotonic()
            chunk = self.chunk_of(intervals, first, end)
            self.state, costs = program.advance(self.setup, self.state, chunk)
            if not order_ready:
                self.order, order_ready = self.next_order(), True  # while the device works
            if self.running is not None:
                self.running.costs.block_until_ready()
                self.adapt_chunk(time.monotonic() - started)
                self.count_examples(self.running)
                self.tracker.batch_costs = self.batch_costs(self.running)
            lanes = sum(sum(s.training_lanes) for s in self.slots if s and s.saved is None)
            first, self.running = end, StartedChunk(costs, first, end, lanes)
            for slot in self.slots:
                if slot is not None and slot.saved is None:
                    slot.step = first
            self.count_seconds()
            yield
        if not order_ready:  # all were saved at the very end of their interval
            self.order = self.next_order()

    def count_examples(self, chunk: StartedChunk) -> None:
        """Counts the examples of a chunk that has ended."""
        steps = chunk.end - chunk.first
        self.tracker.trained(chunk.end, steps * self.group.hyperparams.batch_size * chunk.lanes)

    def batch_costs(self, chunk: StartedChunk) -> dict[str, float]:
        """The mean mini-batch cost of this interval up to the end of a chunk, by run in training.

        Read while the next chunk is running, so the devices do not wait for it.
        """
        sums = np.asarray(chunk.costs)
        return {
            run.run_id: float(sums[index, lane]) / chunk.end
            for index, slot in enumerate(self.slots)
            if slot is not None
            for lane, run in enumerate(slot.cohort.runs)
            if not np.isnan(sums[index, lane])
        }

    def resume_slots(self, step: int) -> None:
        """Puts the cohorts that were saved at this step of an interval on the devices."""
        resuming = [
            (index, slot.saved)
            for index, slot in enumerate(self.slots)
            if slot is not None and slot.saved is not None and slot.resume_step == step
        ]
        if not resuming:
            return
        state = jax.device_get(self.state)
        for index, saved in resuming:
            state = restore_slot(state, index, saved)
        self.state = self.setup.put_slots(state)
        for slot in self.slots:
            if slot is not None and slot.resume_step == step:
                slot.saved, slot.resume_step, slot.step = None, 0, step

    def adapt_chunk(self, seconds: float) -> None:
        """Adapts the chunk length to its time limits; it does not affect any number."""
        shortest, longest = CHUNK_SECONDS
        if seconds < shortest:
            self.chunk = min(2 * self.chunk, self.interval)
        elif seconds > longest:
            self.chunk = max(1, self.chunk // 2)

    def calls(self, wanted: Sequence[bool], max_lanes: int) -> Iterator[list[int]]:
        """Divides the wanted slots into calls of about `max_lanes` lanes per device."""
        lanes = {i: len(slot.cohort.runs) for i, slot in enumerate(self.slots) if slot}
        chosen = {index: n for index, n in lanes.items() if wanted[index]}
        return self.setup.strategy.calls(chosen, self.per_device, max_lanes)

    def evaluate(self, wanted: Sequence[bool]) -> Iterator[Progress]:
        """Evaluates some slots; yields the new points after each call."""
        for call in self.calls(wanted, LANES_PER_CALL):
            mask = np.zeros(len(self.slots), np.bool_)
            mask[call] = True
            self.state, measurement = program.evaluate(
                self.setup, self.state, self.evaluation_of(mask)
            )
            yield self.record(call, jax.device_get(measurement))

    def record(self, call: Sequence[int], measured: Measurement) -> Progress:
        """Records the points of an evaluation, and the runs that stopped at it."""
        assert self.state is not None
        self.count_seconds()
        points = {}
        for index in call:
            slot = self.slots[index]
            assert slot is not None
            slot.step = 0
            if has_snapshot(slot.evaluation):
                self.add_snapshots(index, slot, np.asarray(measured.counted[index]))
            for lane, lane_run in enumerate(slot.cohort.runs):
                if measured.counted[index, lane]:
                    numbers = jax.tree.map(lambda a, at=(index, lane): a[at], measured)
                    point = self.outcome.point(slot.evaluation, numbers)
                    slot.costs[lane].append(point)
                    points[lane_run.run_id] = point
                if slot.training_lanes[lane] and not measured.active[index, lane]:
                    slot.training_lanes[lane] = False
                    best, diverged_at = (
                        int(self.read_slot(index, lanes)[lane])
                        for lanes in (self.state.best_evaluation, self.state.diverged_at)
                    )
                    self.tracker.stops[lane_run.run_id] = self.outcome.stop(
                        lane_run, slot.evaluation, best, diverged_at
                    )
        return self.tracker.progress(points=points)

    def read_slot(self, index: int, tree: Any) -> Any:
        """One slot's arrays on the host; use at once or copy, since training overwrites them."""
        device, position = divmod(index, self.per_device)
        return jax.tree.map(lambda a: np.asarray(a.addressable_shards[device].data)[position], tree)

    def add_snapshots(self, index: int, slot: Slot, lanes: NDArray[np.bool_]) -> None:
        """Copies the parameters and batch-norm state of the lanes just evaluated."""
        assert self.state is not None
        trained = self.read_slot(index, (self.state.params, self.state.bn_state))
        for lane in np.flatnonzero(lanes[: len(slot.cohort.runs)]):
            network = jax.tree.map(lambda a, at=lane: np.array(a[at]), trained)
            epoch = self.evaluations.epoch(slot.evaluation)
            add_snapshot(slot.snapshots[lane], Snapshot(epoch, name_tensors(*network), None))

    def collect_finished(self) -> Iterator[Progress]:
        """Yields the results of cohorts whose lanes have all stopped, and empties their slots."""
        done = [slot is not None and not slot.active for slot in self.slots]
        for call in self.calls(done, max_lanes=1):
            lanes = np.zeros((len(self.slots), self.group.width), np.bool_)
            for index in call:
                slot = self.slots[index]
                assert slot is not None
                lanes[index, : len(slot.cohort.runs)] = True
            finals = jax.device_get(
                program.finals(self.setup, self.state, self.cohorts.parts, lanes, self.data)
            )
            results = tuple(r for index in call for r in self.finish(index, finals))
            yield self.tracker.progress(results=results)

    def finish(self, index: int, finals: Finals) -> list[RunResult]:
        """Returns the results of one slot's cohort, and empties the slot."""
        slot = self.slots[index]
        assert slot is not None
        ended = self.read_slot(index, Ended(*(getattr(self.state, name) for name in Ended._fields)))
        results = []
        scaled = self.scaled.get(planning.scaling_of(slot.cohort.runs[0]))
        for lane, run in enumerate(slot.cohort.runs):
            lane_ended = jax.tree.map(lambda a, at=lane: np.array(a[at]), ended)
            lane_finals = jax.tree.map(lambda a, at=(index, lane): np.array(a[at]), finals)
            results.append(
                self.outcome.result(
                    run,
                    slot.costs[lane],
                    slot.snapshots[lane],
                    None if slot.seconds is None else slot.seconds[lane],
                    lane_ended,
                    lane_finals,
                    None if scaled is None else scaled.contract,
                )
            )
        self.tracker.finished(len(slot.cohort.runs), slot.evaluation)
        self.slots[index] = None
        return results


def _stack(trees: Sequence[Any]) -> Any:
    """Stacks trees of equal structure into one, with a new first axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
