"""`jmlp gradcheck`: checks the hand-written gradient, leaf by leaf."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.show import print_table
from jmlp.errors import CheckFailed, ConfigError
from jmlp.study.rules import HYPERPARAMETERS, BackwardFault, Refused, plain
from jmlp.study.values import TypedError, read_typed

if TYPE_CHECKING:
    from jmlp.nn.gradcheck import LeafCheck
    from jmlp.own_network.diagnosis import Diagnosis
    from jmlp.own_network.patterns import LeafCheck as GradientCheck


MOST_UNITS = 64  # of a network whose size is chosen: every weight takes two forward passes
LINES = 5  # mistakes that are listed


def gradcheck(
    file: Annotated[
        Path | None,
        Parameter(
            converter=as_path,
            help="A Python file with a network of your own, to be checked in place of jmlp's.",
        ),
    ] = None,
    /,
    *,
    template: Annotated[
        bool, Parameter(negative=(), help="Print such a file, as a pattern for your own.")
    ] = False,
    hidden: Annotated[
        str | None,
        Parameter(
            help="Units of each hidden layer, as in 6,4, in place of the networks that are checked "
            "otherwise."
        ),
    ] = None,
    seed: Annotated[int, Parameter(help="Seed of weights, examples, labels and dropout.")] = 0,
    fault: Annotated[
        BackwardFault, Parameter(help="Check a backward pass with this mistake in it.")
    ] = "none",
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Compare the hand-written gradient with jax.grad and with central differences.

    Every parameter leaf of networks with 0, 1 and 3 hidden layers, with and without batch norm
    (before or after the activation) and dropout; and with each other activation, dropout of inputs,
    label smoothing, class weights and an L2 penalty. In float64. Exits with code 7 if any error
    exceeds its tolerance, and names the known mistakes that give the same gradient. With a FILE,
    the gradient of your own network: which parameter is wrong first, how, and by which mistake.
    """
    if template:
        if file is not None:
            raise ConfigError(
                f"--template: prints a file and checks nothing; leave {plain(str(file))} out"
            )
        print(files("jmlp.own_network").joinpath("template.py").read_text(encoding="utf-8"), end="")
        return
    if file is not None:
        for name, value, default in (("--hidden", hidden, None), ("--fault", fault, "none")):
            if value != default:
                raise ConfigError(f"{name}: is about jmlp's own networks; leave it out with a file")
        _check_file(file, out)
        return
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed: must be 0 to {2**32 - 1}, got {seed}")
    layers = None if hidden is None else _layers(hidden)
    Hardware(device="cpu", cores=1).start(out.say)
    from jmlp.nn import faults
    from jmlp.nn.gradcheck import (
        AUTODIFF_TOLERANCE,
        DEPTHS,
        DIFFERENCE_TOLERANCE,
        SQUARE,
        STEP,
        check_gradients,
    )

    depths = DEPTHS if layers is None else (layers,)
    if layers is None and fault == "weights_transposed":
        depths = SQUARE
    checks = list(check_gradients(seed, fault, depths))
    failed = [check for check in checks if not check.ok]
    if out.json:
        out.print_json(
            {
                "ok": not failed,
                "autodiff_tolerance": AUTODIFF_TOLERANCE,
                "difference_tolerance": DIFFERENCE_TOLERANCE,
                "leaves": [_record(check) for check in checks],
            }
        )
    else:
        n_ok = len(checks) - len(failed)
        print(
            f"{n_ok} of {len(checks)} gradients agree, one for each array of parameters. Largest "
            f"error: {max(c.autodiff_error for c in checks):.1e} against jax.grad (tolerance "
            f"{AUTODIFF_TOLERANCE:g}), {max(c.difference_error for c in checks):.1e} against "
            f"central differences (tolerance {DIFFERENCE_TOLERANCE:g})."
        )
        print(
            "An error is the norm of the difference, relative to the larger gradient. float64 has "
            f"16 digits, and jax.grad loses few of them; differences over a step of {STEP:g} keep "
            "about nine."
        )
        print_table(out.console(), _table([c for c in checks if c.option is None], out))
        if with_option := [c for c in checks if c.option is not None]:
            print_table(out.console(), _table_of_options(with_option, out))
    if failed:
        names = ", ".join(f"{_network(c)} {c.leaf}" for c in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        text = f"the hand-written gradient exceeds its tolerance at {names}{more}"
        mistakes = [name for name in faults.NAMES if all(name in c.same_as for c in failed)]
        if mistakes:
            text += f"; it is that of the mistake {' or '.join(mistakes)}"
        raise CheckFailed(text)


def _layers(text: str) -> tuple[int, ...]:
    """The hidden layers of the network to be checked."""
    try:
        (value,) = read_typed("hidden", text).values
        found: tuple[int, ...] = HYPERPARAMETERS["hidden"].read(value)
    except (Refused, TypedError, ValueError) as error:
        wanted = HYPERPARAMETERS["hidden"].wanted
        raise ConfigError(f"--hidden: must be {wanted}, as in 6,4; got {error}") from None
    if sum(found) > MOST_UNITS:
        raise ConfigError(
            f"--hidden: must have at most {MOST_UNITS} units in all, got {sum(found)}: central "
            "differences take two forward passes for each weight"
        )
    return found


def _check_file(file: Path, out: Output) -> None:
    """Checks the network in a user's file, and explains what is wrong with it.

    Raises:
        CheckFailed: a gradient is wrong, or could not be computed.
    """
    from jmlp.own_network.client import check

    found = check(file, out.say)
    wrong = [leaf for leaf in found.leaves if not leaf.ok]
    if out.json:
        out.print_json(
            {
                "ok": found.ok,
                "precision": found.precision.name,
                "tolerance": found.precision.tolerance,
                "activation": found.activation or None,
                "leaves": [{**asdict(leaf), "error": _finite(leaf.error)} for leaf in found.leaves],
                "first_wrong": found.first_wrong or None,
                "findings": [asdict(finding) for finding in found.findings],
                "unexplained": list(found.unexplained),
                "remarks": list(found.remarks),
            }
        )
    else:
        n_ok = len(found.leaves) - len(wrong)
        print(
            f"{n_ok} of {len(found.leaves)} gradients agree with central differences of the cost "
            f"in {found.precision.name} (relative error up to {found.precision.tolerance:g})."
        )
        print_table(out.console(), _table_of_file(found.leaves, out))
        for line in _explained(found):
            print(line)
    for remark in found.remarks:
        out.say(f"note: {remark}")
    if wrong:
        verb = "is" if len(wrong) == 1 else "are"
        raise CheckFailed(
            f"{file}: {len(wrong)} of {len(found.leaves)} gradients {verb} wrong; going backward "
            f"from the cost, {found.first_wrong} is the first"
        )


def _explained(found: "Diagnosis") -> Iterator[str]:
    """What is wrong, in sentences."""
    if found.ok:
        return
    (first,) = [leaf for leaf in found.leaves if leaf.name == found.first_wrong]
    yield f"The first wrong one, going backward from the cost, is {first.name}: {first.pattern}."
    exactly = "exactly " if found.precision.name == "float64" else ""
    alone = len(found.findings) == 1 and not found.unexplained
    for number, finding in enumerate(found.findings):
        several = len(finding.mistakes) > 1
        which = "Each of these mistakes" if several else "One mistake"
        if number:
            which = "With it mended, each of these" if several else "With it, another one"
        these = "these numbers" if alone else f"the numbers of {', '.join(finding.explains)}"
        order = ", the most likely first" if several else ""
        if finding.explains:
            yield f"{which} gives {exactly}{these}{order}:"
        else:  # each of the gradients that it changes has another mistake in it too
            yield f"{which} is part of what follows{order}:"
        for mistake in finding.mistakes[:LINES]:
            yield f"  {finding.subject} {mistake.what}."
            yield f"    Remedy: {mistake.remedy}."
    if found.findings and found.unexplained:
        yield f"Not yet explained, except by the table: {', '.join(found.unexplained)}."
    if not alone and found.findings:
        which = "this one" if len(found.findings) == 1 else "the first one"
        yield f"Mend {which}, then check again."


def _table_of_file(checks: "Sequence[GradientCheck]", out: Output) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None if out.plain else box.SIMPLE_HEAD, pad_edge=False)
    for title in ("parameter", "shape"):
        table.add_column(title)
    table.add_column("error", justify="right")
    for title in ("", "what is wrong"):
        table.add_column(title)
    for check in checks:
        error = "" if check.error is None else f"{check.error:.1e}"
        shape = " x ".join(map(str, check.shape))
        cells = (check.name, shape, error, "ok" if check.ok else "WRONG", check.pattern)
        table.add_row(*map(Text, cells))
    return table


