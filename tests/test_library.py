"""The library as users expect: networks that predict, studies of arrays, their own optimisers."""

import re
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from commands import Here
from helpers import SMALL, SMALL_DATA, assert_equal_bits, experiment, study
from sklearn.metrics import accuracy_score, log_loss

import jmlp
from jmlp.errors import CheckFailed, ConfigError, DataError, JmlpError
from jmlp.results.tables import study_tables
from jmlp.study.file import parse_study, to_toml

X, Y = SMALL_DATA.x_train, SMALL_DATA.y_train
X_TEST, Y_TEST = np.asarray(SMALL_DATA.x_test), np.asarray(SMALL_DATA.y_test)


@pytest.fixture(scope="module")
def result() -> jmlp.RunResult:
    return jmlp.fit(SMALL, X, Y)


def test_version_is_that_of_the_package() -> None:
    assert jmlp.__version__ == version("jmlp")


# predict and score


def test_score_is_that_of_scikit_learn(result: jmlp.RunResult) -> None:
    predicted = result.predict(X_TEST)
    assert (predicted.shape, predicted.dtype.kind) == (Y_TEST.shape, "i")
    assert result.score(X_TEST, Y_TEST) == accuracy_score(Y_TEST, predicted)
    shares = result.network.predict_proba(X_TEST)
    np.testing.assert_array_equal(shares.argmax(axis=1), predicted)
    cost = result.score(X_TEST, Y_TEST, "cost")
    assert cost == pytest.approx(log_loss(Y_TEST, shares / shares.sum(1, keepdims=True)), rel=1e-5)


def test_score_agrees_with_the_result_and_with_the_logits(result: jmlp.RunResult) -> None:
    own = jmlp.fit(SMALL, X, Y, validation=(X_TEST, Y_TEST))
    assert own.score(X_TEST, Y_TEST) == own.validation_accuracy
    assert own.score(X_TEST, Y_TEST, "cost") == pytest.approx(own.validation_cost, rel=1e-5)
    logits = np.asarray(jmlp.predict(result.params, result.state, X_TEST))
    np.testing.assert_array_equal(result.predict(X_TEST), logits.argmax(axis=1))


