"""The network in plain NumPy, as fast as NumPy allows.

Columns are examples, so each product is one BLAS call without a copy; every array of a step is
written into preallocated memory; uniforms are float32 and drawn for all layers at once.
"""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, batches, main


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains with SGD and yields the validation accuracy after each epoch."""
    rng = np.random.default_rng(task.seed)
    network = Network(task, data.x.shape[1], rng)
    one_hot = np.eye(CLASSES, dtype=np.float32)[data.y].T.copy()
    while True:
        for rows in batches(rng, len(data.x), task.batch_size):
            network.step(data.x, one_hot, rows)
        yield np.mean(network.predict(data.x_validation) == data.y_validation)


class Network:
    """Parameters, and the memory that a step needs."""

    def __init__(self, task: Task, n_in: int, rng: np.random.Generator) -> None:
        sizes = (n_in, *HIDDEN, CLASSES)
        B = task.batch_size
        self.rng, self.keep = rng, np.float32(1 - task.drop_rate)
        self.W = [
            rng.normal(0, np.sqrt(2 / n), (m, n)).astype(np.float32) for n, m in pairwise(sizes)
        ]
        self.b = [np.zeros((m, 1), np.float32) for m in sizes[1:]]
        self.dW = [np.empty_like(W) for W in self.W]
        self.X = np.empty((B, n_in), np.float32)
        self.T = np.empty((CLASSES, B), np.float32)
        self.Z = [np.empty((m, B), np.float32) for m in sizes[1:]]
        self.dZ = [np.empty((m, B), np.float32) for m in sizes[1:]]
        self.U = np.empty((sum(HIDDEN), B), np.float32)
        edges = np.cumsum((0, *HIDDEN))
        self.M = [self.U[start:end] for start, end in pairwise(edges)]  # one mask per hidden layer
        self.rate = np.float32(LEARNING_RATE)
        self.scale = np.float32(1 / B)

    def step(self, x: np.ndarray, one_hot: np.ndarray, rows: np.ndarray) -> None:
        """One update from one mini-batch."""
        np.take(x, rows, axis=0, out=self.X)
        np.take(one_hot, rows, axis=1, out=self.T)
        drop = self.keep < 1
        if drop:
            self.rng.random(dtype=np.float32, out=self.U)
            np.less(self.U, self.keep, out=self.U)
            self.U *= 1 / self.keep
        A = self.X.T
        inputs = []
        for layer, (W, b, Z) in enumerate(zip(self.W, self.b, self.Z, strict=True)):
            inputs.append(A)
            np.matmul(W, A, out=Z)
            np.add(Z, b, out=Z)
            if layer < len(HIDDEN):
                np.maximum(Z, 0, out=Z)
                if drop:
                    np.multiply(Z, self.M[layer], out=Z)
                A = Z
        softmax(Z)
        dZ = np.subtract(Z, self.T, out=self.dZ[-1])
        dZ *= self.scale
        for layer in reversed(range(len(self.W))):
            W = self.W[layer]
            dW = np.matmul(dZ, inputs[layer].T, out=self.dW[layer])
            db = dZ.sum(axis=1, keepdims=True)
            if layer:
                below = np.matmul(W.T, dZ, out=self.dZ[layer - 1])
                if drop:
                    below *= self.M[layer - 1]
                below *= self.Z[layer - 1] > 0
                dZ = below
            dW *= self.rate
            W -= dW
            db *= self.rate
            self.b[layer] -= db

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The most likely class of each example."""
        A = x.T
        for layer, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            A = W @ A
            A += b
            if layer < len(HIDDEN):
                np.maximum(A, 0, out=A)
        return A.argmax(axis=0)


def softmax(Z: np.ndarray) -> None:
    """In place, over the classes."""
    Z -= Z.max(axis=0)
    np.exp(Z, out=Z)
    Z /= Z.sum(axis=0)


if __name__ == "__main__":
    main(train)
