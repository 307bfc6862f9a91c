"""`jmlp gradcheck`: checks the hand-written gradient, leaf by leaf."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.show import print_table
from jmlp.errors import CheckFailed, ConfigError
from jmlp.study.rules import BackwardFault

if TYPE_CHECKING:
    from jmlp.nn.gradcheck import LeafCheck


def gradcheck(
    *,
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
    exceeds its tolerance, and names the known mistakes that give the same gradient.
    """
    if not 0 <= seed < 2**32:
        raise ConfigError(f"--seed: must be 0 to {2**32 - 1}, got {seed}")
    Hardware(device="cpu", cores=1).start(out.say)
    from jmlp.nn import faults
    from jmlp.nn.gradcheck import AUTODIFF_TOLERANCE, DIFFERENCE_TOLERANCE, check_gradients

    checks = list(check_gradients(seed, fault))
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
        print_table(out.console(), _table([c for c in checks if c.option is None], out))
        if with_option := [c for c in checks if c.option is not None]:
            print_table(out.console(), _table_of_options(with_option, out))
        print(
            f"{len(checks)} leaves, largest error {max(c.autodiff_error for c in checks):.1e} "
            f"against jax.grad (tolerance {AUTODIFF_TOLERANCE:g}), "
            f"{max(c.difference_error for c in checks):.1e} against central differences "
            f"(tolerance {DIFFERENCE_TOLERANCE:g})"
        )
    if failed:
        names = ", ".join(f"{_network(c)} {c.leaf}" for c in failed[:5])
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        text = f"the hand-written gradient exceeds its tolerance at {names}{more}"
        mistakes = [name for name in faults.NAMES if all(name in c.same_as for c in failed)]
        if mistakes:
            text += f"; it is that of the mistake {' or '.join(mistakes)}"
        raise CheckFailed(text)


def _record(check: "LeafCheck") -> dict[str, Any]:
    # JSON has no NaN; an error of NaN is not within tolerance anyway.
    errors = {name: value if value == value else None for name, value in asdict(check).items()}
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
