"""Study files: what is refused with which messages, what is read, and writing TOML."""

import os
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st
from study_texts import SMALL, load, problems

from jmlp.errors import ConfigError
from jmlp.study.config import Claim, Hyperparams, Reference, configurations
from jmlp.study.file import MAX_BYTES, SHIPPED, load_study, parse_study, to_toml


@pytest.fixture(autouse=True)
def _folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # so that messages name the file "study.toml"


# What is refused


def bad_studies() -> list[Any]:
    files = sorted((Path(__file__).parent / "bad_studies").glob("*.toml"))
    cases = [case for file in files for case in tomllib.loads(file.read_text("utf-8"))["case"]]
    return [pytest.param(case, id=case["name"]) for case in cases]


@pytest.mark.parametrize("case", bad_studies())
def test_bad_study_is_refused_with_all_its_problems(case: dict[str, Any]) -> None:
    lines = ['name = "s"', "seeds = 3", case.get("top", ""), "[experiments.a]"]
    text = case.get("study", "\n".join([*lines, case.get("experiment", "")]))
    with pytest.raises(ConfigError) as error:
        load(text + "\n")
    assert list(error.value.problems) == [f"study.toml: {p}" for p in case["problems"]]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'name = "\x07"', "line 1, column 9: Illegal character '\\x07'"),
        (
            b'name = "s"\rseeds = 1',
            "line 1, column 11: Expected newline or end of document after a statement",
        ),
        (b"a = ", "end of document: Invalid value"),
        (
            b"\xef\xbb\xbfseeds = 1",
            "line 1, column 1: a byte-order mark: save the file as UTF-8 without one",
        ),
        (
            b'seeds = 1\nname = "caf\xe9"',
            "line 2: byte 0xe9 is not UTF-8: save the file as UTF-8",
        ),
        (b"\nseeds = " + b"9" * 5000, "line 2: an integer has too many digits"),
        (b"seeds = " + b"[" * 2000, "is nested too deeply"),
        (b"\n" + b"a." * 9999 + b"b = 1", "line 2: has 9,999 dots, too many to read: break it up"),
    ],
)
def test_text_that_cannot_be_parsed_is_refused_at_its_place(text: bytes, problem: str) -> None:
    assert problems(text) == [problem]


def test_grid_is_refused_from_its_lengths_before_it_is_made() -> None:
    values = list(range(1, 1001))
    text = f"""
    name = "s"
    seeds = 100_000
    [experiments.a]
    axes = {{ epochs = {values}, batch_size = {values}, patience = {values} }}
    baseline = {{ epochs = 1, batch_size = 1, patience = 1 }}
    """
    assert problems(text) == [
        "experiments.a: 100,000,000,000,000 runs (1,000,000,000 configurations x 100,000 seeds); "
        "the limit is 100,000"
    ]


def test_problems_beyond_a_hundred_are_counted() -> None:
    told = problems(SMALL + "\n".join(f"x{i} = 1" for i in range(150)))
    assert len(told) == 101
    assert told[-1] == "and 50 more problems"


def test_folder_is_no_study() -> None:
    os.mkdir("folder")
    with pytest.raises(ConfigError) as error:
        load_study("folder")
    assert str(error.value) == "folder: cannot be read: Is a directory"


def test_pipe_without_a_writer_is_refused_at_once() -> None:
    os.mkfifo("pipe")
    with pytest.raises(ConfigError) as error:
        load_study(Path("pipe"))
    assert str(error.value) == "pipe: must be a regular file"


def test_endless_device_is_refused() -> None:
    with pytest.raises(ConfigError) as error:
        load_study("/dev/zero")
    assert str(error.value) == "/dev/zero: must be a regular file"


