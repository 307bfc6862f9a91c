"""What a replay contains: the curves of every configuration, and the networks of some runs.

Its size is bounded: what does not fit is left out, and the page says so.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from jmlp.client.differences import (
    data_texts,
    hyperparams_texts,
    made_with_texts,
    outcome_texts,
)
from jmlp.client.texts import SHORT_ID, configuration_texts, percent_text, state_text
from jmlp.inspection.boundary_records import Boundary
from jmlp.inspection.records import Inspection
from jmlp.replay.networks import network
from jmlp.replay.numbers import evenly, number_list, short
from jmlp.report.document import Fact, Grid, grids, made_with, summarise
from jmlp.results.curves import FEWEST_FOR_BAND, mean_curve
from jmlp.results.tables import ExperimentTable
from jmlp.results.tables.runs_by_configuration import Arm, collect
from jmlp.store import RunRow
from jmlp.study.config import Study
from jmlp.training.plan import DataFacts
from jmlp.training.records import CostPoint, RunResult, epoch_text

QUANTITIES = ("validation_cost", "training_cost", "validation_accuracy", "training_accuracy")
MOST_CONFIGURATIONS = 150  # of all experiments
MOST_NETWORKS = 24  # runs whose networks are shown
MOST_POINTS = 500  # of a curve
CURVE_NUMBERS = 50_000  # of all curves, of about 20 bytes each
PER_POINT = 4  # numbers: epoch, mean, low, high
NETWORK_BYTES = 2_500_000  # of all networks of a study
RUN_BYTES = 3_500_000  # of those of a run, which has few curves
MOST_TOML = 100_000  # letters of a study file


@dataclass(frozen=True)
class Section:
    """The result tables of one experiment."""

    title: str
    grids: Sequence[Grid]
    notes: Sequence[str]


@dataclass(frozen=True)
class Replay:
    """The content of the page."""

    eyebrow: str
    title: str
    sentences: Sequence[str]
    left_out: Sequence[str]  # sentences
    sections: Sequence[Section]
    details: Mapping[str, Sequence[Fact]]  # by title
    study_toml: str  # empty for a run
    data: Mapping[str, Any]  # for the script


def chosen_runs(study: Study, results: Sequence[RunResult]) -> list[RunResult]:
    """The runs whose networks are shown, each once: the first seed of each configuration.

    Runs that diverged before their first update have no network.
    """
    firsts = (first_run(arm) for _, arm in _arms(study, results))
    known = {run.run_id: run for run in firsts if run is not None and run.diverged_at != 0}
    return list(known.values())[:MOST_NETWORKS]


def first_run(arm: Arm) -> RunResult | None:
    """The run of a configuration's first seed that has ended."""
    return next(iter(arm.runs.values()), None)


def _arms(study: Study, results: Sequence[RunResult]) -> list[tuple[int, Arm]]:
    """The configurations that are shown, each with the number of its experiment."""
    found = [
        (number, arm)
        for number, experiment in enumerate(study.experiments)
        for arm in collect(experiment, results)
    ]
    return found[:MOST_CONFIGURATIONS]


# ---- a run


def of_run(
    row: RunRow,
    points: Sequence[CostPoint],
    inspection: Inspection,
    boundary: Boundary | None,
    data: Mapping[str, Any],
) -> Replay:
    """The replay of one run, which has ended or is in training.

    Args:
        row: the run.
        points: its evaluations.
        inspection: its networks.
        boundary: what they make of the plane of their inputs, if these are two numbers.
        data: what the store knows about its data.
    """
    shown, left_out = network(inspection, boundary, _about(row), RUN_BYTES)
    configuration = {
        "label": f"seed {row.seed}",
        "best": True,
        "about": state_text(row),
        "curves": curves([points], MOST_POINTS),
        "diverged": _crosses([row.result] if row.result else []),
        "network": 0,
    }
    if len(points) > MOST_POINTS:
        left_out.append(f"Curves are drawn through {MOST_POINTS} of {len(points):,} evaluations.")
    details = {
        "Hyperparameters": _facts(hyperparams_texts(row)),
        **({"Outcome": _facts(outcome_texts(row.result, exact=False))} if row.result else {}),
        **({"How it was made": _facts(made_with_texts(row.result))} if row.result else {}),
        "Data": _facts(data_texts(data)),
    }
    studies = f", study {', '.join(row.studies)}" if row.studies else ""
    return Replay(
        eyebrow=f"Run {row.run_id[:SHORT_ID]}{studies}",
        title=f"{configuration_texts([row])[row.run_id]}, seed {row.seed}",
        sentences=_sentences(row),
        left_out=left_out,
        sections=(),
        details=details,
        study_toml="",
        data={
            "kind": "run",
            "experiments": [{"title": "", "configurations": [configuration]}],
            "networks": [shown],
        },
    )


def _sentences(row: RunRow) -> list[str]:
    """The state of a run and its result."""
    result, state = row.result, state_text(row)
    if result is None:
        return [f"Not ended ({state}): this page shows what was stored when it was written."]
    if result.status == "diverged":
        return [
            f"Diverged at update {result.diverged_at:,}, in epoch "
            f"{epoch_text(result.stopped_epoch)}: it has no accuracies. The last network is the "
            "last finite one."
        ]
    parts = [
        f"{part} accuracy {percent_text(accuracy)} %"
        for part in ("training", "validation", "test")
        if (accuracy := getattr(result, f"{part}_accuracy")) is not None
    ]
    kept, last = epoch_text(result.best_epoch), epoch_text(result.stopped_epoch)
    return [
        f"{state[0].upper()}{state[1:]}: trained until epoch {last}. The network of epoch {kept} "
        f"is kept: {', '.join(parts)}."
    ]


