"""`jmlp study`: every configuration of a study, over several seeds, to tables and a report."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.config import STATIC_FIELDS, configurations
from jmlp.errors import CheckFailed

if TYPE_CHECKING:
    from jmlp.cli.keeper import Keeper
    from jmlp.config import Study
    from jmlp.plan import DataFacts, Plan

LONGEST_NAME = 200  # of a folder; file systems end at 255


def study(
    source: Annotated[
        str, Parameter(help="original, replica, patience, or the path of a study file.")
    ],
    /,
    *,
    experiment: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Only this experiment; may be given several times."),
    ] = None,
    seeds: Annotated[int | None, Parameter(help="Runs of each configuration.")] = None,
    epochs: Annotated[int | None, Parameter(help="The limit of epochs.")] = None,
    data: Annotated[
        str | None,
        Parameter(help="mnist, synthetic, a folder with IDX files, or an .npz file."),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative=(),
            help="Change one value, such as learning_rate=0.01; may be given several times.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        Parameter(
            name=("--output", "-o"), help="The report's folder; default: reports/NAME-CHANGES."
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(name=("--dry-run", "-n"), negative=(), help="Only print what would be done."),
    ] = False,
    fresh: Annotated[
        bool,
        Parameter(negative=(), help="Train again what is stored there, and replace it."),
    ] = False,
    fail_on: Annotated[
        Literal["diverged"] | None, Parameter(help="End with code 7 if a run diverged.")
    ] = None,
    hardware: Hardware = Hardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Train every configuration of a study over several seeds; print tables, write a report.

    A study that was ended goes on where it was: runs that are in the report's folder are not
    trained again.
    """
    from jmlp import data as datasets
    from jmlp import plan as planning
    from jmlp.cli.keeper import Keeper
    from jmlp.study_file import load_study

    hardware.count()  # a wrong number is told before data is fetched
    loaded = load_study(
        source,
        overrides=set_ or (),
        seeds=seeds,
        epochs=epochs,
        experiments=experiment or (),
        data=data,
    )
    if dry_run:
        plan = planning.make_plan(loaded, _facts(loaded))
        _print_plan(plan, hardware, out)
        planning.check_memory(plan, hardware.count())
        return 0
    changes = [*(experiment or ()), data, f"epochs-{epochs}" if epochs else None, *(set_ or ())]
    folder = output or default_folder(loaded.name, [change for change in changes if change])
    dataset = datasets.load(loaded.data, out.say)
    plan = planning.make_plan(loaded, planning.data_facts(dataset))
    keeper = Keeper(folder, plan, dataset, fresh=fresh)
    stopped = keeper.train(hardware, out)
    if stopped is not None:
        out.say(
            f"stopped: {len(keeper.results)} of {len(plan.runs)} runs are kept in {folder}; "
            f"the same command{' without --fresh' if fresh else ''} goes on from there"
        )
        return 128 + stopped
    _report(folder, keeper, out)
    if fail_on == "diverged" and keeper.n_diverged:
        raise CheckFailed(
            f"{keeper.n_diverged} of {len(plan.runs)} runs diverged (--fail-on diverged)"
        )
    return 0


def default_folder(name: str, changes: Sequence[str]) -> Path:
    """`reports/NAME`, or one of its own for each way to change a study: their runs don't mix."""
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", change).strip("-.") for change in changes]
    return Path("reports") / "-".join([name, *filter(None, words)])[:LONGEST_NAME]


def _facts(study: "Study") -> "DataFacts":
    """Of the study's data; those of MNIST are known without having it."""
    from jmlp import data as datasets
    from jmlp import plan as planning

    if study.data == "mnist":
        return planning.mnist_facts()
    return planning.data_facts(datasets.load(study.data))


def _print_plan(plan: "Plan", hardware: Hardware, out: Output) -> None:
    """What would be trained, on stdout."""
    from jmlp import plan as planning

    needed = planning.memory(plan, hardware.count())
    if out.json:
        out.print_json(
            {
                "study": plan.study.name,
                "runs": len(plan.runs),
                "groups": [
                    {
                        **{name: getattr(group.hyperparams, name) for name in STATIC_FIELDS},
                        "lanes": group.width,
                        "cohorts": len(group.cohorts),
                        "runs": sum(len(cohort.runs) for cohort in group.cohorts),
                    }
                    for group in plan.groups
                ],
                "compiles": len(plan.groups),
                "memory": needed,
            }
        )
        return
    print(f"study {plan.study.name} on {plan.study.data}")
    for experiment in plan.study.experiments:
        n = len(configurations(experiment))
        seeds = len(experiment.seeds)
        print(
            f"  {experiment.name}: {_count(n, 'configuration')} x {_count(seeds, 'seed')} = "
            f"{_count(n * seeds, 'run')}"
        )
    print(f"{_count(len(plan.runs), 'run')}, each once, in {_count(len(plan.groups), 'group')}:")
    for group in plan.groups:
        runs = sum(len(cohort.runs) for cohort in group.cohorts)
        print(
            f"  {planning.group_name(group)}: {_count(runs, 'run')} in "
            f"{_count(len(group.cohorts), 'cohort')} of {_count(group.width, 'lane')}"
        )
    print(
        f"{_count(len(plan.groups), 'training program')} to compile, "
        f"about {planning.size_text(needed)} of memory"
    )


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _report(folder: Path, keeper: "Keeper", out: Output) -> None:
    """Tables on stdout, everything in the folder."""
    from jmlp.cli.show import show_tables
    from jmlp.tables import study_tables

    tables = study_tables(keeper.plan.study, keeper.results)
    if out.json:
        out.print_json(keeper.document())
    else:
        show_tables(tables, out)
    keeper.report(tables)
    out.say(f"report: {folder / 'report.html'}")
