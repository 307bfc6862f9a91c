"""The cost of the store: the dropout experiment by the command, against the engine alone."""

import json
import os
import statistics
import time
from pathlib import Path

from common import command, stress
from measuring import Options, Row, say, workplace

from jmlp.store import Store
from jmlp.system import environment, files

ROUNDS, EPOCHS, SEEDS = 4, 45, 2  # 20 to 30 s each
NICE = 10  # the niceness of a worker
MAX_SHARE = 0.05  # by which the store may slow down the experiment
CHANGES = ("patience=none",)


def cost(options: Options) -> Row:
    """Measures both in turn, each in a process of its own, after filling the compile cache.

    The time is that from the event "started" to the event "done" of the study: JAX's start, data to
    the devices, programs from the cache, training, and all files and rows. For the engine alone, it
    is the equivalent measured from outside: from finding the devices to the last record. The
    command polls the store meanwhile, as always. Both have the niceness of a worker.
    """
    rounds = 1 if options.quick else options.cases or ROUNDS
    epochs = EPOCHS // 3 if options.quick else EPOCHS
    alone: list[float] = []
    stored: list[float] = []
    with workplace() as folder:
        _alone(folder, epochs=2)  # fills the cache of compiled programs
        for number in range(rounds):
            alone.append(_alone(folder, epochs))
            stored.append(_stored(folder, folder / f"store-{number}", epochs))
            say(f"engine alone {alone[-1]:.2f} s, through the store {stored[-1]:.2f} s")
    before, after = statistics.median(alone), statistics.median(stored)
    share = after / before - 1
    return Row(
        f"the dropout experiment on MNIST ({SEEDS} seeds, {epochs} epochs) through command, worker "
        f"and store, against the engine alone, {rounds} of each in turn",
        f"at most {MAX_SHARE:.0%} longer",
        f"{100 * share:+.1f} %: median {after:.2f} s ({min(stored):.2f}–{max(stored):.2f}) "
        f"against {before:.2f} s ({min(alone):.2f}–{max(alone):.2f})",
        ok=share <= MAX_SHARE,
    )


def engine_alone(epochs: str) -> None:
    """Trains without a store, in a process of its own; prints the seconds that it took."""
    os.nice(NICE)
    environment.prepare("auto", None, files.compile_cache_dir())
    from jmlp import data as datasets
    from jmlp.study.file import load_study
    from jmlp.training import engine
    from jmlp.training import plan as planning

    study = load_study(
        "original",
        experiments=["dropout"],
        seeds=SEEDS,
        epochs=int(epochs),
        overrides=CHANGES,
    )
    dataset = datasets.load(study.data)
    plan = planning.make_plan(study, planning.data_facts(dataset))
    started = time.monotonic()
    devices = engine.find_devices("auto")
    if devices[0].platform == "cpu":
        devices = devices[: environment.default_cores()]
    for _ in engine.run(plan, dataset, devices):
        pass
    print(json.dumps(time.monotonic() - started))


def _alone(folder: Path, epochs: int) -> float:
    log = folder / "alone.log"
    if stress("--part", "cost", "engine_alone", str(epochs), log=log).wait() != 0:
        raise RuntimeError(log.read_text())
    return float(log.read_text().splitlines()[-1])


def _stored(folder: Path, store: Path, epochs: int) -> float:
    log = store.with_suffix(".log")
    arguments = ["study", "original", "--experiment", "dropout", "--store", str(store), "--force"]
    arguments += ["--seeds", str(SEEDS), "--epochs", str(epochs)]
    arguments += [text for change in CHANGES for text in ("--set", change)]
    if command(*arguments, cwd=folder, log=log).wait() != 0:
        raise RuntimeError(log.read_text())
    with Store(store, viewer=True) as opened:
        (row,) = opened.studies()
        at = {event.kind: event.at for event in opened.events(row.label) if event.run_id is None}
    return (at["done"] - at["started"]) / 1000
