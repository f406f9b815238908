"""Test accuracy and wall time of the default training, over seeds: python -m benchmarks.accuracy

Runs mnist_train.py as a user does, into a temporary folder.
"""

import re
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks.sides import parse_options
from network.cli import HOME
from network.datasets import find_or_download


def main():
    options = parse_options(__doc__, runs=3)
    find_or_download("MNIST", options.data_dir)
    accuracies, times = [], []
    for seed in range(options.runs):
        with tempfile.TemporaryDirectory() as folder:
            folders = ["--models-dir", folder, "--figures-dir", folder]
            folders += ["--data-dir", options.data_dir]
            command = [sys.executable, HOME / "mnist_train.py", *folders, "--seed", str(seed)]
            start = time.perf_counter()
            run = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            times.append(time.perf_counter() - start)
        accuracies.append(float(re.search(r"^test accuracy: .* = (.*)%$", run.stdout, re.M)[1]))
        print(f"seed {seed}: test accuracy {accuracies[-1]:.2f} %, {times[-1]:.0f} s", flush=True)
    print(
        f"mean of {options.runs} seeds: {statistics.mean(accuracies):.2f} %, "
        f"median wall time {statistics.median(times):.0f} s"
    )


if __name__ == "__main__":
    main()
