"""Epoch time ÷ bare forward, backward and step on one resident batch: the limit.

The default recipe without augmentation: python -m benchmarks.limit
"""

import math
import time

import torch
import torch.nn.functional as F

from benchmarks.sides import compare, mnist, parse_options, seconds
from network.model import MyNetwork, network_input
from network.training import Recipe, train


def main():
    options = parse_options(__doc__, runs=7, images=30_000)
    training = mnist(options, count=options.images)
    recipe = Recipe(epochs=1, augment=False)
    x = network_input(training.images[: recipe.batch_size])
    y = training.labels[: recipe.batch_size]

    def epoch():
        epochs = train(MyNetwork(), training.images, training.labels, recipe, progress=False)
        return seconds(list, epochs)

    def bare():
        network = MyNetwork().to(memory_format=torch.channels_last).train()
        optimizer = torch.optim.SGD(network.parameters(), recipe.learning_rate, recipe.momentum)
        start = time.perf_counter()
        for _ in range(math.ceil(options.images / recipe.batch_size)):
            loss = F.nll_loss(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return time.perf_counter() - start

    bare()  # the first steps of a process are slower than all others
    print(f"one epoch of {options.images:,} images, batch size {recipe.batch_size}")
    compare("whole epoch", epoch, "bare steps", bare, options.runs)


if __name__ == "__main__":
    main()
