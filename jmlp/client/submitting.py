"""Submits studies to the store, after checks against what is already there."""

import hashlib
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jmlp.client.workers import worker_of
from jmlp.errors import (
    ConfigError,
    DataError,
    JmlpError,
    StoreError,
    error_with_code,
)
from jmlp.store import (
    Lock,
    Owner,
    Store,
    StudyRow,
    Submission,
    network_file_system,
)
from jmlp.store.paths import path_of
from jmlp.store.states import STUDY_ACTIVE, STUDY_UNFINISHED
from jmlp.study.config import Experiment, Study
from jmlp.study.data_names import is_name
from jmlp.study.file import parse_study, to_toml, with_absolute_paths
from jmlp.study.run_index import RunIndex
from jmlp.study.search import confirmation_name, space_value
from jmlp.system.environment import CHECKPOINT_SECONDS
from jmlp.system.files import is_there
from jmlp.training.records import RunResult

if TYPE_CHECKING:
    from jmlp.data import Dataset
    from jmlp.training.plan import Plan

MAX_NAME_LENGTH = 200  # of a label, also used as a folder's name; file systems allow 255


@dataclass(frozen=True)
class Submitted:
    """A study that has been submitted to the store."""

    folder: Path
    label: str
    plan: "Plan"
    source: str  # where the data came from, for display
    command: str

    def results(self) -> list[RunResult]:
        """Its completed runs in the plan's order, without parameters."""
        with Store(self.folder, viewer=True) as store:
            return store.results(self.label)

    def n_runs(self) -> int:
        """The number of its runs now; those that confirm winners are added during training."""
        with Store(self.folder, viewer=True) as store:
            return store.counts(self.label)[1]

    def row(self) -> StudyRow:
        """Its current row in the store, with state and progress."""
        with Store(self.folder, viewer=True) as store:
            return store.study(self.label)

    def worker(self) -> Owner | None:
        """The worker that is using its store now."""
        return Lock(self.folder).owner()


def submit(
    folder: Path,
    label: str,
    plan: "Plan",
    dataset: "Dataset",
    hardware: Mapping[str, Any],
    say: Callable[[str], None],
    *,
    command: str,
    fresh: bool = False,
    named: bool = False,
) -> Submitted:
    """Puts a study into the queue; runs that the store already has are not trained again.

    Args:
        folder: the store's folder; created if there is none.
        label: the study's name in it, see `study_label`.
        plan: the study's plan.
        dataset: its data.
        hardware: what its worker is to use, see `default_hardware`.
        say: called with each message for the user, of one line.
        command: the command line that submits it, or an equivalent one.
        fresh: train stored runs again.
        named: whether the user chose the label, which must not be that of another study.

    Raises:
        ConfigError: it was begun with other settings, or the label is that of another study.
        DataError: it was begun with other data.
        StoreError: the store cannot be written.
    """
    from jmlp.data.contract import contract_of
    from jmlp.training.plan import table_options

    study, found = plan.study, with_absolute_paths(plan.study)
    data: dict[str, Any] = {
        "name": study.data,
        "path": None if is_name(study.data) else found.data,
        "source": dataset.source,
        "digests": dict(plan.facts.digests),
        "image_shape": dataset.image_shape,
        "n_classes": dataset.n_classes,
        "contract": asdict(contract_of(dataset)),
        "facts": {**asdict(plan.facts), "digests": dict(plan.facts.digests)},
    }
    if plan.facts.is_table:
        data["table"] = asdict(table_options(found))
    if kind := network_file_system(folder):
        say(
            f"warning: {folder} is on a network file system ({kind}), where locks can fail: keep "
            "runs on a disk of this machine (--store DIR)"
        )
    with Store(folder) as store:
        existing = {row.label: row for row in store.studies()}.get(label)
        worker = worker_of(store, label)
        if existing is not None and existing.state in STUDY_ACTIVE and worker is not None:
            check_not_in_training(existing, to_toml(study), fresh)
        if existing is not None and existing.state in STUDY_UNFINISHED and not fresh:
            check_unchanged(existing, study, plan.facts.digests)
        if existing is not None and named and not fresh:
            check_same(existing, study)
        if existing is not None and (text := _other_data(existing, plan.facts.digests)):
            say(text)
        if existing is not None:
            plan = _with_stages(store, label, plan)
        store.submit(
            Submission(
                label=label,
                name=study.name,
                toml=to_toml(study),
                data=data,
                command=command,
                hardware=hardware,
                runs=plan.runs,
                fresh=fresh,
            )
        )
        if existing is not None and existing.state == "paused" and worker is not None:
            store.command(label, "resume")
        _requeue(store, label, say)
        done, n_runs = store.counts(label)
        if done and not fresh:
            say(f"{done} of {n_runs} runs are in {folder} already (--fresh trains them again)")
        if 0 < done < n_runs and plan.facts.n_test and not study.sequential:
            ended = {row.run_id for row in store.runs(label) if row.result is not None}
            for warning in _looking_again(plan.study, _study_of(existing), plan, ended):
                say(warning)
    return Submitted(folder, label, plan, dataset.source, command)


