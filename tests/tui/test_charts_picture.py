"""Pictures as characters and as levels of ink."""

import math

import numpy as np
import pytest

from tui.charts.picture import N_LEVELS, NO_PIXEL, as_plane, half_blocks, shades, shrink

NAN = math.nan


def test_shades_show_ink_two_lines_of_pixels_per_line() -> None:
    plane = np.array([[0.0, 0.25, 0.5, 0.75, 1.0]] * 2)
    assert shades(plane) == [" ░▒▓█"]


def test_a_shade_is_the_mean_of_its_two_pixels() -> None:
    assert shades(np.array([[1.0, 1.0], [0.0, 1.0]])) == ["▒█"]


def test_signs_of_negative_values_are_strokes() -> None:
    plane = np.array([[-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0]] * 2)
    assert shades(plane) == ["=~-, ░▒▓█"]


def test_values_beyond_the_scale_are_clipped() -> None:
    assert shades(np.array([[-7.0, 7.0]] * 2)) == ["=█"]


def test_an_odd_last_line_is_averaged_alone() -> None:
    assert shades(np.array([[0.0], [0.0], [1.0]])) == [" ", "█"]


def test_missing_pixels_are_blank() -> None:
    assert shades(np.array([[NAN, 1.0]])) == [" █"]


def test_half_blocks_have_a_level_for_each_pixel() -> None:
    above, below = half_blocks(np.array([[0.0, 1.0], [-1.0, 0.5], [2.0, NAN]]))
    assert above.tolist() == [[0, N_LEVELS], [N_LEVELS, NO_PIXEL]]
    assert below.tolist() == [[-N_LEVELS, round(N_LEVELS / 2)], [NO_PIXEL, NO_PIXEL]]


def test_a_smaller_picture_has_means_of_squares() -> None:
    plane = np.array([[0.0, 1.0, 0.5], [1.0, 0.0, 0.5], [0.25, 0.75, 0.2]])
    assert shrink(plane, 2).tolist() == [[0.5, 0.5], [0.5, 0.2]]
    assert shrink(plane, 1) is plane


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((2, 3), [[0, 1, 2], [3, 4, 5]]),
        ((1, 2, 3), [[1, 4]]),  # the mean of the channels
        ((2, 3, 1), [[0, 1, 2], [3, 4, 5]]),
    ],
)
def test_an_image_is_laid_out_by_its_shape(
    shape: tuple[int, ...], expected: list[list[float]]
) -> None:
    assert as_plane(np.arange(6), shape).tolist() == expected


def test_a_vector_is_wrapped_to_a_square() -> None:
    assert as_plane(np.arange(4), (4,)).tolist() == [[0, 1], [2, 3]]
    folded = as_plane(np.arange(5), (5,))
    assert folded.shape == (2, 3)
    assert np.isnan(folded[1, 2])
