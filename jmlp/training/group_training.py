"""The cohorts of one group on their way through the slots of one compiled program."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from numpy.typing import NDArray

from jmlp.data import order as datasets
from jmlp.data.dataset import Dataset
from jmlp.nn.tensors import name_tensors
from jmlp.study.config import Hyperparams
from jmlp.training import load_balance, program
from jmlp.training import plan as planning
from jmlp.training.blocks import Data
from jmlp.training.eta import Tracker
from jmlp.training.outcome import Ended, Outcome, provenance
from jmlp.training.plan import Cohort, Group, Plan
from jmlp.training.program import (
    Cohorts,
    EpochEnd,
    Finals,
    Parts,
    Program,
    root_key,
    stack_hyperparams,
)
from jmlp.training.records import CohortState, Progress, RunResult, Snapshot
from jmlp.training.single_run import Measurement, TrainState
from jmlp.training.slots import (
    Slot,
    add_snapshot,
    is_snapshot_epoch,
    name_leaves,
    new_slot,
    put_back,
    save_slot,
)
from jmlp.training.strategies import AllAtOnce, Chunk, Epoch, InTurn, Strategy

Rows = NDArray[np.int32]
Saved = Callable[[Cohort, int], CohortState | None]  # of a cohort and its program's width

CHUNK_SECONDS = (0.05, 0.2)  # chunks are doubled below and halved above
FIRST_CHUNK = 16  # steps

LANES_AT_ONCE = 10  # that one call evaluates on a device: after it, Python has its turn


class GroupTraining:
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
        saved: Saved,
        most_programs: int,  # of each function, that stay compiled
    ) -> None:
        self.most_programs = most_programs
        self.plan, self.group, self.data, self.tracker = plan, group, data, tracker
        self.split, self.saved = split, saved
        self.strategy: Strategy = (
            InTurn() if mesh.devices.flat[0].platform == "cpu" else AllAtOnce()
        )
        self.program = Program(mesh, dataset.n_in, dataset.n_classes, self.strategy)
        self.n_steps = planning.n_steps(plan.n_training, group.hyperparams.batch_size)
        self.n_busy = n_busy
        self.per_device = self.strategy.n_slots(plan, group, n_busy)
        self.slots: list[Slot | None] = [None] * (self.per_device * mesh.size)
        self.waiting = deque(group.cohorts)
        n_test = 0 if dataset.y_test is None else len(dataset.y_test)
        self.test = len(dataset.y_train) + np.arange(n_test, dtype=np.int32)
        self.outcome = Outcome(
            n_steps=self.n_steps,
            n_training=plan.n_training,
            n_validation=plan.n_validation,
            n_test=n_test,
            provenance=provenance(list(mesh.devices.flat), group.width, group.can_drop),
        )
        self.chunk = FIRST_CHUNK
        self.state: TrainState | None = None

    def run(self) -> Iterator[Progress]:
        """Trains all cohorts; yields at least once a chunk."""
        self.fill()
        self.state = program.blank(self.program, self.cohorts)
        for _ in self.compile():
            yield self.tracker.progress("compiling")
        while any(self.slots):
            fresh = [slot is not None and slot.fresh for slot in self.slots]
            if any(fresh):
                lanes = self.starting_lanes()
                self.state = program.refill(self.program, self.state, self.cohorts, lanes)
                yield from self.evaluate(fresh)
            for _ in self.train_epoch():
                yield self.tracker.progress()
            yield from self.evaluate([slot is not None for slot in self.slots])
            self.tracker.measured([slot.epoch for slot in self.slots if slot])
            ended = False
            for progress in self.take_finished():
                ended = True
                yield progress
            if ended and self.waiting:
                self.fill()
            self.balance()

    def compile(self) -> Iterator[None]:
        """Makes every program before anything is trained, by calls that change nothing.

        So no compile, which nothing can interrupt, stands between a chunk and its checkpoint or
        between a request and its answer.
        """
        no_slot = np.zeros(len(self.slots), np.bool_)
        no_lane = np.zeros((len(self.slots), self.group.width), np.bool_)
        self.state = self.first_call(program.refill, self.state, self.cohorts, no_lane)
        yield
        self.state, _ = self.first_call(program.evaluate, self.state, self.epoch_end(no_slot))
        yield
        no_steps = self.chunk_of(self.epochs(self.order), first=0, end=0)
        self.state, _ = self.first_call(program.advance, self.state, no_steps)
        yield
        self.first_call(program.finals, self.state, self.cohorts.parts, no_lane, self.data)
        yield

    def first_call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Calls one of the compiled functions for the first time in this group."""
        return program.call_first(function, self.most_programs, self.program, *arguments)

    def epochs(self, order: NDArray[np.int32]) -> Epoch:
        """What the coming epoch of all slots reads, on the devices."""
        steps_before = [slot.epoch * self.n_steps if slot else 0 for slot in self.slots]
        return Epoch(
            hp=self.cohorts.hp,
            key=self.cohorts.keys if self.group.can_drop else None,
            order=self.program.put_slots(order),
            steps_before=np.array(steps_before, np.int32),
        )

    def chunk_of(self, epochs: Epoch, first: int, end: int) -> Chunk:
        """The steps of an epoch from `first` up to, but not with, `end`."""
        return Chunk(epochs, self.data, np.int32(first), np.int32(end))

    def epoch_end(self, wanted: NDArray[np.bool_]) -> EpochEnd:
        """The evaluation of some slots at the epochs that they have trained."""
        epochs = np.array([slot.epoch if slot else 0 for slot in self.slots], np.int32)
        return EpochEnd(self.cohorts, epochs, wanted, self.data, np.int32(self.n_steps))

    def copies(self) -> list[CohortState]:
        """All cohorts in training as they are after the chunks that were begun: waits for these."""
        if self.state is None:
            return []
        named = name_leaves(jax.device_get(self.state))
        copies = []
        for index, slot in enumerate(self.slots):
            if slot is None or slot.fresh:
                continue
            arrays = {name: np.array(leaf[index]) for name, leaf in named.items()}
            copies.append(slot.saved or save_slot(slot, arrays, self.group.width, self.n_steps))
        return copies

    def fill(self) -> None:
        """Puts waiting cohorts into empty slots, and what they need on the devices."""
        for index in load_balance.places(self.n_busy, self.per_device):
            if self.slots[index] is None and self.waiting:
                self.slots[index] = self.new_slot(self.waiting.popleft())
        # An empty slot needs arrays of the right shape: any cohort's will do, since no lane trains.
        some = next((slot for slot in self.slots if slot is not None), None)
        if some is None:
            return
        shown = [slot or some for slot in self.slots]
        # The batch size decides no shape but that of the order of examples: with it out of the way,
        # groups that differ in nothing else share programs.
        hp = replace(_stack([self.lane_hyperparams(s.cohort) for s in shown]), batch_size=0)
        parts = Parts(
            training=np.stack([s.training for s in shown]),
            validation=np.stack([s.validation for s in shown]),
            test=np.stack([self.test for _ in shown]),
        )
        keys = np.stack([root_key(s.cohort.seed) for s in shown])
        self.cohorts: Cohorts = self.program.put_slots(Cohorts(hp, keys, parts))
        self.order = self.next_order()

    def balance(self) -> None:
        """Moves cohorts to other devices where that saves much."""
        lanes = {i: sum(slot.training_lanes) for i, slot in enumerate(self.slots) if slot}
        source = self.strategy.moves(lanes, self.n_busy, self.per_device)
        if source is None:
            return
        source += range(len(source), len(self.slots))  # those of idle devices stay
        self.slots = [self.slots[index] for index in source]
        state = jax.device_get(self.state)
        self.state = self.program.put_slots(jax.tree.map(lambda a: a[np.array(source)], state))
        self.fill()

    def new_slot(self, cohort: Cohort) -> Slot:
        """A cohort before its first evaluation, or where it was left."""
        facts, study = self.plan.facts, self.plan.study
        training, validation = self.split or datasets.split(
            facts.n_examples, cohort.split_seed, study.validation_fraction
        )
        slot = new_slot(cohort, training, validation, self.saved(cohort, self.group.width))
        self.tracker.resumed(slot.epoch)
        return slot

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
        epochs = self.epochs(self.order)
        for slot in self.slots:
            if slot is not None:
                slot.epoch += 1
        begins = [slot.begins_at for slot in self.slots if slot is not None]
        first, running, prepared = min(begins), None, False
        while True:
            self.join(first)
            if first == self.n_steps:
                break
            # Cohorts that were left within an epoch wait until the others come to their step.
            next_one = min([at for at in begins if at > first], default=self.n_steps)
            end = min(first + self.chunk, next_one)
            started = time.monotonic()
            chunk = self.chunk_of(epochs, first, end)
            self.state, ticket = program.advance(self.program, self.state, chunk)
            if not prepared:
                self.order, prepared = self.next_order(), True  # while the device works
            if running is not None:
                running.block_until_ready()
                self.adapt_chunk(time.monotonic() - started)
            first, running = end, ticket
            for slot in self.slots:
                if slot is not None and slot.saved is None:
                    slot.step = first
            yield
        if not prepared:  # all were left at the very end of their epoch
            self.order = self.next_order()

    def join(self, step: int) -> None:
        """Puts the cohorts that were left at this step of an epoch on the devices."""
        joining = [
            (index, slot.saved)
            for index, slot in enumerate(self.slots)
            if slot is not None and slot.saved is not None and slot.begins_at == step
        ]
        if not joining:
            return
        state = jax.device_get(self.state)
        for index, saved in joining:
            state = put_back(state, index, saved)
        self.state = self.program.put_slots(state)
        for slot in self.slots:
            if slot is not None and slot.begins_at == step:
                slot.saved, slot.begins_at, slot.step = None, 0, step

    def adapt_chunk(self, seconds: float) -> None:
        """Keeps a chunk within its time; the length changes no number."""
        shortest, longest = CHUNK_SECONDS
        if seconds < shortest:
            self.chunk = min(2 * self.chunk, self.n_steps)
        elif seconds > longest:
            self.chunk = max(1, self.chunk // 2)

    def calls(self, wanted: Sequence[bool], most: int) -> Iterator[list[int]]:
        """The slots that are wanted, as many at a time as have `most` lanes on a device."""
        lanes = {i: len(slot.cohort.runs) for i, slot in enumerate(self.slots) if slot}
        chosen = {index: n for index, n in lanes.items() if wanted[index]}
        return self.strategy.calls(chosen, self.per_device, most)

    def evaluate(self, wanted: Sequence[bool]) -> Iterator[Progress]:
        """Measures some slots at their epochs; yields what is new, some slots at a time."""
        for call in self.calls(wanted, LANES_AT_ONCE):
            mask = np.zeros(len(self.slots), np.bool_)
            mask[call] = True
            self.state, measurement = program.evaluate(
                self.program, self.state, self.epoch_end(mask)
            )
            yield self.take_down(call, jax.device_get(measurement))

    def take_down(self, call: Sequence[int], measured: Measurement) -> Progress:
        """The points of what was measured, and the runs that stopped by it."""
        assert self.state is not None
        points = {}
        for index in call:
            slot = self.slots[index]
            assert slot is not None
            slot.step = 0
            if is_snapshot_epoch(slot.epoch):
                self.take_snapshots(index, slot, np.asarray(measured.counted[index]))
            for lane, lane_run in enumerate(slot.cohort.runs):
                if measured.counted[index, lane]:
                    numbers = jax.tree.map(lambda a, at=(index, lane): a[at], measured)
                    point = self.outcome.point(slot.epoch, numbers)
                    slot.costs[lane].append(point)
                    points[lane_run.run_id] = point
                if slot.training_lanes[lane] and not measured.active[index, lane]:
                    slot.training_lanes[lane] = False
                    best_epoch, diverged_at = (
                        int(self.of_slot(index, of_lanes)[lane])
                        for of_lanes in (self.state.best_epoch, self.state.diverged_at)
                    )
                    self.tracker.stops[lane_run.run_id] = self.outcome.stop(
                        lane_run, slot.epoch, best_epoch, diverged_at
                    )
        return self.tracker.progress(points=points)

    def of_slot(self, index: int, tree: Any) -> Any:
        """The arrays of one slot, on the host; read at once or copy: training continues in them."""
        device, place = divmod(index, self.per_device)
        return jax.tree.map(lambda a: np.asarray(a.addressable_shards[device].data)[place], tree)

    def take_snapshots(self, index: int, slot: Slot, lanes: NDArray[np.bool_]) -> None:
        """Copies parameters and batch-norm state of the lanes that were just measured."""
        assert self.state is not None
        trained = self.of_slot(index, (self.state.params, self.state.bn_state))
        for lane in np.flatnonzero(lanes[: len(slot.cohort.runs)]):
            own = jax.tree.map(lambda a, at=lane: np.array(a[at]), trained)
            add_snapshot(slot.snapshots[lane], Snapshot(slot.epoch, name_tensors(*own), None))

    def take_finished(self) -> Iterator[Progress]:
        """The results of cohorts whose lanes have all stopped; their slots become empty."""
        done = [slot is not None and not slot.active for slot in self.slots]
        for call in self.calls(done, most=1):
            lanes = np.zeros((len(self.slots), self.group.width), np.bool_)
            for index in call:
                slot = self.slots[index]
                assert slot is not None
                lanes[index, : len(slot.cohort.runs)] = True
            finals = jax.device_get(
                program.finals(self.program, self.state, self.cohorts.parts, lanes, self.data)
            )
            results = tuple(r for index in call for r in self.finish(index, finals))
            yield self.tracker.progress(results=results)

    def finish(self, index: int, finals: Finals) -> list[RunResult]:
        """The results of one slot's cohort."""
        slot = self.slots[index]
        assert slot is not None
        ended = self.of_slot(index, Ended(*(getattr(self.state, name) for name in Ended._fields)))
        results = []
        for lane, run in enumerate(slot.cohort.runs):
            lane_ended = jax.tree.map(lambda a, at=lane: np.array(a[at]), ended)
            lane_finals = jax.tree.map(lambda a, at=(index, lane): np.array(a[at]), finals)
            results.append(
                self.outcome.result(
                    run, slot.costs[lane], slot.snapshots[lane], lane_ended, lane_finals
                )
            )
        self.tracker.finished(len(slot.cohort.runs), slot.epoch)
        self.slots[index] = None
        return results


def _stack(trees: Sequence[Any]) -> Any:
    """Equal trees of arrays as one tree with a new first axis."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *trees)
