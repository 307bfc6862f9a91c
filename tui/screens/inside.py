"""The screen *Inside*: one step of a network, number by number, each opened to its sum."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, get_args

from rich.segment import Segment
from rich.style import Style
from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.message import Message
from textual.widgets import Static

from jmlp.inspection import texts
from jmlp.inspection.views import (
    AnyPart,
    CellView,
    FactorView,
    StepView,
    UpdateView,
    WaysView,
    Where,
)
from tui.copying import Excerpt, Field, Heading, plain, sheet
from tui.inspections import Failure
from tui.questions import Questions, Say
from tui.screens.base import JmlpScreen
from tui.text import count, fit
from tui.views.inside import (
    UPDATE,
    OperationLine,
    about_step,
    compact,
    first_derivative,
    operation_lines,
    unit_letters,
    unit_rows,
    update_rows,
    weight_letters,
    weight_rows,
)
from tui.widgets.line_list import LineList
from tui.widgets.number_grid import NumberGrid
from tui.widgets.scrubber import Scrubber
from tui.widgets.sum_pane import Part, Said, SumPane, wrapped

PARTS: tuple[AnyPart | None, ...] = (None, *get_args(AnyPart))
CHECKS = (None, False, True)  # three ways: not shown, in float32, in float64
MOST_EQUATIONS = 9  # lines
ROWS = 6  # that are left for the numbers below them and their title
UPDATE_LETTERS = ("old", "gradient", "step", "new")

Numbers = Mapping[str, Sequence[float]]
Cell = tuple[int, str, int, int]  # operation, letter, row, column


@dataclass(frozen=True)
class Aim:
    """What is to be shown."""

    where: Where
    operation: int = 0  # as many as there are: the update
    unit: int | None = None  # whose weights are shown; None: all units
    cell: Cell | None = None
    check: bool | None = None  # of `CHECKS`


@dataclass(frozen=True)
class Shown:
    """What is known of an aim."""

    aim: Aim
    view: StepView
    numbers: Numbers = field(default_factory=dict)
    changes: tuple[UpdateView, ...] = ()
    cell: CellView | None = None
    chain: tuple[CellView, ...] = ()
    ways: WaysView | None = None


def _within(aim: Aim, view: StepView) -> Aim:
    """The aim, or the nearest to it that the step has: predictions have fewer operations."""
    n = len(view.operations) + (view.update is not None)
    index = min(aim.operation, n - 1)
    is_dense = index < len(view.operations) and view.operations[index].kind == "dense"
    return replace(aim, operation=index, unit=aim.unit if is_dense else None)


class Operations(LineList[OperationLine], can_focus=False):
    """The operations of a pass, under the names of their layers."""

    def key_of(self, line: OperationLine) -> int:
        """Identifies an operation by its place."""
        return line.index

    def show(self, lines: Sequence[OperationLine | str]) -> None:
        """Shows these operations."""
        places = [k for k, line in enumerate(lines) if isinstance(line, OperationLine)]
        self.show_rows(lines, places)

    @dataclass
    class Chosen(Message):
        """An operation was clicked."""

        index: int

    def go_to(self, index: int) -> None:
        """Moves the cursor to an operation."""
        for number, place in enumerate(self._places):
            if self._rows[place].index == index:
                self._cursor = number
        self.show_cursor()
        self.refresh()

    def on_click(self, event: events.Click) -> None:
        """Chooses the operation under the mouse."""
        event.prevent_default()
        index = self.index_at(event.y)
        if index is not None:
            self.post_message(self.Chosen(self._rows[self._places[index]].index))

    def draw_row(self, row: Any, base: Style) -> list[Segment]:
        """Draws an operation, or the name of a layer."""
        if isinstance(row, str):
            return [Segment(f" {row}", base + self.style("list--muted"))]
        indent = " " if row.text in (UPDATE, "cost") else "   "
        return [Segment(fit(indent + row.text, self.size.width), base)]


class InsideScreen(JmlpScreen[None]):
    """Steps through the operations, units, examples and updates of a network."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "operation(1)", "Operation", tooltip="Next operation", priority=True),
        Binding(
            "shift+tab",
            "operation(-1)",
            show=False,
            tooltip="Previous operation",
            priority=True,
        ),
        Binding(
            "backspace",
            "return",
            show=False,
            key_display="⌫",
            tooltip="Back to the previous number",
        ),
        Binding("w", "weights", "Weights", tooltip="Weights of the unit at the cursor"),
        Binding("f", "chain", "Chain", tooltip="Chain of factors from the cost"),
        Binding("e", "equations", show=False, tooltip="All equations, where there is little room"),
        Binding("c", "check", "Check", tooltip="Derivative in three ways: float32, float64, off"),
        Binding(
            "left_square_bracket",
            "snapshot(-1)",
            "Step",
            key_display="[ ]",
            tooltip="Previous snapshot or update",
        ),
        Binding(
            "right_square_bracket",
            "snapshot(1)",
            show=False,
            tooltip="Next snapshot or update",
        ),
        Binding("comma", "example(-1)", "Example", key_display=", .", tooltip="Previous example"),
        Binding("full_stop", "example(1)", show=False, tooltip="Next example"),
        Binding("v", "part", "Part", tooltip="The next update, or predictions of a part"),
        Binding("escape", "back", "Back", tooltip="Back to the previous screen"),
    ]
    DEFAULT_CSS = """
    InsideScreen #about { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    InsideScreen.narrow #about { height: 2; text-wrap: wrap; }
    InsideScreen #operations { width: 24; height: 1fr; border-right: solid $surface; }
    InsideScreen.narrow #operations { width: 18; }
    InsideScreen #equations { height: auto; padding: 0 1; color: $secondary; text-wrap: nowrap; }
    InsideScreen #sum { height: 12; border-top: solid $surface; }
    InsideScreen.short #sum { height: 8; }
    InsideScreen #notice { padding: 1 2; display: none; }
    InsideScreen.waiting #notice { display: block; }
    InsideScreen.waiting #content { display: none; }
    """

    def __init__(self, where: Where, title: str) -> None:
        """Initialises the screen.

        Args:
            where: the step that is shown first.
            title: the breadcrumb.
        """
        super().__init__()
        self.breadcrumb = f"{title} › inside"
        self.aim = Aim(where)
        self.shown: Shown | None = None
        self.part: Part = "terms"  # what is shown of a number below its value
        self.looks_at: Part = "number"  # what of that must be seen first
        self.equations: list[str] = []  # of the operation, in little room
        self._is_laying_out = False  # whether it is shown again as soon as its size is known
        self._history: list[Aim] = []

    def compose_body(self) -> ComposeResult:
        """Yields the operations, the numbers of one of them, and the sum behind one of these."""
        yield Static(id="about", markup=False)
        yield Static(id="notice", markup=False)
        with Horizontal(id="content"):
            yield Operations(id="operations")
            with Vertical():
                yield Static(id="equations", markup=False)
                yield NumberGrid(id="numbers")
                yield SumPane(id="sum")
        yield Scrubber()

    def on_mount(self) -> None:
        """Asks for the step."""
        self._questions = Questions[Aim, Shown](
            self, "look inside", self._look, self._arrived, self._said
        )
        self._wait("computing…")
        self._ask()

    def on_unmount(self) -> None:
        """Stops what is being computed."""
        self._questions.close()

    @property
    def terms(self) -> list[str]:
        """The kind of the operation at the cursor, and the screen."""
        shown = self.shown
        kinds = []
        if shown is not None and shown.aim.operation < len(shown.view.operations):
            kinds = [shown.view.operations[shown.aim.operation].kind.removeprefix("running ")]
        return [*kinds, "inside", "update", "mini-batch"]

    def on_resize(self, event: events.Resize) -> None:
        """Shows as much as there is room for, once that is known."""
        del event
        self.call_after_refresh(self._show)

    # ---- from the aim to what is shown

    def _ask(self) -> None:
        """Has what is aimed at computed, unless it is shown."""
        if self.shown is None or self.shown.aim != self.aim:
            self._questions.ask(self.aim)
        else:
            self._questions.give_up()

    def _look(self, aim: Aim, say: Say, stop: threading.Event) -> Shown | None:
        """What is shown of an aim; called in a thread."""
        inspector, known = self.app.inspector, self.shown

        def ask(kind: Any, do: str, **request: Any) -> Any:
            return inspector.look(kind, do, aim.where, say, stop, **request)

        if known is not None and known.aim.where == aim.where:
            found = replace(known, aim=aim)
        else:
            view = ask(StepView, "step")
            if view is None:
                return None
            aim = _within(aim, view)
            found, known = Shown(aim, view), None
        if known is None or (known.aim.operation, known.aim.unit) != (aim.operation, aim.unit):
            numbers: Numbers = {}
            changes: tuple[UpdateView, ...] = ()
            if aim.operation == len(found.view.operations):
                changes = ask(tuple[UpdateView, ...], "changes")
            elif aim.unit is None:
                numbers = ask(dict[str, tuple[float, ...]], "units", operation=aim.operation)
            else:
                numbers = ask(
                    dict[str, tuple[float, ...]],
                    "weights",
                    operation=aim.operation,
                    unit=aim.unit,
                )
            found = replace(found, numbers=numbers, changes=changes, cell=None, chain=(), ways=None)
        if aim.cell is not None and self._has(found.view, aim.cell):
            if known is None or known.aim.cell != aim.cell or known.cell is None:
                found = replace(
                    found,
                    cell=ask(CellView, "cell", cell=aim.cell),
                    chain=ask(tuple[CellView, ...], "chain", cell=aim.cell),
                    ways=None,
                )
            if aim.check is None or not aim.cell[1].startswith("d"):
                found = replace(found, ways=None)
            elif found.ways is None or known is None or known.aim.check != aim.check:
                ways = ask(WaysView, "ways", cell=aim.cell, double=aim.check)
                found = replace(found, ways=ways)
        else:
            found = replace(found, cell=None, chain=(), ways=None)
        return found

    @staticmethod
    def _has(view: StepView, cell: Cell) -> bool:
        operation, letter, i, j = cell
        if operation >= len(view.operations):
            return False
        shape = view.operations[operation].shapes.get(letter)
        return shape is not None and i < shape[0] and j < shape[1]

    def _said(self, text: str) -> None:
        if self.shown is None:
            self._wait(text)

    def _arrived(self, aim: Aim, found: Shown | Failure) -> None:
        del aim  # `found.aim` is the nearest to it that there is
        if isinstance(found, Failure):
            self._questions.give_up()
            if self.shown is None:
                self._wait(found.text)
            else:
                self.aim = self.shown.aim
                self.app.notify(found.text, severity="error", markup=False)
            return
        if self.aim == replace(found.aim, operation=self.aim.operation, unit=self.aim.unit):
            self.aim = found.aim  # this step has other operations than the one before
        self.shown = found
        self._show()
        self._ask()

    def _wait(self, text: str) -> None:
        self.query_one("#notice", Static).update(text)
        self.add_class("waiting")

    # ---- drawing

    def _show(self) -> None:
        shown = self.shown
        if shown is None or not self.is_mounted:
            return
        self.remove_class("waiting")
        with self.app.batch_update():
            self.query_one("#about", Static).update(about_step(shown.view), layout=False)
            self.query_one(Operations).show(operation_lines(shown.view))
            self.query_one(Operations).go_to(shown.aim.operation)
            self._show_numbers(shown)
            self._show_cell(shown)
            self._show_scrubber(shown.view)
        if self.focused is None or not self.focused.display:
            self.query_one(NumberGrid).focus()
        if self.aim == shown.aim and shown.aim.cell is None:
            self._follow_cursor()

    def _show_numbers(self, shown: Shown) -> None:
        grid, view, aim = self.query_one(NumberGrid), shown.view, shown.aim
        equations = ""
        if aim.operation == len(view.operations):
            grid.show("parameter", UPDATE_LETTERS, update_rows(shown.changes), 1)
            if not view.knows_update:
                equations = (
                    "The optimiser's moments are not stored with a network, so of an update after "
                    "the first one only the gradient is known."
                )
        else:
            operation = view.operations[aim.operation]
            equations = operation.equations
            if aim.unit is None:
                letters = unit_letters(operation)
                rows = unit_rows(view, operation, shown.numbers)
                corner = operation.layer
            else:
                letters = weight_letters(shown.numbers)
                rows = weight_rows(view, aim.operation, shown.numbers)
                corner = f"to unit {aim.unit}"
            grid.show(corner, letters, rows, first_derivative(letters))
            if aim.cell is not None and aim.cell[1] in letters:
                row = aim.cell[2] if aim.unit is None else self._weight_row(aim.cell)
                grid.go_to(row, letters.index(aim.cell[1]))
        self._show_equations(equations)

    def _show_equations(self, equations: str) -> None:
        """Shows what there is room for, and says which key shows all of it."""
        widget = self.query_one("#equations", Static)
        width = self.query_one("#numbers").size.width - 2
        if width <= 0:  # not laid out yet, or hidden on a tiny terminal
            widget.update(equations)
            if not self._is_laying_out:
                self._is_laying_out = True
                self.call_after_refresh(self._show)
            return
        self._is_laying_out = False
        self.equations, lines = compact(equations), equations.splitlines()
        room = self.query_one("#content").size.height - self.query_one("#sum").outer_size.height
        most = max(2, min(room - ROWS, MOST_EQUATIONS))  # lines
        if len(lines) > most or any(len(line) > width for line in lines):
            lines = [part for line in self.equations for part in wrapped(line, width)]
        if len(lines) > most:
            lines = [*lines[: most - 1], "… e shows all equations"]
        widget.update("\n".join(lines))

    def _show_scrubber(self, view: StepView) -> None:
        scrubber = self.query_one(Scrubber)
        if view.where.run_id is None:
            scrubber.words = (
                f"none: a fresh network after {count(view.where.snapshot or 0, 'update')}"
            )
        else:
            scrubber.epochs, scrubber.shown, scrubber.best = view.epochs, view.snapshot, view.best

    @on(Scrubber.Chosen)
    def snapshot_chosen(self, event: Scrubber.Chosen) -> None:
        """Shows the step after the stored network that was clicked."""
        self._aim_at(replace(self.aim.where, snapshot=event.index))

    @staticmethod
    def _weight_row(cell: Cell) -> int:
        return cell[3] if cell[1] in ("W", "dW") else cell[2]

    def _show_cell(self, shown: Shown) -> None:
        cell, ways = shown.cell, shown.ways
        said: list[Said] = []
        if cell is not None:
            is_given = cell.equation is None and cell.update is not None
            said += [Said("number", line) for line in texts.cell_lines(cell, 0)[: 1 + is_given]]
        if ways is not None:
            said += [Said("ways", line) for line in texts.ways_lines(ways)]
        if self.part == "equations":
            said += [Said("equations", line) for line in self.equations]
        elif cell is not None and self.part == "chain" and len(shown.chain) > 1:
            said += [Said("chain", line) for line in texts.chain_lines(shown.chain)]
        elif cell is not None:
            said += [Said("terms", texts.term_text(term), term) for term in cell.terms]
            if cell.n_more:
                rest = f"{cell.n_more:,} smaller terms together: {texts.number(cell.rest)}"
                said.append(Said("terms", rest))
        self.query_one(SumPane).say(said, self.looks_at)

    # ---- from the cursors to the aim

    @on(Operations.Chosen)
    def operation_chosen(self, event: Operations.Chosen) -> None:
        """Shows the numbers of an operation that was clicked."""
        self._aim_at_operation(event.index)

    @on(NumberGrid.Moved)
    def number_chosen(self) -> None:
        """Opens the number at the cursor to its sum."""
        self._follow_cursor()

    def _follow_cursor(self) -> None:
        """Aims at the cell under the cursor of the grid."""
        shown, row = self.shown, self.query_one(NumberGrid).at_cursor
        if shown is None or row is None or not self.is_there:
            return
        aim, view = self.aim, shown.view
        if (aim.where, aim.operation, aim.unit) != (
            shown.aim.where,
            shown.aim.operation,
            shown.aim.unit,
        ):
            return  # the grid shows something else than what is aimed at
        cell = self._cell_at(shown, view, row.index, self.query_one(NumberGrid).column)
        if cell != aim.cell:
            self.aim = replace(aim, cell=cell)
            self._ask()

    def _cell_at(self, shown: Shown, view: StepView, row: int, column: int) -> Cell | None:
        aim = shown.aim
        if aim.operation == len(view.operations):
            if row >= len(shown.changes):
                return None
            change = shown.changes[row]
            for index, operation in enumerate(view.operations):
                if operation.layer == change.layer and change.letter in operation.shapes:
                    letter = change.letter if column != 1 else f"d{change.letter}"
                    return index, letter, *change.at
            return None
        operation = view.operations[aim.operation]
        if aim.unit is None:
            letter = unit_letters(operation)[column]
            shape = operation.shapes[letter]
            return aim.operation, letter, row, view.column if shape[1] > 1 else 0
        letter = weight_letters(shown.numbers)[column]
        if letter == "A":
            return aim.operation, "A", row, view.column
        if letter == "W A":
            return aim.operation, "Z", aim.unit, view.column
        return aim.operation, "dW" if letter in ("dW", "gradient") else "W", aim.unit, row

    @on(SumPane.Followed)
    def term_followed(self, event: SumPane.Followed) -> None:
        """Goes to the number in a term that was itself computed, or else to a parameter."""
        factors = [factor for factor in event.term.factors if factor.operation is not None]
        if self.shown is None or not factors:
            return
        self._history.append(self.aim)
        self._go(next((f for f in factors if f.letter not in ("W", "b")), factors[0]))

    def _go(self, factor: FactorView) -> None:
        assert factor.operation is not None
        unit = factor.at[0] if factor.letter in ("W", "dW") else None
        cell = factor.operation, factor.letter, *factor.at
        where, view = self.aim.where, self.shown.view if self.shown is not None else None
        # The number may be of another example of the mini-batch.
        if view is not None and unit is None:
            shape = view.operations[factor.operation].shapes[factor.letter]
            if shape[1] > 1 and factor.at[1] != view.column and view.update is not None:
                where = replace(where, example=where.example + factor.at[1] - view.column)
        self.aim = replace(self.aim, where=where, operation=factor.operation, unit=unit, cell=cell)
        self.query_one(NumberGrid).focus()
        self._ask()

    # ---- keys

    def action_operation(self, by: int) -> None:
        """Shows the next or previous operation, and wraps around."""
        if self.shown is None:
            return
        n = len(self.shown.view.operations) + (self.shown.view.update is not None)
        self._aim_at_operation((self.aim.operation + by) % n)

    def _aim_at_operation(self, index: int) -> None:
        self.aim = replace(self.aim, operation=index, unit=None, cell=None)
        self._ask()

    def action_terms(self) -> None:
        """Moves to the terms of the sum."""
        pane = self.query_one(SumPane)
        if pane.has_terms or pane.is_cut:
            pane.focus()
        elif self.shown is not None and self.shown.cell is not None and self.part == "terms":
            self.app.toast(f"{texts.place(self.shown.cell)} is given: there is no sum behind it")

    @on(NumberGrid.CellOpened)
    def number_opened(self) -> None:
        """Moves to the terms of the sum."""
        self.action_terms()

    def action_return(self) -> None:
        """Returns to the number from which a term was followed, or to the grid."""
        if self._history:
            self.aim = self._history.pop()
            self._ask()
        self.query_one(NumberGrid).focus()

    def action_weights(self) -> None:
        """Shows the weights of the unit at the cursor, or all units again."""
        shown, row = self.shown, self.query_one(NumberGrid).at_cursor
        if shown is None or row is None or shown.aim.operation >= len(shown.view.operations):
            return
        if self.aim.unit is not None:
            unit, letter = self.aim.unit, "Z"
            cell = (self.aim.operation, letter, unit, shown.view.column)
            self.aim = replace(self.aim, unit=None, cell=cell)
        elif shown.view.operations[self.aim.operation].kind == "dense":
            cell = (self.aim.operation, "W", row.index, 0)
            self.aim = replace(self.aim, unit=row.index, cell=cell)
        self._ask()

    def action_chain(self) -> None:
        """Switches between the sum and the chain of factors."""
        self._show_part("chain")

    def action_equations(self) -> None:
        """Switches between the sum and the equations of the operation."""
        self._show_part("equations")

    def _show_part(self, part: Part) -> None:
        self.part = "terms" if self.part == part else part
        self.looks_at = "number" if self.part == "terms" else part
        if self.shown is not None:
            self._show_cell(self.shown)

    def action_check(self) -> None:
        """Switches the check by three ways: in float32, in float64, off."""
        at = CHECKS.index(self.aim.check)
        self.aim = replace(self.aim, check=CHECKS[(at + 1) % len(CHECKS)])
        self.looks_at = "number" if self.aim.check is None else "ways"
        cell = self.aim.cell
        if at == 0 and cell is not None and not cell[1].startswith("d"):
            self.app.toast(
                f"{cell[1]} is no derivative: choose a column whose letter begins with d"
            )
        self._ask()

    def action_snapshot(self, by: int) -> None:
        """Shows the step after the next or previous stored network, or the next update."""
        if self.shown is None:
            return
        view, where = self.shown.view, self.aim.where
        at = (view.snapshot if where.run_id is not None else where.snapshot or 0) + by
        last = len(view.epochs) - 1 if where.run_id is not None else at
        self._aim_at(replace(where, snapshot=max(0, min(at, last))))

    def action_example(self, by: int) -> None:
        """Shows the next or previous example, and wraps around."""
        if self.shown is not None:
            example = (self.aim.where.example + by) % self.shown.view.n_examples
            self._aim_at(replace(self.aim.where, example=example))

    def action_part(self) -> None:
        """Shows the next update, or the predictions of a part of the data."""
        part = PARTS[(PARTS.index(self.aim.where.part) + 1) % len(PARTS)]
        self._aim_at(replace(self.aim.where, part=part, example=0))

    def _aim_at(self, where: Where) -> None:
        self.aim = replace(self.aim, where=where, cell=None)
        self._ask()

    def action_back(self) -> None:
        """Returns to the previous screen."""
        self.dismiss()

    # ---- copying

    def excerpt(self) -> Excerpt | None:
        """Returns the table of numbers."""
        shown, grid = self.shown, self.query_one(NumberGrid)
        if shown is None:
            return None
        headings = [Heading(grid.corner), *(Heading(title, "right") for title in grid.titles)]
        rows = [
            [plain(row.name), *(Field(text, float(text) if text else None) for text in row.cells)]
            for row in grid.rows
        ]
        at = grid.at_cursor
        return sheet("numbers", headings, rows, None if at is None else at.index)
