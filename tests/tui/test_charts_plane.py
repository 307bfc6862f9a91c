"""The plane of two inputs as exact strings: classes, examples, lines of units, a point."""

import numpy as np
import pytest

from jmlp.inspection.boundary_records import classes
from tui.charts import plane
from tui.charts.axes import fitted
from tui.charts.figure import Look
from tui.charts.glyphs import ASCII, BRAILLE
from tui.charts.plane import Examples, PlaneFigure, Surface, UnitLine, draw

MONO = Look(BRAILLE, colours=False)
X, Y = np.linspace(-1, 1, 41), np.linspace(0, 10, 41)
RIGHT = np.clip(0.5 + (X[None, :] + (Y[:, None] - 5) / 10) / 2, 0, 1)
SLOPE = np.stack([1 - RIGHT, RIGHT], axis=-1)  # the probabilities of two classes
SURFACE = Surface(X, Y, classes(SLOPE), plane.strength(SLOPE))
EXAMPLES = Examples(
    np.array([[-0.5, 2.0], [0.5, 8.0], [0.6, 2.0], [0.6, 2.1]]),
    np.array([0, 1, 0, 1]),
    np.array([False, False, True, False]),
)


def drawn(
    surface: Surface = SURFACE, width: int = 40, height: int = 12, look: Look = MONO, **over: object
) -> PlaneFigure:
    figure = draw(surface, ("left", "depth"), width, height, look=look, **over)  # type: ignore[arg-type]
    assert figure is not None
    return figure


def test_without_colours_a_class_has_two_signs_the_second_where_it_is_sure() -> None:
    assert drawn().canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤;,,,,,,,,,--------==================",
        "   │;;;,,,,,,,,,---------===============",
        "   │;;;;;,,,,,,,,,---------=============",
        "   │;;;;;;;;,,,,,,,,,--------===========",
        " 5 ┤;;;;;;;;;,,,,,,,,,---------=========",
        "   │;;;;;;;;;;;,,,,,,,,,--------========",
        "   │;;;;;;;;;;;;;,,,,,,,,,---------=====",
        "   │;;;;;;;;;;;;;;;,,,,,,,,,---------===",
        " 0 ┤;;;;;;;;;;;;;;;;;;,,,,,,,,---------=",
        "   └┬─────────────────┬────────────────┬",
        "    -1                0                1",
    ]


def test_examples_are_letters_and_small_ones_are_misclassified_and_on_top() -> None:
    assert drawn(examples=EXAMPLES).canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤;,,,,,,,,,--------==================",
        "   │;;;,,,,,,,,,---------======B========",
        "   │;;;;;,,,,,,,,,---------=============",
        "   │;;;;;;;;,,,,,,,,,--------===========",
        " 5 ┤;;;;;;;;;,,,,,,,,,---------=========",
        "   │;;;;;;;;;;;,,,,,,,,,--------========",
        "   │;;;;;;;;;;;;;,,,,,,,,,---------=====",
        "   │;;;;;;;;A;;;;;;,,,,,,,,,----a----===",
        " 0 ┤;;;;;;;;;;;;;;;;;;,,,,,,,,---------=",
        "   └┬─────────────────┬────────────────┬",
        "    -1                0                1",
    ]


def test_a_unit_has_a_line_with_its_number_on_the_positive_side_unless_its_weights_are_0() -> None:
    lines = [UnitLine(0, (1, 0, 0)), UnitLine(3, (0, -1, 2.5)), UnitLine(4, (0, 0, 1))]
    assert drawn(lines=lines, point=(0.5, 7.5)).canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤;,,,,,,,,,--------⡇=================",
        "   │;;;,,,,,,,,,------⡇--===============",
        "   │;;;;;,,,,,,,,,----⡇----====◉========",
        "   │;;;;;;;;,,,,,,,,,-⡇------===========",
        " 5 ┤;;;;;;;;;,,,,,,,,,⡇--------=========",
        "   │;;;;;;;;;;;,,,,,,,⡇,--------========",
        "   │⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣇⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀⣀",
        "   │;;;;;;;;;;;;;;;,,,⡇0+,,,-3+------===",
        " 0 ┤;;;;;;;;;;;;;;;;;;⡇,,,,,,,---------=",
        "   └┬─────────────────┬────────────────┬",
        "    -1                0                1",
    ]


def test_an_ascii_terminal_has_lines_of_its_own_dots() -> None:
    lines = [UnitLine(12, (1, -0.2, 1))]
    assert drawn(lines=lines, look=Look(ASCII), height=9).canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤;,,,,,,,,,---------===========...''=",
        "   │;;;;;,,,,,,,,,--------==...'''======",
        "   │;;;;;;;;,,,,,,,,,-...'''--==========",
        " 5 ┤;;;;;;;;;;,,...''',---------========",
        "   │;;;;;;...''';;,12+,,,,,--------=====",
        " 0 ┤;..''';;;;;;;;;;;,,,,,,,,,---------=",
        "   └┬─────────────────┬────────────────┬",
        "    -1                0                1",
    ]


