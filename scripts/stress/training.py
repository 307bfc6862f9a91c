"""The engine gives the same bits when it is resumed, poisoned with NaN, or repeated."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from common import load, queue, worker, write_inputs
from looks import Fingerprint, fingerprints
from measuring import Findings, Options, Row, say, workplace

from jmlp.data.dataset import Dataset
from jmlp.nn.tensors import name_tensors
from jmlp.store import rows
from jmlp.store.checkpoints import Checkpoints, key_of
from jmlp.system import environment, files
from jmlp.training import plan as planning
from jmlp.training.plan import Plan
from jmlp.training.records import CohortState, RunResult

TIMES = 20  # processes of one study
CALLS = 200
CASES = 100
Position = tuple[tuple[str, ...], int]  # run ids and updates of a cohort


class Small(NamedTuple):
    """A study that trains in a second, and JAX with two devices for it."""

    plan: Plan
    dataset: Dataset
    devices: Sequence[Any]


def small(folder: Path, **size: int) -> Small:
    """Writes a small study, and starts JAX as the worker does."""
    environment.prepare("cpu", 2, files.compile_cache_dir())
    from jmlp.training import engine

    write_inputs(folder, **size)
    plan, dataset = load(folder)
    return Small(plan, dataset, engine.find_devices("cpu")[:2])


@contextlib.contextmanager
def chunks_of(n_steps: int) -> Iterator[None]:
    """Fixes the length of chunks, so that their boundaries are always the same."""
    from jmlp.training import group_training

    first, adapt = group_training.FIRST_CHUNK, group_training.GroupTraining.adapt_chunk
    group_training.FIRST_CHUNK = n_steps
    group_training.GroupTraining.adapt_chunk = lambda self, seconds: None  # type: ignore[method-assign]
    try:
        yield
    finally:
        group_training.FIRST_CHUNK, group_training.GroupTraining.adapt_chunk = (  # type: ignore[method-assign]
            first,
            adapt,
        )


class Trained(NamedTuple):
    """A training, recorded at all boundaries between its chunks."""

    boundaries: list[list[CohortState]]  # the cohorts in training at each
    ended: list[set[str]]  # which runs had ended by then
    results: dict[str, RunResult]

    def states(self) -> dict[Position, CohortState]:
        """All recorded states, by position."""
        return {position(copy): copy for copies in self.boundaries for copy in copies}


def train(case: Small, saved: Sequence[CohortState] = (), ended: set[str] | None = None) -> Trained:
    """Trains the runs that have not ended, resuming the saved cohorts."""
    from jmlp.training import engine

    by_ids = {copy.run_ids: copy for copy in saved}
    plan = planning.without(case.plan, ended or set())
    training = engine.Training(
        plan,
        case.dataset,
        case.devices,
        saved=lambda cohort, width: by_ids.get(tuple(run.run_id for run in cohort.runs)),
    )
    found = Trained([], [], {})
    for progress in training:
        found.results.update({result.run_id: result for result in progress.results})
        if copies := training.copies():
            found.boundaries.append(copies)
            found.ended.append(set(found.results))
    return found


def position(copy: CohortState) -> Position:
    """A cohort and twice its updates, plus one if its last epoch has been evaluated."""
    # The end of an epoch has two states, before and after its evaluation.
    return copy.run_ids, 2 * copy.updates + (copy.step == 0)


def bits_of_state(copy: CohortState) -> dict[str, Any]:
    """Everything in a copy, as bytes."""
    found: dict[str, Any] = {name: _bits(array) for name, array in copy.arrays.items()}
    for lane, (costs, snapshots) in enumerate(zip(copy.costs, copy.snapshots, strict=True)):
        found[f"costs[{lane}]"] = tuple(map(rows.point_values, costs))
        for snapshot in snapshots:
            for name, array in snapshot.params.items():
                found[f"snapshots[{lane}][{snapshot.epoch}].{name}"] = _bits(array)
    return found


def bits_of_result(result: RunResult) -> dict[str, Any]:
    """Everything in a result, as bytes."""
    networks = {"kept": (result.params, result.state)}
    assert result.last is not None
    for snapshot in (result.last, *result.snapshots):
        networks[f"{snapshot is result.last} {snapshot.epoch}"] = (snapshot.params, snapshot.state)
    found: dict[str, Any] = {
        f"{network} {name}": _bits(array)
        for network, trees in networks.items()
        for name, array in name_tensors(*trees).items()
    }
    found["costs"] = tuple(map(rows.point_values, result.costs))
    found["rest"] = replace(result, params=None, state=None, last=None, snapshots=(), costs=())
    return found


def _bits(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    return array.dtype.name, array.shape, array.tobytes()


# ---- rows


def boundaries(options: Options) -> Row:
    """Resumes at every boundary of a chunk, through checkpoint files.

    Trains two groups (with dropout; with Adam, batch norm and dropout, and a lane that diverges) of
    two cohorts each, in chunks of 7 of the 15 steps. Compares every state at every later boundary
    (parameters, the optimiser's state, batch-norm state, best parameters, costs, snapshots), and
    all results.
    """
    findings = Findings()
    compared = n_arrays = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        case = small(folder, seeds=2, epochs=5, n_examples=300)
        stack.enter_context(chunks_of(7))
        whole = train(case)
        states, checkpoints = whole.states(), Checkpoints(folder / "checkpoints")
        about: dict[str, Any] = {"must": {}, "note": {}}
        numbers = range(len(whole.boundaries))
        chosen = numbers[:: 10 if options.quick else 1]
        for number in chosen:
            saved = []
            for copy in whole.boundaries[number]:
                key = key_of(copy.run_ids, copy.width)
                checkpoints.drop(key)
                checkpoints.save(key, copy, about)
                read, messages = Checkpoints(folder / "checkpoints").load(key, about)
                if not findings.expect(read is not None and not messages, f"not read: {messages}"):
                    continue
                assert read is not None
                same = bits_of_state(read) == bits_of_state(copy)
                findings.expect(same, f"boundary {number}: the file has other bits")
                saved.append(read)
            again = train(case, saved, whole.ended[number])
            for at, copy in again.states().items():
                if at in states:
                    compared += 1
                    n_arrays += len(copy.arrays)
                    found, wanted = bits_of_state(copy), bits_of_state(states[at])
                    names = [name for name in wanted if found.get(name) != wanted[name]]
                    findings.expect(not names, f"boundary {number}: {', '.join(names[:3])} differ")
            left = whole.results.keys() - whole.ended[number]
            findings.expect(again.results.keys() == left, f"boundary {number}: other runs ended")
            for run_id in left & again.results.keys():
                same = bits_of_result(again.results[run_id]) == bits_of_result(
                    whole.results[run_id]
                )
                findings.expect(same, f"boundary {number}: {run_id[:8]} has another result")
    bad = len(findings.found)
    return Row(
        "resume at every boundary of a chunk of a small study with dropout, Adam and batch norm, "
        "each through a file",
        "100 % equal to the byte",
        f"{len(chosen)} boundaries, {compared} later states of {n_arrays:,} arrays and "
        f"{len(case.plan.runs)} results each compared: {bad} differ{findings}",
        ok=not bad,
    )


def nan(options: Options) -> Row:
    """Puts a NaN into one lane's parameters after a random update.

    The first update that encounters it has to be reported: the next one; or, if all updates of the
    epoch have been made but not evaluated, the last of these, because the evaluation finds it.
    """
    findings, random, n = Findings(), options.random(), options.count(CASES)
    exact = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(workplace())
        case = small(folder, seeds=3, epochs=4, n_examples=200)
        stack.enter_context(chunks_of(1))
        whole = train(case)
        for number in range(n):
            lanes: list[int] = []
            while not lanes:  # at some boundaries a cohort has stopped but not ended yet
                at = random.randrange(len(whole.boundaries))
                copies = list(whole.boundaries[at])
                index = random.randrange(len(copies))
                copy = copies[index]
                lanes = [i for i, _ in enumerate(copy.run_ids) if copy.arrays[".active"][i]]
            lane = random.choice(lanes)
            names = sorted(name for name in copy.arrays if name.startswith(".params"))
            arrays = {name: np.array(array) for name, array in copy.arrays.items()}
            own = arrays[random.choice(names)][lane].reshape(-1)
            own[random.randrange(own.size)] = np.nan
            copies[index] = replace(copy, arrays=arrays)
            # `train` would also record all boundaries, which is not needed here.
            again = _train_only(case, copies, whole.ended[at])
            updates = position(copy)[1] // 2
            wanted = updates if copy.step == copy.evaluations.interval else updates + 1
            victim = copy.run_ids[lane]
            result = again.get(victim)
            found = None if result is None else (result.status, result.diverged_at)
            exact += findings.expect(
                found == ("diverged", wanted), f"case {number}: {found}, not at {wanted}"
            )
            left = whole.results.keys() - whole.ended[at]
            findings.expect(again.keys() == left, f"case {number}: not all other runs ended")
            for run_id in (left & again.keys()) - {victim}:
                same = bits_of_result(again[run_id]) == bits_of_result(whole.results[run_id])
                findings.expect(same, f"case {number}: {run_id[:8]} was affected")
    return Row(
        f"NaN put into one lane after update k, {n} cases",
        f"{n} reported at that exact update; all others byte-equal; the study continues",
        f"{exact} exact; {len(findings.found)} faults{findings}",
        ok=not findings.found and exact == n,
    )


def _train_only(case: Small, saved: Sequence[CohortState], ended: set[str]) -> dict[str, RunResult]:
    from jmlp.training import engine

    by_ids = {copy.run_ids: copy for copy in saved}
    training = engine.Training(
        planning.without(case.plan, ended),
        case.dataset,
        case.devices,
        saved=lambda cohort, width: by_ids.get(tuple(run.run_id for run in cohort.runs)),
    )
    return {result.run_id: result for progress in training for result in progress.results}


def same(options: Options) -> Row:
    """Trains a study in fresh processes; runs one chunk many times on copies of its buffers."""
    n_processes, n_calls = options.count(TIMES), options.count(CALLS)
    with workplace() as folder:
        write_inputs(folder, epochs=20)
        studies = []
        for number in range(n_processes):
            store, log = folder / f"store-{number}", folder / f"{number}.log"
            queue(folder, store)
            process = worker(store, log)
            if process.wait() != 0:
                raise RuntimeError(log.read_text())
            studies.append(_digest(fingerprints(store)))
            say(f"process {number + 1} of {n_processes}: {studies[-1][:12]}")
        calls = _calls(folder, n_calls)
    return Row(
        f"the same study {n_processes} times in fresh processes; {n_calls} calls of one chunk on "
        "copies of the same buffers",
        "one digest each",
        f"{len(set(studies))} and {len(set(calls))} ({studies[0][:12]}, {calls[0][:12]})",
        ok=len(studies) == n_processes
        and len(calls) == n_calls
        and len(set(studies)) == len(set(calls)) == 1,
    )


def _digest(found: dict[str, Fingerprint]) -> str:
    return hashlib.sha256(repr(sorted(found.items())).encode()).hexdigest()


class _Copy(NamedTuple):
    """A copy of an argument of a chunk, on the host."""

    array: Any
    sharding: Any  # None if it was on the host


def _copy(argument: Any) -> _Copy:
    return _Copy(np.array(argument), getattr(argument, "sharding", None))


def _calls(folder: Path, n: int) -> list[str]:
    """Digests of the output of one chunk, called repeatedly."""
    case = small(folder / "calls", seeds=2, epochs=3)
    import jax

    from jmlp.training import engine, program

    taken: list[tuple[Any, ...]] = []
    advance = program.advance

    def take(fixed: Any, *arguments: Any) -> Any:
        if len(taken) < 3:  # takes the third one: the first two may have initial parameters
            copies = jax.tree.map(
                lambda a: _Copy(np.array(a), getattr(a, "sharding", None)), arguments
            )
            taken.append((fixed, copies))
        return advance(fixed, *arguments)

    program.advance = take  # type: ignore[assignment]
    try:
        for _ in engine.Training(case.plan, case.dataset, case.devices):
            if len(taken) == 3:
                break
    finally:
        program.advance = advance
    fixed, copies = taken[-1]
    digests = []
    for _ in range(n):
        arguments = jax.tree.map(
            lambda leaf: leaf.array if leaf.sharding is None else jax.device_put(*leaf),
            copies,
            is_leaf=lambda leaf: type(leaf) is _Copy,
        )
        given = advance(fixed, *arguments)
        digest = hashlib.sha256()
        for leaf in jax.tree.leaves(jax.device_get(given)):
            digest.update(np.asarray(leaf).tobytes())
        digests.append(digest.hexdigest())
    return digests
