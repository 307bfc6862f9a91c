"""Pictures of the curves that a screen shows."""

import json
import math
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from jmlp.errors import ConfigError, StoreError
from jmlp.report import drawn_curves, style
from jmlp.results.drawing import Drawing, Line, Panel
from jmlp.results.serialization import read, strict

NAN = math.nan
LINE = Line("validation", 0, (0.0, 1.0, 2.0, 3.0), (8.0, 4.0, 2.0, 1.0), None, None)
PANEL = Panel("cost, nats", "epoch", (LINE,), 1.0, 3.0, False, (0.0, math.inf), ((2.0, "best"),))
DRAWING = Drawing("small › $a$ [b]", (PANEL,))


def drawn(panel: Panel) -> Axes:
    """The axes with a panel."""
    with style.plot_style():
        axes = Figure().subplots()
        drawn_curves._draw(axes, panel)
        return axes


def test_a_drawing_is_the_same_after_its_way_to_another_process() -> None:
    banded = replace(LINE, low=(NAN, 3.0, 1.0, 0.5), high=(NAN, 5.0, 3.0, 2.0))
    made = Drawing("title", (PANEL, replace(PANEL, lines=(banded, LINE), log=True)))
    assert repr(read(Drawing, json.loads(json.dumps(strict(asdict(made)))))) == repr(made)


def test_the_limits_are_those_of_the_part_that_is_shown() -> None:
    axes = drawn(PANEL)
    assert axes.get_xlim() == (1.0, 3.0)
    assert axes.get_ylim() == pytest.approx((1 - 0.15, 4 + 0.15))
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "cost, nats")


def test_a_band_is_within_the_limits_and_the_possible_values() -> None:
    line = replace(LINE, low=(0.0, -3.0, 1.0, 0.0), high=(9.0, 5.0, 3.0, 2.0))
    assert drawn(replace(PANEL, lines=(line,))).get_ylim() == pytest.approx((-0.25, 5.25))


def test_a_logarithmic_scale_leaves_out_what_has_no_logarithm() -> None:
    line = replace(LINE, values=(8.0, 4.0, 0.0, 1.0))
    axes = drawn(replace(PANEL, lines=(line,), log=True))
    assert axes.get_yscale() == "log"
    assert axes.get_ylabel() == "cost, nats, logarithmic"
    known = np.asarray(axes.lines[0].get_ydata())
    np.testing.assert_array_equal(known, [8.0, 4.0, NAN, 1.0])


def test_a_band_close_to_zero_takes_no_room_from_a_logarithmic_picture() -> None:
    line = replace(LINE, low=(7.0, 3.0, -2.0, 1e-9), high=(9.0, 6.0, 5.0, 3.0))
    axes = drawn(replace(PANEL, lines=(line,), log=True))
    assert axes.get_ylim() == pytest.approx((1.0 / 1.1, 6.0 * 1.1))


def test_a_value_between_two_gaps_is_a_dot() -> None:
    alone = drawn_curves._alone(np.array([1.0, NAN, 2.0, NAN, 3.0, 4.0]))
    np.testing.assert_array_equal(alone, [1.0, NAN, 2.0, NAN, NAN, NAN])


def test_curves_without_any_value_are_empty_axes() -> None:
    nothing = replace(PANEL, lines=(replace(LINE, x=(), values=()),), left=0.0, right=1.0)
    assert drawn_curves.draw(Drawing("", (nothing,))).png.startswith(b"\x89PNG")


def test_texts_are_drawn_as_they_are() -> None:
    svg = drawn_curves.draw(DRAWING).svg.decode()
    assert "small › $a$ [b]" in svg
    assert "best" in svg


def test_a_picture_replaces_a_file_only_if_it_may(tmp_path: Path) -> None:
    target = tmp_path / "curves.svg"
    target.write_text("mine", encoding="utf-8")
    with pytest.raises(StoreError, match="exists"):
        drawn_curves.write_picture(DRAWING, target, replace=False)
    assert target.read_text(encoding="utf-8") == "mine"
    drawn_curves.write_picture(DRAWING, target, replace=True)
    assert target.read_bytes() == drawn_curves.draw(DRAWING).svg


def test_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"an \.svg or a \.png"):
        drawn_curves.write_picture(DRAWING, tmp_path / "curves.pdf", replace=False)
