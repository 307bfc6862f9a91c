"""The microscopes as lines of text, for the command and the app. Imports no JAX."""

import math
from collections.abc import Sequence

from jmlp.inspection.microscope.views import (
    BatchNormView,
    DropoutView,
    MasksView,
    NoiseView,
    NormLayerView,
    SizeView,
    StepView,
)
from jmlp.inspection.texts import number
from jmlp.training.records import epoch_text

KEPT, DROPPED = "#", "."  # units in a picture of a mask
MISSING = "-"


def aligned(rows: Sequence[Sequence[str]], indent: int = 2, n_left: int = 1) -> list[str]:
    """A table as lines; its first row has the titles.

    Args:
        rows: of equal length.
        indent: spaces before each line.
        n_left: columns, from the first one, that are aligned to the left.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if k < n_left else text.rjust(width)
            for k, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(" " * indent + "  ".join(cells).rstrip())
    return lines


def short(value: float | None) -> str:
    """A number with three digits."""
    return MISSING if value is None or not math.isfinite(value) else f"{value + 0.0:.3g}"


def percent(share: float) -> str:
    """Such as `97.25 %`."""
    return f"{100 * share:.2f} %"


# ---- dropout


def mask_text(masks: MasksView, update: int) -> str:
    """The mask of the example under the key of an update: `#` is kept, `.` dropped.

    Args:
        masks: of a layer.
        update: its place among the updates.
    """
    dropped = set(masks.dropped[update])
    return "".join(DROPPED if unit in dropped else KEPT for unit in range(masks.n_units))


def masks_title(view: DropoutView) -> str:
    """What the masks are of."""
    return (
        f"example {view.example} of the mini-batches of updates {view.updates[0]:,} to "
        f"{view.updates[-1]:,}: {KEPT} is kept, {DROPPED} is dropped"
    )


def masks_lines(view: DropoutView, width: int) -> list[str]:
    """The masks as pictures, a line per update, then the share that is dropped.

    Args:
        view: what is seen.
        width: columns; a mask that is longer is cut.
    """
    lines = [masks_title(view)]
    for masks in view.layers:
        lines.append(f"{masks.layer}, {masks.n_units:,} units, drop rate {masks.rate:g}")
        label = max(len(f"{update:,}") for update in view.updates)
        room = width - label - 4
        for k, update in enumerate(view.updates):
            picture = mask_text(masks, k)
            if len(picture) > room:
                picture = picture[: room - 3] + "..."
            lines.append(f"  {update:>{label},}  {picture}")
        lines += [f"  {line}" for line in share_lines(masks)]
    return lines


def masks_sentences(view: DropoutView) -> list[str]:
    """The masks in words: the numbers of the units that are dropped."""
    lines = []
    for masks in view.layers:
        lines.append(f"{masks.layer}: {masks.n_units:,} units, drop rate {masks.rate:g}.")
        for update, dropped in zip(view.updates, masks.dropped, strict=True):
            units = ", ".join(map(str, dropped)) or "no unit"
            lines.append(f"  Update {update:,}, example {view.example}: drops {units}.")
        lines += [f"  {line}." for line in share_lines(masks)]
    return lines


def share_lines(masks: MasksView) -> list[str]:
    """How much is dropped, against the rate; and whether equal keys gave equal masks."""
    error = math.sqrt(masks.rate * (1 - masks.rate) / masks.n_drawn)
    same = (
        "each key, drawn from again by itself, gave the same mask"
        if masks.is_repeated
        else "A KEY, DRAWN FROM AGAIN BY ITSELF, GAVE ANOTHER MASK"
    )
    return [
        f"dropped: {percent(masks.share)} of {masks.n_drawn:,}, by chance {percent(masks.rate)} "
        f"± {100 * error:.2f}",
        same,
    ]


def keys_lines(view: DropoutView, most: int = 20) -> list[str]:
    """The probabilities of the example, and the sample's accuracy, with and without dropout.

    Args:
        view: what is seen.
        most: classes that are listed, the most probable ones.
    """
    lines = [
        f"probabilities of example {view.row:,} of the training part, class "
        f"{view.class_names[view.label]}",
        f"without dropout, and mean and spread over the keys of {view.n_keys} updates",
    ]
    order = sorted(range(len(view.mean)), key=lambda k: (-view.without[k], k))
    rows = [["class", "without", "mean", "spread", "difference"]]
    for k in order[:most]:
        difference = view.mean[k] - view.without[k]
        rows.append(
            [
                view.class_names[k],
                f"{view.without[k]:.4f}",
                f"{view.mean[k]:.4f}",
                f"{view.spread[k]:.4f}",
                f"{difference:+.4f}",
            ]
        )
    lines += aligned(rows)
    if len(order) > most:
        lines.append(f"  and {len(order) - most:,} more classes")
    return lines + sample_lines(view)


def sample_lines(view: DropoutView) -> list[str]:
    """The sample's accuracy and cost, with and without dropout."""
    rows = [["", "accuracy", "cost"]]
    for name, accuracy, cost in (
        ("without dropout", view.accuracy_without, view.cost_without),
        ("mean of the probabilities", view.accuracy_mean, view.cost_mean),
        ("one pass with dropout, on average", view.accuracy_single, view.cost_single),
    ):
        rows.append([name, percent(accuracy), number(cost)])
    return [
        f"{view.n_sample:,} validation examples; |mean - without| is {view.difference:.4f} on "
        "average",
        *aligned(rows),
    ]


