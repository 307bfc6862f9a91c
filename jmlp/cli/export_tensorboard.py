"""Exports a stored run's cost curve as an event file for TensorBoard."""

import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from jmlp.cli.extras import needs
from jmlp.client.texts import settings, words
from jmlp.study.rules import value_text

if TYPE_CHECKING:
    from jmlp.store import RunRow
    from jmlp.training.records import CostPoint

SCALARS = {
    "cost/batch": "batch_cost",
    "cost/training": "training_cost",
    "cost/validation": "validation_cost",
    "accuracy/training": "training_accuracy",
    "accuracy/validation": "validation_accuracy",
}


def event_file(row: "RunRow", points: Sequence["CostPoint"]) -> bytes:
    """An event file with costs and accuracies by update, and the hyperparameters as a text.

    The store has no times of single points, so all of them get the time at which the run ended.

    Raises:
        ConfigError: the package tensorboardX is not installed.
    """
    with needs("tensorboardX", "--as tensorboard"):
        from tensorboardX import SummaryWriter

    # It warns about each non-finite number, of which a diverged run has many.
    logging.getLogger("tensorboardX.x2num").setLevel(logging.ERROR)
    ended = (row.ended_at or 0) / 1000
    with TemporaryDirectory() as folder:
        writer = SummaryWriter(folder)
        for point in points:
            for tag, name in SCALARS.items():
                value = getattr(point, name)
                if value is not None:
                    writer.add_scalar(tag, value, point.step, walltime=ended)
        values = {"seed": row.seed, **settings(row.hyperparams)}
        lines = [f"    {words(name)}: {value_text(value, name)}" for name, value in values.items()]
        writer.add_text("hyperparameters", "\n".join(lines), 0, walltime=ended)
        writer.close()
        (file,) = Path(folder).iterdir()
        return file.read_bytes()
