"""Finds settings that are valid individually but not in combination, or not with the data.

Settings with which nothing can be learned are refused before training. The others give a remark,
shown with the plan and with the results concerned. Checks that need the data are skipped if the
data is unknown.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np

from jmlp.data.order import split
from jmlp.errors import ConfigError
from jmlp.results.statistics import FEWEST_PAIRS
from jmlp.study.config import (
    FLOAT_FIELDS,
    Configuration,
    Experiment,
    Hyperparams,
    Study,
    canonical,
    changed,
    configurations,
    features,
    in_use,
    per_layer,
)
from jmlp.study.rules import value_text
from jmlp.training.plan import GRADIENT_BLOCK, DataFacts, n_steps, n_validation
from jmlp.training.records import FEWEST_FOR_COLLAPSE, Evaluations, RunResult

SMALL_BATCH = 8  # examples; below this, batch norm's estimates are poor
FEW_UPDATES = 20  # of patience; with fewer, early stopping may be due to chance
BATCH_NORM_DECAY = 0.9  # the weight of the old value in a running average; see nn.batchnorm
MOST_LEFT = 0.05  # weight that the initial value of a running average may still have
MOST_LEFT_OUT = 0.25  # of the training part, in each epoch
OFTEN = 0.5  # the fraction of examples for which dropout may drop a whole layer
_SMALLEST = float(np.finfo(np.float32).tiny)
SMALL_INPUT = 0.01  # far below standardised inputs
LARGEST_INPUT = 1000.0  # of arrays that are trained on as they are
LARGE_INPUT = 20.0  # far beyond standardised inputs, which rarely exceed 10
_NAMED = 3  # cases listed in a sentence

When = Literal["always", "before", "stopped early"]


@dataclass(frozen=True)
class Remark:
    """One sentence about settings.

    `when` is "before" if it is shown only before training, since the tables state the same in other
    words; "stopped early" if it is shown with results only beside runs stopped by patience.
    """

    text: str
    when: When = "always"
    refused: str = ""  # the setting at fault, if training is refused
    urgent: bool = False  # is also said when training begins: results may be worth little

    @property
    def sentence(self) -> str:
        """The text as shown beside results, which an earlier version may have allowed to train."""
        return f"{self.text[0].upper()}{self.text[1:]}." if self.refused else self.text


@dataclass(frozen=True)
class _Setting:
    """The input of the checks."""

    study: Study
    experiment: Experiment
    configurations: Sequence[Configuration]
    facts: DataFacts | None

    @property
    def hps(self) -> list[Hyperparams]:
        return [configuration.hyperparams for configuration in self.configurations]

    @property
    def n_training(self) -> int | None:
        if self.facts is None:
            return None
        n = self.facts.n_examples
        return n - n_validation(n, self.study.validation_fraction)

    @property
    def is_stratified(self) -> bool:
        """Whether the split is by class."""
        return self.facts is not None and self.facts.is_table and self.study.stratify

    def n_steps(self, hp: Hyperparams) -> int:
        """Updates per epoch; without data, the largest possible number."""
        n = self.n_training
        return 2**31 if n is None else n_steps(n, hp.batch_size)

    def evaluations(self, hp: Hyperparams) -> Evaluations:
        """When a run is evaluated."""
        return Evaluations(self.n_steps(hp), hp.evaluate_every)

    def may_stop_early(self, hp: Hyperparams) -> bool:
        """Whether patience can end a run before its limit."""
        return hp.patience is not None and hp.patience < self.evaluations(hp).last(hp.epochs)


def refuse(study: Study, facts: DataFacts | None) -> None:
    """Refuses a study if nothing can be learned in some part of it.

    Raises:
        ConfigError: with one problem per setting.
    """
    problems = dict.fromkeys(
        f"{study.name}: {remark.refused}: {remark.text}"
        for experiment in study.experiments
        for remark in _remarks(study, experiment, configurations(experiment), facts)
        if remark.refused
    )
    if problems:
        raise ConfigError(tuple(problems))


def remarks_before(
    study: Study, facts: DataFacts, *, urgent: bool = False
) -> list[tuple[str, tuple[str, ...]]]:
    """The remarks shown before training, each with the names of its experiments.

    Args:
        study: the study.
        facts: facts of its data.
        urgent: only those that are also said when training begins.
    """
    texts: dict[str, list[str]] = {}
    for experiment in study.experiments:
        for remark in _remarks(study, experiment, configurations(experiment), facts):
            if urgent and not remark.urgent:
                continue
            texts.setdefault(remark.text, []).append(experiment.name)
    return [(text, tuple(names)) for text, names in texts.items()]


def remarks_after(
    study: Study,
    experiment: Experiment,
    results: Sequence[tuple[Configuration, Iterable[RunResult]]],
    facts: DataFacts | None,
) -> Iterator[str]:
    """The remarks shown beside results.

    Args:
        study: the study of the experiment.
        experiment: the experiment.
        results: its configurations with their ended runs.
        facts: facts of the data; None if unknown.
    """
    stopped = [configuration for configuration, runs in results if any(map(_stopped_early, runs))]
    groups: tuple[tuple[When, list[Configuration]], ...] = (
        ("always", [configuration for configuration, _ in results]),
        ("stopped early", stopped),
    )
    for when, members in groups:
        for remark in _remarks(study, experiment, members, facts):
            if remark.when == when:
                yield remark.sentence


def _stopped_early(run: RunResult) -> bool:
    return run.status == "finished" and not run.reached_limit


def _remarks(
    study: Study,
    experiment: Experiment,
    members: Sequence[Configuration],
    facts: DataFacts | None,
) -> Iterator[Remark]:
    setting = _Setting(study, experiment, members, facts)
    for check in CHECKS:
        yield from check(setting)


# ---- hyperparameters


def _too_small_for_float32(setting: _Setting) -> Iterator[Remark]:
    for name in ("learning_rate", "weight_std", "max_norm", "clip_norm"):
        used = {getattr(hp, name) for hp in setting.hps if in_use(name, hp)} - {None}
        for value in sorted(used):
            if value < _SMALLEST:
                text = f"{value} is 0 in float32, in which jmlp computes: use {_SMALLEST:.2g} or"
                yield Remark(f"{text} more", refused=name)
    for name, what in (
        ("drop_rate", "every unit is dropped"),
        ("input_drop_rate", "every input is dropped"),
        ("momentum", "nothing is forgotten"),
        ("label_smoothing", "nothing of a label is left"),
    ):
        values = {getattr(hp, name) for hp in setting.hps if in_use(name, hp)}
        rates = {rate for v in values for rate in (v if isinstance(v, tuple) else (v,))}
        for value in sorted(rates):
            if np.float32(value) == 1:
                yield Remark(
                    f"{value!r} is 1 in float32, in which jmlp computes, so that {what}: "
                    "use a smaller one",
                    refused=name,
                )


def _batch_norm_of_few(setting: _Setting) -> Iterator[Remark]:
    for size in sorted({hp.batch_size for hp in setting.hps if hp.batch_norm}):
        if size == 1:
            yield Remark(
                "with batch norm there must be at least 2 examples in a mini-batch: with 1 every "
                "normalised value is 0, and nothing can be learned; use a larger batch_size, or "
                "batch_norm = false",
                refused="batch_size",
            )
        elif size == 2:
            yield Remark(
                "Batch norm over mini-batches of 2 examples keeps only which of them has the "
                "larger value: every normalised value is close to -1 or +1."
            )
        elif size < SMALL_BATCH:
            yield Remark(
                f"Batch norm over mini-batches of {size} examples normalises by means and "
                f"variances of only {size} values, unlike those of prediction."
            )


def _equal_configurations(setting: _Setting) -> Iterator[Remark]:
    """Rows of one table that are the same run, or must have equal results."""
    found: dict[Hyperparams, Configuration] = {}
    same = []
    for configuration in setting.configurations:
        other = found.setdefault(_as_trained(configuration.hyperparams, setting), configuration)
        if other is not configuration:
            same.append(f"{other.label} and {configuration.label}")
    if same:
        yield Remark(f"These train the same network, and have equal results: {_some(same)}.")


def _as_trained(hp: Hyperparams, setting: _Setting) -> Hyperparams:
    """A form equal for equal training: numbers as float32, and settings without effect removed."""
    optimizer = hp.optimizer
    if optimizer in ("momentum", "nesterov") and hp.momentum == 0:
        optimizer = "sgd"
    elif optimizer == "adamw" and hp.weight_decay == 0:
        optimizer = "adam"
    faults = {
        name: "none"
        for name in ("backward_fault", "training_fault")
        if _lacking(hp, getattr(hp, name), setting.facts)
    }
    return canonical(
        changed(
            hp,
            **faults,
            **{name: _float32(getattr(hp, name)) for name in FLOAT_FIELDS},
            optimizer=optimizer,
            patience=hp.patience if setting.may_stop_early(hp) else None,
        )
    )


def _float32(value: Any) -> Any:
    if value is None:  # off
        return None
    if isinstance(value, tuple):
        return tuple(map(_float32, value))
    with np.errstate(over="ignore"):
        return float(np.float32(value))


def _mistakes_on_purpose(setting: _Setting) -> Iterator[Remark]:
    for name, where in (("backward_fault", "backward pass"), ("training_fault", "training")):
        names = sorted({getattr(hp, name) for hp in setting.hps} - {"none"})
        if names:
            yield Remark(
                f"The {where} has a mistake on purpose ({name}: {_some(names)}): these are not "
                "results of the correct algorithm."
            )


def _mistakes_in_blocks(setting: _Setting) -> Iterator[Remark]:
    """A mistake that is about the whole mini-batch is no longer the same in each block of it."""
    for hp in setting.hps:
        in_blocks = hp.batch_size > GRADIENT_BLOCK and not hp.batch_norm
        whole = f"mini-batches of at most {GRADIENT_BLOCK} examples unless there is batch norm"
        if hp.backward_fault == "updated_weights" and (
            hp.optimizer != "sgd" or in_blocks or {"l2", "clip_norm", "max_norm"} & {*features(hp)}
        ):
            yield Remark(
                "updated_weights is defined for SGD without l2, clip_norm and max_norm, and for "
                f"{whole}",
                refused="backward_fault",
            )
            return
        if hp.backward_fault in ("bias_of_last", "bias_mean") and in_blocks:
            yield Remark(f"{hp.backward_fault} is defined for {whole}", refused="backward_fault")
            return


def _mistakes_without_effect(setting: _Setting) -> Iterator[Remark]:
    """Refused only if there is no effect in any configuration: another axis may give it one."""
    for name in ("backward_fault", "training_fault"):
        lacking: dict[str, list[str]] = {}  # what each configuration with the mistake lacks
        for hp in setting.hps:
            if (fault := getattr(hp, name)) != "none":
                lacking.setdefault(fault, []).append(_lacking(hp, fault, setting.facts))
        for fault, texts in lacking.items():
            if all(texts):
                yield Remark(f"{fault} has no effect {texts[0]}", refused=name)


def _lacking(hp: Hyperparams, fault: str, facts: DataFacts | None) -> str:
    """What a network lacks in which a mistake has no effect; empty: it has one, or may have one."""
    match fault:
        case "batch_norm" if not hp.batch_norm:
            return "without batch norm: set batch_norm = true"
        case "dropout_mask" if not any(per_layer(hp.drop_rate, hp.hidden)):
            return "without dropout: set drop_rate"
        case "batch_mean" | "bias_of_last" | "bias_mean" if hp.batch_size == 1:
            return "with a batch_size of 1: use a larger one"
        case "weights_transposed":
            # W of the first layer passes nothing back.
            sizes = (*hp.hidden, facts.n_classes) if facts else hp.hidden
            if facts and not any(a == b for a, b in pairwise(sizes)):
                return (
                    "where no W after the first layer is square: give two layers the same number "
                    "of units, as in hidden = [16, 16]"
                )
        case "raw_inputs" if facts and not facts.is_table and facts.pixel_bytes != 1:
            return "on numbers that are used as they are: it needs uint8 pixels, or a table"
    return ""


def _raw_inputs_are_missing(setting: _Setting) -> Iterator[Remark]:
    if setting.study.missing == "mean" and any(
        hp.training_fault == "raw_inputs" for hp in setting.hps
    ):
        yield Remark(
            'raw_inputs needs a table without missing values: use missing = "drop"',
            refused="training_fault",
        )


def _whole_layers_dropped(setting: _Setting) -> Iterator[Remark]:
    worst = max(
        (
            (rate**units, rate, units)
            for hp in setting.hps
            for rate, units in zip(per_layer(hp.drop_rate, hp.hidden), hp.hidden, strict=False)
        ),
        default=(0.0, 0.0, 0),
    )
    share, rate, units = worst
    if share >= OFTEN:
        of = f"all {units} units" if units > 1 else "the only unit"
        yield Remark(
            f"A drop rate of {value_text(rate)} drops {of} of a hidden layer at once in "
            f"{100 * share:.0f} % of cases, and then nothing passes through it."
        )


def _symmetric_start(setting: _Setting) -> Iterator[Remark]:
    if any(hp.initialization == "zero" for hp in setting.hps):
        yield Remark(
            "With the initialisation zero, all units of a hidden layer begin equal and have equal "
            "gradients: what makes them differ is missing, so a network learns hardly more than "
            "the frequencies of the classes."
        )


def _schedule_with_patience(setting: _Setting) -> Iterator[Remark]:
    limits = sorted(
        {
            hp.epochs
            for hp in setting.hps
            if hp.schedule != "constant" and setting.may_stop_early(hp)
        }
    )
    if limits:
        yield Remark(
            f"The learning rate falls to 0 over the limit of {_some(limits)} epochs: where "
            "patience stops a run earlier, it has not fallen so far.",
            "stopped early",
        )


# ---- hyperparameters with the data


def _patience_within_warmup(setting: _Setting) -> Iterator[Remark]:
    if setting.n_training is None:
        return
    cases = sorted(
        {
            (hp.patience, setting.evaluations(hp).epoch(hp.patience), hp.warmup)
            for hp in setting.hps
            if hp.patience is not None and setting.may_stop_early(hp)
        }
    )
    texts = [
        f"patience {patience} is {_epochs(epoch)}, the warm-up {_epochs(warmup)}"
        for patience, epoch, warmup in cases
        if epoch <= warmup
    ]
    if texts:
        yield Remark(
            f"Patience can stop a run within its warm-up ({_some(texts)}), before it has trained "
            "with its full learning rate: use a larger patience or a shorter warm-up.",
            "stopped early",
        )


def _patience_of_few_updates(setting: _Setting) -> Iterator[Remark]:
    cases = sorted(
        {
            (hp.patience * setting.evaluations(hp).interval, hp.patience, hp.batch_size)
            for hp in setting.hps
            if hp.patience is not None and setting.may_stop_early(hp)
        }
    )
    texts = [
        f"patience {patience} at batch size {size} is {_count(updates, 'update')}"
        for updates, patience, size in cases  # the fewest first
        if updates < FEW_UPDATES
    ]
    if texts:
        yield Remark(
            f"Early stopping waits for few updates here ({_some(texts)}): a run may be stopped "
            "long before it has learned what it can.",
            "stopped early",
        )


def _short_epochs(setting: _Setting) -> Iterator[Remark]:
    n = setting.n_training
    if n is None:
        return
    texts = []
    for size in sorted({hp.batch_size for hp in setting.hps}):
        steps = n_steps(n, size)
        left_out = n - steps * size
        if steps == 1 or left_out > MOST_LEFT_OUT * n:
            text = f"at batch size {size} an epoch is {_count(steps, 'update')}"
            texts.append(f"{text} and leaves out {left_out:,}" if left_out else text)
    if texts:
        yield Remark(f"Of the {n:,} examples of the training part: {_some(texts)}.")


def _running_averages(setting: _Setting) -> Iterator[Remark]:
    updates = [hp.epochs * setting.n_steps(hp) for hp in setting.hps if hp.batch_norm]
    fewest = min(updates, default=None)
    if fewest is not None and (left := BATCH_NORM_DECAY**fewest) > MOST_LEFT:
        yield Remark(
            f"Batch norm predicts by running averages: after {_count(fewest, 'update')} in all, "
            f"{100 * left:.0f} % of them is still what they began with."
        )


# ---- the data


def _few_validation_examples(setting: _Setting) -> Iterator[Remark]:
    if setting.facts is None:
        return
    n = n_validation(setting.facts.n_examples, setting.study.validation_fraction)
    if n < FEWEST_FOR_COLLAPSE:
        yield Remark(
            f"The validation part has {_count(n, 'example')}: early stopping and the best "
            "configuration rest on them, and they are too few to call a run collapsed."
        )


def _rare_classes(setting: _Setting) -> Iterator[Remark]:
    if setting.facts is None or not setting.facts.class_counts:
        return
    share = min(setting.study.validation_fraction, 1 - setting.study.validation_fraction)
    facts = setting.facts
    rare = [
        f"{_count(n, 'example')} of class {facts.name_of(label)}"
        for label, n in enumerate(setting.facts.class_counts)
        if 0 < n * share < 1
    ]
    if rare:
        # The last example of a class is always trained on if the split is by class.
        where = "" if setting.is_stratified else "the training part or "
        where += "the validation part may"
        yield Remark(
            f"There {'is' if rare[0].startswith('1 ') else 'are'} {_some(rare)}: {where} have none "
            "of them."
        )


def _unseen_classes(setting: _Setting) -> Iterator[Remark]:
    facts, study = setting.facts, setting.study
    if facts is None:
        return
    unseen = {label for label, n in enumerate(facts.class_counts) if n == 0}
    lacking = 0  # splits in which a class is unseen
    seeds: Sequence[int] = setting.experiment.seeds
    if study.split_seed != "seed":
        seeds = (study.split_seed,)
    if facts.rare_rows and not setting.is_stratified:
        for seed in seeds:
            found = _without_training(
                facts.n_examples, seed, study.validation_fraction, facts.rare_rows
            )
            lacking += bool(found)
            unseen.update(found)
    if unseen:
        first, *others = sorted(unseen)
        splits = f"In {lacking} of {len(seeds)} splits the" if 0 < lacking < len(seeds) else "The"
        classes = f"class {facts.name_of(first)}"
        if others:
            classes += f", nor of {len(others)} other class{'es' if len(others) > 1 else ''}"
        yield Remark(
            f"{splits} training part has no example of {classes}: a network cannot learn a class "
            "that it never sees.",
            urgent=True,
        )


@functools.lru_cache(1000)
def _without_training(
    n: int, split_seed: int, fraction: float, rows: tuple[tuple[int, ...], ...]
) -> tuple[int, ...]:
    """The classes whose rows are all in the validation part of a random split; few have rows."""
    if not 0 < n_validation(n, fraction) < n:
        return ()
    training, _ = split(n, split_seed, fraction)
    is_training = np.zeros(n, np.bool_)
    is_training[training] = True
    return tuple(
        label for label, its in enumerate(rows) if its and not is_training[list(its)].any()
    )


def _large_inputs(setting: _Setting) -> Iterator[Remark]:
    largest = setting.facts.largest_input if setting.facts else 0.0
    if largest > LARGEST_INPUT:
        yield Remark(
            f"inputs as large as {largest:,.6g} are not standardised, and networks collapse on "
            "them: give them as a table (a .csv file, or a frame to jmlp.fit), whose numbers are "
            "standardised, or subtract the mean of each column and divide by its standard "
            "deviation",
            refused="data",
        )
    elif 0 < largest < SMALL_INPUT:
        yield Remark(
            f"The inputs are at most {largest:.3g}, and are used as they are: networks learn "
            "better from numbers around -1 to 1."
        )
    elif largest > LARGE_INPUT:
        yield Remark(
            f"The inputs are as large as {largest:,.6g}, and are used as they are: networks learn "
            "better from numbers around -1 to 1. Pixels of type uint8 are scaled to 0-1."
        )


# ---- comparisons


def _no_verdicts(setting: _Setting) -> Iterator[Remark]:
    search, facts = setting.experiment.search, setting.facts
    n = len(search.confirm if search else setting.experiment.seeds)
    if len(setting.configurations) < 2:
        return
    if facts is not None and not facts.n_test:
        yield Remark(
            "There is no test set: nothing is compared, and no claim is answered.", "before"
        )
        return
    if n < FEWEST_PAIRS:
        yield Remark(
            f"With {_count(n, 'fresh seed' if search else 'seed')} there is no verdict and no "
            f"claim is settled: {FEWEST_PAIRS} are needed.",
            "before",
        )
    smallest = setting.study.smallest_difference
    if facts is not None and facts.n_test * smallest < 1 and smallest:
        yield Remark(
            f"One of the {_count(facts.n_test, 'test example')} is {100 / facts.n_test:.2g} points "
            f"of accuracy, more than the smallest difference that counts ({100 * smallest:.2g})."
        )


CHECKS: tuple[Callable[[_Setting], Iterator[Remark]], ...] = (
    _too_small_for_float32,
    _batch_norm_of_few,
    _equal_configurations,
    _mistakes_on_purpose,
    _mistakes_in_blocks,
    _mistakes_without_effect,
    _raw_inputs_are_missing,
    _whole_layers_dropped,
    _symmetric_start,
    _short_epochs,
    _running_averages,
    _few_validation_examples,
    _rare_classes,
    _unseen_classes,
    _large_inputs,
    _no_verdicts,
    _patience_of_few_updates,
    _patience_within_warmup,
    _schedule_with_patience,
)


def _epochs(n: float) -> str:
    return f"{n:g} epoch{'' if n == 1 else 's'}"


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _some(texts: Sequence[object]) -> str:
    more = len(texts) - _NAMED
    return "; ".join(map(str, texts[:_NAMED])) + (f"; and {more:,} more" if more > 0 else "")