# ---- batch norm


def norm_lines(view: BatchNormView, most: int = 12) -> list[str]:
    """The statistics over time, those of each unit, and what they do to the predictions.

    Args:
        view: what is seen.
        most: units of a layer that are listed.
    """
    lines = norm_about(view)
    for layer in view.layers:
        lines.append(f"{layer.layer}, against the running statistics, over the snapshots")
        rows = [["epoch", "batch: shift", "ratio", "sample: shift", "ratio"]]
        for e, epoch in enumerate(view.epochs):
            columns = layer.batch_shift, layer.batch_ratio, layer.sample_shift, layer.sample_ratio
            mark = " <" if e == view.snapshot else ""
            rows.append([epoch_text(epoch) + mark, *(short(column[e]) for column in columns)])
        lines += aligned(rows)
        lines += units_lines(layer, most)
    return [*lines, *evaluation_lines(view)]


def norm_about(view: BatchNormView) -> list[str]:
    """What is compared."""
    return [
        f"batch: the {view.batch_size:,} examples of update {view.update:,}, as it normalises",
        f"sample: {view.n_sample:,} training examples without dropout, as predict has them",
        "shift: RMS of (mean - running mean) / running standard deviation",
        "ratio: variance / running variance, the geometric mean over the units",
    ]


def units_lines(layer: NormLayerView, most: int) -> list[str]:
    """Mean and standard deviation of each unit: of the batch, running, and of the sample."""
    pairs = [
        (layer.batch_mean, layer.batch_var),
        (layer.running_mean, layer.running_var),
        (layer.sample_mean, layer.sample_var),
    ]
    rows = [["unit", "batch mean", "std", "running mean", "std", "sample mean", "std"]]
    n = len(layer.batch_mean)
    for unit in range(min(n, most)):
        cells = [str(unit)]
        for mean, variance in pairs:
            cells += [short(mean[unit]), short(math.sqrt(variance[unit]))]
        rows.append(cells)
    lines = aligned(rows)
    if n > most:
        lines.append(f"  and {n - most:,} more units (--json has all of them)")
    return lines


def evaluation_lines(view: BatchNormView) -> list[str]:
    """Validation cost and accuracy, at each snapshot, by each kind of statistics."""
    rows = [["epoch"]]
    for one in view.evaluations:
        rows[0] += [f"{one.by}: acc.", "cost"]
    for e, epoch in enumerate(view.epochs):
        mark = " <" if e == view.snapshot else ""
        rows.append([epoch_text(epoch) + mark])
        for one in view.evaluations:
            rows[-1] += [percent(one.accuracy[e]), short(one.cost[e])]
    return [f"{view.n_validation:,} validation examples, normalised by", *aligned(rows)]


# ---- step


def step_lines(view: StepView) -> list[str]:
    """The cost along the step as a table, then sharpness and noise."""
    rows = [["multiple", "mini-batch", f"{view.n_sample:,} training examples"]]
    for k, multiple in enumerate(view.multiples):
        rows.append([f"{multiple:g}", number(view.batch_costs[k]), number(view.sample_costs[k])])
    return [*step_about(view), *aligned(rows), *quality_lines(view)]


def step_about(view: StepView) -> list[str]:
    """What the step is."""
    if view.is_update:
        lines = [f"cost along update {view.update:,} ({view.optimizer}), in multiples of it"]
    else:
        lines = [
            f"cost along -η g of update {view.update:,}, the negative gradient times learning rate",
            f"  the update is unknown: the moments of {view.optimizer} are not stored",
        ]
    if view.has_fault:
        lines += [
            "  the run has a mistake, made on purpose, and so has this step; costs, sharpness",
            "  and noise are those of the correct network",
        ]
    return lines


