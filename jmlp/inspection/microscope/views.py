"""The records of the microscopes: what the command prints as JSON and the helper answers.

Imports no JAX. A number that does not exist is None; one that is not finite is NaN.
"""

from dataclasses import dataclass
from typing import Literal

Statistics = Literal["running", "batch", "sample"]


@dataclass(frozen=True)
class MasksView:
    """The masks of one layer under the keys of several updates."""

    layer: str  # "inputs", "hidden 1", …
    rate: float  # of the run
    n_units: int
    dropped: tuple[tuple[int, ...], ...]  # of each update: the units that the example loses
    share: float  # dropped of all units, of all examples of these updates
    n_drawn: int  # that share is of so many
    is_repeated: bool  # whether each key by itself gave the mask of the pass again


@dataclass(frozen=True)
class DropoutView:
    """Which units are dropped, and the mean over keys against no dropout."""

    epoch: float  # of the network
    updates: tuple[int, ...]  # whose masks are shown, from the next one
    example: int  # in the mini-batch of each of them
    layers: tuple[MasksView, ...]  # those with a drop rate
    class_names: tuple[str, ...]
    row: int  # the example of the next update, in the training part; its probabilities are below
    label: int
    n_keys: int  # of the next updates
    without: tuple[float, ...]  # the probability of each class without dropout
    mean: tuple[float, ...]  # over the keys
    spread: tuple[float, ...]  # standard deviation over the keys
    n_sample: int  # validation examples
    difference: float  # mean of |mean over keys - without| over examples and classes
    accuracy_without: float
    accuracy_single: float  # of one pass with dropout, mean over the keys
    accuracy_mean: float  # of the mean of the probabilities over the keys
    cost_without: float  # nats
    cost_single: float
    cost_mean: float


@dataclass(frozen=True)
class NormLayerView:
    """The statistics of one layer with batch norm."""

    layer: str
    # Over the snapshots: the root mean square over the units of (mean - running mean) / running
    # standard deviation, and the geometric mean of variance / running variance.
    batch_shift: tuple[float, ...]
    batch_ratio: tuple[float, ...]
    sample_shift: tuple[float, ...]
    sample_ratio: tuple[float, ...]
    # Of each unit, at the chosen snapshot.
    batch_mean: tuple[float, ...]
    batch_var: tuple[float, ...]
    running_mean: tuple[float, ...]
    running_var: tuple[float, ...]
    sample_mean: tuple[float, ...]
    sample_var: tuple[float, ...]


@dataclass(frozen=True)
class NormEvaluationView:
    """Validation cost and accuracy over the snapshots, normalised by some statistics."""

    by: Statistics
    cost: tuple[float, ...]  # nats
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class BatchNormView:
    """The batch's statistics, the running ones, and those that `predict` needs."""

    epochs: tuple[float, ...]  # of all networks
    snapshot: int  # the index of the chosen one
    update: int  # the next one, from 1
    batch_size: int
    n_sample: int  # training examples
    n_validation: int  # validation examples of the evaluations
    layers: tuple[NormLayerView, ...]
    evaluations: tuple[NormEvaluationView, ...]


@dataclass(frozen=True)
class LayerNoiseView:
    """The gradient of one layer, with the scale and shift of its batch norm."""

    layer: str
    squared: float  # the estimate of |G|²
    variance: float  # of tr Σ
    signal: float | None  # signal-to-noise ratio at the run's batch size; None: |G|² is not > 0


@dataclass(frozen=True)
class NoiseView:
    """The gradient noise scale; see `step.noise_of`."""

    n_gradients: int
    n_each: int  # examples of each of them
    squared: float  # the estimate of |G|²
    variance: float  # of tr Σ
    scale: float | None  # tr Σ / |G|², in examples; None: the estimate of |G|² is not positive
    signal: float | None  # batch size / scale
    layers: tuple[LayerNoiseView, ...]


@dataclass(frozen=True)
class SharpnessView:
    """The largest eigenvalue of the Hessian."""

    value: float
    residual: float  # ‖Hv - λv‖ of the unit vector v
    n_products: int  # Hessian-vector products


@dataclass(frozen=True)
class StepView:
    """How good the next update is."""

    epoch: float  # of the network
    update: int  # from 1
    optimizer: str
    learning_rate: float
    batch_size: int
    n_sample: int  # training examples
    is_update: bool  # else the step is -η g, since the optimiser's moments are not stored
    has_fault: bool  # whether the run's own gradient has a mistake, made on purpose
    multiples: tuple[float, ...]  # of the step
    batch_costs: tuple[float, ...]  # of the mini-batch there, nats
    sample_costs: tuple[float, ...]  # of the sample there
    sharpness: SharpnessView | None  # None: not found within the allowed products
    limit: float | None  # the largest stable sharpness; None: the optimiser has no such limit
    noise: NoiseView | None  # None: the sample is smaller than two mini-batches


@dataclass(frozen=True)
class SizeView:
    """The step of one configuration's first seed, at its best snapshot."""

    experiment: str
    configuration: str
    batch_size: int
    seed: int
    run_id: str | None  # None: it is not in the store
    accuracy: float | None  # of the test set; without one, of the validation part
    step: StepView | None
    problem: str | None  # why there is no step
