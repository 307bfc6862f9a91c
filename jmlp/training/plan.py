"""Expands a study into runs, cohorts, and groups that compile once. Imports no JAX.

Equal runs of several experiments are trained as one run. Runs that share a stage (`Run.stage`), a
seed, every static hyperparameter and their features (`config.features`: which optional parts of the
mathematics they use) are a cohort; cohorts that agree in all of these but the seed are a group.
"""

import hashlib
import json
import math
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, plane_of
from jmlp.data.order import mini_batches, unshuffled
from jmlp.data.published import Published
from jmlp.data.table import TableOptions
from jmlp.errors import ConfigError
from jmlp.study.config import (
    TABLE_KEYS,
    Hyperparams,
    Study,
    changed,
    compiled_in,
    configurations,
    features,
    identity,
)
from jmlp.study.rules import MAX_UPDATES, EvaluateEvery, Optimizer
from jmlp.training.records import NUMERICS, Evaluations

# Allowed widths. A CPU trains lanes in pairs, and a lane's bits depend on whether its program has
# one lane or several (never a single pair, which XLA compiles without a loop, to other last
# digits); on an accelerator they may depend on the exact width. So there are few widths, all even
# except 1, and only the plan determines them. Padding lanes cost nothing on a CPU.
SMALL_WIDTHS = (1, 4, 8)
WIDEST = 20

# Copies of the parameters that an optimiser keeps: velocities and moments.
MOMENTS: Mapping[Optimizer, int] = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2, "adamw": 2}

# Examples that go through the network together, in training (except with batch norm, which needs
# the whole mini-batch) and in an evaluation. Their pixels, as float32, fit in the second-level
# cache of a core: 400 kB for 128 images of MNIST, while those of a mini-batch of 2048 would not.
GRADIENT_BLOCK = 128
EVALUATION_BLOCK = 500

# Of a class with more, the training part of a random split has an example for sure, in practice.
FEW_EXAMPLES = 50

TRAINING_SAMPLE = 5000  # examples of the training part that each evaluation measures

# Cohorts in training at once on a CPU core, which processes them one after the other; bits don't
# depend on it. With several, the load of the cores is balanced, and one call from Python serves
# all.
CPU_SLOTS = 4
# Of all cohorts on a core, unless there is only one: each chunk of steps reads and writes them all.
# Four seeds of the study `best`, 8 MB each, took 75 s for three epochs with one cohort at a time on
# each of two cores, and 81 and 89 s with two.
STATE_BYTES = 12_000_000
BASE_MEMORY = 600_000_000  # Python, JAX, one group's compiles and programs
RUN_MEMORY = 8_000  # per run of a study: its plan, its row and its record
MOST_WAITING = 4  # cohorts per device whose results may wait for the disk
SNAPSHOTS = 12  # of a run of 100 epochs; about as many are kept in memory
# Limit for the snapshots of one run. At 64 kB each, all those of a network of 20-7-5 units are
# kept; of a network with 400,000 parameters, five are.
SNAPSHOT_BYTES = 8_000_000


@dataclass(frozen=True)
class DataFacts:
    """What a plan needs to know of a data set."""

    n_examples: int  # training and validation part together
    n_test: int
    n_in: int
    n_classes: int
    digests: Mapping[str, str]  # SHA-256 of each array
    pixel_bytes: int = field(default=1, metadata={"added": True})  # 4: floating-point data
    # Examples of each class, training and validation part together; empty if unknown.
    class_counts: tuple[int, ...] = field(default=(), metadata={"added": True})
    # The largest magnitude of a network input; 0 if unknown.
    largest_input: float = field(default=0.0, metadata={"added": True})
    # Height and width of the pictures; None if the examples are none, or it is unknown.
    plane: tuple[int, int] | None = field(default=None, metadata={"added": True})
    # Of a table: what it consists of, in one sentence, and the names of its classes.
    about: str = field(default="", metadata={"added": True})
    class_names: tuple[str, ...] = field(default=(), metadata={"added": True})
    # The rows of each class with at most `FEW_EXAMPLES`, which tell whether a part of a split has
    # any of them. Empty for all others, and as a whole if there is no such class, or it is unknown.
    rare_rows: tuple[tuple[int, ...], ...] = field(default=(), metadata={"added": True})

    @property
    def is_table(self) -> bool:
        """Whether the examples are rows of a table: standardised, and split by class if wished."""
        return "columns" in self.digests

    def name_of(self, label: int) -> str:
        """The name of a class."""
        return self.class_names[label] if self.class_names else str(label)


