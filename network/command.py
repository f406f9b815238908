"""What every program does on the command line: common options, errors in one line, exit status."""

import argparse
import os
import sys
from pathlib import Path

import torch

from network.files import Problem

# Folders are looked for beside the scripts, so that a script runs from anywhere.
HOME = Path(__file__).resolve().parent.parent


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the options that all programs share, and errors of one line."""

    def __init__(self, description):
        super().__init__(
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        add = self.add_argument
        add("--data-dir", type=Path, default=HOME / "data", help="data sets, read and downloaded")
        add("--models-dir", type=Path, default=HOME / "models", help="trained weights")
        add("--figures-dir", type=Path, default=HOME / "figures", help="where the figures go")
        add("--device", default="auto", help="auto (cuda, then mps, then cpu) or one of these")
        add("--seed", type=whole_number(0), default=0, help="makes a run repeatable")

    def add_dataset(self, purpose):
        """Adds --dataset: which digits, and what for."""
        self.add_argument(
            "--dataset",
            choices=("auto", "mnist", "drawn"),
            default="auto",
            help=f"digits {purpose}; auto: MNIST from disk, else downloaded, else drawn by "
            "network/pen.py",
        )

    def add_weights(self):
        """Adds --weights; see `weights_path`."""
        self.add_argument(
            "--weights", type=Path, help="a trained network; MODELS_DIR/mnist_network.pth if None"
        )

    def error(self, message):
        """One line instead of argparse's usage and error."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def whole_number(least):
    """An argparse type: a whole number of at least `least`."""

    def parse(text):
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
        # torch's random generators take seeds of up to 64 bits.
        if not least <= value < 2**63:
            raise argparse.ArgumentTypeError(f"{value} is out of range, the least is {least}")
        return value

    return parse


def number(least, below=float("inf")):
    """An argparse type: a number from `least` on and below `below`."""

    def parse(text):
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r} is no number") from None
        if not least <= value < below:  # false for nan, too
            limits = f"at least {least:g}" + (f" and below {below:g}" if below < 1e9 else "")
            raise argparse.ArgumentTypeError(f"{text} is out of range, it must be {limits}")
        return value

    return parse


def choose_device(name):
    """The torch device of that name; `auto` takes the fastest there is.

    Raises:
        Problem: there is no such device here.
    """
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind in present if present[kind]), "cpu")
    kind = name.split(":")[0]
    try:
        if kind != "cpu" and not present.get(kind):
            raise RuntimeError
        device = torch.device(name)
        torch.zeros(1, device=device)
    except RuntimeError:
        found = ", ".join(["cpu"] + [kind for kind in present if present[kind]])
        raise Problem(f"no device {name!r} here; there is {found}, or leave --device out") from None
    return device


def weights_path(options):
    """The weights that --weights names, else those that mnist_train.py leaves."""
    return options.weights or options.models_dir / "mnist_network.pth"


def notice(text):
    """Tells the user something that is no result: on standard error, out of a pipe's way."""
    print(text, file=sys.stderr, flush=True)


def complain(problem):
    """Tells of a problem in one line, in the form that all of a program's errors have."""
    notice(f"{Path(sys.argv[0]).name}: error: {problem}")


def print_files(paths):
    """Lists the files that a program wrote, if any."""
    if paths:
        print("\nwritten:", *(short(path) for path in paths), sep="\n  ")


def short(path):
    """A path as seen from the working folder, if it lies below that."""
    try:
        return Path(path).resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return Path(path)


def run(main):
    """Runs a program's `main` and ends the process with its exit status (None counts as 0).

    A `Problem` becomes one line and its status, Ctrl-C one line and status 130, a closed pipe one
    line and status 1.
    """
    # A console that cannot show β should not stop a program.
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")
    try:
        status = main()
        sys.stdout.flush()
    except Problem as problem:
        complain(problem)
        status = problem.status
    except KeyboardInterrupt as stop:
        notice(": ".join(filter(None, (f"{Path(sys.argv[0]).name}: stopped", str(stop)))))
        status = 130
    except BrokenPipeError:
        # What is still to be flushed at exit must go somewhere, or Python complains again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        complain("standard output was closed before the end")
        status = 1
    sys.exit(status)
