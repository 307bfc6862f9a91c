"""How stored runs differ, by section and name, and from which update on their costs differ."""

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.client import texts
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.store import RunRow, Store
    from jmlp.training.records import CostPoint, RunResult

OUTCOME = (
    "best_epoch",
    "stopped_epoch",
    "reached_limit",
    "collapsed",
    "diverged_at",
    *(
        f"{part}_{what}"
        for what in ("accuracy", "cost")
        for part in ("training", "validation", "test")
    ),
)
Values = Mapping[str, str]  # texts by name


def hyperparams_texts(row: "RunRow") -> dict[str, str]:
    """The hyperparameters of a run that have an effect."""
    values = texts.settings(row.hyperparams)
    return {texts.words(name): texts.text_of(name, value) for name, value in values.items()}


def outcome_texts(result: "RunResult", *, exact: bool) -> dict[str, str]:
    """The outcome of a run; `exact` numbers have all their digits, so that they can be compared."""
    values = {name: getattr(result, name) for name in OUTCOME}
    return {texts.words(n): _outcome_text(n, value, exact) for n, value in values.items()}


def _outcome_text(name: str, value: float | None, exact: bool) -> str:
    if exact or not isinstance(value, float):
        return texts.text_of("", value)
    if name.endswith("epoch"):
        return epoch_text(value)
    return texts.cost_text(value) if name.endswith("cost") else f"{texts.percent_text(value)} %"


def made_with_texts(result: "RunResult") -> dict[str, str]:
    """The hardware, versions and settings with which a run was computed."""
    return result.provenance.facts()


def data_texts(data: Mapping[str, Any]) -> dict[str, str]:
    """The data set with which a run's study was submitted."""
    digests = {f"SHA-256 of {array}": digest for array, digest in data["digests"].items()}
    return {"name": data["name"], "source": data["source"], **digests}


def sections(store: "Store", row: "RunRow") -> dict[str, Values]:
    """Everything in which a run can differ from others, by section; numbers have all digits."""
    seeds = {"seed": str(row.seed), "split seed": str(row.split_seed)}
    result = row.result
    return {
        "Configuration": {**hyperparams_texts(row), **seeds},
        "Data": data_texts(store.about_run(row.run_id)["data"]),
        "Outcome": {
            "state": texts.state_text(row),
            **(outcome_texts(result, exact=True) if result else {}),
        },
        "Made with": made_with_texts(result) if result else {},
    }


def side_by_side(
    runs: Sequence[Mapping[str, Values]],
) -> dict[str, dict[str, tuple[str, ...]]]:
    """The texts of all runs, by section and name, with a dash for each missing value.

    Args:
        runs: the `sections` of each run.
    """
    return {
        section: {
            name: tuple(run[section].get(name, texts.MISSING) for run in runs)
            for name in dict.fromkeys(name for run in runs for name in run[section])
        }
        for section in runs[0]
    }


def differing(
    table: Mapping[str, Mapping[str, tuple[str, ...]]],
) -> dict[str, dict[str, tuple[str, ...]]]:
    """The rows that are not the same in all runs; sections without such rows are left out."""
    found = {
        section: {name: row for name, row in rows.items() if len(set(row)) > 1}
        for section, rows in table.items()
    }
    return {section: rows for section, rows in found.items() if rows}


def first_difference(*curves: Sequence["CostPoint"]) -> int | None:
    """The update from which on cost curves differ; None if they are all the same."""
    for points in zip_longest(*curves):
        if len({repr(p) for p in points}) > 1:  # by their digits, so that NaN is equal to itself
            return min(p.step for p in points if p is not None)
    return None


def first_difference_text(update: int) -> str:
    """A sentence for the result of `first_difference`."""
    return f"Their cost curves differ from update {update} on."


def numbers_text(same: bool | None) -> str:
    """A sentence for the result of `same_numbers`."""
    if same is None:
        return "Not all numbers can be compared: a run that has not ended has no file."
    return "The same numbers, to the last bit." if same else "Not the same numbers."


def same_numbers(folder: Path, run_ids: Sequence[str]) -> bool | None:
    """Whether parameters, snapshots, costs and outcomes are equal bit by bit.

    Args:
        folder: the store's folder.
        run_ids: the ids of two or more runs.

    Returns:
        None if a run has no file.

    Raises:
        CheckpointError: a run's file is damaged.
    """
    from jmlp.store import run_files
    from jmlp.store.paths import path_of
    from jmlp.system.files import is_there

    files = [path_of(folder, run_id) for run_id in run_ids]
    if not all(is_there(file) for file in files):
        return None
    digests = {run_files.numbers_of(run_files.read(file), of_run=False) for file in files}
    return len(digests) == 1
