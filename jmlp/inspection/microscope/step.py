"""The quality of a step: the cost along it, the sharpness, the noise of its gradient.

Two costs are measured, in nats and without an L2 penalty:

    of the mini-batch   as the update has it: with its augmentation, its dropout masks, label
                        smoothing and class weights, and batch norm by its own statistics
    of the sample       the first examples of the training part: the same without augmentation and
                        dropout, and batch norm by the statistics of the whole sample

Sharpness is the largest eigenvalue of the Hessian of the sample's cost, with the L2 penalty if
there is one. The noise is that of the gradients of the update, see `noise_of`.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.flatten_util import ravel_pytree
from numpy.typing import NDArray

from jmlp.data.dataset import Dataset, plane_of
from jmlp.inspection.compute import step_gradient, update_inputs
from jmlp.inspection.microscope.samples import Examples, split_of
from jmlp.inspection.microscope.views import LayerNoiseView, NoiseView, SharpnessView, StepView
from jmlp.inspection.updates import Update, update_after
from jmlp.nn import faults, l2, model
from jmlp.nn.augmentation import augmentation_of
from jmlp.nn.derivatives import Derivatives
from jmlp.nn.gradient import CostOptions
from jmlp.nn.gradient import gradient as gradient_of_block
from jmlp.nn.optimizers import optimizer_of
from jmlp.store.networks import Networks
from jmlp.study.config import Hyperparams
from jmlp.study.rules import Optimizer
from jmlp.system import numerics
from jmlp.training import blocks, plan, single_run

MULTIPLES = tuple(np.arange(-0.5, 4.01, 0.25).tolist())  # of the step
# Of the sample, as many examples as the work allows: a Hessian-vector product of 5,000 examples
# and 16,000 parameters takes 50 ms on a core, so one of 5 million parameters has only 500 examples.
WORK, FEWEST = 500_000_000, 500
TOLERANCE = 1e-3  # of the largest eigenvalue, relative
MOST_RESTARTS = 12  # of Lanczos, each with about `BASIS` products
BASIS = 20
CHUNK = 1_000_000  # numbers of gradients that are computed side by side


@numerics.pinned_call
def step_view(stored: Networks, dataset: Dataset, index: int) -> StepView:
    """Measures the next update after a stored network.

    The step is the update itself where that is known. The moments of the other optimisers are not
    stored, so of a later update it is the negative gradient of the update times the learning rate.

    Args:
        stored: the networks of the run.
        dataset: the data that the run was trained on.
        index: which of the networks.

    Raises:
        ConfigError: no update follows the network.
    """
    hp = stored.hyperparams
    update = update_after(stored, dataset, index)
    split = split_of(stored, dataset)
    n_params = sum(leaf.size for leaf in jax.tree.leaves(update.params))
    most = min(plan.TRAINING_SAMPLE, max(FEWEST, WORK // n_params))
    sample = split.first(split.training, most)
    step, is_update = step_of(update)
    batch_costs, sample_costs = [], []
    for multiple in MULTIPLES:
        moved = _moved(update.params, step, multiple)
        batch_costs.append(cost_of_batch(update, moved))
        sample_costs.append(cost_of_sample(update, moved, sample))
    rate = float(update.rate)
    return StepView(
        epoch=stored.epochs[index],
        update=update.number,
        optimizer=hp.optimizer,
        learning_rate=rate,
        batch_size=hp.batch_size,
        n_sample=len(sample.y),
        is_update=is_update,
        has_fault=hp.backward_fault != "none",
        multiples=MULTIPLES,
        batch_costs=tuple(batch_costs),
        sample_costs=tuple(sample_costs),
        sharpness=sharpness_of(update, sample),
        limit=stability_limit(hp.optimizer, rate, float(hp.momentum)),
        noise=_noise(stored, dataset, update, sample),
    )


# ---- the cost along the step


def step_of(update: Update) -> tuple[model.Params, bool]:
    """The step of an update, in float64, and whether it is the update itself.

    Args:
        update: with the network before it.
    """
    params, state, hp, x, y, key, rate, weights, number, _ = update
    gradient = step_gradient(params, state, hp, x, y, key, rate, weights)
    if hp.optimizer == "sgd" or number == 1:
        moments = optimizer_of(hp.optimizer).init(params)
        new, _ = _update(params, gradient, moments, hp, rate)
        return jax.tree.map(lambda new, old: np.float64(new) - np.float64(old), new, params), True
    against: model.Params = jax.tree.map(lambda g: -float(rate) * np.float64(g), gradient)
    return against, False


_update = jax.jit(single_run.update)


def _moved(params: model.Params, step: model.Params, multiple: float) -> model.Params:
    """The parameters after a multiple of a step, in their own type."""

    def moved(old: Array, by: NDArray[np.float64]) -> Array:
        return jnp.asarray((np.float64(old) + multiple * by).astype(old.dtype))

    result: model.Params = jax.tree.map(moved, params, step)
    return result


def cost_of_batch(update: Update, params: model.Params) -> float:
    """The cost of an update's mini-batch with other parameters; see the top of this file."""
    _, state, hp, x, y, key, _, weights, _, _ = update
    return float(_cost(params, state, hp, x, y, key, weights))


