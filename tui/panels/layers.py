"""Statistics of each layer over the snapshots: gradients, updates, dead units."""

import numpy as np
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from jmlp.client.texts import MISSING
from jmlp.inspection.records import Inspection
from jmlp.training.records import epoch_text
from tui.charts.bars import bar_rows, cell_width, epoch_row, pointer_row, scale_of, share_rows

NAME = 12  # columns
NUMBER = 10
MAX_HEIGHT = 4  # rows of a bar
N_OTHER_LINES = 5  # epochs, pointer, and the titles of the three charts
GRADIENT, UPDATE, DEAD = "Gradient norm", "Update-to-weight ratio", "Dead ReLU units"  # titles


class LayersPanel(VerticalScroll):
    """Bar charts below a row of epochs, with one line per layer."""

    terms = ("layers", GRADIENT, UPDATE, DEAD, "hidden layer", "output layer")

    DEFAULT_CSS = """
    LayersPanel { padding: 0 1; scrollbar-size-vertical: 1; scrollbar-background: $background; }
    LayersPanel .charts { height: auto; text-wrap: nowrap; text-overflow: ellipsis; }
    LayersPanel .how { height: auto; margin-top: 1; color: $secondary; }
    """

    def compose(self) -> ComposeResult:
        """Yields the charts and a note on how they were computed."""
        yield Static(classes="charts", markup=False)
        yield Static(classes="how", markup=False)

    def show(self, inspection: Inspection, e: int) -> None:
        """Shows all snapshots, and the numbers of the one at index `e`."""
        colours = self.app.theme_variables
        charts = layers_text(
            inspection,
            e,
            (self.app.size.width - 3, self.size.height - 3),
            colours["accent"],
            colours["secondary"],
        )
        self.query_one(".charts", Static).update(charts)
        self.query_one(".how", Static).update(inspection.update_words)


def layers_text(i: Inspection, e: int, room: tuple[int, int], bars: str, units: str) -> Text:
    """Draws the charts as text; the last one has the layers with ReLU, if there are any.

    Args:
        i: the inspection of a run.
        e: index of the snapshot whose numbers are shown.
        room: columns and rows of the terminal; the bars are as high as fit.
        bars: style of the bars.
        units: style of the epochs and the units of measurement.
    """
    cell = cell_width(len(i.epochs), room[0] - NAME - NUMBER - 1)
    n_bars = 2 * len(i.layers) + len(i.relu_layers)
    height = max(1, min(MAX_HEIGHT, (room[1] - N_OTHER_LINES) // n_bars))
    lines = [
        _line("epoch", epoch_text(i.epochs[e]), epoch_row(i.epochs, cell), units),
        _line("", "", pointer_row(len(i.epochs), e, cell), bars),
    ]
    for title, unit, values in (
        (GRADIENT, "‖g‖/√n of the cost, log scale", i.gradient_norm),
        (UPDATE, "‖Δθ‖/‖θ‖ of one update, log scale", i.update_ratio),
    ):
        lines.append(Text.assemble((title, "bold"), (f"  {unit}", units)))
        scale = scale_of(values.ravel().tolist())
        for k, name in enumerate(i.layers):
            value = float(values[e, k])
            number = f"{value:.2e}" if np.isfinite(value) else MISSING
            rows = bar_rows(values[:, k].tolist(), scale, cell, height)
            lines += _bars(name, number, rows, bars)
    if i.relu_layers:
        unit = f"their output is 0 for all {len(i.labels):,} {i.part} {i.what}s"
        lines.append(Text.assemble((DEAD, "bold"), (f"  {unit}", units)))
    for k in i.relu_layers:
        dead, total = i.dead_units[:, k], int(i.n_units[k])
        rows = share_rows((dead / total).tolist(), cell, height)
        lines += _bars(i.layers[k], f"{int(dead[e])} of {total}", rows, bars)
    return Text("\n").join(lines)


def _bars(name: str, number: str, rows: list[str], style: str) -> list[Text]:
    """Puts the name and the number beside the lowest row."""
    above = [_line("", "", row, style) for row in rows[:-1]]
    return [*above, _line(name, number, rows[-1], style)]


def _line(name: str, number: str, row: str, style: str) -> Text:
    return Text.assemble(f"  {name:<{NAME - 2}}{number:>{NUMBER}} ", (row, style))
