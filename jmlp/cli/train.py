"""`jmlp train`: trains one configuration over a few seeds, and saves its best network."""

import hashlib
from collections.abc import Sequence
from dataclasses import fields, make_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_origin, get_type_hints

from cyclopts import Parameter

from jmlp.cli.hardware import TrainingHardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.store_option import StoreOption
from jmlp.cli.table_flags import TableFlags
from jmlp.errors import CheckFailed, ConfigError
from jmlp.study import data_names
from jmlp.study.config import USED_ONLY_WITH, Hyperparams, identity
from jmlp.study.rules import PER_LAYER, plain, toml_value
from jmlp.study.values import TypedError, read_typed
from jmlp.system import files

if TYPE_CHECKING:
    from jmlp.data import Dataset
    from jmlp.training.plan import Plan
    from jmlp.training.records import RunResult

SHORT = {"learning_rate": "--lr"}  # second names
NUMBER = (bool, int, float)
TYPES = get_type_hints(Hyperparams)


def _options() -> type:
    """A class of command options for the hyperparameters, from their fields in `Hyperparams`."""
    options: list[tuple[str, Any, Any]] = []
    for known in fields(Hyperparams):
        kind, default, text = TYPES[known.name], known.default, known.metadata["help"]
        if known.name in USED_ONLY_WITH:
            other, needed = USED_ONLY_WITH[known.name]
            values = "" if needed == (True,) else f" {' or '.join(needed)}"
            option = f"--{other.replace('_', '-')}{values}"
            kind, default, text = kind | None, None, f"{text} Only with {option}."
        elif kind not in NUMBER and get_origin(kind) is not Literal:
            kind, default = str, _as_text(default)
        names = (f"--{known.name.replace('_', '-')}", *filter(None, [SHORT.get(known.name)]))
        options.append((known.name, Annotated[kind, Parameter(name=names, help=text)], default))
    made = make_dataclass("HyperparameterOptions", options, frozen=True)
    made.__module__ = __name__
    flat: type = Parameter(name="*")(made)
    return flat


def _as_text(default: Any) -> str:
    default = toml_value(default)
    if isinstance(default, str):
        return default
    return ",".join(map(str, default)) if isinstance(default, list) else f"{default:g}"


if TYPE_CHECKING:
    HyperparameterOptions = Any
else:
    HyperparameterOptions = _options()


def train(
    *,
    hyperparams: HyperparameterOptions = HyperparameterOptions(),  # noqa: B008 - frozen
    seeds: Annotated[int, Parameter(help="Number of runs, with the seeds 0, 1, 2 ...")] = 1,
    data: Annotated[str, Parameter(help=data_names.HELP)] = "mnist",
    table: TableFlags = TableFlags(),  # noqa: B008 - frozen
    save: Annotated[
        Path | None,
        Parameter(
            converter=as_path,
            help="The file for the network with the lowest validation cost (safetensors).",
        ),
    ] = None,
    force: Annotated[
        bool, Parameter(name=("--force", "-f"), negative=(), help="Replace that file.")
    ] = False,
    fresh: Annotated[
        bool, Parameter(negative=(), help="Train stored runs again, and replace them.")
    ] = False,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Train one configuration over any number of seeds, and save the best network."""
    from jmlp.study.schema import study_of

    settings = {"seeds": seeds, "data": data, **table.settings()}
    study = study_of("jmlp train", {**settings_of(hyperparams), **settings})
    target = None if save is None else files.user_file(save, "--save", force=force)
    from jmlp import data as datasets
    from jmlp.cli import training
    from jmlp.cli.show import show_tables
    from jmlp.cli.study import document
    from jmlp.client.plans import checked_plan
    from jmlp.client.submitting import failure_of
    from jmlp.results.tables import study_tables
    from jmlp.training.plan import data_facts, table_options

    request = hardware.request()  # a wrong number is reported before data is fetched
    dataset = datasets.load(study.data, out.say, table_options(study))
    plan = checked_plan(study, data_facts(dataset), hardware.count())
    submitted = training.queue(
        stored.folder(), _label(plan), plan, dataset, request, out, fresh=fresh
    )
    code = training.train(submitted, out)
    if code is not None:
        return code
    results = submitted.results()
    if (row := submitted.row()).state == "failed":
        raise failure_of(row)
    saved = ""
    try:
        if target is not None:
            saved = f"wrote {save}: {_save(target, submitted.folder, results, dataset)}"
    finally:  # the results are shown even if saving fails
        if out.json:
            out.print_json(document(submitted, results))
        else:
            show_tables(study_tables(study, results, plan.facts), out)
    if saved:
        out.say(saved)
    return 0


def _label(plan: "Plan") -> str:
    """The label in the store of this configuration on these data, whatever its seeds."""
    run = plan.runs[0]
    settings = sorted(identity(run.hyperparams).items())
    text = repr((settings, plan.study.data, sorted(plan.facts.digests.items())))
    return f"train-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _save(path: Path, folder: Path, results: "Sequence[RunResult]", dataset: "Dataset") -> str:
    """Writes the network with the lowest validation cost; returns a description of it.

    Raises:
        CheckFailed: every run diverged, so there is no network.
        StoreError: the file cannot be written.
    """
    from jmlp.data.contract import contract_of
    from jmlp.results import weights
    from jmlp.store import run_files

    trained = [run for run in results if run.validation_cost is not None]
    if not trained:
        raise CheckFailed(f"{path}: not written: every run diverged")
    best = min(trained, key=lambda run: run.validation_cost or 0.0)
    stored = run_files.read(run_files.path_of(folder, best.run_id))
    weights.save_stored(path, stored, contract_of(dataset))
    return f"seed {best.seed}, the lowest validation cost" if len(results) > 1 else "the network"


def settings_of(hyperparams: "HyperparameterOptions") -> dict[str, Any]:
    """The hyperparameters that are given, as TOML values by name.

    Raises:
        ConfigError: one is not one value.
    """
    values = {
        known.name: _value(known.name, getattr(hyperparams, known.name))
        for known in fields(Hyperparams)
    }
    return {name: value for name, value in values.items() if value is not None}


def _value(name: str, option: Any) -> Any:
    """The TOML value of a hyperparameter given as text: `20,7,5`, `0.5`, `none`.

    What is not a number remains text; the rules of study files then report the problem.

    Raises:
        ConfigError: it is not one value.
    """
    kind = get_origin(TYPES[name])
    if not isinstance(option, str) or kind is Literal:
        return option
    flag = f"--{name.replace('_', '-')}"
    if name in PER_LAYER and "," in option and option[:1] not in "[(":
        option = f"[{option}]"  # there are no axes here, so it can only be one per hidden layer
    try:
        typed = read_typed(name, option)
    except TypedError as error:
        raise ConfigError(f"{flag}: {error}") from None
    if typed.several:
        raise ConfigError(
            f"{flag}: takes one value, got {plain(option)}: jmlp study tries several, as in "
            f"jmlp study demo --set '{name}={plain(option)}'"
        )
    return typed.values[0]