# ---- a study


def of_study(
    study: Study,
    label: str,
    results: Sequence[RunResult],
    tables: Sequence[ExperimentTable],
    rows: Mapping[str, RunRow],
    inspections: Mapping[str, tuple[Inspection, Boundary | None]],
    facts: DataFacts,
    source: str,
    toml: str,
) -> Replay:
    """The replay of a study, or of some of its experiments.

    Args:
        study: the study, with all stages of its searches.
        label: its name in the store.
        results: its runs that have ended, with their costs.
        tables: its result tables.
        rows: these runs as they are in the store, by id.
        inspections: those of `chosen_runs` by run id, and their boundaries as in `of_run`.
        facts: sizes and digests of the data.
        source: where the data came from, as shown to users.
        toml: the text of the study file.
    """
    arms = _arms(study, results)
    numbers_per_point = len(QUANTITIES) * PER_POINT * max(1, len(arms))
    n_points = max(2, min(MOST_POINTS, CURVE_NUMBERS // numbers_per_point))
    room = NETWORK_BYTES // max(1, len(inspections))
    networks: list[dict[str, Any]] = []
    left_out = _left_out(study, results, arms, n_points)
    places: dict[str, int] = {}
    for run_id, (inspection, boundary) in inspections.items():
        places[run_id] = len(networks)
        shown, why = network(inspection, boundary, _about(rows[run_id]), room)
        networks.append(shown)
        left_out += [sentence for sentence in why if sentence not in left_out]
    experiments: list[dict[str, Any]] = [
        {"title": short(table.title), "configurations": []} for table in tables
    ]
    shown_rows = [{row.label: row for row in table.rows} for table in tables]
    for number, arm in arms:
        first = first_run(arm)
        at = None if first is None else places.get(first.run_id)
        n_seeds = len(study.experiments[number].seeds)
        experiments[number]["configurations"].append(
            {
                "label": short(shown_rows[number][arm.label].marked_label),
                "best": shown_rows[number][arm.label].is_best,
                "about": _ended(arm, n_seeds),
                "curves": curves([run.costs for run in arm.finished], n_points),
                "diverged": _crosses(arm.diverged),
                "network": at,
            }
        )
    cut = len(toml) > MOST_TOML
    return Replay(
        eyebrow=f"Study {short(label)}",
        title=short(study.title or label),
        sentences=[*map(short, study.notes), summarise(study, results)],
        left_out=left_out + (["The study file is cut off."] if cut else []),
        sections=list(_sections(tables)),
        details={"How it was made": made_with(study, results, facts, source)},
        study_toml=f"{toml[:MOST_TOML]}\n…" if cut else toml,
        data={"kind": "study", "experiments": experiments, "networks": networks},
    )


def _ended(arm: Arm, n_seeds: int) -> str:
    """How many of the runs of a configuration have ended."""
    text = f"{len(arm.runs)} of {n_seeds} seeds" if len(arm.runs) < n_seeds else f"{n_seeds} seeds"
    return f"{text}, {len(arm.diverged)} diverged" if arm.diverged else text


def _sections(tables: Sequence[ExperimentTable]) -> Iterator[Section]:
    """The tables, with no more rows than there are configurations on the page."""
    left = MOST_CONFIGURATIONS
    for table in tables:
        rows, differences = table.rows[:left], table.differences[:left]
        cut = replace(table, rows=rows, differences=differences)
        yield Section(short(table.title), tuple(grids(cut)) if rows else (), table.notes)
        left -= len(rows)


def _left_out(
    study: Study,
    results: Sequence[RunResult],
    arms: Sequence[tuple[int, Arm]],
    n_points: int,
) -> list[str]:
    sentences = []
    n_arms = sum(len(collect(experiment, results)) for experiment in study.experiments)
    if len(arms) < n_arms:
        sentences.append(f"The first {len(arms)} of {n_arms:,} configurations are shown.")
    firsts = {first.run_id for _, arm in arms if (first := first_run(arm)) is not None}
    if len(firsts) > MOST_NETWORKS:
        sentences.append(
            f"Networks are shown of the first {MOST_NETWORKS} of {len(firsts)} configurations."
        )
    longest = max((len(run.costs) for run in results), default=0)
    if longest > n_points:
        sentences.append(
            f"Curves are drawn through at most {n_points} of up to {longest:,} evaluations."
        )
    return sentences


# ---- both


def curves(runs: Sequence[Sequence[CostPoint]], most: int) -> dict[str, dict[str, Any]]:
    """The curves of a configuration, by quantity: the mean over its runs, as in reports.

    Args:
        runs: the evaluations of each run.
        most: points that a curve may have; if it has more, they are evenly chosen.
    """
    made = {}
    for quantity in QUANTITIES:
        curve = mean_curve(runs, quantity)
        kept = evenly(len(curve.epoch), most)
        banded = len(runs) >= FEWEST_FOR_BAND
        made[quantity] = {
            "epoch": number_list(curve.epoch[kept]),
            "mean": number_list(curve.mean[kept]),
            "low": number_list(curve.low[kept]) if banded else None,
            "high": number_list(curve.high[kept]) if banded else None,
        }
    return made


def _about(row: RunRow) -> dict[str, Any]:
    return {"run": row.run_id[:SHORT_ID], "seed": row.seed, "state": state_text(row)}


def _crosses(runs: Sequence[RunResult]) -> list[dict[str, Any]]:
    """Where runs diverged."""
    return [
        {"seed": run.seed, "epoch": run.stopped_epoch, "update": run.diverged_at}
        for run in runs
        if run.status == "diverged"
    ]


def _facts(texts: Mapping[str, str]) -> list[Fact]:
    return [Fact(name, [short(text)]) for name, text in texts.items()]
