"""Study files: TOML to a `Study` and back, with overrides from the command line."""

import os
import pkgutil
import re
import stat
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from jmlp.errors import ConfigError
from jmlp.study.config import (
    DEFAULTS,
    TABLE_KEYS,
    Cell,
    Experiment,
    Range,
    Search,
    Study,
    in_use,
    python_value,
)
from jmlp.study.data_names import is_name
from jmlp.study.rules import HYPERPARAMETERS, did_you_mean, plain, python_number, toml_value
from jmlp.study.schema import CLAIM_CELLS, FIGURES, read_study
from jmlp.study.search import drawn_table, fresh_seeds, space_value
from jmlp.study.toml_reader import Document, Key, Reader, dotted
from jmlp.study.values import Typed, TypedError, read_seeds, read_typed, toml_or_text
from jmlp.system.files import TABLE_SUFFIXES

SHIPPED = ("demo", "best", "fast", "forensics", "original", "replica", "spirals", "stopping")
MAX_BYTES = 1_000_000
# Of a study's data that can only be a path, even if there is no such file.
DATA_SUFFIXES = (*TABLE_SUFFIXES, ".npz")

# The parser's time and memory grow with the square of the number of parts of a key: 1 MB of
# "a.a.a…" would need 800 GB. A key is on one line, so the squared number of dots per line bounds it
# (0.6 s).
_MAX_SQUARED_DOTS = 10_000_000
_SHARED_KEYS = ("seeds", *HYPERPARAMETERS)  # allowed at the top and in an experiment
_TOML_ERROR = re.compile(
    r"(?P<what>.*) \(at (?P<where>line (?P<line>\d+), column \d+|end of document)\)"
)
_KEY_AND_EQUALS = re.compile(r"\s*(?P<key>[\w.-]{1,100})\s*=", re.ASCII)
_LONG_INTEGER = re.compile(r"[0-9_]{4300}")


def load_study(
    source: str | Path,
    *,
    overrides: Sequence[str] = (),
    seeds: int | None = None,
    epochs: int | None = None,
    experiments: Sequence[str] = (),
    data: str | None = None,
    rename: str | None = None,
) -> Study:
    """Read a study and check all of it.

    Args:
        source: the name of a shipped study ("original", "replica", "fast", ...), or a path;
            write "./original" for a file named like a shipped study.
        overrides: strings `key=value`, as for `--set`. The value is read as TOML, or else as a
            plain string; a dotted key addresses an experiment. A hyperparameter without dots
            applies to every experiment and overrides its own value. Several values of a
            hyperparameter (`study.values`) are an axis; one for a single experiment removes it.
        seeds: the number of seeds, in every experiment.
        epochs: the maximum number of epochs, in every experiment.
        experiments: the names of the experiments to keep; all if empty.
        data: the name of a data set, or a path; a relative one is found from the current folder,
            while one in a study file is found from the folder of that file.
        rename: a name in place of the file's.

    Raises:
        ConfigError: with all problems found in file and overrides, one per line.
    """
    content, name = _content(source)
    document = _parse_file(content, name)
    if source not in SHIPPED:
        _find_data(document, Path(source).parent)
    return _changed(document, name, overrides, seeds, epochs, experiments, data, rename)


def change_study(
    text: str,
    name: str,
    *,
    overrides: Sequence[str] = (),
    seeds: int | None = None,
    epochs: int | None = None,
    experiments: Sequence[str] = (),
    data: str | None = None,
    rename: str | None = None,
) -> Study:
    """Read the text of a study file like `parse_study`, with the overrides of `load_study`.

    Raises:
        ConfigError: with all problems found in text and overrides, one per line.
    """
    document = _parse_text(text, name)
    return _changed(document, name, overrides, seeds, epochs, experiments, data, rename)


def _find_data(document: Document, folder: Path) -> None:
    """Makes the paths of data in a study file relative to the folder of the file."""
    for key in ("data", "test"):
        path = document.get(key)
        if not isinstance(path, str) or not path or path.startswith("~"):
            continue
        if key == "data" and is_name(path):
            continue
        joined = os.path.normpath(os.path.join(folder, path))
        looks_like_path = os.sep in path or path.lower().endswith(DATA_SUFFIXES)
        if looks_like_path or ("\0" not in joined and os.path.lexists(joined)):
            document[key] = joined


def with_absolute_paths(study: Study) -> Study:
    """The study with the paths of its data and of its test set, which then hold in any folder."""
    data, test = study.data, study.test
    if not is_name(data):
        data = _absolute(data)
    if isinstance(test, str) and test:
        test = _absolute(test)
    return replace(study, data=data, test=test)


