"""Galleries of the first layer's weights and of misclassified examples: pictures, or lists."""

import math
from functools import partial

import numpy as np
from numpy.typing import NDArray
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.geometry import Size
from textual.widgets import Static

from jmlp.inspection.records import WITHIN, Inspection
from tui.charts.lists import (
    name_width,
    value_lines,
    value_texts,
    value_width,
    weight_lines,
    weight_width,
)
from tui.charts.matrix import shortened
from tui.charts.picture import as_plane
from tui.widgets.gallery import NO_PICTURE, Card, Gallery, Listed


class PicturesPanel(Vertical):
    """A gallery below a line of text."""

    DEFAULT_CSS = """
    PicturesPanel { height: 1fr; }
    PicturesPanel .about { height: auto; max-height: 2; padding: 0 1; color: $secondary; }
    """

    def compose(self) -> ComposeResult:
        """Yields the text and the gallery."""
        yield Static(classes="about", markup=False)
        yield Gallery()

    def focus_first(self) -> None:
        """Focuses the gallery, so that keys scroll it."""
        self.query_one(Gallery).focus()

    def show(self, inspection: Inspection, e: int) -> None:
        """Shows the cards of the snapshot at index `e`."""
        about, cards = self.cards_of(inspection, e)
        self.query_one(".about", Static).update(about)
        self.query_one(Gallery).cards = cards

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Returns the text and the cards of the snapshot at index `e`."""
        raise NotImplementedError


class WeightsPanel(PicturesPanel):
    """A picture for each unit of the first layer, or a list of its weights by input column."""

    terms = ("weights", "unit", "hidden layer")

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Draws all units on one scale, so that they can be compared."""
        weights = inspection.weights[e].astype(np.float64)
        scale = inspection.weight_scale(e)
        draw = _lists_of_weights if inspection.columns else _pictures_of_weights
        cards = draw(inspection, weights, scale)
        units = int(inspection.n_units[0]) if len(inspection.n_units) else inspection.n_classes
        shown = f"{len(cards)} of {units} units" if len(cards) < units else f"{units} units"
        if math.isnan(scale):
            return f"{shown}   the weights are not finite", cards
        if inspection.columns:
            return f"{shown}   bars: positive right, negative left, full at ±{scale:.3g}", cards
        signs = "orange ░▒▓█ positive, blue ,-~= negative"
        return f"{shown}   {signs}, full at ±{scale:.3g} ({WITHIN:g} %)", cards


def _pictures_of_weights(i: Inspection, weights: NDArray[np.float64], scale: float) -> list[Card]:
    return [
        Card(as_plane(unit / (scale or 1.0), i.image_shape), (f"unit {k}",), True)
        for k, unit in enumerate(weights)
    ]


def _lists_of_weights(i: Inspection, weights: NDArray[np.float64], scale: float) -> list[Card]:
    names = i.input_names
    width = name_width(names)
    size = Size(width + weight_width(scale), len(names))
    return [
        Card(
            NO_PICTURE,
            (f"unit {k}",),
            listed=Listed(size, partial(weight_lines, names, unit.tolist(), width, scale)),
        )
        for k, unit in enumerate(weights)
    ]


class MistakesPanel(PicturesPanel):
    """The misclassified examples, those with the highest confidence first."""

    terms = ("mistakes", "true", "pred", "sure")

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Captions each one with its class, the predicted class, and the probability of that."""
        mistakes = inspection.mistakes(e)
        draw = _rows if inspection.columns else _images
        cards = draw(inspection, e, mistakes.tolist())
        n, of = len(mistakes), len(inspection.labels)
        about = f"{n:,} of {of:,} {inspection.part} {inspection.what}s misclassified"
        if len(cards) < n:
            about += f"   the {len(cards)} most confident"
        elif n:
            about += "   most confident first"
        return about, cards


def _images(i: Inspection, e: int, examples: list[int]) -> list[Card]:
    return [
        Card(as_plane(image / 255.0, i.image_shape), _caption(i, e, example))
        for example in examples
        if (image := i.image_of(example)) is not None
    ]


def _rows(i: Inspection, e: int, examples: list[int]) -> list[Card]:
    names = [column.name for column in i.columns]
    texts = {k: value_texts(row) for k in examples if (row := i.row_of(k)) is not None}
    values = max((value_width(row) for row in texts.values()), default=0)
    widths = name_width(names), values
    size = Size(sum(widths) + 1, len(names))
    return [
        Card(
            NO_PICTURE,
            _caption(i, e, example),
            listed=Listed(size, partial(value_lines, names, row, widths)),
        )
        for example, row in texts.items()
    ]


def _caption(i: Inspection, e: int, example: int) -> tuple[str, str]:
    labels = i.labels[example], i.predicted[e, example]
    true, predicted = shortened([i.name_of(int(label)) for label in labels])
    sure = 100 * float(i.confidence[e, example])
    return f"true {true}, pred {predicted}", f"{sure:.1f} % sure"
