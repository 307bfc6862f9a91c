"""Rows of a table brought up to date in place: the cursor stays, and nothing flickers."""

from collections.abc import Mapping, Sequence

from rich.text import Text
from textual.widgets import DataTable


def show_rows(table: "DataTable[Text]", rows: Mapping[str, Sequence[Text]]) -> None:
    """Makes a table show these rows, in this order, and its columns as wide as they need.

    Args:
        table: with its columns.
        rows: cells by the row's key.
    """
    if _fit(table, rows) or [str(key.value) for key in table.rows] != list(rows):
        row, scroll = table.cursor_row, table.scroll_offset
        table.clear()
        for key, cells in rows.items():
            table.add_row(*cells, key=key)
        table.move_cursor(row=min(row, max(0, len(rows) - 1)), animate=False, scroll=False)
        table.scroll_to(y=scroll.y, animate=False)
        return
    columns = list(table.columns)
    for key, cells in rows.items():
        for column, cell, before in zip(columns, cells, table.get_row(key), strict=True):
            if cell != before or cell.style != before.style:
                table.update_cell(key, column, cell)


def _fit(table: "DataTable[Text]", rows: Mapping[str, Sequence[Text]]) -> bool:
    """Sets the columns' widths; whether one has changed.

    The table could do that itself, but it may draw before it has, and keeps what it drew.
    """
    changed = False
    for index, column in enumerate(table.columns.values()):
        width = max(column.label.cell_len, *(cells[index].cell_len for cells in rows.values()), 0)
        if column.auto_width or column.width != width:
            column.auto_width, column.width = False, width
            changed = True
    return changed
