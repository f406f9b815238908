"""Epoch time of the report's recipe: the usual DataLoader loop ÷ this project.

The same network, batch size and optimizer on both sides: python -m benchmarks.epoch_time
"""

import dataclasses
import time

from benchmarks.sides import compare, parse_options
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network.datasets import find_or_download, load
from network.model import MyNetwork
from network.training import REPORT, train


def main():
    options = parse_options(__doc__, runs=5, images=15_000)
    find_or_download("MNIST", options.data_dir)
    training = load("MNIST", options.data_dir, train=True)
    images, labels = training.images[: options.images], training.labels[: options.images]
    loader = usual_loader(options.data_dir, options.images)
    recipe = dataclasses.replace(REPORT, epochs=1)

    def usual():
        network = MyNetwork()
        optimizer = usual_optimizer(network)
        start = time.perf_counter()
        usual_epoch(network, loader, optimizer)
        return time.perf_counter() - start

    def ours():
        start = time.perf_counter()
        list(train(MyNetwork(), images, labels, recipe, progress=False))
        return time.perf_counter() - start

    print(f"one epoch of {options.images:,} images, batch size {recipe.batch_size}")
    compare("usual loop", usual, "this project", ours, options.runs)


if __name__ == "__main__":
    main()
