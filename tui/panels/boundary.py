"""The decision boundary in the plane of two inputs."""

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.widgets import Static

from jmlp.inspection.boundary_records import Boundary
from tui.charts.matrix import shortened
from tui.charts.plane import N_LEVELS, UnitLine, mark
from tui.copying import Excerpt
from tui.views import excerpts
from tui.views.boundary import (
    PARTS,
    Mode,
    Part,
    Pictured,
    legend,
    line_text,
    mistakes_text,
    pictured,
    point_text,
    share_text,
)
from tui.widgets.plane import Plane

SAMPLE = "██"


class BoundaryPanel(Vertical):
    """The plane, a legend of its colours and letters, and what is known at the point."""

    terms = ("boundary", "disagreement", "line", "point", "unit")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("h", "line(1)", "Lines", tooltip="Lines of the first layer's units: all, each"),
        Binding("H", "line(-1)", show=False, tooltip="The previous unit's line"),
        Binding(
            "p",
            "examples",
            "Examples",
            show=False,
            tooltip="Training or validation examples, or none",
        ),
    ]
    DEFAULT_CSS = """
    BoundaryPanel { height: 1fr; }
    BoundaryPanel .legend, BoundaryPanel .reading {
        height: auto; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis;
    }
    BoundaryPanel .reading { color: $secondary; }
    """

    def __init__(self, *, id: str | None = None) -> None:
        """Initialises an empty plane."""
        super().__init__(id=id)
        self.shown: Pictured | None = None
        self.part: Part | None = "training"  # of the examples that are drawn
        self.unit: int | None = None  # whose line is drawn; -1: those of all; None: of none

    def compose(self) -> ComposeResult:
        """Yields the legend, the plane and what is known at the point."""
        yield Static(classes="legend", markup=False)
        yield Plane()
        yield Static(classes="reading", markup=False)

    def focus_first(self) -> None:
        """Focuses the plane, so that keys move the point."""
        self.query_one(Plane).focus()

    def show(self, boundaries: Sequence[Boundary], epoch: float | None, mode: Mode) -> None:
        """Shows runs, of which the first is the chosen one; see `tui.views.boundary.pictured`."""
        before, self.shown = self.shown, pictured(boundaries, epoch, mode)
        if before is None or before.mode != mode:
            self.refresh_bindings()
        self._draw()

    def lines(self) -> tuple[UnitLine, ...]:
        """The lines that are drawn: of the chosen run's network."""
        if self.shown is None or self.unit is None or self.shown.mode != "seed":
            return ()
        found = self.shown.lines()
        return found if self.unit < 0 else found[self.unit : self.unit + 1]

    def _draw(self) -> None:
        if self.shown is None:
            return
        shown, examples = self.shown, None
        if self.part is not None:
            examples = shown.examples(self.part)
        self.query_one(Plane).show(shown.surface, shown.first.columns, examples, self.lines())
        self.query_one(".legend", Static).update(self._legend(shown))
        self.query_one(".reading", Static).update(self._reading(shown))

    # ---- keys and mouse

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Hides the key of the lines where several networks are shown, which have others."""
        return action != "line" or self.shown is None or self.shown.mode == "seed"

    def action_line(self, by: int) -> None:
        """Draws the lines of no unit, of all, or of one."""
        if self.shown is None or self.shown.mode != "seed":
            return
        n_units = self.shown.first.lines.shape[1]
        places = [None, -1, *range(n_units)]
        at = places.index(self.unit) if self.unit in places else 0
        self.unit = places[(at + by) % len(places)]
        self._draw()

    def action_examples(self) -> None:
        """Draws the examples of another part, or none."""
        places = (*PARTS, None)
        self.part = places[(places.index(self.part) + 1) % len(places)]
        self._draw()

    @on(Plane.Moved)
    def moved(self, event: Plane.Moved) -> None:
        """Reads what is known at the point."""
        event.stop()
        if self.shown is not None:
            self.query_one(".reading", Static).update(self._reading(self.shown))

    def excerpt(self) -> Excerpt | None:
        """Returns what the networks say at each point of the grid."""
        if self.shown is None:
            return None
        return excerpts.boundary(self.shown, self.query_one(Plane).point)

    # ---- texts

    def _legend(self, shown: Pictured) -> Text:
        """Colours or signs, and letters, of the classes."""
        plane, with_examples = self.query_one(Plane), self.part is not None
        if not plane.look.fills:
            return Text(legend(shown, with_examples))
        text = Text()
        if shown.surface.is_shares:
            text.append(SAMPLE, plane.colour(f"share-{N_LEVELS}").hex)
            text.append(f"{share_text(shown, '')}   ")
        names = shortened(shown.first.class_names)
        for label, name in enumerate(names if with_examples or not shown.surface.is_shares else ()):
            if not shown.surface.is_shares:
                text.append(SAMPLE, plane.colour(f"class-{label}-{N_LEVELS}").hex).append(" ")
            text.append(f"{mark(label)} ", "bold").append(f"{name}   ")
        return text.append("small letters: misclassified" if with_examples else "")

    def _reading(self, shown: Pictured) -> str:
        """What is known at the point, or the numbers of mistakes; below, which lines are drawn."""
        plane, parts = self.query_one(Plane), []
        if plane.point is not None:
            parts.append(point_text(shown, *plane.point))
        elif self.part is not None:
            parts.append(mistakes_text(shown, self.part))
        if plane.point is None:
            parts.append("arrows or a click: a point")
        text = "   ".join(parts)
        has_line = self.unit is not None and shown.mode == "seed"
        return f"{text}\n{self._line_text(shown)}" if has_line else text

    def _line_text(self, shown: Pictured) -> str:
        assert self.unit is not None
        if self.unit < 0:
            n_units = len(shown.lines())
            return f"Z = 0 of {n_units} units, each number where Z > 0"
        return line_text(shown, self.unit)
