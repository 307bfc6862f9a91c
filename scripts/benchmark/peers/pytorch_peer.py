"""PyTorch as its users write it: modules, an optimiser, tensors that stay on their device."""

import os
from collections.abc import Iterator
from itertools import pairwise

import torch
from common import CLASSES, HIDDEN, LEARNING_RATE, Data, Task, main
from torch import nn


def train(task: Task, data: Data) -> Iterator[float]:
    """Trains and yields the validation accuracy after each epoch; with Adam, the test accuracy."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    torch.manual_seed(task.seed)
    adam = task.until is not None
    model = network((256, 128) if adam else HIDDEN, data.x.shape[1], task.drop_rate)
    if adam:
        optimizer = torch.optim.Adam(model.parameters())
        measured = torch.from_numpy(data.x_test), torch.from_numpy(data.y_test)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=LEARNING_RATE)
        measured = torch.from_numpy(data.x_validation), torch.from_numpy(data.y_validation)
    x, y = torch.from_numpy(data.x), torch.from_numpy(data.y).long()
    cost = nn.CrossEntropyLoss()
    n_used = len(x) // task.batch_size * task.batch_size
    while True:
        model.train()
        for rows in torch.randperm(len(x))[:n_used].split(task.batch_size):
            optimizer.zero_grad()
            cost(model(x[rows]), y[rows]).backward()
            optimizer.step()
        model.eval()
        with torch.inference_mode():
            correct = model(measured[0]).argmax(dim=1) == measured[1]
        yield correct.float().mean().item()


def network(hidden: tuple[int, ...], n_in: int, drop_rate: float) -> nn.Module:
    """Linear, ReLU and dropout layers; He's initialisation."""
    layers: list[nn.Module] = []
    for fan_in, fan_out in pairwise((n_in, *hidden)):
        layers += [nn.Linear(fan_in, fan_out), nn.ReLU()]
        layers += [nn.Dropout(drop_rate)] if drop_rate else []
    layers.append(nn.Linear(hidden[-1], CLASSES))
    for layer in layers:
        if isinstance(layer, nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    return nn.Sequential(*layers)


if __name__ == "__main__":
    main(train)
