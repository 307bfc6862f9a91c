"""A study with the changes that a user chose, for the command line and the app alike."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jmlp.client.submitting import default_hardware, study_label
from jmlp.store import StudyRow
from jmlp.study import mistakes
from jmlp.study.config import Study
from jmlp.study.file import change_study, load_study, to_toml, with_absolute_paths
from jmlp.study.rules import MAX_PATH, is_name, plain
from jmlp.system import files


@dataclass(frozen=True)
class Choice:
    """The arguments of `jmlp study`: a study and its changes, see `study.file.load_study`.

    The study comes from a source, from the store, or is that of `jmlp break`.
    """

    source: str = ""  # a shipped study, or the path of a file
    row: StudyRow | None = None  # a study in the store, instead of a source
    mistake: str = ""  # whose study it is, instead of a source; see `study.mistakes`
    name: str | None = None  # in place of the study's own, and of one made of the changes
    experiments: tuple[str, ...] = ()  # only these; all experiments if empty
    seeds: int | None = None
    epochs: int | None = None
    data: str | None = None
    overrides: tuple[str, ...] = ()

    def study(self) -> Study:
        """Reads the study with its changes.

        Raises:
            ConfigError: the study is wrong; the message has one line per problem found.
        """
        if self.mistake:
            made = mistakes.find(self.mistake)
            text, name = mistakes.study_text(made), mistakes.study_name(made)
            return change_study(text, name, **self._changes, data=self.data)
        if self.row is None:
            return load_study(self.source, **self._changes, data=self.data)
        # A relative path in the study meant another file if it was submitted from another folder.
        data = self.data or self.row.data.get("path")
        study = change_study(self.row.toml, self.row.label, **self._changes, data=data)
        test = self.row.data.get("table", {}).get("test")
        if test and not any(text.startswith("test") for text in self.overrides):
            study = replace(study, test=test)
        return study

    def label(self, name: str) -> str:
        """The study's name in the store.

        Args:
            name: the name in the study file.
        """
        if self.name is not None:
            return self.name
        changes = [
            *self.experiments,
            *([self.data] if self.data else []),
            *([f"epochs-{self.epochs}"] if self.epochs else []),
            *map(_in_label, self.overrides),
        ]
        return study_label(name if self.row is None else self.row.label, changes)

    def command(self) -> str:
        """The equivalent command; for an unchanged study in the store, its original one."""
        flags = [word for name in self.experiments for word in ("--experiment", name)]
        for name in ("name", "seeds", "epochs", "data"):
            value = getattr(self, name)
            flags += [f"--{name}", str(value)] if value is not None else []
        flags += [word for text in self.overrides for word in ("--set", text)]
        if self.mistake:
            return shlex.join(["jmlp", "break", self.mistake, *flags])
        if self.row is None:
            return shlex.join(["jmlp", "study", self.source, *flags])
        if not flags:
            return self.row.command
        return shlex.join(["jmlp", "study", "--again", self.row.label, *flags])

    def hardware(self) -> Mapping[str, Any]:
        """The hardware that its worker is to use; a study in the store keeps its own."""
        return default_hardware() if self.row is None else self.row.hardware

    @property
    def _changes(self) -> dict[str, Any]:
        return {
            "overrides": self.overrides,
            "seeds": self.seeds,
            "epochs": self.epochs,
            "experiments": self.experiments,
            "rename": self.name,
        }


def write_file(choice: Choice, path: Path, *, replace_file: bool) -> None:
    """Writes a study file that trains the same runs as a choice.

    The file's name becomes the name of the study if it can be one.

    Args:
        choice: the study with its changes.
        path: the file.
        replace_file: whether an existing file may be replaced.

    Raises:
        ConfigError: the study is wrong.
        StoreError: the file exists, or cannot be written.
    """
    study = with_absolute_paths(choice.study())
    if is_name(path.stem):
        study = replace(study, name=path.stem)
    target = files.user_file(path, "the study file", force=replace_file)
    text = f"# {plain(choice.command(), limit=MAX_PATH)}\n\n{to_toml(study)}"
    files.write_atomically(target, text.encode())


def left_out(before: Study, after: Study) -> list[str]:
    """Says which claims and published figures do not fit the axes that a user changed.

    Args:
        before: the unchanged study.
        after: the same with changes.
    """
    was = {experiment.name: experiment for experiment in before.experiments}
    notes = []
    for changed in after.experiments:
        n_claims = len(was[changed.name].claims) - len(changed.claims)
        n_figures = len(was[changed.name].reference) - len(changed.reference)
        parts = [
            f"{n} {what}{'' if n == 1 else 's'}"
            for n, what in ((n_claims, "claim"), (n_figures, "published result"))
            if n
        ]
        if parts:
            notes.append(f"{changed.name}: {' and '.join(parts)} left out: of other configurations")
    return notes


def _in_label(override: str) -> str:
    """An override without the signs that a label lacks: `hidden=64 or 64,32 baseline`."""
    text = override.removeprefix("experiments.")
    for sign, word in (("|", " or "), ("*", " baseline "), ("×", "x"), ("+", " step ")):
        text = text.replace(sign, word)
    return text
