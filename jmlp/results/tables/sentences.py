"""An experiment's results in words: answers to claims, and notes below the tables."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from jmlp.errors import ConfigError
from jmlp.results.statistics import (
    FEWEST_PAIRS,
    POWER,
    Answer,
    Comparison,
    Interval,
    Verdict,
    answer_best,
    answer_not_higher,
    failure_bound,
    sampling_half_width,
)
from jmlp.results.tables.runs_by_configuration import Arm, find
from jmlp.results.tables.wording import (
    margin_text,
    passes_range,
    percent,
    points,
    points_range,
    seeds_text,
)
from jmlp.study.config import (
    Claim,
    Experiment,
    Hyperparams,
    Method,
    Study,
    canonical,
    changed,
    label,
    matches,
)
from jmlp.study.run_index import RunIndex
from jmlp.study.search import confirmation_name, round_name, rounds, space_text
from jmlp.training.plan import DataFacts
from jmlp.training.records import RunResult, made_with

_METHODS: Mapping[Method, str] = {
    "random": "at random",
    "sobol": "from a scrambled Sobol' sequence",
    "halton": "from a scrambled Halton sequence",
}

Against = Callable[[Arm, Arm], Comparison]  # test accuracy of the first minus that of the second


@dataclass(frozen=True)
class ClaimAnswer:
    """A claim, its answer, and a sentence that states both with the numbers."""

    claim: Claim
    answer: Answer
    sentence: str


def answer_claim(
    study: Study, experiment: Experiment, arms: Sequence[Arm], claim: Claim, against: Against | None
) -> ClaimAnswer:
    """Answer a claim by comparisons of test accuracy; `against` is None without a test set.

    Raises:
        ConfigError: the claim names a configuration that the experiment does not have.
    """
    if against is None:
        reason = "there is no test set, and only test accuracy answers a claim"
        return _claim_answer(claim, "not settled", reason)
    if claim.best is not None:
        best = find(experiment, arms, claim.best, f'claim "{claim.text}": best')
        compared = [(arm.label, against(arm, best)) for arm in arms if arm is not best]
        answer = answer_best([c.verdict for _, c in compared])
        return _claim_answer(claim, answer, _best_reason(compared, answer, study))
    pairs = _pairs(experiment, arms, claim)
    compared = [(f"{a.label} against {b.label}", against(a, b)) for a, b in pairs]
    answer = answer_not_higher([c.verdict for _, c in compared])
    if answer == "contradicted":
        compared = [(name, c) for name, c in compared if c.verdict == "higher"]
    return _claim_answer(claim, answer, "; ".join(phrase(n, c, study) for n, c in compared))


def _claim_answer(claim: Claim, answer: Answer, reason: str) -> ClaimAnswer:
    text = claim.text.rstrip(".")
    return ClaimAnswer(
        claim, answer, f"The original says: {text}. {answer.capitalize()}: {reason}."
    )


def _pairs(experiment: Experiment, arms: Sequence[Arm], claim: Claim) -> list[tuple[Arm, Arm]]:
    """Pairs each arm with the `not_higher` values with the arm with the `than` values instead."""
    by_hyperparams = {arm.hyperparams: arm for arm in arms}
    not_higher, than = claim.not_higher or {}, claim.than or {}
    lefts = [arm for arm in arms if matches(arm.configuration, not_higher)]
    # Starts from the base, since a hyperparameter without effect in one may have one in the other.
    wanted = [changed(experiment.base, **{**arm.configuration.cell, **than}) for arm in lefts]
    rights = [by_hyperparams.get(canonical(hp)) for hp in wanted]
    pairs = [(a, b) for a, b in zip(lefts, rights, strict=True) if b is not None]
    if not pairs:  # a grid is full, so it has every partner or none
        raise ConfigError(
            f'experiment "{experiment.name}": claim "{claim.text}": not_higher = '
            f"{label(not_higher)}, than = {label(than)} names configurations that the experiment "
            "does not have; give values of its axes"
        )
    return pairs


def _best_reason(compared: list[tuple[str, Comparison]], answer: Answer, study: Study) -> str:
    """The reason for an answer, from the deciding comparisons; lower ones are only counted."""
    if not compared:
        return "there is no other configuration"
    by_verdict: dict[Verdict, list[tuple[str, Comparison]]] = {}
    for name, comparison in compared:
        by_verdict.setdefault(comparison.verdict, []).append((name, comparison))
    lower = by_verdict.pop("lower", [])
    if answer == "supported":
        least = min(-c.high for _, c in lower if c.high is not None)
        return f"every other configuration is lower, by at least {percent(least)} points"
    if answer == "contradicted":
        higher = by_verdict["higher"]
        most = phrase(*max(higher, key=lambda named: named[1].mean or 0.0), study)
        if len(higher) == 1:
            return most
        return f"{len(higher)} of the {len(compared)} others are higher, most of all: {most}"
    parts = [
        phrase(*members[0], study)
        if len(members) == 1
        else f"{len(members)} of the {len(compared)} others {_MANY[verdict]}"
        + (f", most of all: {phrase(*_widest(members), study)}" if verdict == _NOT_SETTLED else "")
        for verdict, members in by_verdict.items()
    ]
    if lower:
        are = "is" if len(lower) == 1 else "are"
        parts.append(f"{len(lower)} of the {len(compared)} others {are} lower")
    return "; ".join(parts)


# Texts for several comparisons with the same verdict, in a claim that is not settled.
_NOT_SETTLED: Verdict = "not settled"
_MANY: Mapping[Verdict, str] = {
    "within": "are too close to tell apart",
    "not settled": "may be higher or lower",
    "failures": "cannot be judged, because runs failed",
    "too few pairs": f"have too few pairs ({FEWEST_PAIRS} are needed)",
    "no spread": "differ by the same in every pair, which has no interval",
}


def _widest(members: list[tuple[str, Comparison]]) -> tuple[str, Comparison]:
    """The comparison with the highest upper bound."""
    return max(members, key=lambda named: named[1].high or 0.0)


def phrase(name: str, c: Comparison, study: Study) -> str:
    """A comparison in words: `drop rate 0.5 is lower (-1.20 points, -1.90 to -0.50)`."""
    if c.verdict == "too few pairs":
        return f"{name} has too few pairs ({c.n}, and {FEWEST_PAIRS} are needed)"
    assert c.mean is not None
    if c.verdict == "no spread":
        return f"{name} differs by {points(c.mean)} points in every pair, which has no interval"
    numbers = f"{points(c.mean)} points, {points_range(c)}"
    if c.verdict == "failures":
        return f"{name} cannot be judged, because runs diverged or collapsed ({numbers})"
    if c.verdict == "within":
        return f"{name} is within {margin_text(study.smallest_difference)} ({numbers})"
    if c.verdict == "not settled":
        return f"{name} may be higher or lower ({numbers}; {seeds_text(c)} would settle it)"
    return f"{name} is {c.verdict} ({numbers})"


def search_notes(experiment: Experiment, best: Arm | None) -> Iterator[str]:
    """How the candidates of a search were drawn and judged, and what their figures are worth."""
    search = experiment.search
    if search is None:
        return
    space = "; ".join(
        f"{name.replace('_', ' ')} {space_text(name, v)}" for name, v in search.space.items()
    )
    (epochs, _), *later = rounds(search, experiment.base.epochs)
    drawn = f"{_METHODS[search.method]} with seed {search.seed}, from {space}"
    candidates = _count(search.configurations, "candidate")
    if experiment.stage:
        chosen = f"The best {candidates} of the round before, drawn {drawn}."
    else:
        chosen = f"{candidates}, drawn {drawn}."
    if later or experiment.stage:
        chosen += f" They are trained for {_count(epochs, 'epoch')} at most."
    yield (
        f"{chosen} They are in the order of their mean validation accuracies over "
        f"{_count(len(experiment.seeds), 'seed')}, and of equal ones by their mean validation "
        "costs."
    )
    root = experiment.search_name or experiment.name
    if later:
        (limit, kept), *_ = later
        those = "candidate trains" if kept == 1 else f"{kept} candidates train"
        yield (
            f"Of these, the first {those} again, for {_count(limit, 'epoch')} at most, in "
            f"{round_name(root, experiment.stage + 2)}. Candidates that learn slowly at first, as "
            "at low learning rates or with much regularisation, may be left out although they "
            "would be better in the end."
        )
    name = confirmation_name(root)
    if best is not None and not later:
        yield (
            f"The first of the candidates, marked best, is the winner. The best of "
            f"{search.configurations} noisy means is partly luck, so that its figure here is too "
            f"high on average: only {name}, with {len(search.confirm)} seeds that the search did "
            "not use, compares it with the baseline."
        )


def confirmation_notes(
    study: Study,
    experiment: Experiment,
    arms: Sequence[Arm],
    compared: Sequence[tuple[str, Comparison]],
    results: RunIndex[RunResult],
) -> Iterator[str]:
    """What the confirmation says about the winner of a search, and by how much the search erred.

    Args:
        study: the study of the search.
        experiment: the confirmation; there are no notes for others.
        arms: its baseline and the winner.
        compared: the winner with its comparison to the baseline; empty without a test set.
        results: the runs of the search among others.
    """
    if not experiment.confirms:
        return
    for name, comparison in compared:
        yield (
            f"The winner of {experiment.confirms}, on fresh seeds against the baseline: "
            f"{phrase(name, comparison, study)}."
        )
    *_, search = [
        e for e in study.experiments if experiment.confirms in (e.name, e.search_name) and e.search
    ]
    cell = arms[1].configuration.cell
    (runs,) = [runs for c, runs in results.of(search)[1:] if c.cell == cell]
    before, now = _validation(runs.values()), _validation(arms[1].finished)
    if before and now and len(arms[1].runs) == len(experiment.seeds):
        too_high = fmean(before) - fmean(now)
        what = "too high by" if too_high > 0 else "not too high:"
        yield (
            f"In the search, the winner had a mean validation accuracy of {percent(fmean(before))} "
            f"% ({_count(len(before), 'seed')}); with {_count(len(now), 'seed')} that had no part "
            f"in its choice it is {percent(fmean(now))} %. The search's figure was {what} "
            f"{points(too_high)} points."
        )


def _validation(runs: Iterable[RunResult]) -> list[float]:
    return [run.validation_accuracy for run in runs if run.validation_accuracy is not None]


def run_notes(
    study: Study, experiment: Experiment, arms: Sequence[Arm], best: Arm | None
) -> Iterator[str]:
    """Notes on the runs themselves."""
    n_runs, n_ended = len(arms) * len(experiment.seeds), sum(len(arm.runs) for arm in arms)
    if n_ended < n_runs:
        yield (
            f"Incomplete: {n_ended} of {n_runs} runs have ended. Verdicts and answers may change,"
            " and no configuration is marked best yet."
        )
    if best is not None and not experiment.search:
        yield (
            "The best configuration has the lowest mean validation cost "
            f"({best.validation_cost:.4f}); nothing is selected on the test set."
        )
    diverged = [
        f"{arm.label}: "
        + ", ".join(f"seed {r.seed} diverged @{r.diverged_at}" for r in arm.diverged)
        for arm in arms
        if arm.diverged
    ]
    if diverged:
        yield (
            f"{'; '.join(diverged)}. A diverged run (@ the update that gave a number that is not "
            "finite) has no accuracy: it is left out of means and pairs. It counts as a failure: "
            "no verdict favours a configuration by its other runs."
        )
    if any(run.collapsed for arm in arms for run in arm.finished):
        yield "A collapsed run predicts one class for the whole validation part."
    if any(arm.collapsed_in_part for arm in arms):
        against = (
            "and none is given against it"
            if study.sequential
            else "and one against it also needs a signed-rank test"
        )
        yield (
            "Where only some runs collapsed, accuracies have two modes and no meaningful interval: "
            "× gives the number of runs that did not collapse and of those that did, after the "
            "mean of each. Their collapse counts as a failure: no verdict favours such a "
            f"configuration, {against}."
        )
    if any(run.reached_limit for arm in arms for run in arm.finished):
        yield (
            "Epochs are median and range; a run marked (limit) was stopped by the limit of epochs "
            "and might have continued."
        )
    mixed = list(_mixtures(arms))
    if mixed:
        yield f"The runs mix {'; '.join(mixed)}. Between these, identical runs may differ slightly."


def accuracy_notes(
    study: Study, experiment: Experiment, has_test: bool, with_original: bool
) -> Iterator[str]:
    """Notes on what the intervals of accuracies cover."""
    if len(experiment.seeds) == 1:
        yield "A single seed has no interval."
    else:
        yield f"± is half the 95 % t-interval of the mean over seeds. {_covered(study, has_test)}"
    if with_original:
        yield (
            "The prediction interval (95 %) is for the test accuracy of one further run of ours: "
            "an original figure outside it is unlike our runs."
        )


def _covered(study: Study, has_test: bool) -> str:
    test = ["the sampling of the test set"] if has_test else []
    if study.split_seed == "seed":
        covered, not_covered = "initialisation, batch order, dropout and the split", test
    else:
        covered, not_covered = "initialisation, batch order and dropout", ["the split", *test]
    return f"It covers {covered}{', not ' if not_covered else ''}{' or '.join(not_covered)}."


def range_notes(accuracies: Sequence[Interval | None], has_cut_prediction: bool) -> Iterator[str]:
    """Notes on intervals that would pass 0 or 100 %."""
    if any(passes_range(interval) for interval in accuracies if interval is not None):
        yield (
            "An interval given by its ends in brackets is the t-interval, cut at 0 or 100 %: it "
            "would pass that, so the runs are far from normal."
        )
    if has_cut_prediction:
        yield "A prediction interval that ends at 0.00 or 100.00 is cut there."


def sampling_notes(baseline: Arm, facts: DataFacts | None) -> Iterator[str]:
    """How much another test set of the same size would move an accuracy."""
    accuracies = [r.test_accuracy for r in baseline.finished if r.test_accuracy is not None]
    if facts is not None and facts.n_test and accuracies:
        mean = fmean(accuracies)
        half = percent(sampling_half_width(mean, facts.n_test))
        yield (
            f"The sampling of the test set, which no interval here covers, adds about ±{half} "
            f"points to an accuracy ({facts.n_test:,} examples at {percent(mean)} %, 95 %); it is "
            "the same set for all runs, so it adds less to a difference."
        )


def comparison_notes(
    study: Study,
    arms: Sequence[Arm],
    baseline: Arm,
    comparisons: Sequence[Comparison],
    has_test: bool,
) -> Iterator[str]:
    """Notes on how the arms were compared with the baseline, or why they were not."""
    if not has_test:
        yield (
            "There is no test set, so nothing is compared and no claim is answered: both use test "
            "accuracy only."
        )
    if not comparisons:
        return
    at_every_number = ""
    if study.sequential:
        at_every_number = (
            " and at every number of seeds, so that seeds may be added after looking (sequential "
            "t-test, Wang and Ramdas 2024, arXiv:2310.03722)"
        )
    yield (
        f"Differences are in test accuracy to {baseline.label}, paired by seed. Their intervals"
        f" hold simultaneously at 95 %{at_every_number}, and p is adjusted accordingly "
        f"(Bonferroni, {len(comparisons)}); with fewer than {FEWEST_PAIRS} pairs there is no "
        "verdict."
    )
    verdicts = {comparison.verdict for comparison in comparisons}
    if "not settled" in verdicts:
        what = "A new study with the number"
        looking = (
            "Verdicts are for a number of seeds that was fixed before looking. To add seeds until "
            "all are settled, set sequential = true before the first look."
        )
        if study.sequential:
            what, looking = "The number", "An earlier look may settle it already."
        yield (
            f"{what} of seeds next to a verdict would settle that comparison with a probability of "
            f"{100 * POWER:.0f} %, if the present mean and spread are the true ones. {looking}"
        )
    sound = [
        len(arm.finished)
        for arm in arms
        if len(arm.finished) >= FEWEST_PAIRS
        and not arm.diverged
        and not any(run.collapsed for run in arm.finished)
    ]
    if sound and verdicts != {"too few pairs"}:
        n = min(sound)
        yield (
            f"Verdicts are about runs that do not fail. Where none of {n} runs diverged or "
            f"collapsed, up to {100 * failure_bound(n):.0f} % of further runs may still do so "
            "(95 % confidence, for one configuration)."
        )


def design_notes(experiment: Experiment, arms: Sequence[Arm]) -> Iterator[str]:
    """Notes on the design of the comparisons."""
    if "batch_size" in experiment.axes:
        small, large = min(experiment.axes["batch_size"]), max(experiment.axes["batch_size"])
        fixed = {"learning_rate": "learning rate", "epochs": "limit of epochs"}
        equal = " and ".join(word for key, word in fixed.items() if key not in experiment.axes)
        yield (
            f"Batch sizes are compared {'at equal ' if equal else ''}{equal}{', ' if equal else ''}"
            f"not at equal updates: batch size {small} makes about {large / small:g} times as many "
            f"updates per epoch as {large}."
        )
    if any(_dropout_before_batch_norm(arm.hyperparams) for arm in arms):
        yield (
            "Where batch norm follows dropout, its running statistics, collected with dropout on, "
            "differ from what it meets in prediction, which can lower accuracy there "
            "(Li et al. 2019, arXiv:1801.05134)."
        )


def _dropout_before_batch_norm(hp: Hyperparams) -> bool:
    n = len(hp.hidden)
    rates = hp.drop_rate if isinstance(hp.drop_rate, tuple) else (hp.drop_rate,) * n
    return hp.batch_norm and any(rate > 0 for rate in rates[: n - 1])


def _mixtures(arms: Sequence[Arm]) -> Iterator[str]:
    for name, texts in made_with([r.provenance for arm in arms for r in arm.runs.values()]).items():
        counts = Counter(texts)
        if len(counts) > 1:
            several = _SEVERAL.get(name, name).replace("version of", "versions of")
            yield f"{several}: " + ", ".join(
                f"{text} ({counts[text]} run{'s' if counts[text] > 1 else ''})"
                for text in sorted(counts, key=_by_number)
            )


def _by_number(text: str) -> tuple[int, str]:
    return int(text) if text.isdecimal() else 0, text


_SEVERAL = {
    "device": "devices",
    "lane width": "lane widths",
    "program": "programs",
    "source": "jmlp's source, by digests",
}


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