def cost_of_sample(update: Update, params: model.Params, sample: Examples) -> float:
    """The cost of a sample with other parameters; see the top of this file."""
    return float(
        _cost(params, update.state, update.hp, sample.x, sample.y, None, update.class_weights)
    )


@jax.jit
def _cost(
    params: model.Params,
    state: model.State,
    hp: Hyperparams,
    x: Array,
    y: Array,
    key: Array | None,
    class_weights: Array | None,
) -> Array:
    options = _options(hp, key, class_weights)
    return blocks.gradient(params, state, x, y, key, options, _derivatives(hp))[0]


def _options(hp: Hyperparams, key: Array | None, class_weights: Array | None) -> CostOptions:
    if key is None:
        return CostOptions(None, None, hp.label_smoothing, class_weights)
    return CostOptions(hp.drop_rate, hp.input_drop_rate, hp.label_smoothing, class_weights)


def _derivatives(hp: Hyperparams) -> Derivatives:
    """Correct ones, whatever mistake the run was trained with; a scale that stays has none."""
    return faults.derivatives("none", learn_scale=hp.batch_norm_scale)


# ---- sharpness


def sharpness_of(update: Update, sample: Examples) -> SharpnessView | None:
    """The largest eigenvalue of the Hessian of the sample's cost with the L2 penalty.

    The Hessian is that of the parameters which are learned: scale and shift of batch norm are left
    out where they are not. It is never formed: ARPACK's Lanczos method needs only its products with
    vectors, each the derivative of the gradient along the vector (Pearlmutter, "Fast Exact
    Multiplication by the Hessian", Neural Computation 6, 1994, equation 3), here by `jax.jvp` of
    the gradient by hand. The residual ‖Hv - λv‖ is computed by one more product: some eigenvalue of
    H lies within it (Parlett, "The Symmetric Eigenvalue Problem", 1998, section 4.5).

    Args:
        update: with the network.
        sample: examples of the training part.

    Returns:
        None if it was not found within the allowed products, or if a product is not finite.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

    flat, unravel = ravel_pytree(update.params)
    n_products = 0

    def product(v: NDArray[Any]) -> NDArray[np.float32]:
        nonlocal n_products
        n_products += 1
        direction = unravel(jnp.asarray(v.reshape(-1), flat.dtype))
        found = _product(
            update.params,
            direction,
            update.state,
            update.hp,
            sample.x,
            sample.y,
            update.class_weights,
        )
        Hv = np.asarray(ravel_pytree(found)[0])
        if not np.isfinite(Hv).all():
            raise _NotFiniteError
        return Hv

    n = len(flat)
    start = np.random.default_rng(0).standard_normal(n, np.float32)
    start *= np.asarray(ravel_pytree(_learned(update.params, update.hp))[0])
    H = LinearOperator((n, n), matvec=product, dtype=np.float32)
    try:
        values, vectors = eigsh(
            H,
            k=1,
            which="LA",
            v0=start,
            ncv=min(n, BASIS),
            maxiter=MOST_RESTARTS,
            tol=TOLERANCE,
        )
        v = np.asarray(vectors[:, 0], np.float64)
        v /= np.linalg.norm(v)
        Hv = np.asarray(product(v), np.float64)
    except (ArpackError, _NotFiniteError):
        return None
    value = float(values[0])
    return SharpnessView(value, float(np.linalg.norm(Hv - value * v)), n_products)


class _NotFiniteError(Exception):
    """A product with the Hessian is not finite."""


@jax.jit
def _product(
    params: model.Params,
    direction: model.Params,
    state: model.State,
    hp: Hyperparams,
    x: Array,
    y: Array,
    class_weights: Array | None,
) -> model.Params:
    """The product of the Hessian with a direction."""
    options = _options(hp, None, class_weights)

    def gradient(at: model.Params) -> model.Params:
        grads = blocks.gradient(at, state, x, y, None, options, _derivatives(hp))[1]
        return grads if hp.l2 is None else l2.add_gradient(grads, at, hp.l2)

    product: model.Params = jax.jvp(gradient, (params,), (direction,))[1]
    return product


def _learned(params: model.Params, hp: Hyperparams) -> model.Params:
    """1 for every parameter that is learned, else 0."""
    ones: model.Params = jax.tree.map(jnp.ones_like, params)
    if hp.batch_norm_scale:
        return ones

    def fixed(layer: model.Layer) -> model.Layer:
        norms = jax.tree.map(jnp.zeros_like, (layer.batchnorm, layer.batchnorm_after))
        return layer._replace(batchnorm=norms[0], batchnorm_after=norms[1])

    return tuple(map(fixed, ones))


def stability_limit(optimizer: Optimizer, rate: float, momentum: float) -> float | None:
    """The largest sharpness at which full-batch descent on a quadratic cost does not grow.

        sgd        2 / eta
        momentum   (2 + 2 mu) / eta
        nesterov   (2 + 2 mu) / (eta (1 + 2 mu))

    Source: Cohen et al., "Gradient Descent on Neural Networks Typically Occurs at the Edge of
    Stability", ICLR 2021 (arXiv:2103.00065), section 2 and appendix B, for a constant eta.

    Args:
        optimizer: the rule of an update.
        rate: eta, the learning rate.
        momentum: mu.

    Returns:
        None for an optimiser that scales each parameter by its past gradients: what must be small
        is then not the Hessian's own eigenvalue. Infinity at a learning rate of 0.
    """
    if optimizer in ("adam", "adamw"):
        return None
    if rate == 0:
        return float("inf")
    if optimizer == "sgd":
        return 2 / rate
    limit = (2 + 2 * momentum) / rate
    return limit / (1 + 2 * momentum) if optimizer == "nesterov" else limit


# ---- the noise of the gradient


class Moments(NamedTuple):
    """Of K gradients, by layer: what `noise_of` needs."""

    of_mean: NDArray[np.float64]  # (L,): the squared norm of their mean
    mean: NDArray[np.float64]  # (L,): the mean of their squared norms
    n: int  # K


def noise_of(moments: Moments, n_each: int, batch_size: int, names: tuple[str, ...]) -> NoiseView:
    """The gradient noise scale, and the signal-to-noise ratio of a mini-batch's gradient.

    For gradients g_k, each the mean over b examples, and their mean g over all K of them:

        tr Σ    = b K / (K - 1) * (mean of |g_k|² - |g|²)
        |G|²    = |g|² - tr Σ / (b K)
        scale   = tr Σ / |G|²                        in examples
        signal  = |G|² / (tr Σ / B) = B / scale

    G is the expected gradient, and Σ the covariance of that of one example. Both estimates are
    unbiased: they are those of appendix A.1 with B_small = b and B_big = b K, and the scale is
    B_simple, equation 2.8, of McCandlish et al., "An Empirical Model of Large-Batch Training",
    2018 (arXiv:1812.06162). Where the gradient is nearly zero, that of |G|² may not be positive:
    then there are too few examples to tell it from 0, and the scale has no estimate.

    Args:
        moments: of the gradients.
        n_each: b.
        batch_size: B, of the run.
        names: of the layers.
    """
    K = moments.n
    variance = n_each * K / (K - 1) * (moments.mean - moments.of_mean)
    squared = moments.of_mean - variance / (n_each * K)

    def ratios(squared: float, variance: float) -> tuple[float | None, float | None]:
        if not squared > 0:
            return None, None
        scale = variance / squared
        return scale, batch_size / scale if scale > 0 else float("inf")

    layers = []
    for name, of_layer, noise in zip(names, squared, variance, strict=True):
        signal = ratios(float(of_layer), float(noise))[1]
        layers.append(LayerNoiseView(name, float(of_layer), float(noise), signal))
    total, noise = float(squared.sum()), float(variance.sum())
    scale, signal = ratios(total, noise)
    return NoiseView(K, n_each, total, noise, scale, signal, tuple(layers))


def _noise(
    stored: Networks, dataset: Dataset, update: Update, sample: Examples
) -> NoiseView | None:
    """The noise of the gradients of the update, from the sample with its augmentation and dropout.

    A gradient is that of a single example, or with batch norm, where examples depend on each other,
    that of a mini-batch of the run's size. It has no L2 penalty, and is not clipped.
    """
    n_each = (
        stored.hyperparams.batch_size if any(layer.normalises for layer in update.params) else 1
    )
    n = len(sample.y) // n_each
    if n < 2:
        return None
    augmentation = augmentation_of(stored.hyperparams, plane_of(dataset.image_shape))
    _, x, key = update_inputs(stored, augmentation, sample.x, update.number)
    moments = gradient_moments(update._replace(x=x, y=sample.y, key=key), n_each)
    n_hidden = len(update.params) - 1
    names = (*(f"hidden {k + 1}" for k in range(n_hidden)), "output")
    return noise_of(moments, n_each, stored.hyperparams.batch_size, names)


def gradient_moments(update: Update, n_each: int) -> Moments:
    """The moments of the gradients of single examples, or of groups of them.

    Args:
        update: its examples, `(n, n_in)`, with n at least twice `n_each`; those that fill no group
            are left out. Each group has dropout masks of its own.
        n_each: examples of a group.
    """
    n_params = sum(leaf.size for leaf in jax.tree.leaves(update.params))
    K = len(update.y) // n_each
    side_by_side = max(1, min(K, CHUNK // n_params))
    used = K * n_each
    x = update.x[:used].reshape(K, n_each, -1)
    y = update.y[:used].reshape(K, n_each)
    total, squares = _moments(
        update.params, update.state, update.hp, x, y, update.key, update.class_weights, side_by_side
    )
    of_mean = [
        sum(float(np.sum(np.square(np.float64(leaf) / K))) for leaf in jax.tree.leaves(layer))
        for layer in total
    ]
    return Moments(np.array(of_mean), np.asarray(squares, np.float64) / K, K)


@partial(jax.jit, static_argnames="side_by_side")
def _moments(
    params: model.Params,
    state: model.State,
    hp: Hyperparams,
    x: Array,
    y: Array,
    key: Array | None,
    class_weights: Array | None,
    side_by_side: int,
) -> tuple[model.Params, Array]:
    """The sum of the gradients, and of each layer's squared norms `(L,)`."""
    options = _options(hp, key, class_weights)

    def one(index: Array) -> model.Params:
        own = None if key is None else jax.random.fold_in(key, index)
        return gradient_of_block(
            params, state, x[index], y[index], own, options, derivatives=_derivatives(hp)
        )[1]

    def add(sums: tuple[model.Params, Array], indices: Array) -> tuple[Any, None]:
        counts = (indices >= 0).astype(sums[1].dtype)  # 0: padding
        grads = jax.vmap(one)(jnp.maximum(indices, 0))
        total = jax.tree.map(lambda t, g: t + jnp.tensordot(counts, g, 1), sums[0], grads)
        squares = jnp.stack(
            [
                sum(
                    jnp.sum(jnp.tensordot(counts, jnp.square(leaf), 1))
                    for leaf in jax.tree.leaves(layer)
                )
                for layer in grads
            ]
        )
        return (total, sums[1] + squares), None

    K = len(y)
    n_chunks = -(-K // side_by_side)
    indices = jnp.pad(
        jnp.arange(K, dtype=jnp.int32), (0, n_chunks * side_by_side - K), constant_values=-1
    )
    zero = jax.tree.map(jnp.zeros_like, params), jnp.zeros(len(params), params[0].dense.W.dtype)
    (total, squares), _ = jax.lax.scan(add, zero, indices.reshape(n_chunks, side_by_side))
    return total, squares
