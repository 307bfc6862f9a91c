"""The logic of the study form: turns what is typed into a study, and checks it."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from jmlp.client.choice import Choice, left_out
from jmlp.client.submitting import check_same
from jmlp.errors import ConfigError, DataError
from jmlp.store import StudyRow
from jmlp.study.config import (
    DEFAULTS,
    FLOAT_FIELDS,
    USED_ONLY_WITH,
    Experiment,
    Hyperparams,
    Study,
    in_use,
    n_configurations,
)
from jmlp.study.data_names import is_name
from jmlp.study.file import SHIPPED, load_study
from jmlp.study.rules import plain
from jmlp.study.search import space_text
from jmlp.study.toml_reader import dotted
from jmlp.study.values import TypedError, read_typed, typed_text
from jmlp.system.files import TABLE_SUFFIXES
from tui.feed import StoreView
from tui.text import count

if TYPE_CHECKING:
    from jmlp.client.pace import Pace
    from jmlp.training.plan import DataFacts

FIRST = ("seeds", "epochs", "data", "name")
OF_TABLE = ("label", "leave_out", "missing", "test", "stratify")  # shown only for a table
# The most important come first; one that has an effect only with another comes after that one.
_ORDER = (
    "learning_rate",
    "schedule",
    "warmup",
    "batch_size",
    "hidden",
    "activation",
    "drop_rate",
    "input_drop_rate",
    "batch_norm",
    "optimizer",
    "momentum",
    "weight_decay",
    "l2",
    "max_norm",
    "clip_norm",
    "label_smoothing",
    "class_weight",
    "initialization",
    "weight_std",
    "patience",
    "min_delta",
    "evaluate_every",
    "shift",
    "rotation",
    "elastic",
    "batch_norm_place",
    "batch_norm_scale",
    "backward_fault",
    "training_fault",
)
KEYS = tuple(dict.fromkeys((*FIRST, *OF_TABLE, *_ORDER, *DEFAULTS)))
WORDS = ("name", "data")  # whose text is taken as it is typed
OWN_KEYS = (
    *KEYS[len(FIRST) + len(OF_TABLE) :],
    "epochs",
    "seeds",
)  # that a single experiment can have
LONGEST = 200  # characters of a field
LONGEST_AXIS = 10_000
LONGEST_PATH = 4096
_TYPES = get_type_hints(Hyperparams)
SHOWN = 4  # values of an axis, above which some are left out

NO_PATHS = "in the browser: a name that jmlp data list shows, no path"
NO_EXPERIMENT = "choose at least one experiment (space)"

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_OF_EXPERIMENT = re.compile(r"experiments\.(?P<experiment>.*)\.(?P<name>\w+)", re.DOTALL)
_FLAG = re.compile(
    r"--(?:set )?(?P<key>(?:experiments\..*?\.)?\w+)(?P<step>[\[.][^:]*)?: (?P<text>.*)", re.DOTALL
)
_IN_FILE = re.compile(
    r"(?P<experiment>experiments\.[^:]*?\.)?(?P<key>\w+)(?:\[\d+\])*: .*", re.DOTALL
)

# How to type one value and several, by the kind of the hyperparameter; `*` marks the baseline.
_HOW_FLOAT = "0.1, or several: 0.01, 0.03*, 0.1 or 0.01..1 log 5 (* baseline)"
_HOW_INTEGER = "32, or several: 16, 32*, 64 or 16..2048 x2 (* baseline)"
_HOW = {
    "name": "letters, digits and - . _, at most 64; empty: made of the changes",
    "seeds": "5, or a list: 4, 9 or 10..19 +1",
    "data": "a name: mnist, iris, moons:noise=0.2 … (jmlp data list); or a path",
    "label": "the name of a column",
    "leave_out": "columns, as in id, name",
    "missing": "error, mean or drop; empty: error",
    "stratify": "true or false",
    "test": "0.2 holds out a fifth; or the path of another table",
    "hidden": "64, 32 is one network; 64 | 64, 32* are two (* baseline)",
    "drop_rate": "0 | 0.5* or 0..0.9 +0.1 (* baseline); one per layer: [0.1, 0.5]",
    "activation": "tanh, or several: relu* | tanh (* baseline); one per layer: [relu, tanh]",
    "patience": "5 or none, or several: 2, 5*, none (* baseline)",
    "clip_norm": "1 or none, or several: none*, 1, 5 (* baseline)",
    "max_norm": "3 or none, or several: none*, 2, 4 (* baseline)",
    "evaluate_every": "epoch or 100, or several: epoch*, 100 (* baseline)",
}
_HELP = {f.name: f.metadata["help"] for f in fields(Hyperparams)} | {
    "name": "The study's name in the store.",
    "seeds": "Runs of each configuration.",
    "data": "The data set.",
    "label": "The column that is to be predicted.",
    "leave_out": "Columns that are not features.",
    "missing": "What to do where a value is missing.",
    "test": "The test set.",
    "stratify": "All parts have the same shares of the classes.",
}


def place(key: str) -> tuple[str, str]:
    """The experiment of a field, or "" if it is for all of them, and the name of its value.

    A field's key is what `--set` calls it: `learning_rate`, `experiments.final.learning_rate`.
    """
    found = _OF_EXPERIMENT.fullmatch(key)
    return (found["experiment"], found["name"]) if found else ("", key)


def key_of(experiment: str, name: str) -> str:
    """The key of a field that belongs to one experiment."""
    return dotted(("experiments", experiment, name))


def is_table(data: str) -> bool:
    """Whether data are a table, by their name."""
    return data.lower().endswith(TABLE_SUFFIXES)


def title(key: str) -> str:
    """Returns a field's label, such as `learning rate`."""
    return place(key)[1].replace("_", " ")


