"""`jmlp export`: stored runs as files that other programs read, and that say the same."""

import json
import math
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pyarrow.parquet as pq
import pytest
from commands import Here
from safetensors.numpy import load_file
from store_runs import DATA, N_STEPS, fill, plan, submission
from tensorboardX.proto.event_pb2 import Event

from jmlp.nn import model
from jmlp.report import read_csv, read_results
from jmlp.results import weights
from jmlp.store import Store, run_files
from jmlp.system import fault_injection, files
from jmlp.system.installation import command_that_installs
from jmlp.training.records import RunResult


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a store."""
    monkeypatch.setenv("JMLP_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def ended(folder: Path) -> list[RunResult]:
    """The runs of that store that ended: one diverged, four finished; a sixth is not done yet."""
    return fill(folder, n_left=1)


def without_parameters(run: RunResult) -> str:
    """All else of a run; as a text, in which NaN is equal to itself."""
    fields = {
        n: v for n, v in vars(run).items() if n not in ("params", "state", "last", "snapshots")
    }
    return repr(fields)


def add_run_on_other_data(folder: Path) -> None:
    made = plan("other", rates=(0.5,), n_seeds=1)
    fill(folder, made)
    with Store(folder) as store:
        store.submit(submission(made, data={**DATA, "name": "mine", "digests": {"x_train": "c3"}}))


# JSON and CSV


def test_json_reads_back_as_the_runs_with_their_costs(ended: list[RunResult], here: Here) -> None:
    done = here("export", "small", "--as", "json", "--output", "out.json")
    assert done == (0, "", "left out: 1 run not ended\nwrote out.json: 5 runs\n")
    name, runs = read_results(here.folder / "out.json")
    assert name == "small"
    assert list(map(without_parameters, runs)) == list(map(without_parameters, ended))
    document = json.loads((here.folder / "out.json").read_text(encoding="utf-8"))
    assert document["command"] == "jmlp study small.toml"
    assert document["data"]["digests"] == {"x_train": "a1", "y_train": "b2"}


def test_runs_of_several_studies_are_one_document_that_names_them(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    fill(folder, plan("other", rates=(0.5,)))
    here("export", "all", "--as", "json", "--output", "out.json", "--quiet")
    name, runs = read_results(here.folder / "out.json")
    assert (name, len(runs)) == ("other, small", 8)


def test_json_of_runs_on_different_data_is_refused(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    add_run_on_other_data(folder)
    done = here("export", "all", "--as", "json", "--output", "out.json")
    assert done.code == 4
    assert done.err.endswith(
        "jmlp: error: the runs use different data (mine, small); export one study at a time\n"
    )
    assert not (here.folder / "out.json").exists()


def test_csv_has_a_row_for_each_run_and_no_formula(ended: list[RunResult], here: Here) -> None:
    here("export", "all", "--as", "csv", "--output", "out.csv")
    rows = read_csv(here.folder / "out.csv")
    assert [row["run_id"] for row in rows] == [run.run_id for run in ended]
    assert [row["test_accuracy"] for row in rows] == ["", "0.901", "0.902", "0.903", "0.904"]
    assert rows[0]["diverged_at"] == "7"
    used = {(row["data"], row["data_source"], row["data_digests"]) for row in rows}
    assert used == {("small", DATA["source"], json.dumps(DATA["digests"]))}


def test_rows_of_csv_name_the_data_of_each_run(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    add_run_on_other_data(folder)
    assert here("export", "all", "--as", "csv", "--output", "out.csv").code == 0
    rows = read_csv(here.folder / "out.csv")
    assert [row["data"] for row in rows] == ["small"] * 5 + ["mine"]
    assert rows[-1]["data_digests"] == '{"x_train": "c3"}'


# Parquet


def test_parquet_has_a_row_for_each_run_with_its_costs_as_a_list(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    here("runs", "tag", ended[1].run_id, "--add", "=1+1")
    here("export", "all", "--as", "parquet", "--output", "out.parquet")
    table = pq.read_table(here.folder / "out.parquet")
    rows = table.to_pylist()
    assert [row["run_id"] for row in rows] == [run.run_id for run in ended]
    diverged, run = rows[:2]
    assert (diverged["status"], diverged["diverged_at"]) == ("diverged", 7)
    assert (diverged["test_accuracy"], diverged["best_epoch"]) == (None, None)
    assert diverged["costs"][0]["batch_cost"] is None
    assert math.isnan(diverged["costs"][1]["training_cost"])
    assert diverged["costs"][1]["batch_cost"] == math.inf
    assert (run["hidden"], run["drop_rate"], run["patience"]) == ([3], [0.0], 2)
    assert (run["learning_rate"], run["test_accuracy"]) == (0.1, ended[1].test_accuracy)
    assert (run["studies"], run["tags"]) == (["small"], ["=1+1"])
    assert dict(run["versions"]) == {"jax": "0.10.0"}
    assert (run["data"], run["data_source"]) == ("small", DATA["source"])
    assert dict(run["data_digests"]) == DATA["digests"]
    assert run["training_seconds"] == ended[1].training_seconds
    assert [point["validation_cost"] for point in run["costs"]] == [
        point.validation_cost for point in ended[1].costs
    ]


def test_types_of_parquet_columns_do_not_depend_on_the_runs(
    ended: list[RunResult], here: Here
) -> None:
    for name, run in (("a", ended[0]), ("b", ended[1])):
        here("export", run.run_id, "--as", "parquet", "--output", name)
    a, b = (pq.read_schema(here.folder / name) for name in "ab")
    assert a.equals(b)
    assert str(a.field("best_epoch").type) == "double"
    assert str(a.field("evaluate_every").type) == "string"
    assert str(a.field("test_accuracy").type) == "double"
    assert str(a.field("training_seconds").type) == "double"


# TensorBoard


def events(path: Path) -> Iterator[Any]:
    """The events of a file: each is a length, a checksum, that many bytes, a checksum."""
    data = path.read_bytes()
    while data:
        (length,) = struct.unpack("<Q", data[:8])
        yield Event.FromString(data[12 : 12 + length])
        data = data[16 + length :]


def test_tensorboard_gets_a_folder_for_each_run_with_its_curves_by_update(
    ended: list[RunResult], here: Here
) -> None:
    done = here("export", "all", "--as", "tensorboard", "--output", "board")
    assert done == (0, "", "left out: 1 run not ended\nwrote board: 5 runs\n")
    names = {
        f"learning-rate-{run.hyperparams.learning_rate}-seed-{run.seed}-{run.run_id[:8]}"
        for run in ended
    }
    assert {path.name for path in (here.folder / "board").iterdir()} == names
    (file,) = (here.folder / "board").glob(f"*{ended[1].run_id[:8]}/*tfevents*")
    values: dict[str, list[tuple[int, float]]] = {}
    for event in events(file):
        for value in event.summary.value:
            if value.HasField("simple_value"):
                values.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert values.keys() == {
        *("cost/batch", "cost/training", "cost/validation"),
        *("accuracy/training", "accuracy/validation"),
    }
    points = ended[1].costs
    expected = [(p.step, float(np.float32(p.validation_cost))) for p in points]
    assert values["cost/validation"] == expected
    assert [step for step, _ in values["cost/batch"]] == [n * N_STEPS for n in (1, 2, 3, 4)]


# Networks


def test_exported_network_predicts_as_the_run_that_it_is_of(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    run = ended[2]
    done = here("export", run.run_id, "--as", "safetensors", "--output", "net.safetensors")
    assert done == (0, "", "wrote net.safetensors: 1 run\n")
    network = weights.load(here.folder / "net.safetensors")
    assert (network.hyperparams, network.image_shape, network.n_classes) == (
        run.hyperparams,
        (1, 5),
        3,
    )
    images = np.arange(10, dtype=np.uint8).reshape(2, 5)
    logits = model.predict(network.params, network.state, images)
    expected = model.predict(run.params, (*run.state, None)[: len(run.params)], images)
    assert np.array_equal(logits, expected)
    assert network.about["run_id"] == run.run_id
    assert network.about["test_accuracy"] == run.test_accuracy

    np.save(here.folder / "digit.npy", np.arange(5, dtype=np.uint8).reshape(1, 5))
    assert here("predict", "net.safetensors", "digit.npy").code == 0


def test_a_folder_gets_one_network_for_each_run_that_did_not_diverge(
    ended: list[RunResult], here: Here
) -> None:
    done = here("export", "all", "--as", "safetensors", "--output", "nets", "--json")
    assert done.err == "left out: 1 run not ended\nleft out: 1 run diverged\n"
    told = json.loads(done.out)
    assert told["runs"] == [run.run_id for run in ended[1:]]
    assert sorted(told["files"]) == sorted(f"nets/{p.name}" for p in Path("nets").iterdir())
    for file, run in zip(told["files"], ended[1:], strict=True):
        assert weights.load(Path(file)).about["run_id"] == run.run_id
    done = here("export", ended[0].run_id, "--as", "safetensors", "--output", "x")
    message = "nothing to export: every run diverged, so there is no network to predict with"
    assert done == (4, "", f"jmlp: error: {message}\n")


def test_other_programs_compute_what_the_run_that_was_exported_does(
    ended: list[RunResult], here: Here
) -> None:
    run, images = ended[2], np.arange(10, dtype=np.uint8).reshape(2, 5)
    expected = model.predict(run.params, (*run.state, None)[: len(run.params)], images)

    assert here("export", run.run_id, "--as", "onnx", "--output", "net.onnx").code == 0
    session = onnxruntime.InferenceSession("net.onnx", providers=["CPUExecutionProvider"])
    (logits,) = session.run(["logits"], {"x": images.astype(np.float32) / 255})
    np.testing.assert_allclose(logits, expected, atol=1e-5)

    done = here("export", "all", "--as", "pytorch", "--output", "nets", "--json")
    assert done.err == "left out: 1 run not ended\nleft out: 1 run diverged\n"
    written = json.loads(done.out)["files"]
    assert len(written) == 2 * len(ended[1:])
    (file,) = Path("nets").glob(f"*{run.run_id[:8]}/weights.safetensors")
    state_dict = load_file(file)
    np.testing.assert_array_equal(state_dict["0.weight"], run.params[0].dense.W)
    assert f"run {run.run_id[:8]}" in file.with_name("network.py").read_text(encoding="utf-8")


def test_several_networks_do_not_fit_one_file(ended: list[RunResult], here: Here) -> None:
    done = here("export", "all", "--as", "safetensors", "--output", "n.safetensors", "--quiet")
    message = (
        "--output n.safetensors: a file holds one network, but there are 4; "
        "give the name of a folder"
    )
    assert done == (2, "", f"jmlp: error: {message}\n")


def test_damaged_file_of_a_run_is_refused_with_code_5(
    folder: Path, ended: list[RunResult], here: Here
) -> None:
    path = run_files.path_of(folder, ended[1].run_id)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = here("export", ended[1].run_id, "--as", "safetensors", "--output", "n.safetensors")
    assert (done.code, done.out) == (5, "")
    assert str(path) in done.err
    assert not (here.folder / "n.safetensors").exists()


def test_network_whose_data_are_not_known_in_full_is_refused(folder: Path, here: Here) -> None:
    made = plan(n_seeds=1, rates=(0.1,))
    known = {name: DATA[name] for name in ("name", "source", "digests")}
    with Store(folder) as store:
        store.submit(submission(made, data=known))
    fill(folder, made, n_diverged=0)
    done = here("export", "last", "--as", "safetensors", "--output", "n.safetensors")
    message = (
        f"{made.runs[0].run_id[:8]}: what is stored about its data is incomplete "
        '("facts" is missing); train it again (jmlp study … --fresh)'
    )
    assert done == (4, "", f"jmlp: error: {message}\n")


# Where to


@pytest.mark.parametrize("as_", ["json", "csv", "parquet", "safetensors", "onnx"])
def test_file_that_exists_is_replaced_only_by_force(
    as_: str, ended: list[RunResult], here: Here
) -> None:
    name = f"out.{as_}"
    target = here.folder / name
    target.write_text("mine")
    arguments = ["export", "last", "--as", as_, "--output", name]
    message = f"{name}: exists; give another name to --output, or replace it with --force"
    assert here(*arguments) == (4, "", f"jmlp: error: {message}\n")
    assert target.read_text() == "mine"
    assert here(*arguments, "--force") == (0, "", f"wrote {name}: 1 run\n")
    assert b"mine" not in target.read_bytes()
    assert [path.name for path in here.folder.glob(".*")] == []  # nothing is left beside it


@pytest.mark.parametrize("as_", ["safetensors", "pytorch", "onnx", "tensorboard"])
def test_folder_with_files_is_written_into_only_by_force_and_keeps_other_files(
    as_: str, ended: list[RunResult], here: Here
) -> None:
    (here.folder / "out").mkdir()
    assert here("export", "last", "--as", as_, "--output", "out").code == 0
    (here.folder / "out" / "mine").touch()
    before = sorted((here.folder / "out").rglob("*"))
    message = (
        "out: already contains files; give another folder (--output PATH), or write into it "
        "anyway (--force)"
    )
    again = ["export", "last", "--as", as_, "--output", "out"]
    assert here(*again) == (4, "", f"jmlp: error: {message}\n")
    assert here(*again, "--force").code == 0
    assert sorted((here.folder / "out").rglob("*")) == before


@pytest.mark.parametrize("as_", ["json", "csv", "parquet", "safetensors"])
def test_device_is_never_replaced_and_what_a_link_leads_to_is_written(
    as_: str, ended: list[RunResult], here: Here
) -> None:
    suffix = ".safetensors" if as_ == "safetensors" else ""
    device, link = here.folder / f"device{suffix}", here.folder / f"link{suffix}"
    device.symlink_to(os.devnull)
    done = here("export", "last", "--as", as_, "--output", device.name, "--force")
    message = f"{device.name}: is a device; give --output the name of a file"
    assert done == (4, "", f"jmlp: error: {message}\n")
    assert device.is_symlink()
    link.symlink_to("of the link")
    assert here("export", "last", "--as", as_, "--output", link.name, "--force").code == 0
    assert link.is_symlink()
    assert (here.folder / "of the link").stat().st_size > 0


@pytest.mark.parametrize("as_", ["safetensors", "tensorboard"])
@pytest.mark.parametrize("point", ["write:3", "rename:3"])
def test_folder_of_an_export_that_failed_is_written_by_the_next_one(
    point: str, as_: str, ended: list[RunResult], here: Here
) -> None:
    arguments = ["export", "all", "--as", as_, "--output", "out", "--quiet"]
    fault_injection.arm(f"{point}:eio")
    assert here(*arguments).code == 4
    written = [path for path in Path("out").rglob("*") if path.is_file()]
    assert len(written) == (0 if point == "write:3" else 2)  # none before all are on the disk
    place = next(Path("out").iterdir()) if as_ == "tensorboard" else Path("out")
    (place / f".file.{2**22 + 1}.0123abcd.tmp").touch()  # of a kill
    files._tidied.clear()  # as in another process
    assert here(*arguments).code == 0
    names = [path.name for path in Path("out").rglob("*") if path.is_file()]
    assert len(names) == (5 if as_ == "tensorboard" else 4)
    assert not [name for name in names if name.endswith(".tmp")]


def test_target_of_the_wrong_kind_is_refused(ended: list[RunResult], here: Here) -> None:
    done = here("export", "last", "--as", "csv", "--output", ".", "--force")
    assert done == (4, "", "jmlp: error: .: is a folder; give --output the name of a file\n")
    done = here("export", "last", "--as", "tensorboard", "--output", "small.toml", "--force")
    message = "small.toml: is a file; give --output the name of a folder"
    assert done == (4, "", f"jmlp: error: {message}\n")


def test_nothing_is_exported_where_no_run_has_ended(folder: Path, here: Here) -> None:
    fill(folder, plan(n_seeds=1), n_left=2)
    done = here("export", "all", "--as", "csv", "--output", "out.csv")
    message = "nothing to export: none of 2 runs has ended"
    assert done == (4, "", f"jmlp: error: {message}\n")


@pytest.mark.parametrize(
    ("as_", "package"),
    [("parquet", "pyarrow"), ("tensorboard", "tensorboardX"), ("onnx", "onnx")],
)
def test_package_that_is_not_installed_is_named_with_the_command_that_installs_it(
    as_: str,
    package: str,
    ended: list[RunResult],
    here: Here,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = here("export", "last", "--as", as_, "--output", "out")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"jmlp: error: --as {as_}: needs the package {package} (")
    assert done.err.endswith(f"); install it with: {command_that_installs(package)}\n")
    assert not (here.folder / "out").exists()
