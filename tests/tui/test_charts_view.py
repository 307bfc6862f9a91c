"""A window on epochs, and a cursor."""

import numpy as np
import pytest

from tui.charts.view import View


def view(*epochs: float) -> View:
    made = View()
    made.x = np.array(epochs or range(41), np.float64)
    return made


def test_without_a_cursor_the_last_epoch_is_read_even_when_there_are_more() -> None:
    one = view(0, 1, 2)
    assert one.read_at == 2
    one.x = np.arange(4.0)
    assert one.read_at == 3
    one.step(-1)
    one.x = np.arange(9.0)
    assert one.read_at == 2


def test_the_cursor_goes_from_epoch_to_epoch_and_stops_at_the_ends() -> None:
    one, seen = view(0, 1, 5, 20), []
    for by in (-1, -1, -1, -1, 1):
        one.step(by)
        seen.append(one.cursor)
    assert seen == [5, 1, 0, 0, 1]


def test_the_cursor_is_put_on_the_nearest_epoch() -> None:
    one = view(0, 1, 5, 20)
    for at, expected in ((-9.0, 0), (2.9, 1), (3.1, 5), (99.0, 20)):
        one.point_near(at)
        assert one.cursor == expected


def test_zoom_leaves_the_epoch_at_the_cursor_where_it_is() -> None:
    one = view()
    one.point(10)
    one.zoom(closer=True)
    left, right = one.shown
    assert right - left == pytest.approx(40 / 1.5)
    assert (10 - left) / (right - left) == pytest.approx(10 / 40)


def test_zoom_is_around_the_middle_without_a_cursor_and_around_an_epoch_given() -> None:
    one = view()
    one.zoom(closer=True)
    assert one.shown == pytest.approx((20 - 20 / 1.5, 20 + 20 / 1.5))
    one.reset()
    one.zoom(True, around=40)
    assert one.shown == pytest.approx((40 - 40 / 1.5, 40))


def test_a_window_has_at_least_four_epochs_and_at_most_all() -> None:
    one = view()
    for _ in range(20):
        one.zoom(closer=True)
    left, right = one.shown
    assert right - left == pytest.approx(4)
    for _ in range(20):
        one.zoom(closer=False)
    assert one.zoomed is None
    short = view(0, 1)
    short.zoom(closer=True)
    assert short.shown == (0, 1)


def test_the_window_follows_the_cursor() -> None:
    one = view()
    one.zoom(True, around=0)
    one.point(None)
    assert one.shown == pytest.approx((40 - 40 / 1.5, 40))
    one.point(0)
    assert one.shown == pytest.approx((0, 40 / 1.5))


def test_the_window_never_leaves_the_epochs() -> None:
    one = view()
    one.zoom(closer=True)
    one.shift(-99)
    assert one.shown == pytest.approx((0, 40 / 1.5))
    one.shift(99)
    assert one.shown == pytest.approx((40 - 40 / 1.5, 40))


def test_without_epochs_there_is_nothing_to_move() -> None:
    one = View()
    one.step(1)
    one.point_near(3)
    one.zoom(closer=True)
    one.shift(1)
    assert (one.cursor, one.read_at, one.shown) == (None, None, (0, 1))


def test_a_view_follows_another_one() -> None:
    one, other = view(), view()
    assert not one.follow(other)
    other.step(-1)
    assert one.follow(other)
    assert one.cursor == other.cursor == 39