def _other_data(existing: StudyRow, digests: Mapping[str, str]) -> str:
    """What to say when a study is trained again on data that have changed; empty if they have not.

    An unfinished study is not trained on other data, see `check_unchanged`.
    """
    from jmlp.data.dataset import changed_arrays

    arrays = changed_arrays(existing.data["digests"], digests)
    if not arrays:
        return ""
    return (
        f"warning: the data of {existing.label} have changed since it was trained "
        f"({', '.join(arrays)} have another SHA-256): all of it is trained on the new ones, and "
        "its table will be of these alone; --name NAME keeps the old table beside the new one"
    )


def _with_stages(store: Store, label: str, plan: "Plan") -> "Plan":
    """The plan with what the results in the store already add to its searches."""
    from jmlp.results.search import staged_plan

    if not any(experiment.search for experiment in plan.study.experiments):
        return plan
    return staged_plan(plan, [run.result for run in store.runs(label) if run.result])


def check_not_in_training(existing: StudyRow, toml: str, fresh: bool) -> None:
    """Checks that a study in training would not be changed.

    Raises:
        StoreError: it would be.
    """
    if fresh or existing.toml != toml:
        what = "restarted" if fresh else "changed"
        raise StoreError(
            f"{existing.label}: a worker is training it, so it cannot be {what} now; stop it first "
            f"(jmlp stop {existing.label})"
        )


def check_unchanged(existing: StudyRow, study: Study, digests: Mapping[str, str]) -> None:
    """Checks that an unfinished study is resumed with the settings and data that it began with.

    Seeds and experiments may be added or removed, as runs are independent of each other.

    Raises:
        ConfigError: settings differ; the message names them all.
        DataError: the data differ.
    """
    from jmlp.data.dataset import changed_arrays

    arrays = changed_arrays(existing.data["digests"], digests)
    if arrays:
        raise DataError(
            f"{existing.label}: the data have changed since it began: {', '.join(arrays)} of "
            f"{study.data} have another SHA-256\n{existing.label} is unfinished: put the old ones "
            "back, give the study another name, or train all of it on the new ones (--fresh)"
        )
    changed = differences(parse_study(existing.toml, existing.label), study)
    if changed:
        remedy = (
            f"{existing.label} is unfinished: resume it as it was (jmlp resume {existing.label}), "
            "give the study another name, or train all of it as it is now (--fresh)"
        )
        raise ConfigError([*(f"{existing.label}: {change}" for change in changed), remedy])


def check_same(existing: StudyRow, study: Study) -> None:
    """Checks that a name that a user chose is not that of another study, which would be replaced.

    Raises:
        ConfigError: it is.
    """
    before = _study_of(existing)
    names = {experiment.name for experiment in before.experiments} if before else set()
    shared = names & {experiment.name for experiment in study.experiments}
    if before is None or not shared or differences(before, study):
        raise ConfigError(
            f"--name: {existing.label} is another study in the store, with other settings; choose "
            "another name"
        )


def _looking_again(
    study: Study, before: Study | None, plan: "Plan", ended: Collection[str]
) -> Iterator[str]:
    """Warnings of experiments that get more seeds than those whose verdicts could be seen.

    Args:
        study: the submitted study, with the stages of its searches that are known.
        before: the study that had its label; None if there was none.
        plan: the submitted study's plan.
        ended: the ids of its runs that have ended.
    """
    from jmlp.results.statistics import FEWEST_PAIRS  # imports SciPy

    seeds_before = {e.name: set(e.seeds) for e in before.experiments} if before else {}
    for experiment in before.experiments if before else ():
        if experiment.search:
            seeds_before[confirmation_name(experiment.name)] = set(experiment.search.confirm)
    index = RunIndex(plan.runs)
    for experiment in study.experiments:
        if experiment.search:
            continue  # it has no verdicts
        if set(experiment.seeds) <= seeds_before.get(experiment.name, set()):
            continue  # it resumes
        runs = [by_seed for _, by_seed in index.of(experiment)]
        seen = [
            seed
            for seed in experiment.seeds
            if sum(by_seed[seed].run_id in ended for by_seed in runs) > 1
        ]
        if FEWEST_PAIRS <= len(seen) < len(experiment.seeds):
            yield (
                f"warning: {experiment.name}: {len(seen)} of its {len(experiment.seeds)} seeds "
                "have ended already, and verdicts are for a number of seeds that was fixed before "
                "looking at any of them: if it was not, disregard the verdicts so far, and set "
                "sequential = true in the study"
            )