def how_to_type(key: str) -> str:
    """Says how a field's value or values are typed, and what they mean."""
    name = place(key)[1]
    how = _HOW.get(name)
    if how is None and name in FLOAT_FIELDS:
        how = _HOW_FLOAT
    if how is None and type(DEFAULTS[name]) is int:
        how = _HOW_INTEGER
    if how is None:
        words = ("false", "true") if type(DEFAULTS[name]) is bool else get_args(_TYPES[name])
        how = f"{' or '.join(words)}, or several: {words[0]}*, {words[1]} (* baseline)"
    return f"{how}   {_HELP[name]}"


def single(key: str, text: str, default: str) -> str:
    """The one value that a field keeps when its axis is removed: the baseline, or the first.

    Args:
        key: the field.
        text: what is typed in it.
        default: returned if that cannot be read.
    """
    name = place(key)[1]
    try:
        typed = read_typed(name, text)
    except TypedError:
        return default
    return typed_text(name, [_as_python(typed.values[typed.baseline or 0])])


def _as_python(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def shipped() -> list[tuple[str, str]]:
    """Returns the names and titles of the built-in studies."""
    return [(name, load_study(name).title) for name in SHIPPED]


# ---- what is typed


def choice_of(origin: Choice, experiments: Sequence[str], texts: Mapping[str, str]) -> Choice:
    """Returns the choice that the same options of the command would make.

    Args:
        origin: the unchanged study.
        experiments: the experiments to run; none means all of them.
        texts: the text of each field; an empty one changes nothing. Those of single experiments
            win, as they come last.
    """
    numbers: dict[str, Any] = {}
    overrides = []
    for key in KEYS:
        text = texts.get(key, "").strip()
        if not text:
            continue
        if key in WORDS:
            numbers[key] = text
        elif key == "label":
            overrides.append(f"label={json.dumps(text)}")  # it may look like a number
        elif key in FIRST and _INTEGER.fullmatch(text):
            numbers[key] = int(text)
        else:
            overrides.append(f"{key}={text}")
    overrides += [f"{key}={text.strip()}" for key, text in texts.items() if place(key)[0] and text]
    return replace(origin, experiments=tuple(experiments), overrides=tuple(overrides), **numbers)


# ---- the unchanged study


@dataclass(frozen=True)
class Part:
    """An experiment that can be chosen or left out."""

    name: str
    title: str
    n_configurations: int
    n_seeds: int
    is_search: bool = False

    @property
    def text(self) -> str:
        """`Batch size, 8 configurations × 5 seeds`."""
        grid = f"{count(self.n_configurations, 'configuration')} × {count(self.n_seeds, 'seed')}"
        return ", ".join(filter(None, (self.title, "search" if self.is_search else "", grid)))


@dataclass(frozen=True)
class Outline:
    """An unchanged study, for the form's experiments and placeholders."""

    study: Study

    @property
    def parts(self) -> tuple[Part, ...]:
        """Its experiments."""
        return tuple(
            Part(e.name, e.title, n_configurations(e), len(e.seeds), e.search is not None)
            for e in self.study.experiments
        )

    def axes(self, name: str) -> list[tuple[str, str]]:
        """The axes of an experiment: their names, and their values as one would type them.

        What a search draws is not typed here: its study file says it.
        """
        (experiment,) = [e for e in self.study.experiments if e.name == name]
        if experiment.search:
            return []
        return [
            (axis, typed_text(axis, values, experiment.baseline[axis]))
            for axis, values in experiment.axes.items()
        ]

    def value(self, name: str, key: str) -> str:
        """The value of a hyperparameter in an experiment without that axis, as one would type it.

        Args:
            name: the experiment.
            key: the hyperparameter, or "seeds".
        """
        (experiment,) = [e for e in self.study.experiments if e.name == name]
        if key == "seeds":
            return _seeds(experiment)
        return typed_text(key, [getattr(experiment.base, key)])

    def hint(self, key: str, experiments: Sequence[str]) -> str:
        """Returns a field's placeholder: the value in these experiments, as one would type it.

        Args:
            key: the field.
            experiments: names of the chosen experiments.
        """
        if key == "data" or key in OF_TABLE:
            value = getattr(self.study, key)
            if isinstance(value, bool):
                return str(value).lower()
            if isinstance(value, tuple):
                return ", ".join(value)
            return "" if value is None else str(value)
        chosen = [e for e in self.study.experiments if e.name in experiments]
        texts = dict.fromkeys(_seeds(e) if key == "seeds" else _setting(e, key) for e in chosen)
        return " or ".join(texts)


def _seeds(experiment: Experiment) -> str:
    seeds = experiment.seeds
    if seeds == tuple(range(len(seeds))):
        return str(len(seeds))
    return f"[{', '.join(map(str, seeds))}]"


def _setting(experiment: Experiment, key: str) -> str:
    if experiment.search and key in experiment.search.space:
        return f"searched: {space_text(key, experiment.search.space[key])}"
    if key in experiment.axes:
        texts = [typed_text(key, [value]) for value in experiment.axes[key]]
        return f"varied: {_some(texts, ' | ' if key == 'hidden' else ', ')}"
    if not in_use(key, experiment.base, experiment.axes):
        other, needed = USED_ONLY_WITH[key]
        return f"only with {title(other)}" + (
            "" if needed == (True,) else f" {' or '.join(needed)}"
        )
    return typed_text(key, [getattr(experiment.base, key)])


def _some(texts: Sequence[str], separator: str) -> str:
    """Joins the texts; of many, the first two and the last."""
    if len(texts) <= SHOWN:
        return separator.join(texts)
    return f"{separator.join(texts[:2])} … {texts[-1]}"


# ---- the check


@dataclass(frozen=True)
class Checked:
    """The result of checking a choice."""

    outline: Outline | None = None  # None: the study cannot be read at all
    changed: Outline | None = None  # with the changes; None if there are problems
    label: str = ""  # in the store
    plan: tuple[str, ...] = ()  # lines; none if there are problems
    summary: str = ""  # of the plan
    problems: tuple[tuple[str, str], ...] = ()  # the field or "", and the message

    def __post_init__(self) -> None:
        """Sorts the problems in the order of the fields."""
        order = {key: i for i, key in enumerate(("", "experiments", *KEYS))}
        # Fields of single experiments follow the experiments, in their order.
        problems = sorted(self.problems, key=lambda problem: order.get(problem[0], 1.5))
        object.__setattr__(self, "problems", tuple(problems))

    @property
    def ok(self) -> bool:
        """Whether the study can be started."""
        return bool(self.plan)

    def of(self, key: str) -> str:
        """Returns the problems of a field, one per line."""
        return "\n".join(text for at, text in self.problems if at == key)

    def verdict(self) -> str:
        """Returns one line: what would be trained, or which fields have problems."""
        if self.ok:
            return self.summary
        if not self.problems:
            return ""
        places = dict.fromkeys(_named(key) or "the study" for key, _ in self.problems)
        n = len(self.problems)
        return f"{count(n, 'problem')}: {', '.join(places)}"


def _named(key: str) -> str:
    """A field's name among all fields: `learning rate`, `final: learning rate`."""
    experiment, _ = place(key)
    return f"{experiment}: {title(key)}" if experiment else title(key)


def check(
    choice: Choice,
    origin: Choice,
    facts: Callable[[Study], "DataFacts"],
    n_cores: int,
    *,
    pace: "Callable[[], Pace] | None" = None,
    rows: Sequence[StudyRow] = (),
    keys: Collection[str] = (),
    none_chosen: bool = False,
    served: bool = False,
) -> Checked:
    """Checks a choice as the command would, and collects all problems.

    Args:
        choice: the changed study.
        origin: the unchanged study.
        facts: reads the facts of a study's data.
        n_cores: the number of CPU cores to train on.
        pace: measures how fast networks were trained; None: a rule of thumb is enough.
        rows: the studies in the store.
        keys: the keys of the fields of single experiments.
        none_chosen: whether all experiments were left out.
        served: whether the app runs in a browser, where it accepts no local paths.
    """
    try:
        outline = Outline(origin.study())
    except ConfigError as error:
        return Checked(problems=tuple(("", problem) for problem in error.problems))
    study, found = None, None
    problems = [("experiments", NO_EXPERIMENT)] if none_chosen else []
    try:
        study = choice.study()
    except ConfigError as error:
        name = plain(choice.source if choice.row is None else choice.row.label, limit=200)
        problems += [placed(problem, name, keys) for problem in error.problems]
    if served and choice.data is not None and not is_name(choice.data):
        problems.append(("data", NO_PATHS))
    elif "data" not in dict(problems):
        try:
            found = facts(study or replace(outline.study, data=choice.data or outline.study.data))
        except DataError as error:
            of_label = choice.data is not None and is_table(choice.data) and "label" in str(error)
            problems.append(("label" if of_label else "data", str(error)))
    if study is not None and choice.name is not None:
        problems += _taken(choice.name, study, rows)
    label = choice.label(outline.study.name)
    if problems or study is None or found is None:
        return Checked(outline, label=label, problems=tuple(problems))
    try:
        lines, summary = _plan(study, found, n_cores, pace)
    except ConfigError as error:
        problems = [placed(problem, study.name, keys) for problem in error.problems]
        return Checked(outline, label=label, problems=tuple(problems))
    lines += [f"note: {note}" for note in left_out(outline.study, study)]
    return Checked(outline, Outline(study), label, tuple(lines), summary)


def _taken(name: str, study: Study, rows: Sequence[StudyRow]) -> list[tuple[str, str]]:
    """The problem with a name that is that of another study in the store."""
    try:
        for row in rows:
            if row.label == name:
                check_same(row, study)
    except ConfigError as error:
        return [placed(problem, name) for problem in error.problems]
    return []


def _plan(
    study: Study, facts: "DataFacts", n_cores: int, pace: "Callable[[], Pace] | None"
) -> tuple[list[str], str]:
    """Returns the plan's lines and its summary in one line.

    Raises:
        ConfigError: the study does not fit the data or this machine.
    """
    from jmlp.client.pace import Pace
    from jmlp.client.plans import checked_plan, plain_lines, time_text
    from jmlp.training.plan import memory, size_text

    plan = checked_plan(study, facts, n_cores)
    measured = Pace() if pace is None else pace()
    networks = count(len(plan.runs), "network")
    size, time = size_text(memory(plan, n_cores)), time_text(plan, n_cores, measured)
    return plain_lines(plan, n_cores, measured), f"{networks} · {time} · about {size}"


def placed(problem: str, name: str, keys: Collection[str] = ()) -> tuple[str, str]:
    """Returns the field that a message is about, or "", and the message without the field's name.

    Args:
        problem: the message as the command prints it.
        name: the study's name in messages.
        keys: the keys of the fields of single experiments.
    """
    if (flag := _FLAG.fullmatch(problem)) and (flag["key"] in keys or flag["key"] in KEYS):
        step = f"{title(flag['key'])}{flag['step']}: " if flag["step"] else ""
        return flag["key"], step + flag["text"]
    text = problem.removeprefix(f"{name}: ")
    if (found := _IN_FILE.fullmatch(text)) and found["key"] in KEYS:
        experiment = (found["experiment"] or "").removesuffix("axes.").removesuffix("baseline.")
        own = f"{experiment}{found['key']}"
        return own if own in keys else found["key"], text
    return "", problem


@dataclass(frozen=True)
class Stored:
    """A study in the store that one can start from."""

    row: StudyRow
    done: int
    n_runs: int

    def text(self) -> str:
        """Returns its state and progress."""
        return f"{self.row.state}, {self.done} of {self.n_runs} runs"

    def note(self) -> str:
        """Says what is already there, for a user about to start the same study."""
        known = "; those are not trained again" if self.done else ""
        return f"in the store: {self.text()}{known}"


def stored_studies(view: StoreView) -> tuple[Stored, ...]:
    """Returns all studies in the store, the newest first."""
    if view.store is None:
        return ()
    return tuple(
        Stored(row, *view.store.counts(row.label)) for row in reversed(view.store.studies())
    )
