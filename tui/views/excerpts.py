"""The lists and panels of the app as tables that can be copied."""

from collections.abc import Iterable, Sequence

import numpy as np

from jmlp.client.texts import MISSING, time_text
from jmlp.data.columns import Column
from jmlp.inspection.microscope.views import BatchNormView, DropoutView, StepView
from jmlp.inspection.records import Inspection
from jmlp.training.records import epoch_text
from tui.copying import Excerpt, Field, Heading, Value, integer, number, plain, sheet
from tui.text import duration
from tui.views.boundary import Pictured
from tui.views.comparison import Comparison
from tui.views.runs import COLUMNS, RunLine
from tui.views.study import ConfigurationLine, ExperimentLines


def configurations(
    experiments: Iterable[ExperimentLines], at_cursor: ConfigurationLine | None
) -> Excerpt:
    """The configurations of a study; costs and accuracies are medians over seeds."""
    headings = [
        Heading("experiment"),
        Heading("configuration"),
        Heading("training cost", "right"),
        Heading("validation cost", "right"),
        Heading("lowest", "right"),
        Heading("highest", "right"),
        Heading("validation accuracy %", "right"),
        Heading("epoch", "right"),
        Heading("done", "right"),
        Heading("seeds", "right"),
        Heading("left", "right"),
        Heading("state"),
    ]
    lines = [line for experiment in experiments for line in experiment.lines]
    rows = [
        [
            plain(line.experiment),
            plain(line.label),
            number(line.training_cost, 4),
            number(line.validation_cost, 4),
            number(line.range[0] if line.range else None, 4),
            number(line.range[1] if line.range else None, 4),
            number(line.validation_accuracy, 2, 100),
            _epoch(line.epoch),
            integer(line.n_done),
            integer(line.n_seeds),
            Field("", None) if line.left is None else Field(duration(line.left), line.left),
            plain(line.state),
        ]
        for line in lines
    ]
    keys = [(line.experiment, line.label) for line in lines]
    at = None if at_cursor is None else (at_cursor.experiment, at_cursor.label)
    return sheet("configurations", headings, rows, keys.index(at) if at in keys else None)


def runs(lines: Sequence[RunLine], at_cursor: RunLine | None) -> Excerpt:
    """Runs in the order of the list, with all columns; identifiers are whole."""
    headings = [Heading(column.title, column.align) for column in COLUMNS]
    rows = []
    for line in lines:
        values: dict[str, Value] = {
            "number": line.number,
            "run": line.run_id,
            "seed": line.seed,
            "epoch": line.epoch,
            "cost": line.cost,
            "accuracy": number(line.accuracy, 2, 100).value,
            "ended": None if line.ended_at is None else time_text(line.ended_at),
        }
        fields = []
        for column in COLUMNS:
            text = column.text(line)
            value = None if text == MISSING else text
            fields.append(Field(text, values.get(column.key, value)))
        rows.append(fields)
    ids = [line.run_id for line in lines]
    at = at_cursor.run_id if at_cursor is not None else None
    return sheet("runs", headings, rows, ids.index(at) if at in ids else None)


def comparison(compared: Comparison, all_rows: bool) -> Excerpt:
    """What runs differ in, or everything that was compared."""
    shown = compared.everything if all_rows else compared.differing
    headings = [Heading("section"), Heading("name")]
    headings += [Heading(f"{run.letter} {run.short_id}", "right") for run in compared.runs]
    rows = [
        [
            plain(section),
            plain(name),
            *map(Field, texts, compared.exact[section][name]),
        ]
        for section, names in shown.items()
        for name, texts in names.items()
    ]
    return sheet("comparison", headings, rows, None)


# ---- inspections


def layers(i: Inspection, e: int) -> Excerpt:
    """The statistics of all layers and snapshots; the row at the cursor is of snapshot `e`."""
    headings = [
        Heading("epoch", "right"),
        Heading("layer"),
        Heading("gradient norm", "right"),
        Heading("update-to-weight ratio", "right"),
        Heading("dead ReLU units", "right"),
        Heading("units", "right"),
    ]
    rows = []
    for snapshot, epoch in enumerate(i.epochs):
        for k, name in enumerate(i.layers):
            hidden = k < len(i.n_units)
            rows.append(
                [
                    _epoch(epoch),
                    plain(name),
                    _small(float(i.gradient_norm[snapshot, k])),
                    _small(float(i.update_ratio[snapshot, k])),
                    integer(int(i.dead_units[snapshot, k]) if k in i.relu_layers else None),
                    integer(int(i.n_units[k]) if hidden else None),
                ]
            )
    return sheet("layers", headings, rows, e * len(i.layers) if i.layers else None)


def confusion(i: Inspection, e: int) -> Excerpt:
    """The confusion matrix of a snapshot."""
    headings = [Heading("true class", "right")]
    headings += [Heading(f"predicted {i.name_of(k)}", "right") for k in range(i.n_classes)]
    rows = [
        [_class(i, k), *map(integer, counts)] for k, counts in enumerate(i.confusion(e).tolist())
    ]
    return sheet("confusion", headings, rows, None)


