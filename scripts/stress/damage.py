"""Checkpoints with one flipped bit, or truncated, are never resumed from."""

from pathlib import Path
from typing import Any

import numpy as np
from measuring import Findings, Options, Row, say, workplace

from jmlp.store.checkpoints import Checkpoints, key_of
from jmlp.training.records import CohortState, CostPoint, Evaluations, Snapshot

ABOUT: dict[str, Any] = {"must": {"numerics": 1, "width": 1}, "note": {}}


def damage(options: Options) -> Row:
    """Flips every bit of the newer of two checkpoints, one at a time, and truncates it everywhere.

    Each is read as a worker reads it. It counts as refused if the older checkpoint is returned, and
    one message names the file and says so.
    """
    findings, every = Findings(), 10 if options.quick else 1
    refused = 0
    with workplace() as folder:
        old, new = _state(evaluation=1), _state(evaluation=2)
        key = key_of(new.run_ids, new.width)
        Checkpoints(folder).save(key, old, ABOUT)
        path = Checkpoints(folder).save(key, new, ABOUT)
        whole = path.read_bytes()
        state, messages = Checkpoints(folder).load(key, ABOUT)
        findings.expect(
            state is not None and state.evaluation == 2 and not messages, "not read whole"
        )
        bits, lengths = range(0, 8 * len(whole), every), range(0, len(whole), every)
        for bit in bits:
            flipped = bytearray(whole)
            flipped[bit // 8] ^= 1 << bit % 8
            path.write_bytes(flipped)
            refused += _is_refused(folder, key, path, findings, f"bit {bit}")
            if bit % 10_000 == 0:
                say(f"bit {bit:,} of {8 * len(whole):,}")
        for length in lengths:
            path.write_bytes(whole[:length])
            refused += _is_refused(folder, key, path, findings, f"{length} bytes")
        path.write_bytes(whole)
    n = len(bits) + len(lengths)
    return Row(
        f"every {'' if every == 1 else f'{every}th '}bit of a checkpoint of {len(whole):,} bytes "
        "flipped, every truncation",
        "100 % refused; the previous one is used, with a warning",
        f"{refused:,} of {n:,} ({len(bits):,} bits, {len(lengths):,} truncations){findings}",
        ok=refused == n and not findings.found,
    )


def _is_refused(folder: Path, key: str, path: Path, findings: Findings, what: str) -> bool:
    state, messages = Checkpoints(folder).load(key, ABOUT)
    return findings.expect(
        state is not None
        and state.evaluation == 1
        and len(messages) == 1
        and messages[0].startswith(f"{path}: ")
        and messages[0].endswith("; the one of update 3 is used instead"),
        f"{what}: {messages}",
    )


def _state(evaluation: int) -> CohortState:
    """The smallest cohort: one lane of a network of 2 inputs and 2 classes."""
    W = np.arange(4, dtype=np.float32).reshape(1, 2, 2) + evaluation
    points = tuple(
        CostPoint(e, 3 * e, 0.5 if e else None, 0.5, 1.0, 0.5, 1.0) for e in range(evaluation)
    )
    return CohortState(
        ("ab" * 32,),
        1,
        evaluation,
        0,
        Evaluations(3),
        {".params[0].dense.W": W, ".active": np.array([True])},
        (points,),
        ((Snapshot(0, {"params[0].dense.W": W[0]}, None),),),
    )
