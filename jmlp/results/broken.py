"""What a study of a broken network shows, in one sentence that follows from its table."""

from jmlp.results.statistics import FEWEST_PAIRS, Comparison
from jmlp.results.tables import ExperimentTable
from jmlp.results.tables.sentences import phrase
from jmlp.results.tables.wording import points
from jmlp.study.config import Study
from jmlp.study.mistakes import Mistake

WORSE = "the mistake shows"
AS_GOOD = "it does as well as the right one, so that its accuracy does not give the mistake away"
BETTER = "it is the better one here, so that its accuracy does not give the mistake away"


def in_words(study: Study, table: ExperimentTable, mistake: Mistake) -> str:
    """What became of the broken network beside the right one.

    Args:
        study: the study of the mistake.
        table: the only table of the study.
        mistake: the mistake.

    Returns:
        One or two sentences; empty if the table has other rows than these two networks, or not all
        of their runs.
    """
    if len(table.rows) != 2 or table.n_ended < table.n_runs:
        return ""
    _, broken = table.rows
    if broken.diverged == broken.n_seeds:
        return "Every run of the broken network diverged, and has no accuracy: the mistake shows."
    if not table.differences:
        return "There is no test set, so the two networks are not compared."
    comparison = table.differences[0].comparison
    text = _compared(comparison, study)
    match comparison.verdict:
        case "lower":
            text += f": {WORSE}"
        case "within":
            text += f": {AS_GOOD}"
        case "higher":
            text += f": {BETTER}"
    if comparison.verdict in ("within", "higher") and mistake.checked is not None:
        text += ". The check of the gradient does"
    if broken.diverged:
        text += f". {broken.diverged} of its {broken.n_seeds} runs diverged"
    if broken.n and broken.collapsed == broken.n:
        text += ". It collapsed in every run: it gives one answer to everything"
    return f"{text}."


def _compared(comparison: Comparison, study: Study) -> str:
    """The test accuracy of the broken network beside that of the right one."""
    if comparison.verdict != "too few pairs":
        return f"In test accuracy, {phrase('the broken network', comparison, study)}"
    needed = f"a verdict needs {FEWEST_PAIRS} seeds"
    if comparison.mean is None:
        return f"There is no pair of test accuracies to compare; {needed}"
    pairs = f"{comparison.n} seed" + ("" if comparison.n == 1 else "s")
    return (
        f"Over {pairs}, the test accuracy of the broken network differs by "
        f"{points(comparison.mean)} points on average; {needed}"
    )
