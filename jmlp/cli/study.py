"""`jmlp study`: trains a study, prints its tables and writes its report."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import TrainingHardware
from jmlp.cli.output import Output
from jmlp.cli.paths import as_path
from jmlp.cli.store_option import StoreOption
from jmlp.cli.table_flags import TableFlags
from jmlp.errors import CheckFailed, ConfigError
from jmlp.study import data_names
from jmlp.study.config import STATIC_FIELDS, features

if TYPE_CHECKING:
    from jmlp.client.choice import Choice
    from jmlp.client.submitting import Submitted
    from jmlp.training.plan import Plan
    from jmlp.training.records import RunResult


def study(
    source: Annotated[
        str | None,
        Parameter(
            help="original, replica, forensics, stopping, fast, best, demo, spirals, or the path "
            "of a study file."
        ),
    ] = None,
    /,
    *,
    template: Annotated[
        str | None,
        Parameter(
            help="Print the file of this shipped study, such as demo, as a pattern for your own."
        ),
    ] = None,
    again: Annotated[
        str | None,
        Parameter(
            help="Start from this study in the store, with or without changes, in place of a file."
        ),
    ] = None,
    name: Annotated[
        str | None,
        Parameter(
            help="The study's name in the store, and of its report; default: the file's, with "
            "what is changed."
        ),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        Parameter(negative=(), help="Only this experiment; may be given several times."),
    ] = None,
    seeds: Annotated[int | None, Parameter(help="Number of runs per configuration.")] = None,
    epochs: Annotated[int | None, Parameter(help="Maximum number of epochs.")] = None,
    data: Annotated[
        str | None,
        Parameter(help=data_names.HELP),
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative=(),
            help="Change a value, as in learning_rate=0.01; several, as in "
            "learning_rate=0.01,0.03*,0.1 or 'hidden=64 | 64,32', make an axis, * marks its "
            "baseline; may be given several times.",
        ),
    ] = None,
    table: TableFlags = TableFlags(),  # noqa: B008 - frozen
    output: Annotated[
        Path | None,
        Parameter(
            name=("--output", "-o"),
            converter=as_path,
            help="The report's folder; default: reports/NAME.",
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        Parameter(name=("--dry-run", "-n"), negative=(), help="Only print what would be trained."),
    ] = False,
    detach: Annotated[
        bool, Parameter(negative=(), help="Train in the background; see jmlp attach.")
    ] = False,
    fresh: Annotated[
        bool, Parameter(negative=(), help="Train stored runs again, and replace them.")
    ] = False,
    force: Annotated[
        bool,
        Parameter(
            name=("--force", "-f"), negative=(), help="Write into a folder with other files."
        ),
    ] = False,
    fail_on: Annotated[
        Literal["diverged"] | None, Parameter(help="Exit with code 7 if a run diverged.")
    ] = None,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Train every configuration of a study over several seeds; print tables, write a report.

    An interrupted study resumes where it stopped, from any terminal: stored runs are not trained
    again.
    """
    if template is not None or (source is None and again is None):
        _print_template(source or again, template)
        return 0
    from jmlp import data as datasets
    from jmlp.client.choice import left_out
    from jmlp.client.plans import checked_plan, facts_of
    from jmlp.training.plan import data_facts, table_options

    request = hardware.request()  # a wrong number is reported before data is fetched
    origin = _origin(source, again, stored.folder())
    choice = replace(
        origin,
        name=name,
        experiments=tuple(experiment or ()),
        seeds=seeds,
        epochs=epochs,
        data=data,
        overrides=(*table.overrides(), *(set_ or ())),
    )
    loaded = choice.study()
    for note in left_out(origin.study(), loaded) if choice.overrides else ():
        out.say(f"note: {note}")
    if dry_run:
        plan = checked_plan(loaded, facts_of(loaded), hardware.count())
        _print_plan(plan, hardware, stored.folder(), out)
        return 0
    from jmlp.cli import training
    from jmlp.client import workers
    from jmlp.report import check_output

    label = choice.label(loaded.name)
    folder = output or Path("reports") / label
    if not detach:
        check_output(folder, force, of=loaded.name)
    dataset = datasets.load(loaded.data, out.say, table_options(loaded))
    plan = checked_plan(loaded, data_facts(dataset), hardware.count())
    submitted = training.queue(
        stored.folder(),
        label,
        plan,
        dataset,
        request,
        out,
        fresh=fresh,
        named=name is not None,
    )
    if detach:
        process = workers.detach(submitted.folder, label)
        out.say(
            f"{label} trains in the background (process {process}): jmlp attach {label} shows it, "
            f"jmlp report {label} reports its completed runs"
        )
        return 0
    return train_and_report(submitted, folder, fail_on, out)