def test_file_of_one_byte_too_many_is_refused() -> None:
    assert load(SMALL.ljust(MAX_BYTES))
    assert problems(SMALL.ljust(MAX_BYTES + 1)) == ["must be at most 1,000,000 bytes long"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "orginal",
            "orginal: there is no such file, nor a shipped study of that name "
            "(demo, best, fast, forensics, original, replica, spirals, stopping); did you mean "
            "original?",
        ),
        (
            Path("original"),  # a path is never a shipped name
            "original: there is no such file, nor a shipped study of that name "
            "(demo, best, fast, forensics, original, replica, spirals, stopping); did you mean "
            "original?",
        ),
        (
            "no\x1b[2J/\n.toml",
            "'no\\x1b[2J/\\n.toml': there is no such file, nor a shipped study of that name "
            "(demo, best, fast, forensics, original, replica, spirals, stopping)",
        ),
        ("a\0b", "'a\\x00b': cannot be read: embedded null byte"),
        ("x" * 300, f"{'x' * 199}…: cannot be read: File name too long"),
    ],
)
def test_source_that_does_not_exist_is_refused(source: str | Path, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_study(source)
    assert str(error.value) == message


# What is read


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("original", {"batch-size": 8, "dropout": 10, "final": 4}),
        ("replica", {"batch-size": 8, "final": 4}),
        ("forensics", {"dropout": 6, "batch-norm": 8, "both": 24}),
        ("stopping", {"by-epochs": 8, "by-updates": 8, "to-the-end": 8, "patience": 6}),
        ("fast", {"fast": 1}),
        ("best", {"best": 1}),
    ],
)
def test_shipped_study_has_its_configurations(name: str, counts: dict[str, int]) -> None:
    study = load_study(name)
    assert study.name == name
    assert {e.name: len(configurations(e)) for e in study.experiments} == counts
    n_seeds = 5 if name == "original" else 10
    assert {e.seeds for e in study.experiments} == {tuple(range(n_seeds))}


def test_original_is_the_original() -> None:
    study = load_study("original")
    size, dropout, final = study.experiments
    for experiment in study.experiments:
        assert experiment.base == Hyperparams(hidden=(20, 7, 5), batch_size=128, patience=2)
    assert size.reference[3] == Reference({"batch_size": 128}, 0.9304, 0.9186, 0.9232, 45)
    assert [r.test_accuracy for r in size.reference] == [
        *(0.1028, 0.8564, 0.8718, 0.9232, 0.9099, 0.8892, 0.6945, 0.2733)
    ]
    assert [r.test_accuracy for r in final.reference] == [0.8877, 0.8927, 0.8374, 0.6710]
    assert dropout.reference == ()
    assert dropout.claims == (Claim("A drop rate of 0.5 is best.", best={"drop_rate": 0.5}),)
    assert final.claims[1] == Claim(
        "Batch norm does not help.", not_higher={"batch_norm": True}, than={"batch_norm": False}
    )


def test_replica_and_forensics_share_initial_weights_and_the_stopping_rule() -> None:
    for name in ("replica", "forensics"):
        for experiment in load_study(name).experiments:
            base = experiment.base
            assert (base.initialization, base.weight_std) == ("normal", 0.15)
            assert (base.evaluate_every, base.patience, base.min_delta) == (100, 2, 0)
            assert all(reference.stopped for reference in experiment.reference)


def test_experiment_overrides_the_top_and_holds_the_baseline() -> None:
    rate, size = load(SMALL).experiments
    assert rate.base == Hyperparams(epochs=5, drop_rate=0.0)
    assert size.base == Hyperparams(epochs=9, batch_size=16)
    assert (rate.seeds, size.seeds) == ((7, 8), (0, 1, 2))


def test_integers_and_zeros_become_one_float_so_that_equal_runs_are_equal() -> None:
    text = SMALL.replace("[0, 0.5]", "[-0.0, 0.5]").replace("epochs = 9", "learning_rate = 1")
    rate, _ = load(text).experiments
    values = (rate.axes["drop_rate"][0], rate.baseline["drop_rate"], rate.base.learning_rate)
    assert repr(values) == "(0.0, 0.0, 1.0)"


def test_cells_follow_the_order_of_the_axes() -> None:
    text = """
    name = "s"
    seeds = 1
    [experiments.a]
    axes = { batch_norm = [false, true], patience = [3, "none"] }
    baseline = { patience = "none", batch_norm = true }
    """
    (experiment,) = load(text).experiments
    assert list(experiment.baseline.items()) == [("batch_norm", True), ("patience", None)]


def test_hyperparameter_that_only_one_optimizer_uses_may_stand_at_the_top() -> None:
    text = """
    name = "s"
    seeds = 1
    momentum = 0.5
    [experiments.a]
    optimizer = "momentum"
    [experiments.b]
    """
    a, b = load(text).experiments
    assert (a.base.momentum, b.base) == (0.5, Hyperparams())


# Writing TOML


FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "batch_size": st.integers(1, 2**20),
    "batch_norm": st.booleans(),
    "hidden": st.lists(st.integers(1, 2**20), min_size=2, max_size=2),
    "learning_rate": st.floats(0, exclude_min=True, allow_infinity=False) | st.integers(1, 9),
    "drop_rate": st.floats(0, 1, exclude_max=True)
    | st.lists(st.floats(0, 0.9), min_size=2, max_size=2),
    "epochs": st.integers(1, 100_000),
    "patience": st.integers(1, 100_000) | st.just("none"),
}
FIXED: list[dict[str, Any]] = [
    {"hidden": [3, 4]},
    {"hidden": [3, 4], "optimizer": "momentum", "momentum": 0.5},
    {"hidden": [3, 4], "initialization": "normal", "weight_std": 0.1},
]
TEXTS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=500)
SEEDS = st.integers(1, 9) | st.lists(st.integers(0, 2**63 - 1), min_size=1, unique=True)


def hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


@st.composite
def experiments(draw: st.DrawFn) -> dict[str, Any]:
    names = draw(st.lists(st.sampled_from(sorted(FIELDS)), unique=True))
    n_axes = draw(st.integers(0, min(3, len(names))))
    axes = {
        name: draw(st.lists(FIELDS[name], min_size=1, max_size=3, unique_by=hashable))
        for name in names[:n_axes]
    }
    own = {name: draw(FIELDS[name]) for name in names[n_axes:]}
    table = {"title": draw(st.just("") | TEXTS), "seeds": draw(SEEDS), "axes": axes, **own}
    if axes:
        best = {name: values[-1] for name, values in axes.items()}
        table |= {
            "baseline": {name: values[0] for name, values in axes.items()},
            "claims": [{"text": draw(TEXTS), "best": best}],
            "reference": [{**best, "test_accuracy": draw(st.floats(0, 1)), "stopped": 3}],
        }
    return table


@settings(max_examples=60, deadline=None)
@given(
    top=st.sampled_from(FIXED),
    notes=st.lists(TEXTS, max_size=3),
    tables=st.dictionaries(st.sampled_from("abc"), experiments(), min_size=1),
)
def test_written_study_is_read_as_the_same_study(
    top: dict[str, Any], notes: list[str], tables: dict[str, Any]
) -> None:
    document = {"name": "s", "notes": notes, **top, "experiments": tables}
    study = load(tomli_w.dumps(document))
    read = parse_study(to_toml(study), "s")
    assert repr(read) == repr(study)  # repr: so that 0 is not 0.0


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_study_is_read_back_as_itself(name: str) -> None:
    study = load_study(name)
    assert load(to_toml(study)) == parse_study(to_toml(study), name) == study


def test_text_of_a_study_is_checked_under_the_name_that_it_is_given() -> None:
    wrong = SMALL.replace("seeds = 3", "seeds = 0").replace("epochs = 9", "epoch = 9")
    with pytest.raises(ConfigError) as error:
        parse_study(wrong, "the stored study")
    assert {problem.split(": ")[0] for problem in error.value.problems} == {"the stored study"}
    assert len(error.value.problems) == 2
    with pytest.raises(ConfigError) as error:
        parse_study("name =", "the stored study")
    assert error.value.problems == ("the stored study: end of document: Invalid value",)


TABLE_STUDY = """
name = "t"
data = "{data}"
label = "species"
missing = "mean"
leave_out = ["year"]
header = true
test = {test}
stratify = false
seeds = 1
[experiments.only]
"""


def test_paths_of_data_are_relative_to_the_study_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "studies"
    folder.mkdir()
    file = folder / "t.toml"
    file.write_text(TABLE_STUDY.format(data="../birds.csv", test='"test.csv"'), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    study = load_study("studies/t.toml")
    assert (study.data, study.test) == ("birds.csv", "studies/test.csv")
    assert load_study("studies/t.toml", data="other.csv").data == "other.csv"
    file.write_text(TABLE_STUDY.format(data="synthetic", test="0.2"), encoding="utf-8")
    assert load_study(file).data == "synthetic"


def test_what_is_said_of_a_table_is_written_and_read_again(tmp_path: Path) -> None:
    file = tmp_path / "t.toml"
    file.write_text(TABLE_STUDY.format(data="/birds.csv", test="0.25"), encoding="utf-8")
    study = load_study(file)
    assert (study.label, study.missing, study.leave_out) == ("species", "mean", ("year",))
    assert (study.header, study.test, study.stratify) == (True, 0.25, False)
    assert parse_study(to_toml(study), "t") == study
    said = replace(load_study("demo"), missing="error")  # not the same as saying nothing
    assert parse_study(to_toml(said), "t").missing == "error"


def test_a_study_of_no_table_says_nothing_of_tables() -> None:
    assert not {"missing", "stratify"} & set(to_toml(load_study("demo")).split())
