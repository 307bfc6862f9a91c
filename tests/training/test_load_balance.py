"""Which slot a cohort gets, when it has its turn, and when it moves."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmlp.training import load_balance

Lanes = dict[int, int]


def test_every_device_gets_one_before_any_gets_a_second() -> None:
    assert load_balance.fill_order(n_devices=2, per_device=3) == [0, 3, 1, 4, 2, 5]
    assert load_balance.fill_order(n_devices=1, per_device=4) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("lanes", "most", "expected"),
    [
        ({}, 10, []),
        ({0: 10, 1: 10, 4: 10}, 10, [[0, 4], [1]]),
        ({0: 1, 1: 1, 2: 1, 5: 1}, 10, [[0, 1, 2, 5]]),
        ({0: 4, 1: 4, 2: 4, 4: 9}, 10, [[0, 1, 4], [2]]),
        ({3: 20, 4: 20}, 10, [[3, 4]]),
        ({0: 1, 1: 1, 4: 1}, 1, [[0, 4], [1]]),
    ],
)
def test_a_call_has_as_many_slots_of_a_device_as_lanes_allow_but_at_least_one(
    lanes: Lanes, most: int, expected: list[list[int]]
) -> None:
    assert list(load_balance.calls(lanes, per_device=4, max_lanes=most)) == expected


@pytest.mark.parametrize(
    ("lanes", "expected"),
    [
        ({}, None),
        ({0: 5, 2: 5}, None),
        ({0: 7, 1: 1, 2: 4, 3: 4}, None),
        ({0: 5, 1: 5}, [0, 2, 1, 3]),
        ({0: 10, 1: 5, 2: 3, 3: 1}, [0, 3, 1, 2]),
        ({0: 100, 1: 1, 2: 95}, None),  # it would save one part in a hundred
        ({1: 3}, None),
        ({2: 1, 3: 1}, [2, 0, 3, 1]),
    ],
)
def test_cohorts_move_where_that_saves_a_tenth_of_the_time(
    lanes: Lanes, expected: list[int] | None
) -> None:
    assert load_balance.rebalance(lanes, n_devices=2, per_device=2) == expected


@given(
    st.integers(1, 4).flatmap(
        lambda devices: st.integers(1, 4).flatmap(
            lambda per: st.tuples(
                st.just(devices),
                st.just(per),
                st.dictionaries(st.integers(0, devices * per - 1), st.integers(1, 20)),
            )
        )
    )
)
def test_moving_loses_and_doubles_nothing_and_makes_the_fullest_device_less_full(
    case: tuple[int, int, Lanes],
) -> None:
    n_devices, per_device, lanes = case
    found = load_balance.rebalance(lanes, n_devices, per_device)
    if found is None:
        return
    assert sorted(found) == list(range(n_devices * per_device))

    def fullest(slots: list[int]) -> int:
        firsts = range(0, len(slots), per_device)
        return max(sum(lanes.get(s, 0) for s in slots[f : f + per_device]) for f in firsts)

    assert fullest(found) <= 0.9 * fullest(list(range(n_devices * per_device)))