def mistakes(i: Inspection, e: int) -> Excerpt:
    """The misclassified examples of a snapshot, the most confident mistakes first.

    Rows are copied with their values; a value is empty where it is missing, or where its row is not
    among those that are kept.
    """
    headings = [
        Heading(f"{i.part} {i.what}", "right"),
        Heading("true class", "right"),
        Heading("predicted class", "right"),
        Heading("probability %", "right"),
        *(Heading(column.name, "left" if column.levels else "right") for column in i.columns),
    ]
    rows = [
        [
            integer(example),
            _class(i, int(i.labels[example])),
            _class(i, int(i.predicted[e, example])),
            number(float(i.confidence[e, example]), 1, 100),
            *map(_value, i.columns, i.row_of(example) or (None,) * len(i.columns)),
        ]
        for example in i.mistakes(e).tolist()
    ]
    return sheet("mistakes", headings, rows, None)


def weights(i: Inspection, e: int) -> Excerpt | None:
    """The first layer's weights of a snapshot by input column; None if the inputs are pixels."""
    if not i.columns:
        return None
    headings = [Heading("unit", "right"), *(Heading(name, "right") for name in i.input_names)]
    rows = [
        [integer(k), *(number(w if np.isfinite(w) else None, 4) for w in unit)]
        for k, unit in enumerate(i.weights[e].tolist())
    ]
    return sheet("weights", headings, rows, None)


# ---- microscopes and the boundary


def dropout(view: DropoutView) -> Excerpt:
    """The probabilities of the example, with and without dropout, by class."""
    headings = [
        Heading("class"),
        Heading("without dropout", "right"),
        Heading("mean over keys", "right"),
        Heading("spread", "right"),
    ]
    rows = [
        [plain(name), *(number(_finite(p), 4) for p in numbers)]
        for name, *numbers in zip(
            view.class_names, view.without, view.mean, view.spread, strict=True
        )
    ]
    return sheet("dropout", headings, rows, view.label)


def batch_norm(view: BatchNormView) -> Excerpt:
    """The statistics of all layers and snapshots; the row at the cursor is of the chosen one."""
    headings = [
        Heading("epoch", "right"),
        Heading("layer"),
        Heading("shift of the batch", "right"),
        Heading("variance ratio of the batch", "right"),
        Heading("shift of the sample", "right"),
        Heading("variance ratio of the sample", "right"),
    ]
    rows = [
        [
            _epoch(epoch),
            plain(layer.layer),
            _short(layer.batch_shift[e]),
            _short(layer.batch_ratio[e]),
            _short(layer.sample_shift[e]),
            _short(layer.sample_ratio[e]),
        ]
        for e, epoch in enumerate(view.epochs)
        for layer in view.layers
    ]
    return sheet("batch norm", headings, rows, view.snapshot * len(view.layers))


def step(view: StepView) -> Excerpt:
    """The costs along the step; the row at the cursor is that of the update."""
    headings = [
        Heading("multiple", "right"),
        Heading("cost of the mini-batch", "right"),
        Heading("cost of the sample", "right"),
    ]
    rows = [
        [Field(f"{multiple:g}", multiple), _cost(batch), _cost(sample)]
        for multiple, batch, sample in zip(
            view.multiples, view.batch_costs, view.sample_costs, strict=True
        )
    ]
    at = view.multiples.index(1.0) if 1.0 in view.multiples else None
    return sheet("step", headings, rows, at)


def boundary(shown: Pictured, point: tuple[int, int] | None) -> Excerpt:
    """What the networks say at each point of the grid, row by row.

    Args:
        shown: the networks.
        point: the indices of the point at the cursor in the two inputs, if there is one.
    """
    first = shown.first
    headings = [Heading(name, "right") for name in first.columns]
    if shown.mode == "disagreement":
        headings.append(Heading("runs that disagree %", "right"))
        said = [[number(share, 1, 100)] for share in shown.share.ravel().tolist()]
    else:
        headings += [Heading(f"probability of {name} %", "right") for name in first.class_names]
        probabilities = shown.probability.reshape(-1, first.n_classes).tolist()
        said = [[number(_finite(p), 2, 100) for p in at] for at in probabilities]
    places = ((x, y) for y in first.y.tolist() for x in first.x.tolist())
    rows = [
        [*(Field(f"{value:.6g}", value) for value in place), *fields]
        for place, fields in zip(places, said, strict=True)
    ]
    return sheet("boundary", headings, rows, point and point[1] * len(first.x) + point[0])


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def _cost(value: float) -> Field:
    return number(_finite(value), 4)


def _short(value: float) -> Field:
    return Field(f"{value:.3g}", value) if np.isfinite(value) else Field(MISSING, None)


def _value(column: Column, text: str | None) -> Field:
    """A value of a row."""
    if text is None:
        return Field(MISSING, None)
    if column.levels:
        return plain(text)
    return Field(text, int(text) if text.lstrip("-").isdigit() else float(text))


def _class(i: Inspection, label: int) -> Field:
    """A class: its number, unless it has a name."""
    return plain(i.name_of(label)) if i.class_names else integer(label)


def _epoch(epoch: float | None) -> Field:
    return Field(epoch_text(epoch), epoch)


def _small(value: float) -> Field:
    return Field(f"{value:.2e}", value) if np.isfinite(value) else Field(MISSING, None)
