"""`jmlp study`: every configuration of a study, over several seeds, to tables and a report."""

import re
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import TrainingHardware
from jmlp.cli.output import Output
from jmlp.cli.storing import StoreOption
from jmlp.config import STATIC_FIELDS, configurations
from jmlp.errors import CheckFailed

if TYPE_CHECKING:
    from jmlp.cli.submitting import Submitted
    from jmlp.config import Study
    from jmlp.plan import DataFacts, Plan
    from jmlp.results import RunResult

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
    detach: Annotated[
        bool, Parameter(negative=(), help="Train in the background; see jmlp attach.")
    ] = False,
    fresh: Annotated[
        bool, Parameter(negative=(), help="Train again what is stored, and replace it.")
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            name=("--force", "-f"), negative=(), help="Write into a folder that holds other files."
        ),
    ] = False,
    fail_on: Annotated[
        Literal["diverged"] | None, Parameter(help="End with code 7 if a run diverged.")
    ] = None,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Train every configuration of a study over several seeds; print tables, write a report.

    A study that was ended goes on where it was, from any terminal: what is stored is not trained
    again.
    """
    from jmlp import data as datasets
    from jmlp import plan as planning
    from jmlp.study_file import load_study

    hardware.request()  # a wrong number is told before data is fetched
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
    label = study_label(loaded.name, [change for change in changes if change])
    folder = output or Path("reports") / label
    from jmlp.cli import session
    from jmlp.cli.submitting import submit
    from jmlp.report import check_output

    if not detach:
        check_output(folder, force, of=loaded.name)
    dataset = datasets.load(loaded.data, out.say)
    plan = planning.make_plan(loaded, planning.data_facts(dataset))
    planning.check_memory(plan, hardware.count())
    submitted = submit(stored.folder(), label, plan, dataset, hardware, out, fresh=fresh)
    if detach:
        process = session.detach(submitted.folder, label)
        out.say(
            f"{label} trains in the background (process {process}): jmlp attach {label} shows it, "
            f"jmlp report {label} writes what there is"
        )
        return 0
    stopped = session.train(submitted.folder, label, out)
    return conclude(submitted, stopped, folder, fail_on, out)


def conclude(
    submitted: "Submitted",
    stopped: int | None,
    folder: Path | None,
    fail_on: str | None,
    out: Output,
) -> int:
    """What follows the training: where it goes on, or tables and report, and the exit code.

    Without a folder no report is written.

    Raises:
        CheckFailed: a run diverged, and `fail_on` says that none may.
        JmlpError: the one that the study ended with.
    """
    from jmlp.cli.submitting import failure_of

    results, row = submitted.results(), submitted.row()
    n_runs = len(submitted.plan.runs)
    if stopped is not None or row.state not in ("done", "failed"):
        out.say(how_to_go_on(submitted, row.state, len(results)))
        return 128 + (stopped or signal.SIGTERM)
    diverged = sum(run.status == "diverged" for run in results)
    if diverged:
        out.say(f"warning: {diverged} of {len(results)} runs diverged")
    if results:
        _report(folder, submitted, results, out)
    if row.state == "failed":
        raise failure_of(row)
    if fail_on == "diverged" and diverged:
        raise CheckFailed(f"{diverged} of {n_runs} runs diverged (--fail-on diverged)")
    return 0


def how_to_go_on(submitted: "Submitted", state: str, n_done: int) -> str:
    """What a command says that ends before the study, which may be in the hands of others."""
    label = submitted.label
    done = f"{n_done} of {len(submitted.plan.runs)} runs of {label} are done"
    if state in ("done", "failed"):
        return f"{done}: jmlp report {label} shows them"
    worker = submitted.worker()
    if worker is None:
        how = state if state in ("stopped", "interrupted") else "interrupted"
        return f"{how}: {done}; jmlp resume {label}, or the same command, goes on"
    if worker.study == label:
        return f"left: {done}; it is {state}: jmlp attach {label} shows it"
    return f"left: {done}; it is {state} behind {worker.study}: jmlp resume {label} trains it"


def study_label(name: str, changes: Sequence[str]) -> str:
    """The study's name in the store: one of its own for each way to change it.

    Their settings differ, so that one cannot go on with what the other began.
    """
    words = [re.sub(r"[^A-Za-z0-9.]+", "-", change).strip("-.") for change in changes]
    return "-".join([name, *filter(None, words)])[:LONGEST_NAME]


def _facts(study: "Study") -> "DataFacts":
    """Of the study's data; those of MNIST are known without having it."""
    from jmlp import data as datasets
    from jmlp import plan as planning

    if study.data == "mnist":
        return planning.mnist_facts()
    return planning.data_facts(datasets.load(study.data))


def _print_plan(plan: "Plan", hardware: TrainingHardware, out: Output) -> None:
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


def _report(
    folder: Path | None, submitted: "Submitted", results: "list[RunResult]", out: Output
) -> None:
    """Tables on stdout, everything in the folder."""
    from jmlp.cli.show import show_tables
    from jmlp.report import write_report
    from jmlp.study_file import to_toml
    from jmlp.tables import study_tables

    study = submitted.plan.study
    tables = study_tables(study, results)
    if out.json:
        out.print_json(submitted.document(results))
    else:
        show_tables(tables, out)
    if folder is None:
        out.say(f"report: jmlp report {submitted.label} writes it")
        return
    write_report(
        folder,
        study,
        results,
        tables,
        facts=submitted.plan.facts,
        source=submitted.source,
        study_toml=to_toml(study),
        command=submitted.command,
        force=True,  # whose files may be replaced was settled before training
    )
    out.say(f"report: {folder / 'report.html'}")
