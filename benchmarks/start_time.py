"""Recognising one picture, start to end ÷ Python importing torch: python -m benchmarks.start_time

And the time to the first line of --help, which needs no torch.
"""

import subprocess
import sys
import tempfile
import time

from benchmarks.sides import compare, parse_options
from network.cli import HOME


def measure(*arguments):
    """Seconds that a process of Python takes."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main():
    options = parse_options(__doc__, runs=9)
    program = HOME / "mnist_eval.py"
    with tempfile.TemporaryDirectory() as folder:
        picture = [program, HOME / "data" / "digits" / "7.png", "--figures-dir", folder]
        sides = {
            "one picture": lambda: measure(*picture),
            "--help": lambda: measure(program, "--help"),
        }
        for name, side in sides.items():
            side()  # reads everything from the disk once
            compare(name, side, "import torch", lambda: measure("-c", "import torch"), options.runs)


if __name__ == "__main__":
    main()
