"""Recognising one picture, start to end ÷ Python importing torch: python -m benchmarks.start_time

And the time to the first line of --help, which needs no torch.
"""

import subprocess
import sys
import tempfile
from functools import partial

from benchmarks.sides import compare, parse_options, seconds
from network.cli import HOME


def measure(*arguments):
    """Seconds that a process of Python takes."""
    command = [sys.executable, *arguments]
    return seconds(subprocess.run, command, check=True, stdout=subprocess.DEVNULL)


def main():
    options = parse_options(__doc__, runs=9)
    program = HOME / "mnist_eval.py"
    torch = partial(measure, "-c", "import torch")
    with tempfile.TemporaryDirectory() as folder:
        picture = [program, HOME / "data" / "digits" / "7.png", "--figures-dir", folder]
        for name, command in (("one picture", picture), ("--help", [program, "--help"])):
            measure(*command)  # reads everything from the disk once
            compare(name, partial(measure, *command), "import torch", torch, options.runs)


if __name__ == "__main__":
    main()
