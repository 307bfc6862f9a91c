"""Result tables for the tests of the app."""

from collections.abc import Sequence
from dataclasses import replace

from table_runs import SPREAD, STUDY, runs, shifted, size, sizes

from jmlp.results.tables import ExperimentTable, experiment_table
from jmlp.study.config import Claim, Experiment, Reference
from jmlp.training.records import RunResult

REFERENCE = (
    Reference({"batch_size": 64}, test_accuracy=0.8718, stopped=13),
    Reference({"batch_size": 128}, test_accuracy=0.9232, stopped=45),
)
CLAIM = Claim("Batch size 128 is best.", best={"batch_size": 128})
SIZES = sizes(16, 64, 128, claims=(CLAIM,), reference=REFERENCE)
FULL = [
    *runs(size(16), shifted(-0.02)),
    *runs(size(64), shifted(0.0005, 0.004)),
    *runs(size(128), SPREAD),
]
TWO = (
    experiment_table(STUDY, SIZES, FULL),
    replace(experiment_table(STUDY, SIZES, FULL[:7]), name="other"),
)
HOSTILE = ("[red]", "[/", "x" * 300, "🧠 emoji 数据", "\u202eright to left שלום", "a\nb\x1b[31m")


def table(results: Sequence[RunResult], experiment: Experiment = SIZES) -> ExperimentTable:
    return experiment_table(STUDY, experiment, results)


def hostile() -> ExperimentTable:
    """Rows with labels that are meant to do harm."""
    row = table(FULL).rows[0]
    rows = [
        replace(row, label=label, cells=(f"{label} (baseline)", *row.cells[1:]), is_baseline=True)
        for label in HOSTILE
    ]
    return replace(table(FULL), name="[/]", title="[b", rows=tuple(rows), notes=HOSTILE)
