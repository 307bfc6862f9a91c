"""The row that looks for performance cliffs as lanes, widths and images grow; and its plot."""

import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmark.rows import SIZES, Figures, Options, ours, say, useful_flops

LANES = (1, 2, 4, 8, 10, 16, 20, 32, 64, 128, 256)
WIDTHS = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
IMAGES = (1000, 2000, 5000, 10_000, 20_000, 40_000, 60_000)
TITLES = {"lanes": "networks", "width": "units of one hidden layer", "images": "images"}
FEW = 12_000  # images, while something else grows


def growth(options: Options) -> Figures:
    """Measures products per second on all cores, including evaluation and all overhead."""
    figures = Figures("GFLOP/s", more_is_better=True, series=True)
    every = 2 if options.quick else 1
    for _ in range(options.rounds):
        for lanes in LANES[::every]:
            figures.add(f"lanes {lanes}", "jmlp", _speed(SIZES, FEW, lanes))
        for width in WIDTHS[::every]:
            figures.add(f"width {width}", "jmlp", _speed((784, width, 10), FEW, 4))
        for images in IMAGES[::every]:
            figures.add(f"images {images}", "jmlp", _speed(SIZES, images, 20))
        say("growth: a round")
    return figures


def _speed(sizes: tuple[int, ...], images: int, lanes: int) -> float:
    seeds = min(lanes, 2)  # one cohort, or a multiple of two
    work = lanes * images * sizes[0] * sizes[1] * 4
    request: Mapping[str, Any] = {
        "axis": "learning_rate",
        "values": [0.001 * (1 + i) for i in range(lanes // seeds)],
        "seeds": seeds,
        "hyperparams": {"hidden": list(sizes[1:-1])},
        "examples": images,
        "epochs": max(4, min(50, round(1e12 / work))),
    }
    measured = ours(**request)["measured"]
    # At the beginning chunks adapt their length; at the end there are mostly final accuracies.
    first, last = measured[len(measured) // 4], measured[-1 - len(measured) // 10]
    epochs = sum(first < at <= last for at in measured)
    n_validation = round(0.2 * images)
    useful = useful_flops(sizes, images - n_validation, n_validation)
    return float(epochs * useful / (last - first) / 1e9)


def plot(work: Mapping[str, Any], path: Path) -> None:
    """Plots each series, with the median and range of the rounds."""
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(10, 3), sharey=True, layout="constrained")
    highest = max(max(by["jmlp"]) for by in work["found"].values())
    for axis, (name, title) in zip(axes, TITLES.items(), strict=True):
        found = {w: by["jmlp"] for w, by in work["found"].items() if w.split()[0] == name}
        xs = [int(w.split()[1]) for w in found]
        low, high = list(map(min, found.values())), list(map(max, found.values()))
        axis.fill_between(xs, low, high, alpha=0.25, linewidth=0)
        axis.plot(xs, [*map(statistics.median, found.values())], marker="o", markersize=4)
        axis.set(xscale="log", xlabel=title, ylim=(0, 1.05 * highest))
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("GFLOP/s of the products")
    figure.savefig(path)
