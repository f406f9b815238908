"""Runs all benchmarks, one after another (about an hour on two cores): python -m benchmarks"""

import subprocess
import sys

from benchmarks.sides import parse_options

ALL = "accuracy epoch_time limit time_to_accuracy experiment pages start_time tutorial"


def main():
    options = parse_options(__doc__)
    for name in ALL.split():
        print(f"\n# python -m benchmarks.{name}", flush=True)
        # A process each: none finds what another has warmed up.
        command = [sys.executable, "-m", f"benchmarks.{name}", "--data-dir", options.data_dir]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
