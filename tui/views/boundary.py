"""The boundary as it is shown: of one seed, the mean over seeds, or where seeds disagree."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from jmlp.client.texts import percent_text
from jmlp.inspection.boundary_records import (
    UNKNOWN,
    Boundary,
    Singles,
    check_same_plane,
    classes,
    disagreement,
    mean_probability,
)
from jmlp.training.records import epoch_text
from tui.charts.matrix import shortened
from tui.charts.picture import SHADES
from tui.charts.plane import Examples, Surface, UnitLine, mark, signs_of, strength

Mode = Literal["seed", "mean", "disagreement"]
MODES: tuple[Mode, ...] = get_args(Mode)
Part = Literal["training", "validation"]
PARTS: tuple[Part, ...] = get_args(Part)
MOST_LISTED = 6  # classes whose probabilities at a point are listed


@dataclass(frozen=True, eq=False)
class Pictured:
    """The networks that are shown together, and what they say at each point of the grid."""

    mode: Mode
    boundaries: tuple[Boundary, ...]  # of the runs that are shown; the first is the chosen one
    indices: tuple[int, ...]  # the network of each
    probability: NDArray[np.floating[Any]]  # (Y, X, C): of the one network, or the mean
    share: NDArray[np.float64]  # (Y, X): of the networks that disagree
    surface: Surface

    @property
    def first(self) -> Boundary:
        """The boundary of the chosen run."""
        return self.boundaries[0]

    @property
    def networks(self) -> list[Singles]:
        """The probabilities of each network, `(Y, X, C)`."""
        return _networks(self.boundaries, self.indices)

    @property
    def most(self) -> float:
        """The largest share of these networks that can disagree."""
        return most_disagreement(len(self.boundaries), self.first.n_classes)

    def lines(self) -> tuple[UnitLine, ...]:
        """The lines of the units of the first layer of the chosen run's network."""
        found = self.first.lines[self.indices[0]].tolist()
        return tuple(UnitLine(unit, (a, b, c)) for unit, (a, b, c) in enumerate(found))

    def examples(self, part: Part) -> Examples:
        """The examples of a part; of several networks, wrong is what most of them misclassify.

        Only networks whose parts of the data are those of the first one are asked.
        """
        first = self.first
        of_part = first.is_training == (part == "training")
        asked = [
            boundary.predicted[e] != boundary.labels
            for boundary, e in zip(self.boundaries, self.indices, strict=True)
            if np.array_equal(boundary.points, first.points)
            and np.array_equal(boundary.is_training, first.is_training)
        ]
        wrong = np.mean(asked, axis=0) > 0.5
        return Examples(first.points[of_part], first.labels[of_part], wrong[of_part])


def pictured(boundaries: Sequence[Boundary], epoch: float | None, mode: Mode) -> Pictured:
    """What is shown of some runs.

    Args:
        boundaries: of the runs; the first is the chosen one, which alone is shown if the mode is
            "seed".
        epoch: the networks nearest to it are shown; None: the kept one of each run.
        mode: what is shown of them.

    Raises:
        ConfigError: they are not of the same data.
    """
    shown = tuple(boundaries[:1] if mode == "seed" else boundaries)
    check_same_plane(shown)
    indices = tuple(boundary.index_at(epoch) for boundary in shown)
    networks = _networks(shown, indices)
    probability = networks[0] if mode == "seed" else mean_probability(networks)
    share = disagreement(networks)
    first = shown[0]
    if mode == "disagreement":
        most = most_disagreement(len(shown), first.n_classes)
        scaled = np.clip(share / most, 0, 1) if most else np.zeros_like(share)
        surface = Surface(first.x, first.y, np.empty((0, 0), np.int16), scaled)
    else:
        surface = Surface(first.x, first.y, classes(probability), strength(probability))
    return Pictured(mode, shown, indices, probability, share, surface)


def most_disagreement(n_networks: int, n_classes: int) -> float:
    """The largest share of so many networks that can differ from the class with most votes."""
    return 1 - math.ceil(n_networks / n_classes) / n_networks


