"""The networks on a page: every number is that of the inspection, and the rest is bounded."""

import base64
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inspections import made_up, of_table
from replays import plane

from jmlp.inspection.records import Inspection
from jmlp.replay.networks import (
    LEVELS,
    MOST_EXAMPLES,
    MOST_SNAPSHOTS,
    MOST_UNITS,
    network,
    snapshots,
    to_bytes,
)
from jmlp.replay.numbers import evenly, number, short
from jmlp.replay.page import as_json

ROOM = 1_000_000


def weights_of(values: dict[str, Any]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """The weights that a page stands for, `(E, units, height, width)`; NaN where not finite."""
    packed = values["weights"]
    shape = (-1, packed["units"], packed["height"], packed["width"])
    found = np.frombuffer(base64.b64decode(packed["bytes"]), np.uint8).reshape(shape)
    shares = np.where(found == 0, np.nan, (found.astype(np.float64) - 128) / LEVELS)
    return shares * np.array(packed["scale"], np.float64)[:, None, None, None]


@pytest.mark.parametrize("inspection", [made_up(), made_up(hidden=(3, 4)), of_table()])
def test_every_number_is_that_of_the_inspection(inspection: Inspection) -> None:
    values, left_out = network(inspection, None, {"seed": 7}, ROOM)
    assert (values["seed"], left_out) == (7, [])
    assert values["epochs"] == list(inspection.epochs)
    assert values["names"] == ["0", "1", "1", "2"]
    assert values["best"] == inspection.best
    for name in ("cost", "accuracy", "gradient_norm", "update_ratio", "dead_units"):
        np.testing.assert_array_equal(values[name], getattr(inspection, name), name)
    for e in range(len(inspection.epochs)):
        matrix = np.reshape(values["confusion"][e], (10, 10))
        np.testing.assert_array_equal(matrix, inspection.confusion(e))


@pytest.mark.parametrize("inspection", [made_up(), of_table()])
def test_weights_are_those_of_the_inspection_to_within_half_a_step(inspection: Inspection) -> None:
    values, _ = network(inspection, None, {}, ROOM)
    found = weights_of(values).reshape(inspection.weights.shape)
    for e, scale in enumerate(values["weights"]["scale"]):
        assert scale == inspection.weight_scale(e)
        drawn = np.clip(inspection.weights[e].astype(np.float64), -scale, scale)
        assert np.abs(found[e] - drawn).max() <= scale / LEVELS / 2 * (1 + 1e-9)


def test_pictures_with_channels_are_means_over_them() -> None:
    coloured = replace(made_up(shape=(4, 6, 3)), weights=made_up(shape=(4, 6, 3)).weights)
    values, _ = network(coloured, None, {}, ROOM)
    assert (values["weights"]["height"], values["weights"]["width"]) == (4, 6)
    wanted = coloured.weights.astype(np.float64).reshape(4, 3, 4, 6, 3).mean(axis=4)
    scales = np.array(values["weights"]["scale"])
    np.testing.assert_allclose(
        weights_of(values), wanted, atol=float(scales.max()) / LEVELS / 2 * (1 + 1e-9)
    )


def test_what_is_not_finite_is_missing_and_never_a_number() -> None:
    inspection = made_up()
    weights = inspection.weights.copy()
    weights[1, 0, 5] = np.nan
    weights[2] = np.inf
    ratio = inspection.update_ratio.copy()
    ratio[0] = np.nan
    predicted = inspection.predicted.copy()
    predicted[3, :9] = -1
    broken = replace(inspection, weights=weights, update_ratio=ratio, predicted=predicted)
    values, _ = network(broken, None, {}, ROOM)
    assert values["update_ratio"][0] == [None, None]
    assert values["weights"]["scale"][2] is None
    found = weights_of(values)
    assert np.isnan(found[1]).sum() == 1
    assert np.isnan(found[1, 0, 0, 5])
    assert np.isnan(found[2]).all()
    assert values["unknown"] == [0, 0, 0, 9]
    assert sum(values["confusion"][3]) == len(inspection.labels) - 9


def test_a_network_takes_no_more_room_than_it_has_and_says_what_it_left_out() -> None:
    wide = made_up(30, hidden=(512,))
    for room in (50_000, 500_000, 5_000_000):
        values, left_out = network(wide, None, {}, room)
        assert len(as_json(values)) < room + 10_000
        assert len(values["epochs"]) <= MOST_SNAPSHOTS
        assert values["epochs"][values["best"]] == wide.epochs[wide.best or 0]
        units = values["weights"]["units"] if values["weights"] else 0
        assert units <= MOST_UNITS
        assert f"{len(values['epochs'])} of 30 snapshots are shown." in left_out
        assert any("weights" in sentence.casefold() for sentence in left_out)


def test_without_room_there_are_statistics_alone() -> None:
    values, left_out = network(made_up(), None, {}, 0)
    assert (values["weights"], values["confusion"]) == (None, None)
    assert left_out == [
        "There was no room for the confusion matrices.",
        "There was no room for the weights of the first layer.",
    ]
    assert values["cost"] == made_up().cost.tolist()


def test_a_boundary_is_the_class_and_its_probability_at_every_point_of_the_grid() -> None:
    inspection, boundary = plane()
    values, left_out = network(inspection, boundary, {}, ROOM)
    shown = values["boundary"]
    assert left_out == []
    assert shown["x"] == boundary.x.tolist()
    packed = np.frombuffer(base64.b64decode(shown["bytes"]), np.uint8).reshape(4, 2, 128, 128)
    np.testing.assert_array_equal(packed[:, 0], boundary.probability.argmax(axis=-1) + 1)
    sure = boundary.probability.max(axis=-1)
    assert np.abs(packed[:, 1] / 255 - sure).max() <= 0.5 / 255 + 1e-6
    rows = 10 + np.array(evenly(290, MOST_EXAMPLES))  # of the validation part
    assert shown["points"] == boundary.points[rows].tolist()
    assert shown["labels"] == boundary.labels[rows].tolist()
    assert shown["predicted"] == boundary.predicted[:, rows].tolist()


def test_a_boundary_is_coarser_where_there_is_less_room_and_unknown_where_it_is() -> None:
    inspection, boundary = plane()
    probability = boundary.probability.copy()
    probability[2, 5, 7] = np.nan
    boundary = replace(boundary, probability=probability)
    values, _ = network(inspection, boundary, {}, ROOM)
    packed = np.frombuffer(base64.b64decode(values["boundary"]["bytes"]), np.uint8)
    assert (packed.reshape(4, 2, 128, 128)[2, :, 5, 7] == 0).all()
    sizes = []
    for room in (200_000, 100_000, 20_000, 5_000):
        values, left_out = network(inspection, boundary, {}, room)
        shown = values["boundary"]
        sizes.append(len(shown["x"]) if shown else 0)
        assert ("There was no room for the decision boundary." in left_out) == (shown is None)
    assert sizes == [128, 64, 32, 0]


def test_very_many_classes_and_columns_are_bounded() -> None:
    many = replace(made_up(), n_classes=5000)
    values, left_out = network(many, None, {}, ROOM)
    assert values["confusion"] is None
    assert "A confusion matrix of 5000 classes is too large for this page." in left_out
    assert len(values["classes"]) <= 40


def test_the_kept_the_first_and_the_last_snapshot_are_always_shown() -> None:
    for n in (1, 2, 3, 24, 25, 40, 60):
        for best in range(n):
            i = replace(made_up(2), epochs=tuple(range(n)), best=best)
            kept = snapshots(i)
            assert {0, best, n - 1} <= set(kept)
            assert kept == sorted(set(kept))
            assert len(kept) <= MOST_SNAPSHOTS


@given(st.integers(0, 500), st.integers(2, 60))
def test_evenly_chosen_indices_begin_and_end_with_the_first_and_the_last(n: int, most: int) -> None:
    found = evenly(n, most)
    assert found == sorted(set(found))
    assert len(found) == min(n, most)
    assert found[:1] + found[-1:] == ([0, n - 1] if n else [])


@given(st.lists(st.floats(width=32), min_size=1, max_size=9), st.floats(1e-30, 1e30))
def test_bytes_are_within_half_a_step_of_any_weight(weights: list[float], scale: float) -> None:
    planes = np.array([weights], np.float64)
    levels = to_bytes(planes, np.array([scale]))[0]
    for weight, byte in zip(weights, levels.tolist(), strict=True):
        if not np.isfinite(weight):
            assert byte == 0
        else:
            share = min(1.0, max(-1.0, weight / scale))
            assert abs((byte - 128) / LEVELS - share) <= 0.5 / LEVELS + 1e-12


def test_numbers_have_all_their_digits_and_names_end() -> None:
    assert [number(v) for v in (0.1 + 0.2, 3.0, float("nan"), float("inf"), None)] == [
        0.30000000000000004,
        3,
        None,
        None,
        None,
    ]
    assert short("x" * 200) == "x" * 200
    assert short("x" * 201) == "x" * 199 + "…"
