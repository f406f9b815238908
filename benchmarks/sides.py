"""Two sides of a comparison, measured in turn on one machine."""

import statistics
import time

from network.cli import Parser, number
from network.datasets import find_or_download, load


def parse_options(description, runs=None, images=None):
    """The options of a benchmark: --data-dir and, where they make sense, --runs and --images."""
    parser = Parser(description)
    parser.add_shared("data-dir")
    if runs:
        parser.add_argument("--runs", type=number(int, 1), default=runs, help="of each side")
    if images:
        parser.add_argument(
            "--images", type=number(int, 1000), default=images, help="in an epoch, of 60,000"
        )
    return parser.parse_args()


def mnist(options, train=True, count=None):
    """MNIST's training part or test part, downloaded where it is missing."""
    find_or_download("MNIST", options.data_dir)
    return load("MNIST", options.data_dir, train, count)


def seconds(work, *arguments, **options):
    """How long a function takes."""
    start = time.perf_counter()
    work(*arguments, **options)
    return time.perf_counter() - start


def compare(one, measure_one, two, measure_two, runs):
    """Measures both sides, functions that return seconds, in turn, A B A B …, and prints times and
    ratio."""
    times = {one: [], two: []}
    for run in range(1, runs + 1):
        times[one].append(measure_one())
        times[two].append(measure_two())
        print(
            f"run {run}: {one} {times[one][-1]:.2f} s, {two} {times[two][-1]:.2f} s, "
            f"ratio {times[one][-1] / times[two][-1]:.2f}",
            flush=True,
        )
    ratios = [a / b for a, b in zip(times[one], times[two], strict=True)]
    print(
        f"medians of {runs} runs: {one} {statistics.median(times[one]):.2f} s, "
        f"{two} {statistics.median(times[two]):.2f} s; "
        f"ratio {statistics.median(ratios):.2f} (from {min(ratios):.2f} to {max(ratios):.2f})"
    )
