"""Every stored network of several runs is asked about one drawing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import experiment
from inspected_runs import save_midway, submit, train, write_data, write_digits
from scipy.special import softmax
from sketches import drawn

import jmlp
from jmlp.data.contract import Contract
from jmlp.data.image import LOOKS_OF_MNIST
from jmlp.errors import DataError, StoreError
from jmlp.inspection import asking
from jmlp.inspection import helper as worker
from jmlp.inspection.answers import Answers, from_bytes, from_table, to_bytes
from jmlp.inspection.compute import data_of
from jmlp.results.weights import restore
from jmlp.store import RunRow, Store, networks
from jmlp.system import helper_server

DIGITS = experiment(seeds=(0, 1), hidden=(20,), epochs=6)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with two seeds, trained on digits, and with a third that has diverged."""
    folder = tmp_path_factory.mktemp("asked")
    diverging = experiment(seeds=(2,), name="wild", hidden=(20,), epochs=6, learning_rate=1e30)
    train(folder, write_digits(folder), DIGITS, diverging)
    return folder


def ids(folder: Path) -> list[str]:
    """The runs of a store, by their seeds."""
    with Store(folder, viewer=True) as store:
        return [row.run_id for row in sorted(store.runs(), key=lambda row: row.seed)]


def ask(folder: Path, pixels: Any, run_ids: Sequence[str] = (), **request: Any) -> dict[str, Any]:
    """What the app is answered."""
    asked = {"store": str(folder), "run_ids": run_ids or ids(folder), "as_is": None}
    about = {} if pixels is None else {"pixels": to_bytes(pixels)}
    return asking.Drawings().answer({**asked, **about, **request}, print)


def answers(folder: Path, pixels: Any, **request: Any) -> Answers:
    return from_table(ask(folder, pixels, **request)["answers"])


def test_every_probability_is_that_of_predict(trained: Path) -> None:
    found = ask(trained, drawn())
    x = from_bytes(found["seen"]).reshape(1, -1)
    runs = from_table(found["answers"]).runs
    assert [run.seed for run in runs] == [0, 1, 2]
    with Store(trained, viewer=True) as store:
        for run in runs:
            stored = networks.read(store, run.run_id)
            assert (run.epochs, run.best) == (stored.epochs, stored.best)
            for tensors, p in zip(stored.tensors, run.probabilities, strict=True):
                network = restore(tensors, stored.hyperparams, 784, 10)
                logits = np.asarray(jmlp.predict(*network, x))
                np.testing.assert_allclose(p, softmax(logits, axis=1)[0], rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("at", "size"), [((6, 6), 0.5), ((80, 60), 0.5), ((6, 44), 0.7)])
def test_a_digit_in_a_corner_gets_the_answer_of_the_same_digit_in_the_middle(
    trained: Path, at: tuple[int, int], size: float
) -> None:
    middle, corner = (
        answers(trained, drawn(at=place, size=size)).runs[:2] for place in ((40, 36), at)
    )
    for one, other in zip(middle, corner, strict=True):
        np.testing.assert_allclose(one.probabilities, other.probabilities, atol=0.04)
    assert {int(run.probabilities[-1].argmax()) for run in corner} == {7}


def test_used_as_it_is_a_digit_in_a_corner_stays_there(trained: Path) -> None:
    found = ask(trained, drawn(at=(3, 3), size=0.5), as_is=True)
    seen = from_bytes(found["seen"])
    assert found["how"] == "scaled to 28 x 28, otherwise as it is"
    assert seen[:14, :14].sum() == pytest.approx(seen.sum(), rel=0.2)


def test_a_blank_sheet_is_refused(trained: Path) -> None:
    with pytest.raises(DataError, match=r"^the drawing: all pixels are equal: there is nothing"):
        ask(trained, np.zeros((112, 112), np.uint8))


def test_a_drawing_that_is_unlike_the_data_has_a_caution(trained: Path) -> None:
    zigzag = [(x, 7 * row) for row in range(12) for x in ((0, 80) if row % 2 else (80, 0))]
    (caution,) = ask(trained, drawn(*zigzag, at=(15, 15)))["cautions"]
    assert caution.startswith("it is unlike the network's training data: ink covers ")
    left, right = (drawn(at=(x, 16), size=0.6) for x in (4, 70))
    (caution,) = ask(trained, np.maximum(left, right))["cautions"]
    assert caution.startswith("only 50% of the ink on the picture is taken for the digit: ")


def test_a_file_is_read_as_by_the_command(trained: Path, tmp_path: Path) -> None:
    np.save(tmp_path / "seven.npy", drawn())
    by_file, by_hand = (
        ask(trained, None, path=str(tmp_path / "seven.npy")),
        ask(trained, drawn()),
    )
    assert by_file == by_hand
    with pytest.raises(DataError, match=r"eight\.npy: cannot be read"):
        ask(trained, None, path=str(tmp_path / "eight.npy"))