def _origin(source: str | None, again: str | None, folder: Path) -> "Choice":
    """The unchanged study.

    Raises:
        ConfigError: both a source and a study in the store are given.
        StoreError: there is no such study in the store.
    """
    from jmlp.client.choice import Choice
    from jmlp.data.table_file import is_table
    from jmlp.store import Store
    from jmlp.study.rules import plain

    if again is None:
        if source is not None and is_table(Path(source)):
            raise ConfigError(
                f"{plain(source)}: is a table, not a study file: jmlp study demo --data "
                f"{plain(source)} --label COLUMN trains a shipped study on it, and a study file of "
                "your own names it as data"
            )
        return Choice(source or "")
    if source is not None:
        raise ConfigError(f"--again {again}: is a study by itself; leave {source} out")
    with Store(folder, viewer=True) as store:
        return Choice(row=store.study(again))


def _print_template(source: str | None, template: str | None) -> None:
    """Prints the file of a shipped study.

    Raises:
        ConfigError: there is no such study, or it is not clear what is wanted.
    """
    from jmlp.study.file import SHIPPED, shipped_text
    from jmlp.study.rules import plain

    if template is None:
        raise ConfigError(
            f"study: name one ({', '.join(SHIPPED)}), give the path of a study file, or print a "
            "pattern for your own: jmlp study --template demo > my-study.toml"
        )
    if source is not None:
        raise ConfigError(
            f"--template {template}: prints a file and trains nothing; leave {plain(source)} out"
        )
    print(shipped_text(template), end="")


def train_and_report(
    submitted: "Submitted", folder: Path | None, fail_on: str | None, out: Output
) -> int:
    """Trains a queued study, prints its tables, and writes its report; returns the exit code.

    Without a folder, no report is written.

    Raises:
        CheckFailed: a run diverged, and `fail_on` does not allow that.
        JmlpError: the error with which the study ended.
    """
    from jmlp.cli import training
    from jmlp.client.submitting import failure_of

    code = training.train(submitted, out)
    if code is not None:
        return code
    results, row = submitted.results(), submitted.row()
    if results:
        _report(folder, submitted, results, out)
    if row.state == "failed":
        raise failure_of(row)
    diverged = sum(run.status == "diverged" for run in results)
    if fail_on == "diverged" and diverged:
        n_runs = submitted.n_runs()
        raise CheckFailed(f"{diverged} of {n_runs} runs diverged (--fail-on diverged)")
    return 0


def document(submitted: "Submitted", results: "list[RunResult]") -> Any:
    """The content of `results.json` as JSON values."""
    from jmlp.report import in_order
    from jmlp.report.files import results_head, results_json, tables_values
    from jmlp.results.tables import study_tables

    study, facts = submitted.plan.study, submitted.plan.facts
    head = results_head(
        study, submitted.source, facts.digests, submitted.command, datetime.now(UTC)
    )
    head["tables"] = tables_values(study_tables(study, results, facts))
    return json.loads(results_json(head, in_order(study, results)))


def _print_plan(plan: "Plan", hardware: TrainingHardware, folder: Path, out: Output) -> None:
    """Prints what would be trained."""
    from jmlp.client.pace import measured_pace, training_seconds
    from jmlp.client.plans import later_runs, plan_lines, plan_notes
    from jmlp.training import plan as planning

    pace, n_cores = measured_pace(folder), hardware.count()
    if out.json:
        out.print_json(
            {
                "study": plan.study.name,
                "runs": len(plan.runs),
                "later_runs": later_runs(plan),
                "groups": [
                    {
                        **{name: getattr(group.hyperparams, name) for name in STATIC_FIELDS},
                        "features": features(group.hyperparams),
                        "lanes": max(len(cohort.runs) for cohort in group.cohorts),
                        "cohorts": len(group.cohorts),
                        "runs": sum(len(cohort.runs) for cohort in group.cohorts),
                    }
                    for group in plan.groups
                ],
                "compiles": len(plan.groups),
                "memory": planning.memory(plan, n_cores),
                "seconds_at_most": training_seconds(plan, n_cores, pace),
                "notes": plan_notes(plan),
            }
        )
        return
    print("\n".join(plan_lines(plan, n_cores, pace)))


def _report(
    folder: Path | None, submitted: "Submitted", results: "list[RunResult]", out: Output
) -> None:
    """Writes the report, then prints the tables, even if writing fails."""
    from jmlp.cli.show import show_tables
    from jmlp.report import write_report
    from jmlp.results.tables import study_tables
    from jmlp.study.file import to_toml

    study = submitted.plan.study
    tables = study_tables(study, results, submitted.plan.facts)
    try:
        if folder is not None:
            write_report(
                folder,
                study,
                results,
                tables,
                facts=submitted.plan.facts,
                source=submitted.source,
                study_toml=to_toml(study),
                command=submitted.command,
                force=True,  # checked before training
            )
    finally:
        if out.json:
            out.print_json(document(submitted, results))
        else:
            show_tables(tables, out)
    if folder is None:
        out.say(f"report: jmlp report {submitted.label} writes it")
    else:
        out.say(f"report: {folder / 'report.html'}")
