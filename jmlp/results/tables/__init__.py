"""Result tables as plain records with the strings shown by every front end.

To render one, print `table.columns` above the `cells` of `table.rows`, `difference_columns` above
the `cells` of `differences`, then the sentences of `claims`, then `notes`.
"""

from jmlp.results.tables.experiment_table import (
    MARK,
    Column,
    DifferenceRow,
    ExperimentTable,
    Original,
    Row,
    experiment_table,
    labelled,
    name_columns,
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
    "MARK",
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
    "labelled",
    "name_columns",
    "p_text",
    "percent",
    "points",
    "study_tables",
    "verdict_text",
]
