"""The step of each configuration of a study over batch sizes, beside its accuracy."""

from collections.abc import Callable
from pathlib import Path

from jmlp.data.dataset import Dataset
from jmlp.errors import CheckpointError, ConfigError, StoreError
from jmlp.inspection.compute import data_of
from jmlp.inspection.microscope.step import step_view
from jmlp.inspection.microscope.views import SizeView
from jmlp.results.search import staged
from jmlp.store import RunRow, Store, networks
from jmlp.store.networks import Networks
from jmlp.study.config import Experiment
from jmlp.study.file import parse_study
from jmlp.study.run_index import RunIndex

Say = Callable[[str], None]


def sizes(folder: Path, label: str, say: Say) -> list[SizeView]:
    """The step of the first seed of each configuration, at its best snapshot.

    Args:
        folder: the store.
        label: the name of a stored study, of which at least one experiment varies the batch size.
        say: called with one line for each slow step.

    Raises:
        ConfigError: no experiment of the study varies the batch size.
        DataError: the data cannot be loaded, or are not those of the runs.
        StoreError: there is no such study.
    """
    with Store(folder, viewer=True) as store:
        study = staged(parse_study(store.study(label).toml, label), store.results(label))
        index = RunIndex(store.runs(label))
    experiments = [one for one in study.experiments if _varies(one)]
    if not experiments:
        raise ConfigError(
            f"{label}: no experiment of this study varies the batch size: choose one with an axis "
            "batch_size"
        )
    dataset: Dataset | None = None
    found = []
    for experiment in experiments:
        for configuration, runs in index.of(experiment):
            seed = experiment.seeds[0]
            batch_size = configuration.hyperparams.batch_size
            about = experiment.name, configuration.label, batch_size, seed
            if (row := runs.get(seed)) is None:
                found.append(SizeView(*about, None, None, None, "it is not in the store"))
                continue
            say(f"{experiment.name}: {configuration.label}")
            stored, problem = _networks(folder, row)
            step = None
            if stored is not None and stored.best is not None:
                dataset = dataset or data_of(stored, say)
                step = step_view(stored, dataset, stored.best)
            found.append(SizeView(*about, row.run_id, _accuracy(row), step, problem))
    return found


def _varies(experiment: Experiment) -> bool:
    return "batch_size" in experiment.axes or any("batch_size" in c for c in experiment.cells)


def _networks(folder: Path, row: RunRow) -> tuple[Networks | None, str | None]:
    """The networks of a run, and why it has no best one."""
    try:
        with Store(folder, viewer=True) as store:
            stored = networks.read(store, row.run_id)
    except (CheckpointError, StoreError) as error:
        return None, str(error)
    diverged = f"it diverged at update {stored.diverged_at:,}" if stored.best is None else None
    return stored, diverged


def _accuracy(row: RunRow) -> float | None:
    """That of the test set; without one, of the validation part."""
    if row.result is None:
        return None
    test = row.result.test_accuracy
    return row.result.validation_accuracy if test is None else test
