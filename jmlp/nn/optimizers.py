"""Optimisers: pairs of pure functions over any pytree of parameters.

    state = optimizer.init(params)
    params, state = optimizer.update(params, grads, state, learning_rate, momentum)

Notation: theta the parameters, g their gradient, eta the learning rate, t the update, from 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jmlp.errors import ConfigError
from jmlp.nn.schedules import scheduled

Tree = Any  # a pytree of arrays; gradients have the parameters' structure
Number = Array | float


class Optimizer(NamedTuple):
    """`init(params)` and `update(params, grads, state, learning_rate, momentum)`."""

    init: Callable[[Tree], Tree]
    update: Callable[[Tree, Tree, Tree, Number, Number], tuple[Tree, Tree]]


def learning_rate(
    schedule: str,
    eta: Number,
    step: Array | int,
    n_steps: int,
    epochs: Array | int,
    warmup: Number | None = None,
) -> Number:
    """The learning rate of one update, float32; see `schedules`.

    Args:
        schedule: "constant", "linear" or "cosine".
        eta: the learning rate before it decays.
        step: the number of the update, counted from 1.
        n_steps: updates per epoch.
        epochs: maximum number of epochs, at the end of which a schedule reaches 0.
        warmup: epochs in which the rate rises to `eta`; None: there is no warm-up.
    """
    made, of = jnp.float32(step - 1), jnp.float32(epochs)
    rate: Number = scheduled(schedule, eta, made, n_steps, of, warmup, jnp)
    return rate


# Stochastic gradient descent (Robbins & Monro, Annals of Mathematical Statistics 22, 1951):
#
#     theta = theta - eta g


def sgd_init(params: Tree) -> tuple[()]:
    """Returns the empty state: plain gradient descent has none."""
    del params
    return ()


def sgd_update(
    params: Tree, grads: Tree, state: tuple[()], learning_rate: Number, momentum: Number
) -> tuple[Tree, tuple[()]]:
    """One step against the gradient."""
    del momentum
    return jax.tree.map(lambda theta, g: theta - learning_rate * g, params, grads), state


# Momentum (Polyak 1964; in the form of Sutskever et al., ICML 2013, without their rescaling):
#
#     v     = mu v + g
#     theta = theta - eta v


class MomentumState(NamedTuple):
    """The velocity, an exponentially weighted sum of past gradients."""

    v: Tree  # shaped like the parameters, starts at 0


def momentum_init(params: Tree) -> MomentumState:
    """Returns zero velocity for every parameter."""
    return MomentumState(jax.tree.map(jnp.zeros_like, params))


def momentum_update(
    params: Tree, grads: Tree, state: MomentumState, learning_rate: Number, momentum: Number
) -> tuple[Tree, MomentumState]:
    """One step along the velocity."""
    v = jax.tree.map(lambda v, g: momentum * v + g, state.v, grads)
    return jax.tree.map(lambda theta, v: theta - learning_rate * v, params, v), MomentumState(v)


# Nesterov's momentum (Nesterov 1983; Sutskever et al., ICML 2013, equations 3 and 4, for the
# parameters at which the gradient is taken, as in PyTorch and optax):
#
#     v     = mu v + g
#     theta = theta - eta (g + mu v)


def nesterov_update(
    params: Tree, grads: Tree, state: MomentumState, learning_rate: Number, momentum: Number
) -> tuple[Tree, MomentumState]:
    """One step along the velocity that the next update would have if the gradient stayed."""
    v = jax.tree.map(lambda v, g: momentum * v + g, state.v, grads)

    def step(theta: Array, g: Array, v: Array) -> Array:
        return theta - learning_rate * (g + momentum * v)

    return jax.tree.map(step, params, grads, v), MomentumState(v)


# Adam (Kingma & Ba, ICLR 2015, arXiv:1412.6980, algorithm 1):
#
#     m     = beta1 m + (1 - beta1) g
#     v     = beta2 v + (1 - beta2) g^2
#     theta = theta - eta (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + eps)

BETA1, BETA2, ADAM_EPS = 0.9, 0.999, 1e-8


class AdamState(NamedTuple):
    """Moving averages of the gradient and of its square, and the number of updates made."""

    m: Tree  # shaped like the parameters, starts at 0
    v: Tree  # shaped like the parameters, starts at 0
    t: Array  # int32, starts at 0


def adam_init(params: Tree) -> AdamState:
    """Returns zero moments and zero updates."""
    zeros = jax.tree.map(jnp.zeros_like, params)
    return AdamState(zeros, zeros, jnp.zeros((), jnp.int32))


def adam_update(
    params: Tree, grads: Tree, state: AdamState, learning_rate: Number, momentum: Number
) -> tuple[Tree, AdamState]:
    """One step, scaled per parameter by the bias-corrected moments of its gradient."""
    del momentum
    t = state.t + 1
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, state.m, grads)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * jnp.square(g), state.v, grads)

    def step(theta: Array, m: Array, v: Array) -> Array:
        power = t.astype(theta.dtype)
        m_hat = m / (1 - BETA1**power)
        v_hat = v / (1 - BETA2**power)
        return theta - learning_rate * m_hat / (jnp.sqrt(v_hat) + ADAM_EPS)

    return jax.tree.map(step, params, m, v), AdamState(m, v, t)


# An optimiser of the caller's, in the form of optax: `init(params)`, and `update(grads, state,
# params)`, which returns what is added to the parameters:
#
#     theta = theta + update(g)


@dataclass(frozen=True)
class Transformation:
    """Such an optimiser as an `Optimizer`; it has a learning rate and schedule of its own.

    Two are equal if they have the same transformation, so JAX compiles a program for each only
    once. It is not held to the strict promotion of types that holds for jmlp's own code.
    """

    transformation: Any

    def __str__(self) -> str:
        return f"{type(self.transformation).__name__} of the caller"

    def init(self, params: Tree) -> Tree:
        """Returns the initial state."""
        with jax.numpy_dtype_promotion("standard"):
            return self.transformation.init(params)

    def update(
        self, params: Tree, grads: Tree, state: Tree, learning_rate: Number, momentum: Number
    ) -> tuple[Tree, Tree]:
        """One step as the transformation makes it."""
        del learning_rate, momentum
        with jax.numpy_dtype_promotion("standard"):
            updates, state = self.transformation.update(grads, state, params)
        return jax.tree.map(jnp.add, params, updates), state

    def check(self, params: Tree) -> None:
        """Checks that some parameters can be trained with it.

        Raises:
            ConfigError: it lacks a method, fails, or returns other shapes or types than it must; or
                its initial state has something other than finite numbers.
        """
        for name in ("init", "update"):
            if not callable(getattr(self.transformation, name, None)):
                raise ConfigError(
                    f"optimizer: must have init(params) and update(grads, state, params), as those "
                    f"of optax do, got {type(self.transformation).__name__} without {name}"
                )
        try:
            hash(self.transformation)
            with jax.numpy_dtype_promotion("standard"):
                state = self.transformation.init(params)
                made = jax.eval_shape(self.transformation.update, params, state, params)
        except Exception as error:  # whatever the caller's functions raise
            raise ConfigError(
                f"optimizer: it fails on the parameters of this network: {error}"
            ) from error
        for leaf in jax.tree.leaves(state):
            kind = jnp.result_type(leaf)
            is_number = jnp.issubdtype(kind, jnp.number) or jnp.issubdtype(kind, jnp.bool_)
            if not is_number or not jnp.all(jnp.isfinite(leaf)):
                raise ConfigError(
                    f"optimizer: its initial state has a value that is no finite number: {leaf}"
                )
        if _forms(made) != _forms((params, state)):
            raise ConfigError(
                "optimizer: its update must return arrays shaped like the parameters, and a state "
                "like that of init, of the same types"
            )


def _forms(tree: Tree) -> tuple[Any, list[tuple[Any, Any]]]:
    leaves, structure = jax.tree.flatten(tree)
    return structure, [(jnp.shape(leaf), jnp.result_type(leaf)) for leaf in leaves]


OPTIMIZERS = {
    "sgd": Optimizer(sgd_init, sgd_update),
    "momentum": Optimizer(momentum_init, momentum_update),
    "nesterov": Optimizer(momentum_init, nesterov_update),
    "adam": Optimizer(adam_init, adam_update),
    "adamw": Optimizer(adam_init, adam_update),  # after `weight_decay.decay`
}


def optimizer_of(optimizer: str | Transformation) -> Optimizer | Transformation:
    """The optimiser that the hyperparameter `optimizer` stands for."""
    return optimizer if isinstance(optimizer, Transformation) else OPTIMIZERS[optimizer]
