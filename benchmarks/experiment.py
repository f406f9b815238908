"""The settings of experiment.py: the usual DataLoader loop ÷ this project, and 2 workers ÷ 1.

The usual loop trains the report's twelve settings one after another, all cores at its service:
the baseline, then each value of each dimension. A share of an epoch is measured of each and scaled
to five epochs; reading the data and testing are not counted on its side. On this side two workers
are started, train those nine settings that differ, validate and test.

    python -m benchmarks.experiment
"""

import time
from functools import partial

from benchmarks.sides import compare, mnist, parse_options, seconds
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network.experiment import trials
from network.experiment.results import split
from network.experiment.trial import Trial
from network.model import MyNetwork

EPOCHS = 5
SHARE = 10  # one epoch of the usual loop is measured on this part of the images
SETTINGS = [
    Trial(),
    *(Trial(filters=filters) for filters in (5, 10, 15, 20)),
    *(Trial(dropout=dropout) for dropout in (0.1, 0.25, 0.5)),
    *(Trial(batch_size=batch_size) for batch_size in (32, 64, 128, 256)),
]


def main():
    options = parse_options(__doc__, runs=3, images=50_000)
    against_the_usual_loop(options)
    two_workers_against_one(options)


def against_the_usual_loop(options):
    """The report's settings, one seed, five epochs: wall time."""

    def usual():
        few = usual_loader(options.data_dir, 640)
        usual_epoch(network := MyNetwork(), few, usual_optimizer(network))  # the first one is slow
        total = 0
        for setting in SETTINGS:
            loader = usual_loader(options.data_dir, options.images // SHARE, setting.batch_size)
            filters = setting.filters, 2 * setting.filters
            network = MyNetwork(filters=filters, dropout=setting.dropout)
            spent = seconds(usual_epoch, network, loader, usual_optimizer(network))
            total += spent * SHARE * EPOCHS
        return total

    def ours():
        start = time.perf_counter()
        with trials.Processes(2, data, EPOCHS) as place:
            differ = sorted(set(SETTINGS), key=lambda t: (t.batch_size, -t.filters))
            train_all(differ, place)  # longest first, as experiment.py does
            return time.perf_counter() - start

    data = read(options, options.images)
    print(
        f"{len(SETTINGS)} settings, {EPOCHS} epochs of {options.images:,} images; usual loop: "
        f"1/{SHARE} of an epoch measured of each and scaled"
    )
    compare("usual loop", usual, "2 workers", ours, options.runs)


def two_workers_against_one(options):
    """Equal trials, workers already started: throughput."""
    data = read(options, min(10_000, options.images))
    wanted = [Trial(seed=seed) for seed in range(8)]
    print(f"\n{len(wanted)} trials of 2 epochs of {len(data['train']):,} images")
    with trials.Processes(1, data, 2) as one, trials.Processes(2, data, 2) as two:
        train_all(wanted[:1], one), train_all(wanted[:2], two)  # they start
        by_one, by_two = (partial(seconds, train_all, wanted, place) for place in (one, two))
        compare("1 worker", by_one, "2 workers", by_two, options.runs)


def read(options, count):
    """MNIST as trials take it, with so many images to learn from."""
    return split(mnist(options), mnist(options, train=False), count)


def train_all(wanted, place):
    """Runs trials; one that fails ends the benchmark."""
    for _, outcome in trials.run_all(wanted, place):
        if isinstance(outcome, Exception):
            raise outcome


if __name__ == "__main__":
    main()
