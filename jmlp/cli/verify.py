"""`jmlp verify`: trains stored runs again and compares the results with the stored ones."""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from jmlp.cli.hardware import Hardware
from jmlp.cli.output import Output
from jmlp.cli.runs import RUNS
from jmlp.cli.store_option import StoreOption, find
from jmlp.client import texts
from jmlp.errors import CheckFailed, StoreError
from jmlp.system.streams import shown

if TYPE_CHECKING:
    from jmlp.cli.progress import Display
    from jmlp.store import RunRow, Store
    from jmlp.verification.comparison import Verdict

NAMED = 5  # runs in a message


@Parameter(name="*")
@dataclass(frozen=True)
class VerifyingHardware(Hardware):
    """The options that choose the device on which runs are trained again."""

    device: Annotated[
        Literal["auto", "cpu", "gpu"],
        Parameter(help="The device; auto takes the kind of device that trained them before."),
    ] = "auto"


def verify(
    runs: Annotated[list[str], RUNS],
    /,
    *,
    store: StoreOption = StoreOption(),  # noqa: B008 - frozen
    hardware: VerifyingHardware = VerifyingHardware(),
    out: Output = Output(),  # noqa: B008 - frozen
) -> None:
    """Train stored runs again, and report whether their numbers are the same."""
    from jmlp.cli.progress import display
    from jmlp.verification import client

    hardware.count()  # a wrong number is reported before anything starts
    with store.open(viewer=True) as opened:
        rows = find(opened, runs)
        if not rows:
            raise StoreError(f"{opened.folder}: there are no runs yet")
        skipped = _not_ready(opened, rows)
        ready = [row for row in rows if row.run_id not in skipped]
        verdicts: dict[str, Verdict] = {}
        try:
            with display(out) as show:
                for request in client.requests(
                    opened.folder, ready, hardware.device, hardware.cores
                ):
                    with closing(client.start(request)) as messages:
                        for message in messages:
                            _handle(message, verdicts, len(ready), show)
        finally:
            # Verdicts are printed even if the rest fails.
            answered = [row for row in rows if row.run_id in verdicts]
            if out.json and (answered or skipped):
                out.print_json(_record(answered, verdicts, skipped))
            elif answered:
                _print(answered, verdicts, out)
        _raise_failures(rows, verdicts, skipped)


def _handle(
    message: Mapping[str, Any], verdicts: "dict[str, Verdict]", n_runs: int, show: "Display"
) -> None:
    """Stores or shows one answer of a process.

    Args:
        message: the answer.
        verdicts: the verdicts by run id, to which one may be added.
        n_runs: the number of runs of all processes.
        show: displays progress.
    """
    from jmlp.results.serialization import progress_from_table
    from jmlp.verification.comparison import verdict_from

    if "say" in message:
        show.say(message["say"])
    if "verdict" in message:
        verdict = verdict_from(message["verdict"])
        verdicts[verdict.run_id] = verdict
    if "progress" in message:
        progress = progress_from_table(message["progress"])
        before = len(verdicts) - progress.runs_done  # runs of processes that have ended
        share = (before + (progress.share or 0.0) * progress.n_runs) / n_runs
        of_all = replace(progress, runs_done=len(verdicts), n_runs=n_runs, share=share)
        show.show("running", of_all, list(progress.points.values()))


def _not_ready(store: "Store", rows: "Sequence[RunRow]") -> dict[str, str]:
    """The ids of runs that cannot be verified, each with the reason."""
    from jmlp.store.paths import path_of
    from jmlp.store.states import RUN_ENDED
    from jmlp.system.files import is_there

    why = {row.run_id: f"is {row.state}" for row in rows if row.state not in RUN_ENDED}
    for row in rows:
        if row.run_id not in why and not is_there(path_of(store.folder, row.run_id)):
            why[row.run_id] = "no longer has a file"
    return why


def _record(
    rows: "Sequence[RunRow]", verdicts: "Mapping[str, Verdict]", skipped: Mapping[str, str]
) -> Any:
    from jmlp.results.serialization import strict

    found = [verdicts[row.run_id] for row in rows]
    return strict(
        {
            "runs": [
                {**asdict(verdict), "first_step": verdict.first_step, "text": verdict.text}
                for verdict in found
            ],
            "skipped": skipped,
        }
    )


def _print(rows: "Sequence[RunRow]", verdicts: "Mapping[str, Verdict]", out: Output) -> None:
    from jmlp.cli.show import Column, print_grid

    ids = texts.short_ids([row.run_id for row in rows])
    configurations = texts.configuration_texts(rows)
    columns = [
        Column("run"),
        Column("configuration"),
        Column("seed", "right"),
        Column("answer", group="answer"),
        Column("costs differ by", "right", "difference"),
        Column("kept parameters by", "right", "difference"),
    ]
    cells = []
    for row in rows:
        verdict = verdicts[row.run_id]
        cells.append(
            [
                ids[row.run_id],
                configurations[row.run_id],
                str(row.seed),
                verdict.text,
                _difference(verdict.cost_difference),
                _difference(verdict.parameter_difference),
            ]
        )
    print_grid(out.console(), columns, cells, out)
    print()
    found = [verdicts[row.run_id] for row in rows]
    counts = Counter(verdict.answer for verdict in found)
    print(f"{counts['bit-identical']} of {len(rows)} runs bit-identical.")
    for verdict in found:
        if verdict.answer == "differs" and verdict.first_step:
            print(
                f"{ids[verdict.run_id]} is equal at step {verdict.equal_until} and not at step "
                f"{verdict.differs_at}; the steps in between are not stored."
            )
    for reason, n in _reasons(found).items():
        print(shown(f"A likely reason in {n} of {len(rows)} runs: {reason}."))


def _difference(value: float) -> str:
    from jmlp.verification.comparison import difference_text

    return difference_text(value) if value else "0"


def _reasons(verdicts: "Sequence[Verdict]") -> Counter[str]:
    """The changed conditions of the runs that are not bit-identical, with their numbers."""
    return Counter(
        ", ".join(verdict.made_with)
        for verdict in verdicts
        if verdict.answer != "bit-identical" and verdict.made_with
    )


def _raise_failures(
    rows: "Sequence[RunRow]", verdicts: "Mapping[str, Verdict]", skipped: Mapping[str, str]
) -> None:
    """Raises an error if not all runs were verified as equal.

    Raises:
        CheckFailed: a run differs.
        StoreError: a run could not be verified, and none differs.
    """
    ids = texts.short_ids([row.run_id for row in rows])
    differ = [verdict for verdict in verdicts.values() if verdict.answer == "differs"]
    messages = []
    if differ:
        each = [f"{ids[verdict.run_id]} {verdict.text}" for verdict in differ]
        verb = "differs" if len(differ) == 1 else "differ"
        messages.append(f"{len(differ)} of {len(rows)} runs {verb}: {_some(each)}")
    if skipped:
        each = [f"{ids[run_id]} {why}" for run_id, why in skipped.items()]
        messages.append(f"{len(skipped)} of {len(rows)} runs cannot be verified: {_some(each)}")
    if messages:
        raise (CheckFailed if differ else StoreError)("\n".join(messages))


def _some(found: Sequence[str]) -> str:
    more = f"; and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return "; ".join(found[:NAMED]) + more