def data_facts(dataset: Dataset) -> DataFacts:
    """The facts of a data set in memory."""
    x, columns = dataset.x_train, dataset.columns
    if columns is not None:
        largest = 0.0  # standardised
    else:
        largest = 1.0 if x.dtype == np.uint8 else float(max(-x.min(), x.max()))
    return DataFacts(
        n_examples=len(dataset.y_train),
        n_test=0 if dataset.y_test is None else len(dataset.y_test),
        n_in=dataset.n_in,
        n_classes=dataset.n_classes,
        digests=dataset.digests,
        pixel_bytes=1 if x.dtype == np.uint8 else 4,
        class_counts=tuple(np.bincount(dataset.y_train, minlength=dataset.n_classes).tolist()),
        rare_rows=_rare_rows(dataset),
        largest_input=largest,
        plane=None if columns is not None else plane_of(dataset.image_shape),
        about="" if columns is None else columns.sentence(dataset.n_classes),
        class_names=dataset.class_names,
    )


def _rare_rows(dataset: Dataset) -> tuple[tuple[int, ...], ...]:
    counts = np.bincount(dataset.y_train, minlength=dataset.n_classes)
    if not ((counts > 0) & (counts <= FEW_EXAMPLES)).any():
        return ()
    return tuple(
        tuple(np.flatnonzero(dataset.y_train == label).tolist()) if n <= FEW_EXAMPLES else ()
        for label, n in enumerate(counts)
    )


def table_options(study: Study) -> TableOptions:
    """What a study says about its table."""
    return TableOptions(**{key: getattr(study, key) for key in TABLE_KEYS})


def published_facts(data: Published) -> DataFacts:
    """The facts of a published data set, which are known without loading it."""
    return DataFacts(
        n_examples=data.shapes["x_train"][0],
        n_test=data.shapes["x_test"][0],
        n_in=math.prod(data.shapes["x_train"][1:]),
        n_classes=data.n_classes,
        digests=data.digests,
        plane=plane_of(data.shapes["x_train"][1:]),
        class_names=data.classes,
    )


@dataclass(frozen=True)
class Run:
    """One (configuration, seed), with all experiments that it belongs to."""

    run_id: str
    hyperparams: Hyperparams
    seed: int
    split_seed: int
    experiments: tuple[str, ...]
    # The first stage of its experiments: later ones are known only when it has been trained, and
    # must not change its program.
    stage: int = 0


@dataclass(frozen=True)
class Cohort:
    """Runs that see the same mini-batches, one lane each."""

    seed: int
    split_seed: int
    runs: tuple[Run, ...]  # sorted by id


@dataclass(frozen=True)
class Group:
    """Cohorts that are trained by one compiled program."""

    width: int  # lanes of each cohort, padding included
    cohorts: tuple[Cohort, ...]
    # Whether any lane of the full group drops units. A lane that drops none may have other last
    # digits in a program that can, so this must not change when some runs are already done.
    can_drop: bool

    @property
    def hyperparams(self) -> Hyperparams:
        """Hyperparameters of one of its runs; only `compiled_in` holds for the whole group."""
        return self.cohorts[0].runs[0].hyperparams


