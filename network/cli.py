"""What every program does on the command line: options, errors in one line, exit status.

A program reads its options before it imports, in `loading`, what takes seconds: so --help is there
at once. Then it calls `run`.
"""

import argparse
import glob
import os
import re
import signal
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

from network.files import Problem

# Folders are looked for beside the scripts, so that a script runs from anywhere.
HOME = Path(__file__).resolve().parent.parent
SEEDS = 2**32  # that all of Python's, NumPy's and torch's generators take


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Tells an option's default where there is one to tell."""

    def _get_help_string(self, action):
        if action.default is None or isinstance(action.default, (bool, list)):
            return action.help
        return super()._get_help_string(action)


class MatchingFiles(argparse.Action):
    """Puts all files that match in the place of *.jpg, which shells on Windows do not do."""

    def __call__(self, parser, options, paths, option=None):
        found = []
        for path in paths:
            matches = [] if os.path.lexists(path) else sorted(glob.glob(str(path), recursive=True))
            found += map(Path, matches or [path])
        setattr(options, self.dest, found)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the options that programs share, and errors of one line."""

    def __init__(self, description):
        super().__init__(description=description, formatter_class=HelpFormatter, allow_abbrev=False)
        for stream in (sys.stdout, sys.stderr):
            # A console that cannot show β should not stop a program; IDLE's and Jupyter's show all.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    def add_shared(self, *names):
        """Adds options of `SHARED`."""
        for name in names:
            kind, default, purpose = SHARED[name]
            self.add_argument(f"--{name}", type=kind, default=default, help=purpose)

    def add_dataset(self, purpose):
        """Adds --dataset: which digits, and what for."""
        self.add_argument(
            "--dataset",
            choices=("auto", "mnist", "drawn"),
            default="auto",
            help=f"digits {purpose}; auto: MNIST from disk, else downloaded, else drawn by "
            "network/pen.py",
        )

    def add_pictures(self, purpose):
        """Adds any number of pictures and folders of pictures, and what for."""
        self.add_argument(
            "pictures",
            nargs="*",
            type=path_name,
            action=MatchingFiles,
            default=[],
            metavar="IMAGE or FOLDER",
            help=purpose,
        )

    def parse_mixed(self):
        """The options given, which may stand between pictures; behind -- are pictures only."""
        return self.parse_args() if "--" in sys.argv else self.parse_intermixed_args()

    def error(self, message):
        """One line instead of argparse's usage and error."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def path_name(text):
    """An argparse type: a path. An empty one would mean the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, name a file or folder")
    return Path(text)


def number(kind, least, below=None):
    """An argparse type: a number of a kind, int or float, from `least` on and below `below`."""
    below = below or (2**31 if kind is int else float("inf"))

    def parse(text):
        try:
            value = kind(text)
        except ValueError:
            what = "whole number" if kind is int else "number"
            raise argparse.ArgumentTypeError(f"{text!r} is no {what}") from None
        if not least <= value < below:  # false for nan, too
            limit = f"below {below}" if value > least else f"at least {least}"
            raise argparse.ArgumentTypeError(f"{text} is out of range, it must be {limit}")
        return value

    return parse


# Options that several programs have: type, default, help.
SHARED = {
    "data-dir": (path_name, HOME / "data", "data sets, read and downloaded"),
    "models-dir": (path_name, HOME / "models", "trained weights, read and written"),
    "figures-dir": (path_name, HOME / "figures", "where the figures go"),
    "device": (str, "auto", "auto (cuda, then mps, then cpu) or one of these"),
    "seed": (number(int, 0, SEEDS), 0, "makes a run repeatable"),
    "weights": (path_name, None, "a trained network (default: mnist_network.pth in MODELS_DIR)"),
}


def choose_device(name):
    """The torch device of that name; `auto` takes the fastest there is.

    Raises:
        Problem: there is no such device here.
    """
    import torch  # takes seconds, and options are read without it

    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    found = [kind for kind in present if present[kind]] + ["cpu"]
    if name == "auto":
        name = found[0]
    if name.split(":")[0] in found:
        with suppress(RuntimeError):  # such as cuda:7
            return torch.zeros(1, device=name).device
    raise Problem(f"no device {name!r} here; there is {', '.join(found)}, or leave --device out")


def processes(most):
    """A pool of processes, one for each core, `most` of them; Ctrl-C is left to the program."""
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(
        min(os.cpu_count() or 1, most),
        get_context("spawn"),  # the only one that all systems have
        initializer=signal.signal,
        initargs=(signal.SIGINT, signal.SIG_IGN),
    )


def weights_path(options):
    """The weights that --weights names, else those that mnist_train.py leaves."""
    return options.weights or options.models_dir / "mnist_network.pth"


def suffix(*inputs):
    """What names of files get to say that they are of a user's own input, as "_my_photos": so they
    never take the place of those that ship.

    `inputs` are paths or names; None, and the weights that ship, are no input of the user's.
    """
    own = [Path(i).resolve() for i in inputs if i is not None]
    own = [path for path in own if path != (HOME / "models" / "mnist_network.pth").resolve()]
    if not own:
        return ""
    name = re.sub(r"[^\w-]+", "_", own[0].stem).strip("_")[:40] or "own"
    return f"_{name}" + (f"_and_{len(own) - 1}_more" if len(own) > 1 else "")


def notice(text):
    """Tells the user something, if there is anything, on standard error: it is no result."""
    if text:
        print(text, file=sys.stderr, flush=True)


def complain(problem):
    """Tells of a problem in one line, in the form that all of a program's errors have."""
    notice(f"{Path(sys.argv[0]).name}: error: {problem}")


def print_files(paths):
    """Lists the files that a program wrote, if any."""
    if paths:
        print("\nwritten:", *map(short, paths), sep="\n  ")


def count_of(number, noun):
    """A number with its noun, "1 seed" or "3 seeds"."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def short(path):
    """A path as seen from the working folder, if it lies below that."""
    try:
        return Path(path).resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return Path(path)


@contextmanager
def loading():
    """Around a program's slow imports: a library that does not load ends it with one line."""
    try:
        yield
    except KeyboardInterrupt:
        notice(f"{Path(sys.argv[0]).name}: stopped")
        sys.exit(130)
    # Also what a library says when one of its own files does not load: libGL, a DLL, torch beside
    # a torchvision of another build.
    except (ImportError, OSError, RuntimeError) as error:
        if (getattr(error, "name", None) or "").startswith("network"):
            raise  # ours: a fault of this project
        reason = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError):
            reason += "; python -m pip install -r requirements.txt"
        elif "libGL" in reason or "libgthread" in reason:
            reason += (
                "; install opencv-python-headless in place of opencv-python, or the system's "
                "package for it (Debian, Ubuntu: apt install libgl1 libglib2.0-0)"
            )
        else:
            reason = f"a library does not load: {reason}; see Troubles in README.md"
        complain(reason)
        sys.exit(2)


def run(main, options):
    """Runs a program's `main` and ends the process with its exit status (None counts as 0).

    A `Problem` becomes one line and its status, a file that the system refuses one line and 2,
    Ctrl-C one line and 130. Anything else is a fault of this project, and keeps its traceback.
    """
    try:
        status = main(options)
    except Problem as problem:
        complain(problem)
        status = problem.status
    except KeyboardInterrupt as stop:
        notice(": ".join(filter(None, (f"{Path(sys.argv[0]).name}: stopped", str(stop)))))
        status = 130
    except OSError as error:
        if error.filename is None:
            raise
        complain(
            f"{error.filename}: {error.strerror}; check the name, and who may read or write it"
        )
        status = 2
    sys.exit(status)