def test_shares_are_shades() -> None:
    shares = np.abs(X)[None, :] * np.ones((41, 1))
    surface = Surface(X, Y, np.empty((0, 0), np.int16), shares)
    assert drawn(surface, height=8).canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤██▓▓▓▓▓▒▒▒▒░░░░░    ░░░░░▒▒▒▒▓▓▓▓▓██",
        "   │██▓▓▓▓▓▒▒▒▒░░░░░    ░░░░░▒▒▒▒▓▓▓▓▓██",
        "   │██▓▓▓▓▓▒▒▒▒░░░░░    ░░░░░▒▒▒▒▓▓▓▓▓██",
        "   │██▓▓▓▓▓▒▒▒▒░░░░░    ░░░░░▒▒▒▒▓▓▓▓▓██",
        " 0 ┤██▓▓▓▓▓▒▒▒▒░░░░░    ░░░░░▒▒▒▒▓▓▓▓▓██",
        "   └┬─────────────────┬────────────────┬",
        "    -1                0                1",
    ]
    inks = {run.fill for row in drawn(surface, look=Look()).canvas.rows() for run in row}
    assert inks == {None, *(f"share-{level}" for level in range(9))}


def test_with_colours_a_cell_has_two_pixels_of_the_class_with_the_highest_probability() -> None:
    figure = drawn(look=Look())
    rows = list(figure.canvas.rows())[1:10]
    halves: list[list[str]] = []
    for row in rows:
        cells = [(sign, run.ink, run.fill) for run in row for sign in run.text][figure.left :]
        halves.append([str(fill if sign == " " else ink) for sign, ink, fill in cells])
        halves.append([str(fill) for _, _, fill in cells])
    for k, pixels in enumerate(halves):
        y = 10 - (k + 0.5) * 10 / len(halves)
        for i, ink in enumerate(pixels):
            x = -1 + (i + 0.5) * 2 / len(pixels)
            ix, iy = np.abs(X - x).argmin(), np.abs(Y - y).argmin()
            label = SLOPE[iy, ix].argmax()
            level = round(float(2 * SLOPE[iy, ix].max() - 1) * 8)
            # Where a pixel is between two points of the grid, either is the nearest.
            near = {f"class-{label}-{level + by}" for by in (-1, 0, 1)}
            if abs(SLOPE[iy, ix, 0] - 0.5) < 0.03:
                near |= {"class-0-0", "class-1-0", "class-0-1", "class-1-1"}
            assert ink in near, (i, k)


def test_what_is_unknown_is_a_question_mark_or_paper() -> None:
    label = np.where(X[None, :] < 0, -1, 1) * np.ones((41, 1), np.int16)
    surface = Surface(X, Y, label, np.where(label < 0, np.nan, 1.0))
    assert drawn(surface, height=7, width=24).canvas.text() == [
        "   ↑ depth   → left",
        "10 ┤??????????==========",
        "   │??????????==========",
        "   │??????????==========",
        " 0 ┤??????????==========",
        "   └┬────────┬─────────┬",
        "    -1       0         1",
    ]
    fills = {run.fill for row in drawn(surface, look=Look()).canvas.rows() for run in row}
    assert fills == {None, "paper", "class-1-8"}


def test_each_class_has_its_own_letter_and_its_own_signs() -> None:
    assert [plane.mark(k) for k in (0, 1, 25, 26)] == ["A", "B", "Z", "A"]
    assert [plane.mark(k, wrong=True) for k in (0, 25, 26)] == ["a", "z", "a"]
    assert len({plane.signs_of(k) for k in range(8)}) == 8
    assert plane.signs_of(8) == plane.signs_of(0)


def test_strength_is_0_if_all_classes_are_equally_probable_and_1_for_a_certain_one() -> None:
    three = np.array([[1 / 3, 1 / 3, 1 / 3], [1, 0, 0], [2 / 3, 1 / 3, 0]])
    np.testing.assert_allclose(plane.strength(three), [0, 1, 0.5], atol=1e-12)


@pytest.mark.parametrize(("width", "height"), [(40, 12), (81, 30), (24, 7)])
def test_a_cell_is_the_place_that_it_shows(width: int, height: int) -> None:
    figure = drawn(width=width, height=height)
    seen = 0
    for row in range(height):
        for column in range(width):
            place = figure.place(column, row)
            if place is not None:
                assert figure.cell(*place) == (column, row)
                assert X[0] < place[0] < X[-1]
                assert Y[0] < place[1] < Y[-1]
                seen += 1
    assert seen == figure.x.cells * figure.y.cells


def test_there_is_no_picture_without_room() -> None:
    assert draw(SURFACE, ("a", "b"), 23, 12) is None
    assert draw(SURFACE, ("a", "b"), 40, 6) is None


def test_ticks_of_an_axis_with_given_ends_are_at_the_nearest_cells() -> None:
    for low, high, cells in ((-1.37, 1.62, 70), (0.0011, 0.0093, 60), (3e5, 9.1e6, 50)):
        axis = fitted(low, high, cells)
        assert axis.value(-0.5) == pytest.approx(low)
        assert axis.value(cells - 0.5) == pytest.approx(high)
        assert len(axis.ticks) >= 2
        for cell, label in axis.ticks:
            assert abs(float(axis.at(float(label))) - cell) <= 0.51
            assert 0 <= cell < cells
    assert fitted(0, 1, 2).ticks == ()
    assert [label for _, label in fitted(0, 1, 9, upright=True).ticks] == ["0.0", "0.5", "1.0"]