def _finite(error: float | None) -> float | None:
    return error if error is not None and error == error else None


def _record(check: "LeafCheck") -> dict[str, Any]:
    # JSON has no NaN; an error of NaN is not within tolerance anyway.
    errors = {
        name: None if isinstance(value, float) and not math.isfinite(value) else value
        for name, value in asdict(check).items()
    }
    return {**errors, "ok": check.ok}


def _network(check: "LeafCheck") -> str:
    sizes = "-".join(map(str, check.hidden)) or "none"
    norm = f"batch norm {check.batch_norm} the activation" if check.batch_norm else "no batch norm"
    option = "" if check.option is None else f" {check.option},"
    return f"hidden {sizes}, {norm}, drop rate {check.drop_rate:g},{option}"


def _table(checks: "list[LeafCheck]", out: Output) -> Any:
    return _errors_table(
        ("hidden", "batch\nnorm", "drop\nrate", "leaf"),
        [
            (
                "-".join(map(str, c.hidden)) or "none",
                c.batch_norm or "no",
                f"{c.drop_rate:g}" if c.drop_rate else "none",
                c.leaf,
            )
            for c in checks
        ],
        checks,
        out,
    )


def _table_of_options(checks: "list[LeafCheck]", out: Output) -> Any:
    return _errors_table(
        ("hidden", "with", "leaf"),
        [("-".join(map(str, c.hidden)), c.option or "", c.leaf) for c in checks],
        checks,
        out,
    )


def _errors_table(
    titles: Sequence[str],
    rows: Sequence[Sequence[str]],
    checks: "Sequence[LeafCheck]",
    out: Output,
) -> Any:
    """A table with the errors of each check beside what identifies it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None if out.plain else box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        table.add_column(title, vertical="bottom")
    for title in ("against\njax.grad", "against\ndifferences"):
        table.add_column(title, justify="right", vertical="bottom")
    table.add_column("")
    for row, c in zip(rows, checks, strict=True):
        errors = f"{c.autodiff_error:.1e}", f"{c.difference_error:.1e}"
        table.add_row(*map(Text, (*row, *errors, "ok" if c.ok else "WRONG")))
    return table
