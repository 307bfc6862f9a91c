"""The grid that shows one page of a result table."""

from collections.abc import Iterator
from dataclasses import dataclass

from rich.text import Text
from textual.message import Message

from tui.framework.selection import SelectableTable
from tui.glossary import mentioned
from tui.views.results import Line, Page


@dataclass
class PageTurned(Message):
    """The user wants to see other columns."""

    by: int


@dataclass(frozen=True)
class Cell:
    """A cell with the label of its row, by which rows are sorted."""

    label: str
    text: Text

    def __rich__(self) -> Text:
        return self.text


class ResultGrid(SelectableTable[Cell]):
    """A table that draws only what has changed, so that nothing flickers."""

    DEFAULT_CSS = """
    ResultGrid:focus { background-tint: transparent 0%; }
    """

    def __init__(self) -> None:
        super().__init__(cursor_type="row")
        self._page: Page | None = None
        self.styles.height = "auto"  # overrides the app's style for tables

    def draw(self, new: Page) -> None:
        """Shows a page; cursor and scroll position stay."""
        old, self._page = self._page, new
        if old == new:
            return
        at = self.label_at_cursor
        other_columns = old is None or old.columns != new.columns
        if other_columns:
            self._draw_columns(new)
        self._draw_rows(new)
        labels = [line.label for line in new.lines]
        # `DataTable` does not redraw for a new column title alone; sorting makes it redraw.
        if other_columns or [row.key.value for row in self.ordered_rows] != labels:
            ranks = {label: rank for rank, label in enumerate(labels)}
            self.sort(new.columns[0].title, key=lambda cell: ranks[cell.label])
        if at in labels and self.label_at_cursor != at:
            self.move_cursor(row=labels.index(at))

    @property
    def label_at_cursor(self) -> str:
        """The configuration under the cursor, or an empty string."""
        if not self.is_valid_row_index(self.cursor_row) or not self.columns:
            return ""
        return self.coordinate_to_cell_key(self.cursor_coordinate).row_key.value or ""

    @property
    def terms(self) -> list[str]:
        """The words in the row at the cursor, and the columns."""
        if self._page is None:
            return []
        at = self.label_at_cursor
        cells = [cell for line in self._page.lines if line.label == at for cell in line.cells]
        words = mentioned(" · ".join(" ".join(cell.split()) for cell in cells))
        return [*words, *(column.title for column in self._page.columns)]

    def _draw_columns(self, new: Page) -> None:
        """Removes and adds columns; the rows stay."""
        wanted = [column.title for column in new.columns]
        if self.ordered_columns and self.ordered_columns[0].key.value != wanted[0]:
            self.clear(columns=True)  # without the first column, rows have no label
        if [column.key.value for column in self.ordered_columns] != wanted:
            for key in [column.key for column in self.ordered_columns[1:]]:
                self.remove_column(key)
        for shown in new.columns:
            label = _text(shown.header)
            there = next((c for c in self.ordered_columns if c.key.value == shown.title), None)
            if there is None:
                self.add_column(label, width=shown.width, key=shown.title)
            else:
                there.label, there.width = label, shown.width
        self.header_height = new.header_height

    def _draw_rows(self, new: Page) -> None:
        """Adds, updates and removes rows."""
        there = {row.key.value: row for row in self.ordered_rows}
        for gone in there.keys() - {line.label for line in new.lines}:
            self.remove_row(gone or "")
        for line in new.lines:
            cells = list(_cells(line))
            if line.label not in there:
                self.add_row(*cells, height=line.height, key=line.label)
                continue
            there[line.label].height = line.height
            for column, cell in zip(new.columns, cells, strict=True):
                if self.get_cell(line.label, column.title) != cell:
                    self.update_cell(line.label, column.title, cell, update_width=True)

    def action_cursor_left(self) -> None:
        """Shows the previous columns; a page never needs to scroll sideways."""
        self.post_message(PageTurned(-1))

    def action_cursor_right(self) -> None:
        """Shows the next columns."""
        self.post_message(PageTurned(1))


def _cells(line: Line) -> Iterator[Cell]:
    style = "bold" if line.is_best else ""
    for text in line.cells:
        yield Cell(line.label, _text(text, style))


def _text(text: str, style: str = "") -> Text:
    return Text(text, style=style, no_wrap=True, overflow="crop", end="")
