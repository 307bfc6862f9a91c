"""The options of commands that say how a table is read."""

import contextlib
import json
from dataclasses import dataclass
from typing import Annotated, Any

from cyclopts import Parameter

from jmlp.study.rules import Missing


@Parameter(name="*")
@dataclass(frozen=True)
class TableFlags:
    """Options about a table; those that are not given have the defaults of study files."""

    label: Annotated[str | None, Parameter(help="Of a table: the name of the label column.")] = None
    missing: Annotated[
        Missing | None,
        Parameter(
            help="Of a table: a missing value is an error, or is replaced by the mean of the "
            "training part, or its row is dropped. Default: error; penguins: drop."
        ),
    ] = None
    leave_out: Annotated[
        str | None, Parameter(help="Of a table: columns that are not features, as in id,name.")
    ] = None
    test: Annotated[
        str | None,
        Parameter(
            help="Of a table: another table with the test examples, or the fraction of its rows to "
            "hold out as such. Default: no test set."
        ),
    ] = None
    header: Annotated[
        bool | None,
        Parameter(help="Of a table: whether its first line has names. Default: find out."),
    ] = None
    stratify: Annotated[
        bool | None,
        Parameter(
            help="Of a table: whether training, validation and held-out test part have the same "
            "shares of the classes. Default: yes."
        ),
    ] = None

    def overrides(self) -> tuple[str, ...]:
        """The given options as texts for `--set`."""
        return tuple(f"{name}={json.dumps(value)}" for name, value in self.settings().items())

    def settings(self) -> dict[str, Any]:
        """The given options as the values of a study file."""
        test: Any = self.test
        with contextlib.suppress(ValueError):
            test = None if self.test is None else float(self.test)
        names = None if self.leave_out is None else [n.strip() for n in self.leave_out.split(",")]
        given = {
            "label": self.label,
            "missing": self.missing,
            "leave_out": names,
            "test": test,
            "header": self.header,
            "stratify": self.stratify,
        }
        return {name: value for name, value in given.items() if value is not None}