def _absolute(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _changed(
    document: Document,
    name: str,
    overrides: Sequence[str],
    seeds: int | None,
    epochs: int | None,
    experiments: Sequence[str],
    data: str | None,
    rename: str | None,
) -> Study:
    """Apply overrides to a document, and check it both with and without them."""
    file_reader = Reader(name)
    read_study(document, file_reader)
    # The file is also checked by itself: a mistake in it is reported even if a flag hides it.
    changes = _Changes(document, experiments)
    flags = {"name": rename, "seeds": seeds, "epochs": epochs, "data": data}
    for key, value in flags.items():
        if value is not None:
            changes.set((key,), python_number(value), f"--{key}")
    for override in overrides:  # last, since they may be about a single experiment
        changes.set_text(override)
    reader = Reader(name, changes.flags)
    study = read_study(changes.document, reader)
    problems = dict.fromkeys((*file_reader.problems, *changes.problems, *reader.problems))
    if problems or study is None:
        raise ConfigError(tuple(problems))
    return study


def parse_study(text: str, name: str) -> Study:
    """Read the text of a study file, such as the result of `to_toml`, and check all of it.

    Args:
        text: TOML.
        name: its name in error messages.

    Raises:
        ConfigError: with all problems found, one per line.
    """
    reader = Reader(name)
    study = read_study(_parse_text(text, name), reader)
    if reader.problems or study is None:
        raise ConfigError(reader.problems)
    return study


def to_toml(study: Study) -> str:
    """The text of a study file; `parse_study` reads it back as an equal study.

    A study built in Python must be expressible in a file: valid values, `base` as described in
    `Experiment`, and defaults for hyperparameters without effect.

    Every hyperparameter is written out, including defaults, so that a later version with other
    defaults reads the same study. Values shared by all experiments are at the top.
    """
    import tomli_w

    return tomli_w.dumps(_document(study))


def checked_study(study: Study) -> Study:
    """Check a study built in Python by the rules of study files.

    Returns:
        An equal study, as if read from its file: with Python's own numbers, tuples, and defaults
        for hyperparameters without effect.

    Raises:
        ConfigError: with all problems found, one per line.
    """
    try:
        document = _document(study)
    except (AttributeError, TypeError, ValueError) as error:
        raise ConfigError(
            f"study: must be a jmlp.study.config.Study, as returned by jmlp.load_study: {error}"
        ) from error
    reader = Reader(f"study {plain(str(study.name))}")
    names = [e.name for e in study.experiments]
    for name in {name for name in names if names.count(name) > 1}:
        reader.problem(("experiments", name), "is the name of several experiments")
    read = read_study(document, reader)
    if reader.problems or read is None:
        raise ConfigError(reader.problems)
    return read


def _document(study: Study) -> Document:
    """The content of a study file, as TOML values; what results add to a search is left out."""
    tables = {e.name: _experiment_table(e) for e in study.experiments if not e.search_name}
    shared: Document = {}
    for key in _SHARED_KEYS:
        values = [table[key] for table in tables.values() if key in table]
        if values and all(value == values[0] for value in values):
            shared[key] = values[0]
    return _without_empty(
        {
            "name": study.name,
            "title": study.title,
            "data": str(study.data),
            "split_seed": python_number(study.split_seed),
            "validation_fraction": python_number(study.validation_fraction),
            "smallest_difference": python_number(study.smallest_difference),
            "sequential": python_number(study.sequential),
            "notes": list(study.notes),
            **_about_table(study),
            **shared,
            "experiments": {
                name: {key: value for key, value in table.items() if key not in shared}
                for name, table in tables.items()
            },
        }
    )


def _about_table(study: Study) -> Document:
    """What a study says about its table; only what is not a default."""
    return {
        f.name: toml_value(python_number(value))
        for f in fields(Study)
        if f.name in TABLE_KEYS and (value := getattr(study, f.name)) != f.default
    }


def _experiment_table(experiment: Experiment) -> Document:
    seeds: Any = experiment.seeds
    if not isinstance(seeds, int):
        listed = list(map(python_number, seeds))
        seeds = len(listed) if listed == list(range(len(listed))) else listed
    search = experiment.search
    axes = {} if search else experiment.axes
    varied = search.space if search else experiment.axes
    base = {
        name: _toml_value(name, getattr(experiment.base, name))
        for name in HYPERPARAMETERS
        if name not in varied and in_use(name, experiment.base, experiment.axes)
    }
    table = {
        "title": experiment.title,
        "seeds": seeds,
        **base,
        "axes": {name: [_toml_value(name, v) for v in values] for name, values in axes.items()},
        "baseline": _cell_table(experiment.baseline),
        "search": _search_table(search, experiment.seeds) if search else {},
        "claims": [
            {"text": claim.text}
            | {key: _cell_table(cell) for key in CLAIM_CELLS if (cell := getattr(claim, key))}
            for claim in experiment.claims
        ],
        "reference": [
            _cell_table(r.where)
            | {key: value for key in FIGURES if (value := getattr(r, key)) is not None}
            for r in experiment.reference
        ],
    }
    return _without_empty(table)


def _search_table(search: Search, seeds: Any) -> Document:
    confirm: Any = search.confirm
    if not isinstance(confirm, int):
        listed = tuple(map(python_number, confirm))
        used = range(seeds) if isinstance(seeds, int) else [python_number(seed) for seed in seeds]
        confirm = len(listed) if listed == fresh_seeds(used, len(listed)) else list(listed)
    return {
        "configurations": python_number(search.configurations),
        "method": search.method,
        "seed": python_number(search.seed),
        "confirm": confirm,
        **({"halving": list(map(python_number, search.halving))} if search.halving else {}),
        **{name: _space_value(name, values) for name, values in search.space.items()},
        **({"drawn": drawn_table(search)} if search.drawn else {}),
    }


def _space_value(name: str, values: Any) -> Any:
    if isinstance(values, Range):
        ends = python_value(name, (values.low, values.high))
        return space_value(Range(values.law, *ends))
    return space_value(python_value(name, tuple(values)))


def _cell_table(cell: Cell) -> Document:
    return {name: _toml_value(name, value) for name, value in cell.items()}


def _toml_value(name: str, value: Any) -> Any:
    return toml_value(python_value(name, value))


def _without_empty(table: Document) -> Document:
    return {key: value for key, value in table.items() if value not in ("", [], {})}


class _Changes:
    """A document modified by flags; records which flag set which key."""

    def __init__(self, document: Document, experiments: Sequence[str]) -> None:
        """Keep only the named experiments, or all if none is named."""
        self.document = document
        self.flags: dict[Key, str] = {}
        self._problems: list[str] = []
        self._shared: dict[str, str] = {}  # keys set in all experiments, with their flags
        unknown = [name for name in experiments if name not in self._experiments]
        self._problems += [self._unknown_experiment(f"--experiment {plain(n)}", n) for n in unknown]
        if experiments and not unknown:
            kept = {n: table for n, table in self._experiments.items() if n in experiments}
            self.document["experiments"] = kept

    @property
    def problems(self) -> list[str]:
        """The problems of the flags themselves."""
        return (
            self._problems
            + [
                f"{flag}: {key} is an axis of experiment {plain(name)}: set it there, as in --set "
                f"experiments.{name}.{key}=VALUE, or choose other experiments with --experiment"
                for key, flag in self._shared.items()
                for name, table in self._experiments.items()
                if key in _axes(table) and ("experiments", name, "axes", key) not in self.flags
            ]
            + [
                f"{flag}: {key} is searched in experiment {plain(name)}: change that, as in --set "
                f"experiments.{name}.baseline.{key}=VALUE, or choose other experiments with "
                "--experiment"
                for key, flag in self._shared.items()
                for name, table in self._experiments.items()
                if isinstance(table, dict) and key in _table(table, "search")
            ]
        )

    def set_text(self, text: str) -> None:
        """Apply one `key=value` of `--set`."""
        key_text, equals, value_text = text.partition("=")
        key, value_text = _parse_key(key_text), value_text.strip()
        if not equals or not key:
            example = "as in learning_rate=0.1 or experiments.NAME.patience=5"
            self._problems.append(f"--set {plain(text)}: must be key=value, {example}")
            return
        flag, name = f"--set {dotted(key)}", key[-1]
        if not (len(key) == 1 or (len(key) == 3 and key[0] == "experiments")):
            self.set(key, toml_or_text(value_text, _parse), flag)
        elif name == "seeds":
            self._read(flag, lambda: self.set(key, read_seeds(value_text, _parse), flag))
        elif name in HYPERPARAMETERS:
            self._read(
                flag, lambda: self._set_typed(key, read_typed(name, value_text, _parse), flag)
            )
        else:
            value = toml_or_text(value_text, _parse)
            if key == ("leave_out",) and isinstance(value, str):
                value = [column.strip() for column in value.split(",") if column.strip()]
            self.set(key, value, flag)

    def _read(self, flag: str, read: Callable[[], None]) -> None:
        try:
            read()
        except TypedError as error:
            self._problems.append(f"{flag}: {error}")

    def set(self, key: Key, value: Any, flag: str) -> None:
        """Set one key; a key shared by all experiments is set in all of them."""
        if self._names_no_experiment(key, flag):
            return
        if len(key) == 1 and key[0] in _SHARED_KEYS:
            self._remove_from_experiments(str(key[0]), flag)
        table = self.document
        for i, part in enumerate(map(str, key[:-1]), start=1):
            table = table.setdefault(part, {})
            if not isinstance(table, dict):
                self._problems.append(f"{flag}: {dotted(key[:i])} is not a table")
                return
        table[str(key[-1])] = value
        if key[2:3] == ("search",) and key[3:] != ("confirm",):
            table.pop("drawn", None)  # other candidates are drawn
        self.flags[key] = flag

    def _set_typed(self, key: Key, typed: Typed, flag: str) -> None:
        """Set a hyperparameter in one experiment or in all; several values are an axis."""
        if self._names_no_experiment(key, flag):
            return
        name, names = str(key[-1]), self._experiments if len(key) == 1 else [str(key[1])]
        if typed.several:
            for experiment in list(names):
                self._vary(experiment, name, typed, flag)
        else:
            if len(key) > 1:
                self._remove_axis(str(key[1]), name)
            self.set(key, typed.values[0], flag)

    def _vary(self, experiment: str, name: str, typed: Typed, flag: str) -> None:
        """Make a hyperparameter an axis of an experiment, or change the values of that axis.

        Without a mark the baseline stays where it was, or else is the first value.
        """
        table = self._experiments[experiment]
        if not isinstance(table, dict):
            return  # the reader reports it
        before = [*_table(table, "baseline").items(), *table.items(), *self.document.items()]
        was = dict(reversed(before)).get(name, toml_value(DEFAULTS[name]))
        at = typed.baseline
        if at is None:
            at = typed.values.index(was) if was in typed.values else 0
        baseline = {**_table(table, "baseline"), name: typed.values[at]}
        axes = {**_axes(table), name: list(typed.values)}
        kept = {key: value for key, value in table.items() if key != name}
        self._replace(experiment, {**kept, "axes": axes, "baseline": baseline})
        for part in ("axes", "baseline"):
            self.flags["experiments", experiment, part, name] = flag

    def _remove_axis(self, experiment: str, name: str) -> None:
        """Remove an axis of an experiment, if there is one of this name."""
        table = self._experiments[experiment]
        if not isinstance(table, dict) or name not in _axes(table):
            return
        for part in ("axes", "baseline"):
            left = {key: value for key, value in _table(table, part).items() if key != name}
            table = {key: value for key, value in table.items() if key != part}
            table |= {part: left} if left else {}
            self.flags.pop(("experiments", experiment, part, name), None)
        self._replace(experiment, table)

    def _replace(self, experiment: str, table: Document) -> None:
        """Replace the table of an experiment, without what no longer fits its axes."""
        axes = _axes(table)
        for part, fits in (("claims", _claim_fits), ("reference", _reference_fits)):
            rows = table.get(part)
            if isinstance(rows, list) and all(isinstance(row, dict) for row in rows):
                table = {**table, part: [row for row in rows if fits(row, axes)]}
                if not table[part]:
                    del table[part]
        self.document["experiments"] = {**self._experiments, experiment: table}

    @property
    def _experiments(self) -> Document:
        tables = self.document.get("experiments")
        return tables if isinstance(tables, dict) else {}

    def _remove_from_experiments(self, key: str, flag: str) -> None:
        self._shared[key] = flag
        tables: Document = {}
        for name, table in self._experiments.items():
            tables[name] = table
            self.flags.pop(("experiments", name, "axes", key), None)
            if isinstance(table, dict):
                tables[name] = {k: v for k, v in table.items() if k != key}
        if tables:
            self.document["experiments"] = tables

    def _names_no_experiment(self, key: Key, flag: str) -> bool:
        """Report a key that addresses an experiment which is not there."""
        if key[0] != "experiments" or len(key) < 2 or key[1] in self._experiments:
            return False
        self._problems.append(self._unknown_experiment(flag, str(key[1])))
        return True

    def _unknown_experiment(self, flag: str, name: str) -> str:
        names = ", ".join(map(plain, self._experiments))
        near = did_you_mean(name, self._experiments)
        return f"{flag}: there is no such experiment (there are: {names}){near}"


def _table(table: Document, name: str) -> Document:
    found = table.get(name)
    return found if isinstance(found, dict) else {}


def _claim_fits(claim: Document, axes: Document) -> bool:
    """Whether a claim is about configurations that these axes have."""
    cells = {key: claim[key] for key in CLAIM_CELLS if key in claim}
    return all(_cell_fits(cell, axes, whole=key == "best") for key, cell in cells.items())


def _reference_fits(reference: Document, axes: Document) -> bool:
    where = {key: value for key, value in reference.items() if key not in FIGURES}
    return _cell_fits(where, axes, whole=True)


def _cell_fits(cell: Any, axes: Document, *, whole: bool) -> bool:
    if not isinstance(cell, dict):
        return True  # the reader reports it
    if whole and cell.keys() != axes.keys():
        return False
    return all(
        value in values
        for name, value in cell.items()
        if isinstance(values := axes.get(name, []), list)
    )


def _axes(table: Any) -> Document:
    return _table(table, "axes") if isinstance(table, dict) else {}


def _parse_key(text: str) -> Key:
    """The parts of a dotted key as read by TOML; empty if it is not a key."""
    try:
        table: Any = _parse(f"{text} = 0")
    except (ValueError, RecursionError):
        return ()
    key: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            return ()
        ((part, table),) = table.items()
        key.append(part)
    return tuple(key)


def shipped_text(name: str) -> str:
    """The text of a shipped study's file.

    Raises:
        ConfigError: no study of this name ships with jmlp.
    """
    if name not in SHIPPED:
        raise ConfigError(
            f"{plain(name)}: there is no shipped study of that name ({', '.join(SHIPPED)})"
            f"{did_you_mean(name, SHIPPED)}"
        )
    # Not through the file system, since the package may be in a zip archive.
    return (pkgutil.get_data("jmlp", f"study/shipped/{name}.toml") or b"").decode("utf-8")


def _content(source: str | Path) -> tuple[bytes, str]:
    """The content of a study's file, and its name in error messages."""
    if isinstance(source, str) and source in SHIPPED:
        return shipped_text(source).encode("utf-8"), source
    name = plain(str(source), limit=200)
    return _read(Path(source), name), name


def _read(path: Path, name: str) -> bytes:
    """The content of a regular file of at most `MAX_BYTES`; never blocks on other files."""
    try:
        with open(path, "rb", opener=_open_nonblocking) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise ConfigError(f"{name}: must be a regular file")
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        near = did_you_mean(str(path), SHIPPED)
        raise ConfigError(
            f"{name}: there is no such file, nor a shipped study of that name "
            f"({', '.join(SHIPPED)}){near}"
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"{name}: cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise ConfigError(f"{name}: must be at most {MAX_BYTES:,} bytes long")
    return content


def _open_nonblocking(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a named pipe waits for its writer.
    return os.open(path, flags | os.O_NONBLOCK)


def _parse_file(content: bytes, name: str) -> Document:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        byte = content[error.start]
        raise ConfigError(
            f"{name}: line {line}: byte 0x{byte:02x} is not UTF-8: save the file as UTF-8"
        ) from None
    return _parse_text(text, name)


def _parse_text(text: str, name: str) -> Document:
    if text.startswith("\ufeff"):
        raise ConfigError(
            f"{name}: line 1, column 1: a byte-order mark: save the file as UTF-8 without one"
        )
    try:
        return _parse(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {_toml_problem(error, text)}") from None
    except RecursionError:
        raise ConfigError(f"{name}: is nested too deeply") from None
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


def _toml_problem(error: tomllib.TOMLDecodeError, text: str) -> str:
    if not (match := _TOML_ERROR.fullmatch(str(error))):
        return plain(str(error), limit=200)
    what = plain(match["what"], limit=200)
    if match["line"] and what == "Cannot overwrite a value":
        line = text.split("\n")[int(match["line"]) - 1]  # the last one of a value of several
        key = _KEY_AND_EQUALS.match(line)
        what = f"{key['key'] if key else 'the key'} has a value already: delete one of the two"
    return f"{match['where']}: {what}"


def _parse(text: str) -> Document:
    """`tomllib.loads`, made safe for untrusted text.

    Raises:
        ValueError: including `TOMLDecodeError`.
        RecursionError: it is nested too deeply.
    """
    dots = [line.count(".") for line in text.split("\n")]
    if sum(n * n for n in dots) > _MAX_SQUARED_DOTS:
        most = max(dots)
        raise ValueError(
            f"line {dots.index(most) + 1}: has {most:,} dots, too many to read: break it up"
        )
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        raise
    except ValueError:  # Python's limit on the digits of an integer
        long = _LONG_INTEGER.search(text)
        line = f"line {text.count(chr(10), 0, long.start()) + 1}: " if long else ""
        raise ValueError(f"{line}an integer has too many digits") from None
