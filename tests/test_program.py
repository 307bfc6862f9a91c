"""Lanes of the compiled program: whatever stands beside a run, its numbers are the same bits."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh
from numpy.typing import NDArray

from helpers import (
    N_CLASSES,
    N_EXAMPLES,
    N_IN,
    N_STEPS,
    N_TEST,
    N_TRAINING,
    SMALL,
    SMALL_DATA,
    assert_equal_bits,
)
from jmlp import program, train
from jmlp.config import Hyperparams
from jmlp.data import batch_order
from jmlp.data.dataset import Dataset
from jmlp.data.digits import synthetic
from jmlp.program import Program
from jmlp.train import Data, Measurement, Parts, TrainState

# Lanes with all that a lane can have: batch norm, moments, dropout.
RICH = replace(SMALL, batch_norm=True, optimizer="adam", learning_rate=0.01)
LANES = [replace(RICH, drop_rate=i / 10, learning_rate=0.01 + i / 100) for i in range(8)]


class Bench:
    """Cohorts in slots, started; one slot a device."""

    def __init__(
        self,
        lanes: Sequence[Hyperparams] | Sequence[Sequence[Hyperparams]],
        seeds: Sequence[int] = (0,),
        *,
        dropout: bool = True,
        dataset: Dataset = SMALL_DATA,
    ) -> None:
        n, cohorts = len(seeds), lanes if isinstance(lanes[0], Sequence) else [lanes] * len(seeds)
        mesh = Mesh(np.array(jax.devices("cpu")[:n]), ("slots",))
        self.program = Program(mesh, dataset.n_in, dataset.n_classes, dropout)
        stacked = [train.stack_hyperparams(c) for c in cohorts]
        self.hp = self.put(jax.tree.map(lambda *leaves: np.stack(leaves), *stacked))
        self.keys = self.put(np.stack([train.root_key(seed) for seed in seeds]))
        batch_size = stacked[0].batch_size
        self.n_steps = min(N_STEPS, len(dataset.y_train) // batch_size)
        n_used = self.n_steps * batch_size
        order = [batch_order(seed, 1, len(dataset.y_train))[:n_used] for seed in seeds]
        self.order = self.put(np.stack(order).reshape(n, self.n_steps, batch_size))
        rows = np.arange(len(dataset.y_train), dtype=np.int32)
        self.parts = self.put(Parts(*(np.stack([part] * n) for part in np.split(rows, [150, 200]))))
        self.data = self.program.put_everywhere(Data(dataset.x_train, dataset.y_train))
        blank = program.blank(self.program, self.hp, self.keys)
        started = np.ones((n, stacked[0].learning_rate.shape[0]), np.bool_)
        self.state = program.refill(self.program, blank, self.hp, self.keys, started)

    def put(self, tree: Any) -> Any:
        return self.program.put_slots(tree)