def lowest_text(view: StepView) -> str:
    """At which multiples the costs are lowest, or that they still fall at the last one."""
    places = []
    for costs, of in (
        (view.batch_costs, "of the mini-batch"),
        (view.sample_costs, "of the sample"),
    ):
        if all(map(math.isfinite, costs)):
            lowest = costs.index(min(costs))
            is_last = lowest == len(costs) - 1
            words = "still falling at" if is_last else "lowest at"
            places.append((words, f"{view.multiples[lowest]:g} {of}"))
    if not places:
        return "costs are not finite"
    (words, place), *rest = places
    text = f"{words} the multiple {place}"
    for other, place in rest:
        text += f", {place}" if other == words else f", {other} {place}"
    return text


def quality_lines(view: StepView) -> list[str]:
    """Where the cost is lowest, sharpness with its limit, and the noise of the gradient."""
    return [lowest_text(view), *sharpness_lines(view), *noise_lines(view.noise, view.batch_size)]


def sharpness_lines(view: StepView) -> list[str]:
    """The largest eigenvalue, its residual, and the limit of stability."""
    found = view.sharpness
    if found is None:
        return ["sharpness: not found (the products with the Hessian are not finite, or too many)"]
    lines = [
        f"sharpness {number(found.value)}: the largest eigenvalue of the Hessian on "
        f"{view.n_sample:,} examples",
        f"  residual {found.residual:.1e}, after {found.n_products} products with the Hessian",
    ]
    if view.limit is None:
        lines.append(f"  {view.optimizer} scales each parameter, so 2/η is no limit for it")
    elif math.isfinite(view.limit):
        formula = {"sgd": "2/η", "momentum": "(2+2μ)/η"}.get(view.optimizer, "(2+2μ)/(η(1+2μ))")
        above = "above" if found.value > view.limit else "below"
        lines.append(
            f"  {above} {formula} = {number(view.limit)}, the limit of stability at learning rate "
            f"{view.learning_rate:g}"
        )
    return lines


def noise_lines(noise: NoiseView | None, batch_size: int) -> list[str]:
    """The noise scale, and the ratio of signal to noise of each layer."""
    if noise is None:
        return ["gradient noise: the training part is smaller than two mini-batches"]
    what = (
        f"{noise.n_gradients:,} examples"
        if noise.n_each == 1
        else f"{noise.n_gradients:,} mini-batches of {noise.n_each:,}"
    )
    if noise.scale is None:
        lines = [
            "gradient noise scale: unknown",
            f"  |G|² is estimated as {short(noise.squared)}, not positive, from {what}",
        ]
    else:
        lines = [
            f"gradient noise scale {short(noise.scale)} examples, estimated from {what}",
            f"  signal-to-noise ratio {short(noise.signal)} at batch size {batch_size:,}",
        ]
        if noise.scale > noise.n_gradients * noise.n_each:
            lines.append("  more than all of them: only the order of magnitude is known")
    rows = [["layer", "|G|²", "tr Σ", "signal to noise"]]
    for layer in noise.layers:
        signal = "|G|² not > 0" if layer.signal is None else short(layer.signal)
        rows.append([layer.layer, short(layer.squared), short(layer.variance), signal])
    return [*lines, *aligned(rows)]


# ---- a study over batch sizes


def sizes_lines(views: Sequence[SizeView]) -> list[str]:
    """A table for each experiment: noise, sharpness and accuracy of each configuration."""
    lines = []
    for experiment in dict.fromkeys(view.experiment for view in views):
        found = [view for view in views if view.experiment == experiment]
        lines.append(f"{experiment}: the first seed of each configuration, at its best snapshot")
        rows = [
            [
                "configuration",
                "epoch",
                "noise scale",
                "signal to noise",
                "sharpness",
                "limit",
                "acc. %",
            ]
        ]
        for view in found:
            rows.append(_size_row(view))
        lines += aligned(rows)
        lines += [
            f"  {view.configuration}, seed {view.seed}: {view.problem}"
            for view in found
            if view.problem is not None
        ]
    return lines


def _size_row(view: SizeView) -> list[str]:
    step = view.step
    noise = None if step is None else step.noise
    sharpness = None if step is None or step.sharpness is None else step.sharpness.value
    accuracy = MISSING if view.accuracy is None else f"{100 * view.accuracy:.2f}"
    return [
        view.configuration,
        MISSING if step is None else epoch_text(step.epoch),
        short(None if noise is None else noise.scale),
        short(None if noise is None else noise.signal),
        short(sharpness),
        short(None if step is None else step.limit),
        accuracy,
    ]