def test_classes_of_many_examples_are_those_of_each(
    result: jmlp.RunResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = result.predict(X_TEST)
    monkeypatch.setattr("jmlp.results.weights.PART", 7)
    np.testing.assert_array_equal(result.predict(X_TEST), whole)
    assert [int(result.predict(x)) for x in X_TEST[:5]] == whole[:5].tolist()
    assert result.predict(X_TEST[:0]).shape == (0,)


def test_bytes_and_the_numbers_that_they_stand_for_have_the_same_class(
    result: jmlp.RunResult,
) -> None:
    np.testing.assert_array_equal(
        result.predict((X_TEST / 255).astype(np.float32)), result.predict(X_TEST)
    )


@pytest.mark.parametrize(
    ("ask", "kind", "told"),
    [
        (lambda r: r.predict(X_TEST[:, :5]), DataError, "x: shape (60, 5); the network expects 20"),
        (lambda r: r.predict(X_TEST - 300.0), DataError, "x: numbers from -300 to"),
        (lambda r: r.score(X_TEST, Y_TEST[1:]), DataError, "59 labels in y, but x has 60 examples"),
        (lambda r: r.score(X_TEST, Y_TEST + 1), DataError, "score: y: label 3, but those of the"),
        (lambda r: r.score(X_TEST, Y_TEST * 1.0), DataError, "score: y: type float64; labels"),
        (lambda r: r.score(X_TEST, Y_TEST[:, None]), DataError, "score: y: shape (60, 1); must"),
        (lambda r: r.score(X_TEST[0], Y_TEST[:1]), DataError, "score: x: shape (20,): must be one"),
        (lambda r: r.score(X_TEST[:0], Y_TEST[:0]), DataError, "score: y: no labels"),
        (lambda r: r.score(X_TEST, Y_TEST, "f1"), ConfigError, "must be 'accuracy' or 'cost', got"),
    ],
)
def test_what_cannot_be_scored_is_refused(
    ask: Any, kind: type[JmlpError], told: str, result: jmlp.RunResult
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        ask(result)


def test_diverged_run_has_no_network(tmp_path: Path) -> None:
    diverged = jmlp.fit(replace(SMALL, learning_rate=1e30), X, Y)
    for ask in (lambda: diverged.predict(X), lambda: diverged.save(tmp_path / "net")):
        with pytest.raises(CheckFailed, match=r"^run \w{8}: has no network: it diverged$"):
            ask()
    assert list(tmp_path.iterdir()) == []


# save and load


def test_loaded_network_predicts_as_the_saved_one(
    result: jmlp.RunResult, tmp_path: Path, here: Here
) -> None:
    path = tmp_path / "net.safetensors"
    result.save(str(path))
    loaded = jmlp.load(str(path))
    assert_equal_bits(loaded.params, result.params)
    assert loaded.hyperparams == result.hyperparams
    assert loaded.contract == result.network.contract
    assert loaded.about["run_id"] == result.run_id
    np.testing.assert_array_equal(
        loaded.predict_proba(X_TEST), result.network.predict_proba(X_TEST)
    )
    again = tmp_path / "again.safetensors"
    loaded.save(again)
    assert again.read_bytes() == path.read_bytes()
    # The command accepts it too.
    np.save(here.folder / "x.npy", X_TEST[0])
    done = here("predict", str(path), "x.npy", "--quiet")
    assert (done.code, done.out.split()[1]) == (0, str(loaded.predict(X_TEST[0])))


# classes with names, and tables


NAMES = np.array(["down", "left", "up"])
FRAME = {f"f{column}": X[:, column].astype(float) for column in range(5)}
FRAME_TEST = {f"f{column}": X_TEST[:, column].astype(float) for column in range(5)}


def test_classes_are_answered_in_the_words_of_the_labels(tmp_path: Path) -> None:
    numbered, named = jmlp.fit(SMALL, X, Y), jmlp.fit(SMALL, X, NAMES[Y])
    np.testing.assert_array_equal(named.predict(X_TEST), NAMES[numbered.predict(X_TEST)])
    assert str(named.predict(X_TEST[0])) in NAMES
    assert named.score(X_TEST, NAMES[Y_TEST]) == numbered.score(X_TEST, Y_TEST)
    assert named.score(X_TEST, NAMES[Y_TEST].tolist(), "cost") == numbered.score(
        X_TEST, Y_TEST, "cost"
    )
    with pytest.raises(DataError, match="score: y: row 1: 'right' is no class of the"):
        named.score(X_TEST, ["right"] * 60)
    named.save(tmp_path / "net")
    assert set(jmlp.load(tmp_path / "net").predict(X_TEST)) <= set(NAMES)


def test_network_of_a_table_takes_raw_rows_in_any_form(tmp_path: Path) -> None:
    fitted = jmlp.fit(SMALL, FRAME, NAMES[Y])
    expected = fitted.predict(FRAME_TEST)
    assert fitted.score(FRAME_TEST, NAMES[Y_TEST]) == accuracy_score(NAMES[Y_TEST], expected)
    rows = np.stack(list(FRAME_TEST.values()), axis=1)
    np.testing.assert_array_equal(fitted.predict(rows), expected)
    np.testing.assert_array_equal(fitted.predict(dict(reversed(FRAME_TEST.items()))), expected)
    assert str(fitted.predict(rows[0])) == expected[0]
    fitted.save(tmp_path / "net")
    np.testing.assert_array_equal(jmlp.load(tmp_path / "net").predict(FRAME_TEST), expected)
    with pytest.raises(DataError, match="f3"):
        fitted.predict({name: column for name, column in FRAME_TEST.items() if name != "f3"})


def test_study_of_frames_and_names_has_results() -> None:
    one = jmlp.Study("s", (jmlp.Experiment("e", SMALL, seeds=(0,)),))
    for x, x_test in ((X, X_TEST), (FRAME, FRAME_TEST)):
        data, test = (x, NAMES[Y]), (x_test, NAMES[Y_TEST])
        (run,) = (r for p in jmlp.run_study(one, data, test=test) for r in p.results)
        assert run.test_accuracy == run.score(*test)


# representations


def test_representations_are_one_line_without_arrays(result: jmlp.RunResult) -> None:
    records = list(jmlp.run_study(study(experiment({"drop_rate": (0.0, 0.5)})), SMALL_DATA))
    texts = {
        repr(result): f"RunResult({result.run_id[:8]}, seed 0, finished in epoch 4, training "
        f"accuracy {result.training_accuracy:.2%}, validation accuracy "
        f"{result.validation_accuracy:.2%})",
        repr(result.network): "Network(20-5-4-3)",
        repr(SMALL_DATA): "Dataset(small: 208 examples and 60 to test, uint8 of (20,), 3 classes)",
        repr(experiment({"drop_rate": (0.0, 0.5)})): "Experiment(one: 2 drop_rate, 1 seed)",
        repr(study(experiment(seeds=(0, 1)))): "Study(study: Experiment(one: 1 configuration, 2 "
        "seeds))",
        repr(records[-1]): "Progress(finished, 2 of 2 runs done, epoch 4, 0 new points, 0 new "
        "results)",
        repr(result.last): "Snapshot(epoch 4)",
    }
    assert list(texts) == list(texts.values())


# studies of arrays


def test_study_of_arrays_is_the_study_of_the_same_data_set() -> None:
    made = jmlp.Study("s", (jmlp.Experiment("e", SMALL, {"drop_rate": (0.0, 0.5)}, range(2)),))
    pairs = ((X, Y), (X_TEST, Y_TEST))
    runs = [r for p in jmlp.run_study(made, pairs[0], test=pairs[1]) for r in p.results]
    same = [r for p in jmlp.run_study(made, SMALL_DATA) for r in p.results]
    for ended in (runs, same):  # their ids, and so their order, differ with the type of the labels
        ended.sort(key=lambda run: (run.hyperparams.drop_rate, run.seed))
    for one, other in zip(runs, same, strict=True):
        assert_equal_bits(one.params, other.params)
        assert one.test_cost == other.test_cost
    assert runs[0].test_accuracy == runs[0].score(X_TEST, Y_TEST)
    (table,) = jmlp.tables(made, runs)
    assert [row.n for row in table.rows] == [2, 2]
    assert [row.is_baseline for row in table.rows] == [True, False]
    lines = str(table).splitlines()
    assert lines[0] == "e"
    assert lines[2].split() == [word for c in table.columns for word in c.title.split()]
    assert all(note in lines for note in table.notes)
    assert len({len(line) for line in lines[2:5]}) == 1


def test_baseline_of_an_experiment_is_its_base_unless_it_is_given() -> None:
    made = jmlp.Experiment("e", replace(SMALL, drop_rate=0.5), {"drop_rate": [0.0, 0.5]}, range(3))
    assert (made.baseline, made.seeds) == ({"drop_rate": 0.5}, (0, 1, 2))
    given = replace(made, baseline={"drop_rate": 0.0})
    assert given.baseline == {"drop_rate": 0.0}
    read = parse_study(to_toml(jmlp.Study("s", (made,))), "s")
    assert study_tables(read, ()) == jmlp.tables(jmlp.Study("s", (made,)), [])


@pytest.mark.parametrize(
    ("call", "kind", "told"),
    [
        ({"dataset": X}, ConfigError, "run_study: dataset: must be (x, y), or a frame"),
        ({"dataset": (X, Y, X)}, ConfigError, "run_study: dataset: must be (x, y), or a frame"),
        ({"dataset": (X, Y), "test": X}, ConfigError, "run_study: test: must be (x, y), or a"),
        ({"dataset": (X, Y[1:])}, DataError, "run_study: 208 images in x, 207 labels in y"),
        (
            {"dataset": (X, Y), "test": (X_TEST[:, 1:], Y_TEST)},
            DataError,
            "run_study: x of test: images of shape (19,), but those of x are (20,)",
        ),
        (
            {"dataset": SMALL_DATA, "test": (X_TEST, Y_TEST)},
            ConfigError,
            "run_study: test: only beside data of the form (x, y)",
        ),
    ],
)
def test_arrays_that_are_no_data_are_refused(
    call: dict[str, Any], kind: type[JmlpError], told: str
) -> None:
    with pytest.raises(kind, match=re.escape(told)):
        next(jmlp.run_study(study(experiment()), **call))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"seeds": ()}, "seeds: must be"),
        ({"seeds": 3.5}, "study: must be a jmlp.study.config.Study"),
        ({"axes": {"drop_rate": (0.1, 0.2)}, "baseline": {}}, "must be a value of its axis"),
    ],
)
def test_experiment_that_no_file_could_hold_is_refused(changes: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        next(jmlp.run_study(study(replace(experiment(), **changes)), (X, Y)))


def test_points_of_progress_are_the_costs_of_the_result() -> None:
    points: dict[str, list[Any]] = {}
    for progress in jmlp.run_study(study(experiment(seeds=(0, 1))), (X, Y)):
        for run_id, point in progress.points.items():
            points.setdefault(run_id, []).append(point)
        for run in progress.results:
            assert tuple(points.pop(run.run_id)) == run.costs
    assert points == {}


# forward, cost, backward


def test_gradient_of_the_public_functions_is_that_of_autodiff() -> None:
    params, state = jmlp.init(SMALL, 20, 3, jax.random.key(0))
    x, y = jnp.asarray(X[:8]), jnp.asarray(Y[:8])

    def cost_of(params: Any) -> jax.Array:
        logits = jmlp.predict(params, state, x)
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(8), y])

    logits, _, caches = jmlp.forward(params, state, x, None, 0.0)
    mean_cost, dlogits = jmlp.cost(logits, y)
    assert logits.shape == dlogits.shape == (8, 3)
    expected_cost, expected = jax.value_and_grad(cost_of)(params)
    assert float(mean_cost) == pytest.approx(float(expected_cost), rel=1e-6)
    found = jmlp.backward(dlogits, caches)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), found, expected
    )


