"""Result tables as plain records with the strings that every front end shows.

A renderer is a loop: `table.columns` above the `cells` of `table.rows`, `table.difference_columns`
above the `cells` of `table.differences`, then the sentences of `table.claims`, then `table.notes`.
"""

from jmlp.results.tables.experiment_table import (
    Column,
    DifferenceRow,
    ExperimentTable,
    Original,
    Row,
    experiment_table,
    study_tables,
)
from jmlp.results.tables.sentences import ClaimAnswer
from jmlp.results.tables.wording import (
    MISSING,
    Epochs,
    accuracy_text,
    p_text,
    percent,
    points,
    verdict_text,
)

__all__ = [
    "MISSING",
    "ClaimAnswer",
    "Column",
    "DifferenceRow",
    "Epochs",
    "ExperimentTable",
    "Original",
    "Row",
    "accuracy_text",
    "experiment_table",
    "p_text",
    "percent",
    "points",
    "study_tables",
    "verdict_text",
]
