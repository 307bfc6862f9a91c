"""The microscopes of a run as text and curves, for its panels."""

import math

import numpy as np
from rich.text import Text

from jmlp.inspection.microscope import texts
from jmlp.inspection.microscope.views import BatchNormView, DropoutView, MasksView, StepView
from jmlp.training.records import epoch_text
from tui.charts.bars import bar_rows, cell_width, epoch_row, pointer_row, scale_of
from tui.charts.figure import Mark, Shown
from tui.charts.lines import Series
from tui.charts.sparkline import bar
from tui.text import fit

KEPT, DROPPED = "█", "·"
MOST_CLASSES = 20  # whose probabilities are shown
MOST_UNITS = 30  # whose statistics are listed
NAME = 14  # columns of the names of layers
NUMBER = 9
MOST_NAME = 16  # columns of the name of a class
BAR = 20  # columns of a bar of a probability, at most


# ---- dropout


def dropout_text(view: DropoutView, width: int, kept: str, muted: str) -> Text:
    """Draws the masks, then the probabilities with and without dropout.

    Args:
        view: what is seen.
        width: columns.
        kept: style of units that are kept, and of bars.
        muted: style of units that are dropped, and of notes.
    """
    first, last = view.updates[0], view.updates[-1]
    about = f"example {view.example} of the mini-batches of updates {first:,} to {last:,}"
    lines = [
        Text.assemble(
            ("Masks", "bold"), (f"  {about}: ", muted), (KEPT, kept), (" kept  ", muted), DROPPED
        ).append(" dropped", muted)
    ]
    for masks in view.layers:
        title = f"  {masks.layer}, {masks.n_units:,} units, drop rate {masks.rate:g}"
        lines.append(Text(title))
        label = max(len(f"{update:,}") for update in view.updates)
        for k, update in enumerate(view.updates):
            line = Text(f"    {update:>{label},} ", muted)
            lines.append(line.append_text(_mask(masks, k, width - label - 6, kept, muted)))
        lines += [Text(f"    {line}", muted) for line in texts.share_lines(masks)]
    lines += _probabilities(view, width, kept, muted)
    title, *table = texts.sample_lines(view)
    lines += [Text(), Text.assemble(("Sample", "bold"), (f"  {title}", muted)), *map(Text, table)]
    return Text("\n").join(lines)


def _mask(masks: MasksView, update: int, room: int, kept: str, muted: str) -> Text:
    picture = texts.mask_text(masks, update)
    text = Text()
    for sign in fit(picture, max(1, room)).rstrip():
        if sign == texts.KEPT:
            text.append(KEPT, kept)
        else:
            text.append(DROPPED if sign == texts.DROPPED else sign, muted)
    return text


def _probabilities(view: DropoutView, width: int, kept: str, muted: str) -> list[Text]:
    about = [
        f"example {view.row:,} of the training part, class {view.class_names[view.label]}",
        f"  without dropout, and mean ± spread over the keys of {view.n_keys} updates",
    ]
    lines = [Text(), Text.assemble(("Probabilities", "bold"), (f"  {about[0]}", muted))]
    lines.append(Text(about[1], muted))
    order = sorted(range(len(view.mean)), key=lambda k: (-view.without[k], k))
    name = min(MOST_NAME, max(len(view.class_names[k]) for k in order))
    room = max(4, min(BAR, (width - name - 30) // 2))
    for k in order[:MOST_CLASSES]:
        lines.append(
            Text.assemble(
                f"  {fit(view.class_names[k], name)}  {view.without[k]:.4f} ",
                (bar(view.without[k], room), kept),
                f"  {view.mean[k]:.4f} ± {view.spread[k]:.4f} ",
                (bar(view.mean[k], room), kept),
            )
        )
    if len(order) > MOST_CLASSES:
        lines.append(Text(f"  and {len(order) - MOST_CLASSES:,} more classes", muted))
    return lines


# ---- batch norm


def norm_text(view: BatchNormView, width: int, bars: str, muted: str) -> Text:
    """Draws the statistics over the snapshots, then the units of the chosen one.

    Args:
        view: what is seen.
        width: columns.
        bars: style of the bars.
        muted: style of the epochs and of notes.
    """
    cell = cell_width(len(view.epochs), width - NAME - NUMBER - 2)
    e = view.snapshot
    lines = [Text(line, muted) for line in texts.norm_about(view)]
    lines.append(_line("epoch", epoch_text(view.epochs[e]), epoch_row(view.epochs, cell), muted))
    lines.append(_line("", "", pointer_row(len(view.epochs), e, cell), bars))
    for title, batch, sample in (
        ("Shift", "batch_shift", "sample_shift"),
        ("Variance ratio", "batch_ratio", "sample_ratio"),
    ):
        columns = [
            (f"{of} {layer.layer.removeprefix('hidden ')}", getattr(layer, name))
            for of, name in (("batch", batch), ("sample", sample))
            for layer in view.layers
        ]
        scale = scale_of([value for _, values in columns for value in values])
        unit = "by hidden layer, log scale"
        lines.append(Text.assemble((title, "bold"), (f"  {unit}", muted)))
        for name, values in columns:
            (row,) = bar_rows(list(values), scale, cell)
            lines.append(_line(name, texts.short(values[e]), row, bars))
    title, *table = texts.evaluation_lines(view)
    lines += [Text(), Text.assemble(("Predictions", "bold"), (f"  {title}", muted))]
    lines += map(Text, table)
    for layer in view.layers:
        about = f"mean and standard deviation at epoch {epoch_text(view.epochs[e])}"
        lines += [Text(), Text.assemble((layer.layer.capitalize(), "bold"), (f"  {about}", muted))]
        lines += map(Text, texts.units_lines(layer, MOST_UNITS))
    return Text("\n").join(lines)


def _line(name: str, value: str, row: str, style: str) -> Text:
    return Text.assemble(f"  {name:<{NAME - 2}}{value:>{NUMBER}} ", (row, style))


# ---- step


def step_series(view: StepView) -> list[Series]:
    """The cost along the step: of the mini-batch, and of the sample."""
    x = np.array(view.multiples)
    return [
        Series("mini-batch", x, np.array(view.batch_costs), None, None, 0, "m"),
        Series("sample", x, np.array(view.sample_costs), None, None, 1, "s"),
    ]


def step_shown(view: StepView) -> Shown:
    """The window of the plot, with the network and the update marked."""
    marks = Mark(0.0, "now"), Mark(1.0, "update")
    return Shown(view.multiples[0], view.multiples[-1], bounds=(0.0, math.inf), marks=marks)
