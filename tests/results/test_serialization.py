"""Records come back from JSON as they were, or are refused with the place that is wrong."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import pytest

from jmlp.results.serialization import NewerError, UnreadableError, checked, parse, read
from jmlp.study.config import Hyperparams
from jmlp.training.records import Provenance


@dataclass(frozen=True)
class Inner:
    word: Literal["a", "b"]
    sizes: tuple[int, ...]


@dataclass(frozen=True)
class Outer:
    name: str
    flag: bool
    count: int | None
    rate: float | tuple[float, ...]
    inner: Inner
    table: Mapping[str, float]
    pairs: tuple[tuple[str, int], ...]
    others: Sequence[Inner]
    anything: Any


WHOLE: dict[str, Any] = {
    "name": "é",
    "flag": True,
    "count": None,
    "rate": [0.5, 1],
    "inner": {"word": "a", "sizes": [1, 2]},
    "table": {"x": 1.5, "y": "Infinity"},
    "pairs": [["a", 1]],
    "others": [{"word": "b", "sizes": []}],
    "anything": [{"k": None}],
}


def refusal(value: Any, kind: Any = Outer) -> str:
    with pytest.raises(UnreadableError) as error:
        read(kind, value)
    return str(error.value)


def test_every_kind_of_field_comes_back() -> None:
    assert read(Outer, parse(json.dumps(WHOLE))) == Outer(
        "é",
        True,
        None,
        (0.5, 1),
        Inner("a", (1, 2)),
        {"x": 1.5, "y": float("inf")},
        (("a", 1),),
        (Inner("b", ()),),
        [{"k": None}],
    )


def test_an_integer_where_a_float_may_be_stays_an_integer_so_that_it_is_written_as_it_was() -> None:
    assert isinstance(read(float, 1), int)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"name": 1}, '"name" is 1, expected text'),
        ({"name": "\ud800"}, '"name" is "\\ud800", which holds a lone surrogate'),
        ({"flag": 1}, '"flag" is 1, expected true or false'),
        ({"count": True}, '"count" is true, expected an integer of at most 64 bits'),
        ({"count": 2**63}, f'"count" is {2**63}, expected an integer of at most 64 bits'),
        ({"count": 1.0}, '"count" is 1.0, expected an integer of at most 64 bits'),
        ({"rate": "0.1"}, '"rate" is "0.1", expected a number'),
        ({"rate": True}, '"rate" is true, expected a number'),
        ({"inner": None}, '"inner" is null, expected an object'),
        ({"inner": {"word": "a"}}, '"inner.sizes" is missing'),
        ({"inner": {"word": 1, "sizes": []}}, '"inner.word" is 1, expected one of a, b'),
        ({"inner": {"word": [], "sizes": []}}, '"inner.word" is [], expected one of a, b'),
        ({"table": {"x": None}}, '"table.x" is null, expected a number'),
        ({"table": [1]}, '"table" is [1], expected an object'),
        ({"pairs": [["a"]]}, '"pairs[0]" is ["a"], expected 2 values'),
        ({"pairs": "ab"}, '"pairs" is "ab", expected an array'),
        ({"others": [{"word": "b", "sizes": [None]}]}, '"others[0].sizes[0]" is null, expected '),
    ],
)
def test_a_value_of_another_type_is_refused_with_its_place(
    change: dict[str, Any], what: str
) -> None:
    assert refusal(WHOLE | change).startswith(what)


@pytest.mark.parametrize("value", [None, [], "text", 3, True])
def test_a_value_that_is_not_an_object_is_not_a_record(value: Any) -> None:
    assert refusal(value).endswith("expected an object")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"colour": 1}, '"colour" is not known here: a newer jmlp wrote it'),
        (
            {"inner": {"word": "c", "sizes": []}},
            '"inner.word" is "c", which is not known here: a, b',
        ),
    ],
)
def test_a_field_or_a_word_that_is_not_known_is_a_newer_jmlp_s(
    change: dict[str, Any], what: str
) -> None:
    with pytest.raises(NewerError) as error:
        read(Outer, WHOLE | change)
    assert str(error.value) == what


def test_a_long_value_is_shortened_in_a_message() -> None:
    assert len(refusal(WHOLE | {"count": "x" * 1_000_000})) < 130


@pytest.mark.parametrize("text", ["1e400", "[-1e999]", "NaN", "[Infinity]", "[" * 100_000, "{'a'}"])
def test_text_that_is_no_strict_json_is_refused(text: str) -> None:
    with pytest.raises(UnreadableError):
        parse(text)


def test_some_members_are_checked_and_the_others_are_kept_as_they_are() -> None:
    table = {"a": 1, "b": [None]}
    assert checked(table, {"a": int}, {"c": int}) == table
    with pytest.raises(UnreadableError, match='"c" is missing'):
        checked(table, {"c": int})
    with pytest.raises(UnreadableError, match='"a" is 1, expected text'):
        checked(table, {}, {"a": str})


def test_provenance_of_an_earlier_version_has_unknown_settings_and_source() -> None:
    where = Provenance("cpu", 8, "--a", {"jax": "0.10.0"}, False, {"b": "1"}, "00ff")
    table = json.loads(json.dumps(asdict(where)))
    assert read(Provenance, table) == where
    del table["settings"], table["source"]
    assert read(Provenance, table) == replace(where, settings=None, source=None)


def test_hyperparameters_come_back_from_json_and_older_ones_had_a_constant_learning_rate() -> None:
    hp = Hyperparams(hidden=(3, 4), drop_rate=(0.1, 0.2), patience=None, schedule="linear")
    table = json.loads(json.dumps(asdict(hp)))
    assert read(Hyperparams, table) == hp
    del table["schedule"]
    assert read(Hyperparams, table) == replace(hp, schedule="constant")
    del table["momentum"]
    assert refusal(table, Hyperparams) == '"momentum" is missing'