def test_examples_are_those_of_the_validation_part_in_turn(trained: Path) -> None:
    with Store(trained, viewer=True) as store:
        stored = networks.read(store, ids(trained)[0])
        dataset = data_of(stored, print)
    _, rows = dataset.split(stored.split_seed, stored.validation_fraction)
    for number, row in ((0, rows[0]), (3, rows[3]), (len(rows) + 1, rows[1])):
        found = ask(trained, None, example=number)
        seen = from_bytes(found["seen"])
        np.testing.assert_array_equal(seen.reshape(-1), dataset.x_train[row])
        example = number % len(rows)
        label = int(dataset.y_train[row])
        assert found["how"] == f"example {example} of the validation part, class {label}"


def test_a_run_of_other_data_is_left_out_and_named(tmp_path: Path) -> None:
    train(tmp_path, write_digits(tmp_path, 200), experiment(hidden=(5,), epochs=1))
    with Store(tmp_path) as store:
        other = submit(store, write_data(tmp_path), experiment(seeds=(7,), epochs=1, name="two"))
        save_midway(store, other, write_data(tmp_path), epoch=1, step=0)
    found = answers(tmp_path, drawn())
    (left_out,) = found.left_out
    assert (left_out.seed, len(found.runs)) == (7, 1)
    assert left_out.why == f"run {other.runs[0].run_id[:8]} was trained on other data"


def test_a_run_in_training_answers_with_its_networks_so_far(tmp_path: Path) -> None:
    dataset = write_digits(tmp_path, 200)
    with Store(tmp_path) as store:
        made = submit(store, dataset, experiment(hidden=(5,), epochs=5))
        with pytest.raises(StoreError, match=r"has no snapshots yet \(running\)"):
            ask(tmp_path, drawn())
        save_midway(store, made, dataset, epoch=2, step=0)
    (run,) = answers(tmp_path, drawn()).runs
    assert (run.state, run.epochs) == ("running", (0, 1, 2))


def test_a_run_without_networks_is_left_out_with_the_reason(tmp_path: Path) -> None:
    dataset = write_digits(tmp_path, 200)
    train(tmp_path, dataset, experiment(hidden=(5,), epochs=1))
    with Store(tmp_path) as store:
        submit(store, dataset, experiment(seeds=(1,), hidden=(5,), epochs=1, name="two"))
    (left_out,) = answers(tmp_path, drawn()).left_out
    assert left_out.seed == 1
    assert "has no snapshots yet (running)" in left_out.why


def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose networks are read from now on, in order."""
    runs: list[str] = []
    really = asking.read

    def read(store: Store, row: RunRow) -> asking.Asked:
        runs.append(row.run_id)
        return really(store, row)

    monkeypatch.setattr(asking, "read", read)
    return runs


def test_networks_are_read_again_only_if_they_have_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = write_digits(tmp_path, 200)
    read = counted(monkeypatch)
    drawings = asking.Drawings()
    with Store(tmp_path) as store:
        made = submit(store, dataset, experiment(hidden=(5,), epochs=5))
        request = {
            "store": str(tmp_path),
            "run_ids": [made.runs[0].run_id],
            "pixels": to_bytes(drawn()),
            "as_is": None,
        }
        for epoch in (1, 2):
            save_midway(store, made, dataset, epoch=epoch, step=0)
            for _ in range(3):
                (run,) = from_table(drawings.answer(request, print)["answers"]).runs
                assert run.epochs[-1] == epoch
    assert len(read) == 2


def test_networks_that_take_too_much_memory_are_forgotten_the_oldest_first(
    trained: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "MOST_BYTES", 1)
    read = counted(monkeypatch)
    kept, wanted = asking.Kept(), ids(trained)
    with Store(trained, viewer=True) as store:
        for run_id in (wanted[0], wanted[0], wanted[1], wanted[0]):
            kept.read(store, store.run(run_id))
    assert read == [wanted[0], wanted[1], wanted[0]]


def test_the_ink_of_a_drawing_is_that_of_the_data() -> None:
    """Light ink on dark paper becomes dark ink where the data have that, used as it is too."""
    looks = replace(LOOKS_OF_MNIST, paper="light")
    contract = Contract((28, 28), 10, "uint8", 0, 255, looks)
    for as_is in (None, True):
        picture = asking.read_drawing(drawn(), contract, as_is=as_is)
        assert picture.seen[0, 0] > 250
        assert picture.seen.min() < 60


def test_the_helper_answers_and_names_what_is_wrong(trained: Path) -> None:
    messages: list[Any] = []
    request = {
        "do": "draw",
        "store": str(trained),
        "run_ids": ids(trained),
        "pixels": to_bytes(drawn()),
        "as_is": None,
    }
    assert helper_server.answer(request, messages.append, worker.answer) == 0
    assert messages[-1]["done"]["how"] == "light ink on dark paper: found, cropped and centred"
    blank = {**request, "pixels": to_bytes(np.zeros((112, 112), np.uint8))}
    assert helper_server.answer(blank, messages.append, worker.answer) == DataError.exit_code
    assert messages[-1]["error"].startswith("the drawing: all pixels are equal")