@dataclass(frozen=True)
class Plan:
    """Everything to be trained."""

    study: Study
    facts: DataFacts
    groups: tuple[Group, ...]

    @property
    def n_validation(self) -> int:
        """Examples of the validation part."""
        return n_validation(self.facts.n_examples, self.study.validation_fraction)

    @property
    def n_training(self) -> int:
        """Examples of the training part."""
        return self.facts.n_examples - self.n_validation

    @property
    def runs(self) -> tuple[Run, ...]:
        """All runs, without duplicates."""
        return tuple(run for g in self.groups for c in g.cohorts for run in c.runs)


def make_plan(study: Study, facts: DataFacts) -> Plan:
    """Expands a study into groups, those with the most runs first.

    Groups that share compiled programs are adjacent, since a worker keeps those of one group only.

    Raises:
        ConfigError: a configuration cannot be trained on this data.
    """
    runs = _runs(study, facts)
    _check_against_data(runs, study, facts)
    cohorts: dict[tuple[tuple[object, ...], int, int], list[Run]] = {}
    for run in runs:
        program = run.stage, *compiled_in(run.hyperparams)
        cohorts.setdefault((program, run.seed, run.split_seed), []).append(run)
    groups: dict[tuple[object, ...], list[Cohort]] = {}
    for (program, seed, split_seed), members in cohorts.items():
        members.sort(key=lambda run: run.run_id)
        for part in _split(members):
            groups.setdefault(program, []).append(Cohort(seed, split_seed, tuple(part)))
    made = [_group(tuple(cohorts)) for cohorts in groups.values()]
    made.sort(key=lambda group: -sum(len(c.runs) for c in group.cohorts))
    sharing: dict[object, list[Group]] = {}
    for group in made:
        common = compiled_in(as_compiled(group.hyperparams))
        sharing.setdefault((common, group.width), []).append(group)
    return Plan(study, facts, tuple(group for members in sharing.values() for group in members))


def as_compiled(hp: Hyperparams) -> Hyperparams:
    """The hyperparameters without those that determine only which examples an update sees.

    Groups that differ only in these share all programs but the one that makes updates.
    """
    fault = "none" if hp.training_fault == "no_shuffle" else hp.training_fault
    return changed(
        hp,
        batch_size=0,
        evaluate_every="epoch",
        shift=0,
        rotation=0.0,
        elastic=0.0,
        training_fault=fault,
    )


def _group(cohorts: tuple[Cohort, ...]) -> Group:
    can_drop = any(np.any(run.hyperparams.drop_rate) for c in cohorts for run in c.runs)
    return Group(width(max(len(c.runs) for c in cohorts)), cohorts, can_drop)


def width(n_lanes: int) -> int:
    """Lanes of the program that trains `n_lanes` runs; `n_lanes` is at most 20."""
    return next((w for w in SMALL_WIDTHS if w >= n_lanes), n_lanes + n_lanes % 2)


def n_validation(n_examples: int, fraction: float) -> int:
    """Examples of the validation part, as `data.split` counts them."""
    return round(n_examples * fraction)


def n_steps(n_training: int, batch_size: int) -> int:
    """Updates per epoch; the remaining examples, fewer than a mini-batch, are not used in it."""
    return n_training // batch_size


def evaluations(n_training: int, hp: Hyperparams) -> Evaluations:
    """When a run is evaluated that trains on so many examples."""
    return Evaluations(n_steps(n_training, hp.batch_size), hp.evaluate_every)


def examples_of_updates(
    hp: Hyperparams, seed: int, first: int, n: int, training: NDArray[np.int32]
) -> NDArray[np.int32]:
    """The examples of consecutive updates of a run, as indices of `training`, `(n, batch size)`.

    Args:
        hp: hyperparameters of the run.
        seed: its seed.
        first: the number of updates before these.
        n: the number of these updates.
        training: the rows of the training part.
    """
    fixed = unshuffled(training) if hp.training_fault == "no_shuffle" else None
    return mini_batches(seed, first, n, len(training), hp.batch_size, fixed)