def test_derivatives_of_the_wrong_orientation_are_refused() -> None:
    params, state = jmlp.init(SMALL, 20, 3, jax.random.key(0))
    logits, _, caches = jmlp.forward(params, state, X[:8], None, 0.0)
    with pytest.raises(DataError, match=re.escape("dlogits: shape (3, 8), must be that of")):
        jmlp.backward(logits.T, caches)
    with pytest.raises(
        DataError, match=re.escape("logits of shape (3, 8) and labels of shape (8,")
    ):
        jmlp.cost(logits.T, Y[:8])
    with pytest.raises(DataError, match="cost: y: type float"):
        jmlp.cost(logits, Y[:8] * np.float32(1))
    with pytest.raises(ConfigError, match="caches must be those"):
        jmlp.backward(logits, params)  # type: ignore[arg-type]


# an optimiser of one's own

PLAIN = replace(SMALL, learning_rate=jmlp.Hyperparams().learning_rate)


@pytest.mark.parametrize(
    ("own", "built_in"),
    [
        (optax.adam(0.01), {"optimizer": "adam", "learning_rate": 0.01}),
        (optax.sgd(0.1, momentum=0.8), {"optimizer": "momentum", "momentum": 0.8}),
        (
            optax.sgd(optax.linear_schedule(0.1, 0.0, 40)),  # 4 epochs of 10 updates
            {"schedule": "linear"},
        ),
    ],
)
def test_optimiser_of_optax_trains_as_ours(own: Any, built_in: dict[str, Any]) -> None:
    found = jmlp.fit(PLAIN, X, Y, optimizer=own)
    ours = jmlp.fit(replace(SMALL, **built_in), X, Y)
    np.testing.assert_allclose(
        [point.validation_cost for point in found.costs],
        [point.validation_cost for point in ours.costs],
        rtol=1e-4,
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5),
        found.params,
        ours.params,
    )


