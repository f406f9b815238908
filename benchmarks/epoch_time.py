"""Epoch time of the report's recipe: the usual DataLoader loop ÷ this project.

The same network, batch size and optimizer on both sides: python -m benchmarks.epoch_time
"""

import dataclasses

from benchmarks.sides import compare, mnist, parse_options, seconds
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network.model import MyNetwork
from network.training import REPORT, train


def main():
    options = parse_options(__doc__, runs=5, images=15_000)
    training = mnist(options, count=options.images)
    loader = usual_loader(options.data_dir, options.images)
    recipe = dataclasses.replace(REPORT, epochs=1)

    def usual():
        network = MyNetwork()
        return seconds(usual_epoch, network, loader, usual_optimizer(network))

    def ours():
        epochs = train(MyNetwork(), training.images, training.labels, recipe, progress=False)
        return seconds(list, epochs)

    print(f"one epoch of {options.images:,} images, batch size {recipe.batch_size}")
    compare("usual loop", usual, "this project", ours, options.runs)


if __name__ == "__main__":
    main()
