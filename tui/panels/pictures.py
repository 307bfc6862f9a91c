"""Galleries of the first layer's weights and of misclassified images."""

import math

import numpy as np
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from jmlp.inspection.records import Inspection
from tui.charts.matrix import shortened
from tui.charts.picture import as_plane
from tui.widgets.gallery import Card, Gallery

WITHIN = 99.0  # per cent of the weights that the colour scale covers


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
        """Shows the pictures of the snapshot at index `e`."""
        about, cards = self.cards_of(inspection, e)
        self.query_one(".about", Static).update(about)
        self.query_one(Gallery).cards = cards

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Returns the text and the pictures of the snapshot at index `e`."""
        raise NotImplementedError


class WeightsPanel(PicturesPanel):
    """A picture for each unit of the first layer."""

    terms = ("weights", "unit", "hidden layer")

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Draws all units on one scale, so that they can be compared."""
        weights = inspection.weights[e].astype(np.float64)
        finite = np.abs(weights[np.isfinite(weights)])
        scale = float(np.percentile(finite, WITHIN)) if finite.size else math.nan
        cards = [
            Card(as_plane(unit / (scale or 1.0), inspection.image_shape), (f"unit {k}",), True)
            for k, unit in enumerate(weights)
        ]
        units = int(inspection.n_units[0]) if len(inspection.n_units) else inspection.n_classes
        shown = f"{len(cards)} of {units} units" if len(cards) < units else f"{units} units"
        signs = "orange ░▒▓█ positive, blue ,-~= negative"
        if not finite.size:
            return f"{shown}   the weights are not finite", cards
        about = f"{shown}   {signs}, full at ±{scale:.3g} ({WITHIN:g} %)"
        return about, cards


class MistakesPanel(PicturesPanel):
    """The misclassified images, those with the highest confidence first."""

    terms = ("mistakes", "true", "pred", "sure")

    def cards_of(self, inspection: Inspection, e: int) -> tuple[str, list[Card]]:
        """Captions each image with its class, the predicted class, and the probability of that."""
        mistakes = inspection.mistakes(e)
        cards = []
        for example in mistakes.tolist():
            image = inspection.image_of(example)
            if image is not None:
                true, predicted = shortened(
                    [
                        inspection.name_of(int(label))
                        for label in (inspection.labels[example], inspection.predicted[e, example])
                    ]
                )
                sure = 100 * float(inspection.confidence[e, example])
                words = (f"true {true}, pred {predicted}", f"{sure:.1f} % sure")
                cards.append(Card(as_plane(image / 255.0, inspection.image_shape), words))
        n, of = len(mistakes), len(inspection.labels)
        about = f"{n:,} of {of:,} {inspection.part} {inspection.what}s misclassified"
        if len(cards) < n:
            about += f"   the {len(cards)} most confident"
        elif n:
            about += "   most confident first"
        return about, cards
