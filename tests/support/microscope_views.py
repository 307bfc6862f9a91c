"""What the microscopes see of networks that never were, made without JAX."""

import math
from collections.abc import Callable, Mapping

from jmlp.inspection.microscope.views import (
    BatchNormView,
    DropoutView,
    LayerNoiseView,
    MasksView,
    NoiseView,
    NormEvaluationView,
    NormLayerView,
    SharpnessView,
    StepView,
)

EPOCHS = (0, 1, 2, 3)


def dropout(epoch: float = 2) -> DropoutView:
    """Masks of the inputs and of a hidden layer, made by a formula."""
    first = 10 * round(epoch) + 1
    updates = tuple(range(first, first + 6))

    def masks(layer: str, rate: float, n: int) -> MasksView:
        dropped = tuple(
            tuple(unit for unit in range(n) if (unit * 7 + k * k * 3 + n) % 10 < 10 * rate)
            for k in updates
        )
        return MasksView(layer, rate, n, dropped, rate + 0.01, 6 * 16 * n, True)

    return DropoutView(
        epoch=epoch,
        updates=updates,
        example=0,
        layers=(masks("inputs", 0.2, 90), masks("hidden 1", 0.5, 3)),
        class_names=("Adelie", "[b]Chinstrap[/b]", "Gentoo"),
        row=123,
        label=1,
        n_keys=200,
        without=(0.25, 0.7, 0.05),
        mean=(0.3, 0.6, 0.1),
        spread=(0.1, 0.2, 0.05),
        n_sample=42,
        difference=0.0321,
        accuracy_without=0.9524,
        accuracy_single=0.9013,
        accuracy_mean=0.9286,
        cost_without=0.21,
        cost_single=0.34,
        cost_mean=0.25,
    )


def batch_norm(epoch: float = 2) -> BatchNormView:
    """Statistics that come closer to the running ones with every epoch."""
    near = tuple(1 / (1 + e) for e in EPOCHS)
    ratios = tuple(0.5 + 0.1 * e for e in EPOCHS)
    means, variances = (0.5, -1.25, 2.0), (1.0, 0.25, 4.0)
    layer = NormLayerView(
        "hidden 1", near, ratios, near[::-1], ratios[::-1], *(3 * (means, variances))
    )
    return BatchNormView(
        epochs=EPOCHS,
        snapshot=EPOCHS.index(round(epoch)),
        update=10 * round(epoch) + 1,
        batch_size=16,
        n_sample=166,
        n_validation=42,
        layers=(layer,),
        evaluations=(
            NormEvaluationView("running", near, ratios),
            NormEvaluationView("batch", (*near[:3], math.nan), ratios),
            NormEvaluationView("sample", near, ratios),
        ),
    )


def step(epoch: float = 2) -> StepView:
    """A step that goes too far: both costs are parabolas."""
    multiples = tuple(k / 4 for k in range(-2, 17))
    noise = NoiseView(
        166,
        1,
        0.04,
        12.0,
        300.0,
        16 / 300,
        (LayerNoiseView("hidden 1", 0.05, 6.0, 0.13), LayerNoiseView("output", -0.01, 6.0, None)),
    )
    return StepView(
        epoch=epoch,
        update=10 * round(epoch) + 1,
        optimizer="sgd",
        learning_rate=0.1,
        batch_size=16,
        n_sample=166,
        is_update=True,
        has_fault=False,
        multiples=multiples,
        batch_costs=tuple(1 + 0.1 * (m - 1.5) ** 2 for m in multiples),
        sample_costs=tuple(1.2 + 0.08 * (m - 1) ** 2 for m in multiples),
        sharpness=SharpnessView(25.0, 1.5e-5, 31),
        limit=20.0,
        noise=noise,
    )


MADE: Mapping[str, Callable[[float], DropoutView | BatchNormView | StepView]] = {
    "dropout": dropout,
    "batch norm": batch_norm,
    "step quality": step,
}


def view(do: str, epoch: float) -> DropoutView | BatchNormView | StepView:
    """What the helper answers to a request."""
    return MADE[do](epoch)
