"""Keras on JAX: `compile` and `fit`; the variant `steps` also sets `steps_per_execution`."""

import os
from collections.abc import Iterator

os.environ["KERAS_BACKEND"] = "jax"

import keras
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, main

STEPS = 32  # per execution


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains and yields the validation accuracy after each epoch; with Adam, the test accuracy."""
    keras.utils.set_random_seed(task.seed)
    adam = task.until is not None
    model = network((256, 128) if adam else HIDDEN, data.x.shape[1], task.drop_rate)
    n_used = len(data.x) // task.batch_size * task.batch_size
    model.compile(
        optimizer=keras.optimizers.Adam() if adam else keras.optimizers.SGD(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        steps_per_execution=min(STEPS, n_used // task.batch_size) if task.variant else 1,
    )
    x, y = data.x[:n_used], data.y[:n_used]
    measured = (data.x_test, data.y_test) if adam else (data.x_validation, data.y_validation)
    while True:
        model.fit(x, y, batch_size=task.batch_size, epochs=1, verbose=0)
        _, accuracy = model.evaluate(*measured, batch_size=2000, verbose=0)
        yield accuracy


def network(hidden: tuple[int, ...], n_in: int, drop_rate: float) -> keras.Model:
    """Dense, ReLU and dropout layers; He's initialisation."""
    layers: list[keras.layers.Layer] = [keras.Input((n_in,))]
    for n in hidden:
        layers.append(keras.layers.Dense(n, activation="relu", kernel_initializer="he_normal"))
        layers += [keras.layers.Dropout(drop_rate)] if drop_rate else []
    layers.append(keras.layers.Dense(CLASSES, kernel_initializer="he_normal"))
    return keras.Sequential(layers)


if __name__ == "__main__":
    main(train)
