"""scikit-learn's `MLPClassifier`, one `partial_fit` per epoch; it has no dropout."""

from collections.abc import Iterator

import numpy as np
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, main
from sklearn.neural_network import MLPClassifier


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains with SGD and yields the validation accuracy after each epoch."""
    network = MLPClassifier(
        HIDDEN,
        solver="sgd",
        alpha=0.0,
        batch_size=task.batch_size,
        learning_rate_init=LEARNING_RATE,
        momentum=0.0,
        nesterovs_momentum=False,
        shuffle=True,
        random_state=task.seed,
    )
    classes = np.arange(CLASSES)
    while True:
        network.partial_fit(data.x, data.y, classes=classes)  # one epoch
        yield np.mean(network.predict(data.x_validation) == data.y_validation)


if __name__ == "__main__":
    main(train)
