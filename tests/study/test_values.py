"""Values as people type them: one, several, and ranges."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jmlp.study.config import DEFAULTS
from jmlp.study.values import Typed, TypedError, read_typed, typed_text


@pytest.mark.parametrize("text", ["64,32", "64, 32", "64 32", "[64, 32]", "(64, 32)", "[64,32,]"])
def test_layers_of_one_network_are_read_in_any_notation(text: str) -> None:
    assert read_typed("hidden", text) == Typed(([64, 32],))


@pytest.mark.parametrize(
    ("name", "text", "values", "baseline"),
    [
        ("hidden", "64", [[64]], None),
        ("hidden", "64 | 64,32", [[64], [64, 32]], None),
        ("hidden", "[64]|(64, 32) * | 8 4", [[64], [64, 32], [8, 4]], 1),
        ("hidden", "16..64 x2", [[16], [32], [64]], None),
        ("learning_rate", "0.1", [0.1], None),
        ("learning_rate", ".5", [0.5], None),
        ("learning_rate", "0.01, 0.03*,1e-1", [0.01, 0.03, 0.1], 1),
        ("learning_rate", "0.01 | 0.03", [0.01, 0.03], None),
        ("learning_rate", "0.01..1 log 5", [0.01, 0.0316, 0.1, 0.316, 1], None),
        ("learning_rate", "0.001, 0.01..1 log 3, 0.1*", [0.001, 0.01, 0.1, 1], 2),
        ("learning_rate", "0.1, 0.2*, 0.3..0.5 +0.1", [0.1, 0.2, 0.3, 0.4, 0.5], 1),
        ("batch_size", "16..2000 ×2", [16, 32, 64, 128, 256, 512, 1024], None),
        ("batch_size", "10..1000 log 3", [10, 100, 1000], None),
        ("batch_size", "1..10 log 3", [1, 3, 10], None),
        ("drop_rate", "0..0.9+0.1", [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9], None),
        ("drop_rate", "0 | [0.1, 0.5]*", [0, [0.1, 0.5]], 1),
        ("drop_rate", "(0.1, 0.5)", [[0.1, 0.5]], None),
        ("batch_norm", "false, true", [False, True], None),
        ("optimizer", "sgd, adam*", ["sgd", "adam"], 1),
        ("patience", "2, none", [2, "none"], None),
        ("patience", '"none"', ["none"], None),
        ("evaluate_every", "epoch, 100", ["epoch", 100], None),
    ],
)
def test_values_are_read_as_documented(
    name: str, text: str, values: list[Any], baseline: int | None
) -> None:
    assert read_typed(name, text) == Typed(tuple(values), baseline)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        (
            "drop_rate",
            "0.1, 0.5",
            "0.1, 0.5 could be several drop rates, which are typed as 0.1 | 0.5, or one for each "
            "hidden layer: [0.1, 0.5]",
        ),
        ("learning_rate", "0.1, ", "a value is missing in 0.1, "),
        ("learning_rate", "0.1*, 0.2*", "only one value can be the baseline: mark one with *"),
        (
            "learning_rate",
            "[0.1, 0.2]",
            "several values are typed without brackets, as in 0.1",
        ),
        ("hidden", "[[64], [64, 32]]", "a list in a list: several values are typed as 64 | 64, 32"),
        (
            "batch_size",
            "16..64",
            "a range is typed as in 16..2048 x2, 0..0.9 +0.1 or 0.01..1 log 5, got 16..64",
        ),
        ("batch_size", "64..16 x2", "a range goes from a lower to a higher number, got 64..16 x2"),
        ("batch_size", "1..2 x1", "a range must grow with each step, got 1..2 x1"),
        ("batch_size", "1..9 +0", "a range must grow with each step, got 1..9 +0"),
        ("drop_rate", "0..1 log 3", "a range with log has from 2 to 1,000 values above 0, got "),
        ("batch_size", "1..1e999 +1", "a range has at most 1,000 values, got more in 1..1e999 +1"),
        (
            "batch_size",
            "1..4 x2*",
            "a range has no single baseline: type the value again with ",
        ),
    ],
)
def test_what_is_ambiguous_or_no_range_says_how_to_type_it(name: str, text: str, told: str) -> None:
    with pytest.raises(TypedError) as error:
        read_typed(name, text)
    assert str(error.value).startswith(told)


@given(st.sampled_from(sorted(DEFAULTS)), st.text("0123456789.,|[]()*x+e- logn'\"#=é", max_size=30))
def test_any_text_is_read_or_refused_with_a_message(name: str, text: str) -> None:
    with suppress(TypedError):  # any other error fails
        assert read_typed(name, text).values


RATES = st.floats(0, 0.999, allow_subnormal=False)
VALUES = {
    "hidden": st.lists(st.integers(1, 2**20), min_size=1, max_size=4).map(tuple),
    "learning_rate": st.floats(1e-300, 1e300),
    "drop_rate": RATES | st.lists(RATES, min_size=1, max_size=3).map(tuple),
    "batch_norm": st.booleans(),
    "optimizer": st.sampled_from(["sgd", "momentum", "adam"]),
    "patience": st.none() | st.integers(1, 100),
    "epochs": st.integers(1, 100_000),
}


@given(st.data())
def test_typed_text_is_read_back_as_the_same_values(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(VALUES)))
    values = data.draw(st.lists(VALUES[name], min_size=1, max_size=5, unique=True))
    baseline = data.draw(st.sampled_from(values))
    read = read_typed(name, typed_text(name, values, baseline))
    wanted = [list(v) if isinstance(v, tuple) else "none" if v is None else v for v in values]
    assert list(read.values) == wanted
    assert read.baseline == (values.index(baseline) if len(values) > 1 else None)
