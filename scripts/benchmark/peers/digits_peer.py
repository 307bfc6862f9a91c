"""neural-network-digits: its own `NeuralNetwork.train_step`, without momentum and L2."""

from collections.abc import Iterator

import numpy as np
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, batches, main
from nn_digits.neural_net.network import NeuralNetwork


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains with SGD and yields the validation accuracy after each epoch."""
    rng = np.random.default_rng(task.seed)
    network = NeuralNetwork((data.x.shape[1], *HIDDEN, CLASSES), seed=task.seed)
    one_hot = np.eye(CLASSES, dtype=np.float32)[data.y]
    while True:
        for rows in batches(rng, len(data.x), task.batch_size):
            network.train_step(
                data.x[rows],
                one_hot[rows],
                LEARNING_RATE,
                momentum=0.0,
                l2=0.0,
                dropout=task.drop_rate,
                rng=rng,
            )
        predictions = network.predict(data.x_validation).argmax(axis=1)
        yield np.mean(predictions == data.y_validation)


if __name__ == "__main__":
    main(train)
