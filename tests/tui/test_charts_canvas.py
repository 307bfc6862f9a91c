"""The canvas of a plot: dots, lines that share cells, areas with smooth edges."""

import math

import numpy as np
import pytest

from jmlp.errors import ConfigError
from tui.charts.canvas import Canvas, Dots, Floats, Run
from tui.charts.glyphs import ASCII, BRAILLE, HALF_BLOCKS, OCTANTS, Glyphs, glyphs_of


def dots(*places: tuple[int, int]) -> Dots:
    return np.array(places, np.int64).reshape(-1, 2)


def edge(*rows: float) -> Floats:
    return np.array(rows, np.float64)


def drawn(glyphs: Glyphs, places: Dots, width: int = 2, height: int = 1) -> list[str]:
    canvas = Canvas(width, height, glyphs)
    canvas.lines(0, 0, width, height, [("line-0", places)])
    return canvas.text()


def test_a_cell_of_braille_has_two_columns_and_four_rows_of_dots() -> None:
    assert drawn(BRAILLE, dots((0, 0))) == ["⠁"]
    assert drawn(BRAILLE, dots((1, 3))) == ["⢀"]
    assert drawn(BRAILLE, dots((0, 0), (1, 1), (2, 2), (3, 3))) == ["⠑⢄"]
    every = dots(*((x, y) for x in range(2) for y in range(4)))
    assert drawn(BRAILLE, every) == ["⣿"]


def test_octants_have_the_dots_of_braille_as_blocks() -> None:
    assert len(set(OCTANTS.signs)) == 256
    # Of BLOCK OCTANT-3 and BLOCK OCTANT-2345678, the first and the last code point of Unicode 16.
    assert drawn(OCTANTS, dots((0, 1))) == ["\U0001cd00"]
    every = {(x, y) for x in range(2) for y in range(4)}
    assert drawn(OCTANTS, dots(*(every - {(0, 0)}))) == ["\U0001cde5"]
    assert drawn(OCTANTS, dots(*every)) == ["█"]
    assert drawn(OCTANTS, dots((0, 0), (1, 0), (0, 1), (1, 1))) == ["▀"]


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, BRAILLE),
        ({"TERM": "xterm-256color", "JMLP_GLYPHS": ""}, BRAILLE),
        ({"TERM": "linux"}, HALF_BLOCKS),
        ({"TERM": "linux", "JMLP_GLYPHS": "octants"}, OCTANTS),
        ({"JMLP_GLYPHS": "ascii"}, ASCII),
    ],
)
def test_the_environment_says_which_glyphs_the_font_has(
    environ: dict[str, str], expected: Glyphs
) -> None:
    assert glyphs_of(environ) is expected


def test_unknown_glyphs_are_an_error_that_names_the_known_ones() -> None:
    with pytest.raises(ConfigError, match="must be one of braille, octants, blocks, ascii, got x"):
        glyphs_of({"JMLP_GLYPHS": "x"})


def test_half_blocks_and_ascii_have_two_dots_in_a_cell() -> None:
    places = dots((0, 0), (1, 1), (2, 0), (2, 1))
    assert drawn(HALF_BLOCKS, places, 3) == ["▀▄█"]
    assert drawn(ASCII, places, 3) == ["'.:"]


def test_dots_outside_are_left_out() -> None:
    assert drawn(BRAILLE, dots((-1, 0), (4, 0), (0, 4), (0, -1))) == [""]


def test_lines_that_share_cells_take_turns() -> None:
    canvas = Canvas(12, 1, HALF_BLOCKS)
    line = dots(*((x, 0) for x in range(12)))
    canvas.lines(0, 0, 12, 1, [("line-0", line), ("line-1", line)])
    runs = [(run.text, run.ink) for run in next(canvas.rows())]
    assert runs == [("▀▀▀", "line-0"), ("▀▀▀", "line-1"), ("▀▀▀", "line-0"), ("▀▀▀", "line-1")]


def test_where_lines_cross_the_dots_of_both_are_drawn() -> None:
    canvas = Canvas(1, 1, HALF_BLOCKS)
    canvas.lines(0, 0, 1, 1, [("line-0", dots((0, 0))), ("line-1", dots((0, 1)))])
    assert canvas.text() == ["█"]


def test_an_area_fills_whole_cells_and_eighths_at_its_edges() -> None:
    canvas = Canvas(1, 4, BRAILLE)
    canvas.areas(0, 0, 4, [("band-0", edge(0.5), edge(3.25))], filled=True)
    assert [row[0] for row in canvas.rows()] == [
        Run("▄", "band-0", None),
        Run(" ", None, "band-0"),
        Run(" ", None, "band-0"),
        Run("▆", "paper", "band-0"),
    ]


def test_areas_that_overlap_are_named_together() -> None:
    canvas = Canvas(1, 3, BRAILLE)
    bands = [("band-0", edge(0), edge(2)), ("band-1", edge(1), edge(3))]
    canvas.areas(0, 0, 3, bands, filled=True)
    assert [row[0].fill for row in canvas.rows()] == ["band-0", "band-0+band-1", "band-1"]


def test_the_edge_of_one_area_within_another_is_drawn() -> None:
    canvas = Canvas(1, 1, BRAILLE)
    bands = [("band-0", edge(0), edge(1)), ("band-1", edge(0.5), edge(1))]
    canvas.areas(0, 0, 1, bands, filled=True)
    assert next(canvas.rows()) == [Run("▄", "band-0+band-1", "band-0")]


def test_a_thin_area_within_a_cell_is_at_its_nearer_edge() -> None:
    canvas = Canvas(2, 1, BRAILLE)
    canvas.areas(0, 0, 1, [("band-0", edge(0.25, 0.625), edge(0.375, 0.75))], filled=True)
    assert next(canvas.rows()) == [Run("▇", "paper", "band-0"), Run("▁", "band-0", None)]


def test_a_line_keeps_the_fill_of_an_area_that_covers_most_of_its_cell() -> None:
    canvas = Canvas(2, 1, BRAILLE)
    canvas.areas(0, 0, 1, [("band-0", edge(0.25, 0.75), edge(1, 1))], filled=True)
    canvas.lines(0, 0, 2, 1, [("line-0", dots((0, 0), (1, 0), (2, 0), (3, 0)))])
    assert next(canvas.rows()) == [Run("⠉", "line-0", "band-0"), Run("⠉", "line-0", None)]


def test_an_area_without_colours_is_a_halftone() -> None:
    canvas = Canvas(4, 2, BRAILLE)
    canvas.areas(0, 0, 2, [("band-0", edge(0, 0, 0, 1.8), edge(2, 2, 2, 2))], filled=False)
    assert canvas.text() == ["⠂⠐⠂", "⠐⠂⠐"]
    canvas = Canvas(4, 1, ASCII)
    canvas.areas(0, 0, 1, [("band-0", edge(0, 0, 0, 0), edge(1, 1, 1, 1))], filled=False)
    assert canvas.text() == [", ,"]


def test_an_area_has_a_gap_where_an_edge_is_unknown() -> None:
    canvas = Canvas(3, 1, BRAILLE)
    canvas.areas(0, 0, 1, [("band-0", edge(0, math.nan, 0), edge(1, 1, 1))], filled=True)
    assert [run.fill for run in next(canvas.rows())] == ["band-0", None, "band-0"]


def test_text_beyond_the_canvas_is_cut() -> None:
    canvas = Canvas(3, 1, BRAILLE)
    canvas.write(1, 0, "abc", "label")
    canvas.write(0, 1, "x", "label")
    assert canvas.text() == [" ab"]
