"""The names of data: which texts are names, their parameters, and their canonical text."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jmlp.study.data_names import DATA, NAMES, TOYS, DataName, is_name, parse_name
from jmlp.study.rules import Refused

KEYS = st.sampled_from(["n", "noise", "classes", "seed", "arms", "", " n "])
VALUES = st.one_of(
    st.integers(-5, 2**70).map(str),
    st.floats().map(repr),
    st.sampled_from(["", "1e400", "0x20", "true", "[1]", "'5'", "0.1=2", "é", "1979-05-27"]),
)
SETTINGS = st.lists(st.tuples(KEYS, VALUES).map("=".join), max_size=4).map(",".join)
NAMED = st.tuples(st.sampled_from([*NAMES, "moon", "Moons", ""]), SETTINGS).map(":".join)


@pytest.mark.parametrize(
    "data", ["moon", "./moons", "moons.npz", "MNIST", "a:b", "/moons:n=30", ""]
)
def test_every_text_that_begins_with_no_name_is_a_path(data: str) -> None:
    assert not is_name(data)
    assert parse_name(data) is None


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_its_own_canonical_text(name: str) -> None:
    assert parse_name(name) == DataName(name, TOYS.get(name, {}))
    assert DATA.read(name) == name


@pytest.mark.parametrize(
    ("data", "canonical"),
    [
        ("moons:noise=0.2,n=2000", "moons:n=2000,noise=0.2"),
        ("moons:n=2_000, noise = 2e-1", "moons:n=2000,noise=0.2"),
        ("moons:seed=0,n=1000,noise=0.1", "moons"),
        ("blobs:classes=3", "blobs"),
        ("xor:noise=0", "xor:noise=0.0"),
        ("xor:noise=-0.0", "xor:noise=0.0"),
        (" spirals : classes=5", "spirals:classes=5"),
        ("no such file.npz", "no such file.npz"),
    ],
)
def test_equal_data_have_one_text(data: str, canonical: str) -> None:
    assert DATA.read(data) == canonical


ALL = (
    "n: an integer from 20 to 1,000,000; noise: a finite number from 0 to 1; "
    "seed: an integer from 0 to 2**63 - 1"
)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("noise=-0.1", "noise must be a finite number from 0 to 1, got -0.1"),
        ("noise=inf", "noise must be a finite number from 0 to 1, got inf"),
        ("noise=much", "noise must be a finite number from 0 to 1, got 'much' (a string)"),
        ("noise=", "noise must be a finite number from 0 to 1, got '' (a string)"),
        ("n=19", "n must be an integer from 20 to 1,000,000, got 19"),
        ("n=1000001", "n must be an integer from 20 to 1,000,000, got 1000001"),
        ("n=1e3", "n must be an integer from 20 to 1,000,000, got 1000.0 (a float)"),
        ("seed=-1", "seed must be an integer from 0 to 2**63 - 1, got -1"),
        ("nois=0.1", "moons has no parameter nois; did you mean noise?"),
        ("classes=3", f"moons has no parameter classes; {ALL}"),
        ("n=50,n=60", "n is given twice"),
        (
            "0.2",
            "each parameter of moons is written KEY=VALUE, as in moons:n=1000,noise=0.1; " + ALL,
        ),
    ],
)
def test_a_wrong_parameter_is_refused_with_what_is_allowed(settings: str, problem: str) -> None:
    with pytest.raises(Refused) as refused:
        parse_name(f"moons:{settings}")
    assert str(refused.value) == f"'moons:{settings}': {problem}"


def test_data_without_parameters_take_none() -> None:
    with pytest.raises(Refused, match=r"^'iris:n=50': iris takes no parameters$"):
        parse_name("iris:n=50")


@given(st.one_of(NAMED, st.text()))
@example("moons:n=" + "9" * 5000)
@example("moons:noise=" + "[" * 5000)
def test_any_text_is_read_or_refused_and_reading_again_changes_nothing(data: str) -> None:
    try:
        named = parse_name(data)
    except Refused:
        return
    if named is None:
        assert not is_name(data)
        return
    assert parse_name(str(named)) == named
    assert named.parameters.keys() == TOYS.get(named.name, {}).keys()
    assert 20 <= named.parameters.get("n", 20) <= 1_000_000
    assert 0 <= named.parameters.get("noise", 0) <= 1