def run_id(hp: Hyperparams, seed: int, split_seed: int, study: Study, facts: DataFacts) -> str:
    """SHA-256 of everything that determines the numbers of a run, except device and versions."""
    determining = {
        "hyperparams": identity(hp),
        "seed": seed,
        "split_seed": split_seed,
        "validation_fraction": study.validation_fraction,
        "data": dict(facts.digests),
        "numerics": NUMERICS,
    }
    text = json.dumps(determining, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def memory(plan: Plan, n_devices: int) -> int:
    """Peak memory of training in bytes, estimated as an upper bound."""
    groups = (_group_memory(plan, group, n_devices) for group in plan.groups)
    return BASE_MEMORY + RUN_MEMORY * len(plan.runs) + max(groups, default=0)


def check_memory(plan: Plan, n_devices: int) -> None:
    """Rejects a plan that does not fit into memory, before anything is allocated.

    Raises:
        ConfigError: with the estimate and the limit.
    """
    needed, limit = memory(plan, n_devices), total_memory()
    if needed > limit:
        raise ConfigError(
            f"{plan.study.name}: needs about {size_text(needed)} of memory, "
            f"this machine has {size_text(limit)}; use smaller layers or batches, or fewer cores"
        )


def total_memory() -> int:
    """Total memory of this machine in bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def size_text(n_bytes: int) -> str:
    """Formats a size, such as `1.2 GB`."""
    return f"{n_bytes / 1e9:,.1f} GB"


def group_name(group: Group) -> str:
    """The static hyperparameters that identify a group of a study, as shown to users."""
    hp = group.hyperparams
    parts = [f"hidden {'-'.join(map(str, hp.hidden)) or 'none'}", f"batch size {hp.batch_size}"]
    if hp.batch_norm:
        place = " after the activation" if hp.batch_norm_place == "after" else ""
        scale = "" if hp.batch_norm_scale else " without scale"
        parts.append(f"batch norm{place}{scale}")
    if hp.activation != "relu":
        names = hp.activation if isinstance(hp.activation, tuple) else (hp.activation,)
        parts.append("-".join(f"{name}".replace("_", " ") for name in names))
    parts += [] if hp.optimizer == "sgd" else [f"{hp.optimizer}"]
    parts += [] if hp.schedule == "constant" else [f"{hp.schedule} schedule"]
    parts += [] if hp.initialization == "he" else [f"{hp.initialization} initialisation"]
    parts += [] if hp.class_weight == "none" else [f"{hp.class_weight} class weight"]
    if found := features(hp):
        parts.append(f"with {' and '.join(name.replace('_', ' ') for name in found)}")
    parts += [f"shift {hp.shift}"] if hp.shift else []
    parts += [f"rotation {hp.rotation:g}°"] if hp.rotation else []
    parts += [f"elastic {hp.elastic:g}"] if hp.elastic else []
    if hp.backward_fault != "none":
        parts.append(f"backward fault {hp.backward_fault}")
    if hp.training_fault != "none":
        parts.append(f"training fault {hp.training_fault}")
    if hp.evaluate_every != "epoch":
        parts.append(f"evaluated every {hp.evaluate_every:,} updates")
    return ", ".join(parts)


def n_parameters(hp: Hyperparams, n_in: int, n_classes: int) -> int:
    """Number of learned parameters of one network."""
    return sum(parameters_by_layer(hp, n_in, n_classes))


def parameters_by_layer(hp: Hyperparams, n_in: int, n_classes: int) -> tuple[int, ...]:
    """Number of learned parameters of each layer, the output layer last."""
    # With batch norm a hidden unit has a scale and a shift, before ReLU instead of a bias.
    per_hidden_unit = 1
    if hp.batch_norm:
        per_hidden_unit = 2 if hp.batch_norm_place == "before" else 3
    hidden = [b * (a + per_hidden_unit) for a, b in pairwise((n_in, *hp.hidden))]
    return (*hidden, n_classes * ((n_in, *hp.hidden)[-1] + 1))


def _runs(study: Study, facts: DataFacts) -> list[Run]:
    """All runs of all experiments, equal ones merged into one."""
    found: dict[tuple[Hyperparams, int], dict[str, int]] = {}  # stages of experiments, in order
    for experiment in study.experiments:
        for configuration in configurations(experiment):
            for seed in experiment.seeds:
                stages = found.setdefault((configuration.hyperparams, seed), {})
                stages[experiment.name] = experiment.stage
    runs = []
    for (hp, seed), stages in found.items():
        split_seed = seed if study.split_seed == "seed" else study.split_seed
        ident = run_id(hp, seed, split_seed, study, facts)
        runs.append(Run(ident, hp, seed, split_seed, tuple(stages), min(stages.values())))
    return runs


def _smaller(n_training: int) -> int:
    """A batch size that suits so few examples: a power of 2, for five updates per epoch."""
    return 1 << max(0, (n_training // 5).bit_length() - 1)


def _check_against_data(runs: Sequence[Run], study: Study, facts: DataFacts) -> None:
    """Raises `ConfigError` with everything that this data does not allow."""
    n_training = facts.n_examples - n_validation(facts.n_examples, study.validation_fraction)
    problems = []
    if not 0 < n_training < facts.n_examples:
        problems.append(
            f"{study.name}: validation_fraction: {study.validation_fraction:g} of the "
            f"{facts.n_examples} examples of {study.data} leaves one part empty"
        )
    for batch_size in sorted({run.hyperparams.batch_size for run in runs}):
        if batch_size > n_training:
            problems.append(
                f"{study.name}: batch_size: must be at most the {n_training} examples of the "
                f"training part of {study.data}, got {batch_size}: choose a smaller one, "
                f"such as {_smaller(n_training)}"
            )
    lengths: dict[tuple[int, int], set[EvaluateEvery]] = {}
    for hp in dict.fromkeys(run.hyperparams for run in runs):
        lengths.setdefault((hp.epochs, hp.batch_size), set()).add(hp.evaluate_every)
    for (epochs, batch_size), every in sorted(lengths.items()):
        updates = epochs * n_steps(n_training, batch_size)
        if 0 < updates < (longest := max((n for n in every if n != "epoch"), default=0)):
            problems.append(
                f"{study.name}: evaluate_every: must be at most the {updates:,} updates of "
                f"{epochs} {'epoch' if epochs == 1 else 'epochs'} at batch_size {batch_size}, got "
                f"{longest:,}: nothing would be evaluated"
            )
        if updates > MAX_UPDATES:
            problems.append(
                f"{study.name}: epochs: {epochs} epochs at batch_size {batch_size} are "
                f"{updates} updates, at most {MAX_UPDATES} are counted; use fewer epochs"
            )
    for name in ("shift", "rotation", "elastic"):
        if facts.plane is None and any(getattr(run.hyperparams, name) for run in runs):
            problems.append(
                f"{study.name}: {name}: the examples of {study.data} are no pictures: they need a "
                "height and a width, (N, h, w), or a square number of uint8 pixels, (N, n); leave "
                "it out"
            )
    largest = max((run.hyperparams.shift for run in runs), default=0)
    if facts.plane is not None and largest >= (side := min(facts.plane)):
        problems.append(
            f"{study.name}: shift: must be less than the {side} pixels of the shorter side of the "
            f"pictures of {study.data}, got {largest}"
        )
    if problems:
        raise ConfigError(problems)


def _split(runs: list[Run]) -> Iterator[list[Run]]:
    """Splits runs into parts of at most `WIDEST`, as equal in size as possible."""
    n_parts = -(-len(runs) // WIDEST)
    for part in range(n_parts):
        yield runs[part::n_parts]


def state_bytes(plan: Plan, group: Group) -> int:
    """Bytes of one cohort's state: parameters, best parameters, moments of the optimiser."""
    hp = group.hyperparams
    # One of the library's user (`jmlp.fit`) keeps at most as much as Adam, with few exceptions.
    copies = 2 + MOMENTS.get(hp.optimizer, 2)
    return 4 * copies * group.width * n_parameters(hp, plan.facts.n_in, plan.facts.n_classes)


def cpu_slots(plan: Plan, group: Group, n_devices: int) -> int:
    """The number of cohorts of a group in training at once on each CPU device."""
    room = STATE_BYTES // state_bytes(plan, group)
    return max(1, min(CPU_SLOTS, room, -(-len(group.cohorts) // n_devices)))


class Scaling(NamedTuple):
    """How a table is standardised for a run."""

    split_seed: int  # of the split whose training part determines it
    raw: bool  # not at all, on purpose: the training fault "raw_inputs"


def scaling_of(run: Run) -> Scaling:
    """How a table is standardised for this run."""
    return Scaling(run.split_seed, is_raw(run.hyperparams))


def is_raw(hp: Hyperparams) -> bool:
    """Whether a network's inputs are not scaled, on purpose."""
    return hp.training_fault == "raw_inputs"


def scalings(plan: Plan) -> tuple[Scaling, ...]:
    """All that the plan's runs need."""
    return tuple(dict.fromkeys(scaling_of(c.runs[0]) for g in plan.groups for c in g.cohorts))


def n_copies(plan: Plan) -> int:
    """How often the data are on a device: a table once for each way of standardising it."""
    return len(scalings(plan)) if plan.facts.is_table else 1


def _group_memory(plan: Plan, group: Group, n_devices: int) -> int:
    """Bytes of a group in training on all devices."""
    hp, facts = group.hyperparams, plan.facts
    # States and snapshots count twice: they are copied to the host when cohorts are moved or saved.
    slots = cpu_slots(plan, group, n_devices)
    states = 2 * slots * state_bytes(plan, group)
    parameters = 4 * n_parameters(hp, facts.n_in, facts.n_classes)
    snapshots = min(SNAPSHOTS * parameters, SNAPSHOT_BYTES)
    states += 2 * slots * group.width * snapshots
    n_waiting = min(MOST_WAITING * n_devices, len(group.cohorts))
    n_results = n_waiting * max(len(cohort.runs) for cohort in group.cohorts)
    waiting = n_results * (snapshots + 2 * parameters)  # best and last parameters
    lanes_at_once = min(group.width, 2)
    # Gradients, new parameters, and intermediate results.
    updates = 4 * lanes_at_once * parameters
    units = facts.n_in + 8 * (sum(hp.hidden) + facts.n_classes)  # Z, A, masks, and their gradients
    if "input_drop_rate" in features(hp):
        units += 3 * facts.n_in  # uniforms, masks, and what remains
    part = hp.batch_size if hp.batch_norm else min(hp.batch_size, GRADIENT_BLOCK)
    batch = hp.batch_size * facts.n_in * facts.pixel_bytes
    batch += 4 * max(part, EVALUATION_BLOCK) * lanes_at_once * units
    data = n_copies(plan) * (facts.n_examples + facts.n_test) * facts.n_in * facts.pixel_bytes
    # The rows of the mini-batches of this interval and of the next.
    interval = evaluations(plan.n_training, hp).interval
    order = 2 * 4 * slots * interval * hp.batch_size
    return n_devices * (states + updates + batch + order + data) + waiting + 2 * data


def without(plan: Plan, done: Collection[str]) -> Plan:
    """The plan without the runs already done; programs, and so bits, do not change."""
    groups = []
    for group in plan.groups:
        remaining = [
            replace(cohort, runs=tuple(run for run in cohort.runs if run.run_id not in done))
            for cohort in group.cohorts
        ]
        if cohorts := tuple(cohort for cohort in remaining if cohort.runs):
            groups.append(replace(group, cohorts=cohorts))
    return replace(plan, groups=tuple(groups))
