"""The settings of experiment.py: the usual DataLoader loop ÷ this project, and 2 workers ÷ 1.

The usual loop trains the report's settings one after another, the baseline in each of the three
dimensions anew, all cores at its service. A share of an epoch is measured of each and scaled to
five epochs; reading the data and testing are not counted on its side. On this side everything is:
the whole program from start to end, with two workers and one seed, validation, tests, figures and
the final retraining included: python -m benchmarks.experiment
"""

import os
import subprocess
import sys
import tempfile
import time

from benchmarks.sides import compare, parse_options
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network import trials
from network.command import HOME
from network.datasets import find_or_download, load
from network.model import MyNetwork
from network.trials import Trial

EPOCHS = 5
SHARE = 10  # one epoch of the usual loop is measured on this part of the images
SETTINGS = [
    *(Trial(filters=filters) for filters in (5, 10, 15, 20)),
    *(Trial(dropout=dropout) for dropout in (0.1, 0.25, 0.5)),
    *(Trial(batch_size=batch_size) for batch_size in (32, 64, 128, 256)),
]


def main():
    options = parse_options(__doc__, runs=3, images=50_000)
    find_or_download("MNIST", options.data_dir)
    against_the_usual_loop(options)
    two_workers_against_one(options)


def against_the_usual_loop(options):
    """The report's settings, one seed, five epochs: wall time."""

    def usual():
        few = usual_loader(options.data_dir, 640)
        usual_epoch(network := MyNetwork(), few, usual_optimizer(network))  # the first one is slow
        seconds = 0
        for setting in SETTINGS:
            loader = usual_loader(options.data_dir, options.images // SHARE, setting.batch_size)
            filters = setting.filters, 2 * setting.filters
            network = MyNetwork(filters=filters, dropout=setting.dropout)
            optimizer = usual_optimizer(network)
            start = time.perf_counter()
            usual_epoch(network, loader, optimizer)
            seconds += (time.perf_counter() - start) * SHARE * EPOCHS
        return seconds

    def ours():
        with tempfile.TemporaryDirectory() as folder:
            words = ["--dataset", "mnist", "--data-dir", options.data_dir, "--seeds", "1"]
            words += ["--train-size", str(options.images), "--epochs", str(EPOCHS)]
            words += ["--workers", "2", "--models-dir", folder, "--figures-dir", folder]
            start = time.perf_counter()
            run = subprocess.run(
                [sys.executable, HOME / "experiment.py", *words],
                capture_output=True,
                text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )
            seconds = time.perf_counter() - start
        if run.returncode:
            raise SystemExit(run.stderr)
        return seconds

    print(
        f"{len(SETTINGS)} settings, {EPOCHS} epochs of {options.images:,} images; usual loop: "
        f"1/{SHARE} of an epoch measured of each and scaled"
    )
    compare("usual loop", usual, "experiment.py, 2 workers", ours, options.runs)


def two_workers_against_one(options):
    """Equal trials, workers already started: throughput."""
    parts = [load("MNIST", options.data_dir, train) for train in (True, False)]
    data = trials.split(*parts, min(10_000, options.images))
    wanted = [Trial(seed=seed) for seed in range(8)]
    print(f"\n{len(wanted)} trials of 2 epochs of {len(data['train']):,} images")
    with trials.Processes(1, data, 2) as one, trials.Processes(2, data, 2) as two:

        def seconds(place, count):
            start = time.perf_counter()
            for _, outcome in trials.run_all(wanted[:count], place):
                if isinstance(outcome, Exception):
                    raise outcome
            return time.perf_counter() - start

        for place in (one, two):
            seconds(place, place.width)  # they start
        measures = (lambda: seconds(one, len(wanted))), (lambda: seconds(two, len(wanted)))
        compare("1 worker", measures[0], "2 workers", measures[1], options.runs)


if __name__ == "__main__":
    main()