def _study_of(row: StudyRow | None) -> Study | None:
    """The study of a row; None if this version cannot read it."""
    try:
        return None if row is None else parse_study(row.toml, row.label)
    except ConfigError:
        return None


def differences(old: Study, new: Study) -> list[str]:
    """The differing settings of experiments that both studies have, each as `name: was, now`."""
    found = _changes("", _top(old), _top(new))
    before = {experiment.name: experiment for experiment in old.experiments}
    for experiment in new.experiments:
        past = before.get(experiment.name)
        if past is not None:
            found += _changes(f"{experiment.name}: ", _settings(past), _settings(experiment))
    return found


def _top(study: Study) -> dict[str, Any]:
    return {"validation_fraction": study.validation_fraction, "split_seed": study.split_seed}


def _settings(experiment: Experiment) -> dict[str, Any]:
    search = experiment.search
    if search is None:
        varied = {f"axes.{name}": values for name, values in experiment.axes.items()}
    else:
        varied = {f"search.{name}": space_value(v) for name, v in search.space.items()}
        for name in ("configurations", "method", "seed", "halving"):
            varied[f"search.{name}"] = getattr(search, name)
    return asdict(experiment.base) | varied


def _changes(place: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    return [
        f"{place}{name}: was {_text(old, name)}, now {_text(new, name)}"
        for name in {**old, **new}
        if old.get(name) != new.get(name)
    ]


def _text(settings: Mapping[str, Any], name: str) -> str:
    """A setting as it is written in a study file."""
    return json.dumps(settings[name]) if settings.get(name) is not None else "none"


def submit_again(folder: Path, row: StudyRow, say: Callable[[str], None]) -> Submitted:
    """Puts a study in the store back into the queue, unchanged.

    Raises:
        StoreError: the store cannot be written.
    """
    from jmlp.client.stored_data import read_data
    from jmlp.training.plan import make_plan

    study = parse_study(row.toml, row.label)
    facts = read_data(row.data, row.label).facts
    with Store(folder) as store:
        plan = _with_stages(store, row.label, make_plan(study, facts))
        store.submit(row.submission(plan.runs))
        _requeue(store, row.label, say)
        done, n_runs = store.counts(row.label)
        say(f"{row.label}: {done} of {n_runs} runs are done")
    return Submitted(folder, row.label, plan, row.data["source"], row.command)


def _requeue(store: Store, label: str, say: Callable[[str], None]) -> None:
    """Queues a study and its incomplete runs for the next worker, unless one is training it."""
    if worker_of(store, label) is not None:
        return
    gone = [
        run.run_id
        for run in store.runs(label)
        if run.result is not None and not is_there(path_of(store.folder, run.run_id))
    ]
    for run_id in gone:
        path = path_of(store.folder, run_id)
        say(f"{path}: is missing: the run will be trained again")
    store.set_runs(gone, "queued")
    if gone or store.study(label).state in STUDY_ACTIVE:  # its worker died
        store.set_study(label, "queued")


def failure_of(row: StudyRow) -> JmlpError:
    """The error with which a study ended."""
    return error_with_code(row.failure or "the study failed", row.code or 1)


def default_hardware() -> dict[str, Any]:
    """The hardware for `submit` unless the user asks otherwise: JAX's default device, all cores."""
    return {"device": "auto", "cores": None, "checkpoint_seconds": CHECKPOINT_SECONDS}


def study_label(name: str, changes: Sequence[str]) -> str:
    """The study's name in the store, which is different for each set of changes.

    Otherwise a study with other settings would resume what this one began.
    """
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", change).strip("-.") for change in changes]
    whole = "-".join([name, *filter(None, words)])
    if len(whole) <= MAX_NAME_LENGTH:
        return whole
    digest = hashlib.sha256("\n".join([name, *changes]).encode()).hexdigest()[:8]
    return f"{whole[: MAX_NAME_LENGTH - 9]}-{digest}"
