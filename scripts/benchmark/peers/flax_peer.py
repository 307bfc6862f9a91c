"""flax nnx and optax with a jitted step, as in flax's own MNIST tutorial."""

from collections.abc import Iterator
from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
import optax
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, batches, main
from flax import nnx


class Network(nnx.Module):
    """Linear, ReLU and dropout layers; He's initialisation."""

    def __init__(self, n_in: int, drop_rate: float, rngs: nnx.Rngs) -> None:
        init = nnx.initializers.he_normal()
        sizes = (n_in, *HIDDEN)
        self.hidden = nnx.List(
            [nnx.Linear(a, b, kernel_init=init, rngs=rngs) for a, b in pairwise(sizes)]
        )
        self.dropout = nnx.Dropout(drop_rate, rngs=rngs)
        self.last = nnx.Linear(HIDDEN[-1], CLASSES, kernel_init=init, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits."""
        for layer in self.hidden:
            x = self.dropout(nnx.relu(layer(x)))
        return self.last(x)


def cost(model: Network, x: jax.Array, y: jax.Array) -> jax.Array:
    """The mean cross-entropy."""
    return optax.softmax_cross_entropy_with_integer_labels(model(x), y).mean()


@nnx.jit
def step(model: Network, optimizer: nnx.Optimizer, x: jax.Array, y: jax.Array) -> jax.Array:
    """One update from one mini-batch."""
    value, grads = nnx.value_and_grad(cost)(model, x, y)
    optimizer.update(model, grads)
    return value


@nnx.jit
def predict(model: Network, x: jax.Array) -> jax.Array:
    """The most likely class of each example."""
    return jnp.argmax(model(x), axis=1)


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains with SGD and yields the validation accuracy after each epoch."""
    rng = np.random.default_rng(task.seed)
    model = Network(data.x.shape[1], task.drop_rate, nnx.Rngs(task.seed))
    optimizer = nnx.Optimizer(model, optax.sgd(LEARNING_RATE), wrt=nnx.Param)
    train_step = nnx.cached_partial(step, model, optimizer)
    while True:
        model.train()
        for rows in batches(rng, len(data.x), task.batch_size):
            train_step(data.x[rows], data.y[rows])
        model.eval()
        yield float(np.mean(np.asarray(predict(model, data.x_validation)) == data.y_validation))


if __name__ == "__main__":
    main(train)