def about(shown: Pictured, epoch: float | None) -> str:
    """Which networks are shown, in one line; `epoch` is None if each run's kept one is."""
    if shown.mode == "seed":
        boundary, e = shown.first, shown.indices[0]
        text = f"epoch {epoch_text(boundary.epochs[e])}"
        is_last = e == len(boundary.epochs) - 1
        if boundary.diverged_at is not None and is_last:
            text += f", the last finite network: diverged at update {boundary.diverged_at:,}"
        return text
    n = len(shown.boundaries)
    seeds = "1 seed" if n == 1 else f"{n} seeds"
    what = "mean probability of" if shown.mode == "mean" else "where they disagree:"
    which = "kept networks" if epoch is None else f"nearest to epoch {epoch_text(epoch)}"
    return f"{what} {seeds}, {which}"


def point_text(shown: Pictured, ix: int, iy: int) -> str:
    """What the networks say at a point of the grid, for which they were computed.

    Args:
        shown: the networks.
        ix: index of the point's first value.
        iy: of its second one.
    """
    first = shown.first
    step = [(values[-1] - values[0]) / (len(values) - 1) for values in (first.x, first.y)]
    at = [
        rounded(float(value), by)
        for value, by in zip((first.x[ix], first.y[iy]), step, strict=True)
    ]
    place = f"({at[0]}, {at[1]})"
    names = shortened(first.class_names)
    if shown.mode == "disagreement":
        votes = [int(classes(network[iy, ix])) for network in shown.networks]
        n = len(votes)
        counts = [(votes.count(label), names[label]) for label in set(votes) - {UNKNOWN}]
        parts = [f"{name} {count} of {n}" for count, name in sorted(counts, key=lambda c: -c[0])]
        if UNKNOWN in votes:
            parts.append(f"not finite {votes.count(UNKNOWN)} of {n}")
        return f"{place}  votes: {', '.join(parts)}"
    probability = shown.probability[iy, ix]
    if not np.isfinite(probability).all():
        return f"{place}  the network's outputs are not finite"
    order = np.argsort(-probability, kind="stable")
    listed = [f"{names[k]} {percent_text(float(probability[k]))} %" for k in order[:MOST_LISTED]]
    more = f", {len(order) - MOST_LISTED} more" if len(order) > MOST_LISTED else ""
    return f"{place}  {', '.join(listed)}{more}"


def rounded(value: float, step: float) -> str:
    """Formats a value of the grid with as many decimals as its step needs, at most 6 digits."""
    decimals = max(0, 1 - math.floor(math.log10(step)))
    text = f"{value:.{decimals}f}"
    text = text if len(text) <= 12 else f"{value:.6g}"
    return text.removeprefix("-") if float(text) == 0 else text


def legend(shown: Pictured, with_examples: bool) -> str:
    """What signs and letters mean, where there are no colours.

    Args:
        shown: the networks.
        with_examples: whether there are examples.
    """
    names = shortened(shown.first.class_names)
    signs = [f"{signs_of(k)} {mark(k)} {name}" for k, name in enumerate(names)]
    if shown.surface.is_shares:
        signs = [share_text(shown, SHADES[-1])]
        signs += [f"{mark(k)} {name}" for k, name in enumerate(names) if with_examples]
    small = ["small letters: misclassified"] if with_examples else []
    return "   ".join([*signs, *small])


def share_text(shown: Pictured, sample: str) -> str:
    """What the strongest colour or sign of a share means."""
    return f"{sample} {100 * shown.most:.0f} % of the runs disagree with the majority"


def line_text(shown: Pictured, unit: int) -> str:
    """The line of a unit of the first layer, as an equation."""
    a, b, c = shown.lines()[unit].line
    if a == 0 and b == 0:
        return f"unit {unit}: Z = {c:.4g} everywhere, so it has no line"
    return f"unit {unit}: Z = {a:.4g} x {b:+.4g} y {c:+.4g}, > 0 where its number is"


def mistakes_text(shown: Pictured, part: Part) -> str:
    """How many examples of a part are misclassified, of those that are drawn."""
    found = shown.examples(part)
    n, of = int(found.wrong.sum()), len(found.wrong)
    n_part = shown.first.n_training if part == "training" else shown.first.n_validation
    drawn = f"{of:,} of {n_part:,}" if of < n_part else f"{of:,}"
    by = "" if shown.mode == "seed" else " by most seeds"
    return f"{n:,} of {drawn} {part} examples misclassified{by}"


def _networks(boundaries: Sequence[Boundary], indices: Sequence[int]) -> list[Singles]:
    return [b.probability[e] for b, e in zip(boundaries, indices, strict=True)]
