"""Time to the report's 98.42 % on MNIST's test set: the usual loop ÷ the default recipe.

The usual loop runs the report's recipe, epoch after epoch until it is there. The default recipe
learns what mnist_train.py learns, drawn digits as well, and drawing them is timed, too. Both are
tested after each epoch, which is not timed: python -m benchmarks.time_to_accuracy
"""

import time

from benchmarks.sides import compare, mnist, parse_options, seconds
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network.digits.additions import with_drawn
from network.digits.doubt import WithOthers
from network.digits.nodigits import CLASSES
from network.model import MyNetwork
from network.training import Recipe, evaluate, train

GOAL = 0.9842
EPOCHS = 30  # after which the usual loop is given up


def main():
    options = parse_options(__doc__, runs=3)
    training, test = mnist(options), mnist(options, train=False)
    loader = usual_loader(options.data_dir)

    def until_there(name, network, epochs):
        """How many of these seconds, one number for each epoch, a network learns until its goal."""
        total = 0
        for number, spent in enumerate(epochs, 1):
            total += spent
            _, accuracy = evaluate(network, test.images, test.labels)
            if accuracy >= GOAL:
                print(f"  {name}: {accuracy:.2%} after {number} epochs")
                return total
        raise SystemExit(f"the {name} did not reach {GOAL:.2%}")

    def usual():
        network = MyNetwork()
        optimizer = usual_optimizer(network)
        epochs = (seconds(usual_epoch, network, loader, optimizer) for _ in range(EPOCHS))
        return until_there("usual loop", network, epochs)

    def ours():
        start = time.perf_counter()
        lessons = with_drawn(training, seed=0)
        drawing = time.perf_counter() - start
        network = MyNetwork()
        learner = WithOthers(network, len(CLASSES))
        epochs = train(learner, lessons.images, lessons.labels, Recipe(), progress=False)
        return drawing + until_there("default recipe", network, (e.seconds for e in epochs))

    compare("usual loop", usual, "default recipe", ours, options.runs)


if __name__ == "__main__":
    main()
