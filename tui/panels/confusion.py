"""The confusion matrix."""

import re

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import ScrollableContainer
from textual.widgets import Static

from jmlp.inspection.records import Inspection
from tui.charts.matrix import confusion_lines, confusions, matrix_lines

GAP = 4
MAX_LISTED = 12  # confusions that are listed


class ConfusionPanel(ScrollableContainer, can_focus=True):
    """The confusion matrix, with the most frequent confusions beside or below it."""

    terms = ("confusion matrix", "recall", "precision")

    DEFAULT_CSS = """
    ConfusionPanel { padding: 0 1; scrollbar-size: 1 1; scrollbar-background: $background; }
    ConfusionPanel Static { width: auto; height: auto; }
    """

    def compose(self) -> ComposeResult:
        """Yields one static text."""
        yield Static(markup=False)

    def show(self, inspection: Inspection, e: int) -> None:
        """Shows the matrix of the snapshot at index `e`."""
        self.query_one(Static).update(confusion_text(inspection, e, self.app.size.width - 4))


def confusion_text(i: Inspection, e: int, room: int) -> Text:
    """Draws the matrix and the confusions, side by side if they fit.

    Args:
        i: the inspection of a run.
        e: index of the snapshot.
        room: columns of the terminal.
    """
    counts = i.confusion(e)
    names = [i.name_of(label) for label in range(i.n_classes)]
    matrix = matrix_lines(counts, room, names)
    pairs = confusions(counts)
    listed = ["most frequent confusions", *confusion_lines(pairs[:MAX_LISTED], names)]
    if not pairs:
        listed = ["no confusions"]
    unknown = int((i.predicted[e] < 0).sum())
    if unknown:
        listed.append(f"{unknown} without a prediction: not finite")
    width = max(map(len, matrix))
    text = Text(no_wrap=True)
    beside = width + GAP + max(map(len, listed)) <= room
    right = ["", *listed] if beside else []
    for k in range(max(len(matrix), len(right))):
        left = matrix[k] if k < len(matrix) else ""
        line = Text(left.ljust(width))
        for found in re.finditer(r"\[[^]]*\]", left):
            line.stylize("bold", *found.span())
        if k < len(right):
            line.append(" " * GAP + right[k])
        text.append_text(line).append("\n")
    if not beside:
        text.append("\n" + "\n".join(listed))
    text.append("\n[ ] right   rows: true class, columns: predicted")
    return text