def test_run_with_an_optimiser_of_ones_own_has_no_identity_and_no_file(tmp_path: Path) -> None:
    own = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.01))
    found = jmlp.fit(replace(PLAIN, epochs=2), X, Y, optimizer=own)
    assert found.run_id == ""
    assert repr(own) in repr(found.hyperparams)
    assert repr(found).startswith("RunResult(without id, seed 0, ")
    assert 0 <= found.score(X_TEST, Y_TEST) <= 1
    with pytest.raises(ConfigError, match="save: trained with an optimizer or activation of"):
        found.save(tmp_path / "net")
    assert list(tmp_path.iterdir()) == []


class Broken:
    """An optimiser with a fault."""

    def __init__(self, fault: str) -> None:
        self.fault = fault

    def init(self, params: Any) -> Any:
        return jnp.inf if self.fault == "state" else jnp.zeros((), jnp.int32)

    def update(self, grads: Any, state: Any, params: Any) -> Any:
        if self.fault == "raises":
            raise ValueError("no such leaf")
        if self.fault == "shape":
            return jax.tree.map(lambda g: g[:1], grads), state
        return grads, state + 0.5


@pytest.mark.parametrize(
    ("optimizer", "changes", "told"),
    [
        ("adam", {}, "optimizer: must have init(params) and update(grads, state, params), as"),
        (Broken("raises"), {}, "optimizer: it fails on the parameters of this network: no such"),
        (Broken("state"), {}, "optimizer: its initial state has a value that is no finite number"),
        (Broken("shape"), {}, "optimizer: its update must return arrays shaped like"),
        (Broken("type"), {}, "optimizer: its update must return arrays shaped like"),
        (
            optax.sgd(0.1),
            {"learning_rate": 0.1, "schedule": "linear"},
            "learning_rate: has no effect beside an optimizer of your own: leave it out\n"
            "schedule: has no effect beside an optimizer of your own: leave it out",
        ),
        (optax.sgd(0.1), {"backward_fault": "updated_weights"}, "backward_fault: 'updated_wei"),
    ],
)
def test_optimiser_that_cannot_train_is_refused(
    optimizer: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        jmlp.fit(replace(PLAIN, **changes), X, Y, optimizer=optimizer)


# an activation of one's own


@pytest.mark.parametrize(
    ("own", "name"), [(jnp.tanh, "tanh"), (lambda Z: Z * jax.nn.sigmoid(Z), "silu")]
)
def test_activation_of_ones_own_trains_as_ours(own: Any, name: str) -> None:
    found = jmlp.fit(SMALL, X, Y, activation=own)
    ours = jmlp.fit(replace(SMALL, activation=name), X, Y)  # type: ignore[arg-type]
    assert (found.run_id, found.seed) == ("", 0)
    np.testing.assert_allclose(
        [point.validation_cost for point in found.costs],
        [point.validation_cost for point in ours.costs],
        rtol=1e-4,
    )
    assert found.score(X_TEST, Y_TEST) == ours.score(X_TEST, Y_TEST)


@pytest.mark.parametrize(
    ("activation", "changes", "told"),
    [
        ("tanh", {}, "activation: must be a function, got 'tanh' (a string)"),
        (lambda Z: Z[:1], {}, "activation: must return an array of the shape and type of its"),
        (lambda Z: Z > 0, {}, "activation: must return an array of the shape and type of its"),
        (lambda Z: Z @ Z, {}, "activation: it fails on an array of float32: "),
        (
            jnp.tanh,
            {"activation": "gelu"},
            "activation: has no effect beside an activation of your own: leave it out",
        ),
    ],
)
def test_activation_that_cannot_train_is_refused(
    activation: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(ConfigError, match="^" + re.escape(told)):
        jmlp.fit(replace(SMALL, **changes), X, Y, activation=activation)
