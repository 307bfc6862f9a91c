"""`jmlp break`: shows a mistake: its gradient, and its training beside the right network."""

import contextlib
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from jmlp.cli.hardware import TrainingHardware
from jmlp.cli.output import Output
from jmlp.cli.show import Column, heading, print_grid
from jmlp.cli.store_option import StoreOption
from jmlp.cli.table_flags import TableFlags
from jmlp.study import data_names, mistakes
from jmlp.study.mistakes import MISTAKES, Mistake

if TYPE_CHECKING:
    from jmlp.inspection.mistake import LeafGradient

FOUND = "Found by the check of the gradient"
NOT_FOUND = "Found by no check of the gradient"


def break_(
    name: Annotated[
        str | None, Parameter(help="The mistake; without it, all mistakes are listed.")
    ] = None,
    /,
    *,
    check_only: Annotated[
        bool, Parameter(negative=(), help="Only check the gradient, and train nothing.")
    ] = False,
    seeds: Annotated[
        int | None, Parameter(help="Number of runs of each of the two networks. Default: 8.")
    ] = None,
    epochs: Annotated[int | None, Parameter(help="Maximum number of epochs.")] = None,
    data: Annotated[str | None, Parameter(help=data_names.HELP)] = None,
    hidden: Annotated[
        str | None, Parameter(help="Units of each hidden layer, as in 32,16.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        Parameter(
            name="--set",
            negative=(),
            help="Change another value of both networks, as in learning_rate=0.01; may be given "
            "several times.",
        ),
    ] = None,
    table: TableFlags = TableFlags(),  # noqa: B008 - frozen
    fresh: Annotated[
        bool, Parameter(negative=(), help="Train stored runs again, and replace them.")
    ] = False,
    stored: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: TrainingHardware = TrainingHardware(),  # noqa: B008 - frozen
    out: Output = Output(),  # noqa: B008 - frozen
) -> int:
    """Choose a mistake, see which gradients it makes wrong, and train it beside the right network.

    Without a name, all mistakes. With one, the check of the gradient, and then a study of both
    networks with the same seeds, its table and its verdict.
    """
    if name is None:
        _list(out)
        return 0
    mistake = mistakes.find(name)
    from jmlp.client.choice import Choice
    from jmlp.inspection.client import Inspector
    from jmlp.inspection.mistake import check

    # Wrong options are reported before anything is computed.
    request = hardware.request()
    overrides = (f"hidden={hidden}",) if hidden is not None else ()
    choice = Choice(
        mistake=name,
        seeds=seeds,
        epochs=epochs,
        data=data,
        overrides=(*overrides, *table.overrides(), *(set_ or ())),
    )
    study = choice.study()
    from jmlp import data as datasets
    from jmlp.client.plans import checked_plan
    from jmlp.training.plan import data_facts, table_options

    dataset = datasets.load(study.data, out.say, table_options(study))
    plan = checked_plan(study, data_facts(dataset), hardware.count())
    leaves: tuple[LeafGradient, ...] = ()
    if mistake.checked:
        with contextlib.closing(Inspector(Path())) as inspector:
            leaves = check(mistake, inspector)
    if not out.json:
        _explain(mistake, leaves, out)
        sys.stdout.flush()  # before the progress of the training, wherever that goes
    if check_only:
        if out.json:
            out.print_json(_document(mistake, leaves))
        return 0
    from jmlp.cli import training
    from jmlp.cli.show import show_tables
    from jmlp.cli.study import document
    from jmlp.client.submitting import failure_of
    from jmlp.results.broken import in_words
    from jmlp.results.tables import study_tables

    label = choice.label(study.name)
    submitted = training.queue(stored.folder(), label, plan, dataset, request, out, fresh=fresh)
    code = training.train(submitted, out)
    if code is not None:
        return code
    results = submitted.results()
    if (row := submitted.row()).state == "failed":
        raise failure_of(row)
    tables = study_tables(study, results, plan.facts)
    words = in_words(study, tables[0], mistake)
    if out.json:
        shown = {"study": document(submitted, results), "in_words": words}
        out.print_json({**_document(mistake, leaves), **shown})
    else:
        show_tables(tables, out)
        if words:
            print(_wrapped(words, out))
    return 0


def _list(out: Output) -> None:
    """Prints all mistakes, one line each."""
    if out.json:
        out.print_json([_record(mistake) for mistake in MISTAKES])
        return
    console = out.console()
    width = max(map(len, mistakes.NAMES)) + 2
    for title, checked in ((FOUND, True), (NOT_FOUND, False)):
        heading(console, title)
        for mistake in MISTAKES:
            if (mistake.checked is not None) == checked:
                print(
                    textwrap.fill(
                        f"{mistake.name:<{width}}{mistake.wrong}: it {mistake.what}",
                        console.width,
                        subsequent_indent=" " * width,
                    )
                )
    sys.stdout.flush()  # before what goes to stderr
    out.say("\njmlp break NAME checks the gradient with it, and trains it beside the right network")


def _explain(mistake: Mistake, leaves: "tuple[LeafGradient, ...]", out: Output) -> None:
    """Prints what a mistake is, and the check of its gradient."""
    console = out.console()
    heading(console, mistake.name)
    for line in sentences(mistake):
        print(_wrapped(line, out))
    print(f"\n  right   {mistake.right}\n  wrong   {mistake.wrong}")
    if not leaves:
        heading(console, NOT_FOUND)
    else:
        from jmlp.inspection.mistake import TITLES, network_text, summary

        heading(console, f"{FOUND}: {network_text(mistake)}")
        columns = [Column(title, "right" if i > 2 else "left") for i, title in enumerate(TITLES)]
        print_grid(console, columns, [leaf.texts() for leaf in leaves], out)
        print()
        print(_wrapped(f"{', '.join(summary(leaves))}.", out))
    print(_wrapped(mistake.why, out))


def sentences(mistake: Mistake) -> Iterator[str]:
    """What a mistake is, and its remedy."""
    yield f"It {mistake.what}."
    yield f"Remedy: {mistake.remedy}."


def _wrapped(text: str, out: Output) -> str:
    return textwrap.fill(text, out.console().width)


def _record(mistake: Mistake) -> dict[str, Any]:
    return {
        "name": mistake.name,
        mistake.setting: mistake.setting_value,
        "what": mistake.what,
        "remedy": mistake.remedy,
        "right": mistake.right,
        "wrong": mistake.wrong,
        "why": mistake.why,
        "found_by_gradient_check": mistake.checked is not None,
    }


def _document(mistake: Mistake, leaves: "tuple[LeafGradient, ...]") -> dict[str, Any]:
    return {"mistake": _record(mistake), "leaves": [asdict(leaf) for leaf in leaves]}
