"""Stored runs as texts, for tables, and as JSON values, for programs."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jmlp.nn.schedules import scheduled
from jmlp.study import mistakes
from jmlp.study.config import DEFAULTS, Cell, Hyperparams, Value, in_use, label
from jmlp.study.rules import value_text
from jmlp.training.records import epoch_text

if TYPE_CHECKING:
    from jmlp.store import Event, RunRow
    from jmlp.training.records import CostPoint

MISSING = "–"
SHORT_ID = 8  # digits of an id that are shown; more if two runs share them


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """The first digits of every id, as many as are needed to distinguish them all."""
    known = set(ids)
    n = next(n for n in range(SHORT_ID, 65) if len({i[:n] for i in known}) == len(known) or n == 64)
    return {run_id: run_id[:n] for run_id in known}


def state_text(row: "RunRow") -> str:
    """The state of a run as a text: `stopped early`, `diverged @1200`, `running, epoch 3`.

    It names a mistake that is there on purpose.
    """
    faults = [
        f"{mistake.setting.replace('_', ' ')} {mistake.name}"
        for mistake in mistakes.made_on_purpose(row.hyperparams)
    ]
    return ", ".join([_state_with_detail(row), *faults])


def _state_with_detail(row: "RunRow") -> str:
    result = row.result
    if row.state == "diverged" and result is not None:
        return f"diverged @{result.diverged_at}"
    if row.state == "finished" and result is not None:
        ended = "finished" if result.reached_limit else "stopped early"
        return f"{ended}, collapsed" if result.collapsed else ended
    if row.state == "running" and row.epoch is not None:
        return f"running, epoch {epoch_text(row.epoch)}"
    return row.state


def configuration_texts(rows: Sequence["RunRow"], study: str | None = None) -> dict[str, str]:
    """Each run's hyperparameters, by its id, in which the runs of its study differ.

    If they agree in all of them, those that differ from the defaults.

    Args:
        rows: all runs of their studies.
        study: the study as whose runs they are compared; by default each run's first one.
    """
    studies: dict[str | None, list[RunRow]] = {}
    for row in rows:
        first = row.studies[0] if row.studies else None
        studies.setdefault(study or first, []).append(row)
    texts = {}
    for members in studies.values():
        names = [n for n in DEFAULTS if len({getattr(r.hyperparams, n) for r in members}) > 1]
        for row in members:
            hp = row.hyperparams
            chosen = names or [n for n in DEFAULTS if getattr(hp, n) != DEFAULTS[n]]
            cell = {name: getattr(hp, name) for name in chosen if in_use(name, hp)}
            texts[row.run_id] = label(cell) if cell else "defaults"
    return texts


def settings(hp: Hyperparams) -> Cell:
    """All hyperparameters that have an effect."""
    return {f.name: getattr(hp, f.name) for f in fields(hp) if in_use(f.name, hp)}


def words(name: str) -> str:
    """A field's name for display: `validation cost` for `validation_cost`."""
    return name.replace("_", " ")


def text_of(name: str, value: Value) -> str:
    """A value with all its digits; a dash for a missing one."""
    if value is None and name != "patience":
        return MISSING
    return value_text(value, name)


def cost_text(value: float | None) -> str:
    """A cost in nats with four decimals, so that columns align."""
    return MISSING if value is None else f"{value:.4f}"


def percent_text(value: float | None) -> str:
    """A fraction as a percentage with two decimals, so that columns align."""
    return MISSING if value is None else f"{100 * value:.2f}"


def estimate_text(seconds: float) -> str:
    """`about 45 s`, `about 3 min`, `about 1 h 20 min`: no more precision than an estimate has."""
    if seconds < 59.5:
        return f"about {seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"about {hours} h {minutes} min" if hours else f"about {minutes} min"


def speed_text(examples_per_second: float) -> str:
    """`850 examples/s`, `412,000 examples/s`, `2.39 million examples/s`: three digits."""
    if examples_per_second >= 999_500:
        return f"{float(f'{examples_per_second / 1e6:.3g}'):,.10g} million examples/s"
    return f"{float(f'{examples_per_second:.3g}'):,.10g} examples/s"


def learning_rate_text(hp: Hyperparams, updates: int, n_steps: int) -> str:
    """The learning rate of the next update: `0.1`, or `0.043 (linear from 0.1)` under a schedule.

    In a warm-up: `0.02 (warm-up to 0.1)`.

    Args:
        hp: the hyperparameters.
        updates: the updates made so far.
        n_steps: updates per epoch.
    """
    full, warmup = value_text(hp.learning_rate), hp.warmup or None
    rate = scheduled(hp.schedule, hp.learning_rate, updates, n_steps, hp.epochs, warmup)
    if updates < hp.warmup * n_steps:
        return f"{rate:.3g} (warm-up to {full})"
    return full if hp.schedule == "constant" else f"{rate:.3g} ({hp.schedule} from {full})"


def time_text(milliseconds: int) -> str:
    """A time in UTC, to the second."""
    return f"{_datetime(milliseconds):%Y-%m-%d %H:%M:%S}"


def minute_text(milliseconds: int) -> str:
    """A time in UTC, to the minute."""
    return f"{_datetime(milliseconds):%Y-%m-%d %H:%M}"


def row_table(row: "RunRow") -> dict[str, Any]:
    """A run as JSON values, without its costs."""
    from jmlp.results.serialization import run_table, strict

    result = None if row.result is None else run_table(row.result, costs=False)
    table = {
        "number": row.number,
        "run_id": row.run_id,
        "state": row.state,
        "studies": row.studies,
        "tags": row.tags,
        "hyperparams": asdict(row.hyperparams),
        "seed": row.seed,
        "split_seed": row.split_seed,
        "epoch": row.epoch,
        "step": row.step,
        "attempt": row.attempt,
        "failure": row.failure,
        "code": row.code,
        "ended_at": _iso(row.ended_at),
        "result": result,
    }
    return dict(strict(table))


def event_table(event: "Event") -> dict[str, Any]:
    """An event as JSON values."""
    return {
        "at": _iso(event.at),
        "study": event.study,
        "kind": event.kind,
        "step": event.step,
        "detail": event.detail,
    }


def costs_table(points: Sequence["CostPoint"]) -> Mapping[str, Any]:
    """A cost curve as JSON values, by column as in `results.json`."""
    from jmlp.results.serialization import strict
    from jmlp.training.records import CostPoint

    columns = {f.name: [getattr(p, f.name) for p in points] for f in fields(CostPoint)}
    return dict(strict(columns))


def _iso(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else _datetime(milliseconds).isoformat()


def _datetime(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
