"""What every program does on the command line: common options, errors in one line, exit status.

Nothing here is slow to import: a program reads its options first, then imports torch and the like.

    if __name__ == "__main__":
        options = command.start(parse_options)
    import torch
    …
    if __name__ == "__main__":
        command.run(main, options)
"""

import argparse
import errno
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path

from network.files import Problem

# Folders are looked for beside the scripts, so that a script runs from anywhere.
HOME = Path(__file__).resolve().parent.parent
# Why writing fails: of a file it is said with its name, so without one it is standard output.
OUTPUT_FAILS = (errno.EPIPE, errno.EINVAL, errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EBADF)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with the options that all programs share, and errors of one line."""

    def __init__(self, description):
        super().__init__(
            description=description,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
            allow_abbrev=False,
        )
        add = self.add_argument
        for kind, purpose in (
            ("data", "data sets, read and downloaded"),
            ("models", "trained weights, read and written"),
            ("figures", "where the figures go"),
        ):
            add(f"--{kind}-dir", type=path_name, default=HOME / kind, help=purpose)
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
            "--weights",
            type=path_name,
            help="a trained network; MODELS_DIR/mnist_network.pth if None",
        )

    def add_pictures(self, purpose):
        """Adds any number of pictures and folders of pictures, and what for."""
        self.add_argument(
            "pictures", nargs="*", type=path_name, metavar="IMAGE or FOLDER", help=purpose
        )

    def error(self, message):
        """One line instead of argparse's usage and error."""
        self.exit(2, f"{self.prog}: error: {message}; see {self.prog} --help\n")


def path_name(text):
    """An argparse type: a path. An empty one would mean the working folder."""
    if not text:
        raise argparse.ArgumentTypeError("it is empty, name a file or folder")
    return Path(text)


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
    import torch  # takes seconds, and options are read without it

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
    with suppress(OSError):  # nobody is there to be told
        print(text, file=sys.stderr, flush=True)


def complain(problem):
    """Tells of a problem in one line, in the form that all of a program's errors have."""
    notice(f"{Path(sys.argv[0]).name}: error: {problem}")


def print_files(paths):
    """Lists the files that a program wrote, if any."""
    if paths:
        print("\nwritten:", *map(short, paths), sep="\n  ")


def short(path):
    """A path as seen from the working folder, if it lies below that."""
    try:
        return Path(path).resolve().relative_to(Path.cwd())
    except (ValueError, OSError):
        return Path(path)


def start(parse_options):
    """Reads the options of a program before it imports what takes seconds, and returns them.

    Until `run`, Ctrl-C is one line and status 130, and so is, with 2, a library not installed.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # it is not ignored
        signal.signal(signal.SIGINT, _stop)
    sys.excepthook = _end_of_imports
    return _guarded(parse_options)


def run(main, *arguments):
    """Runs a program's `main` and ends the process with its exit status (None counts as 0).

    A `Problem` becomes one line and its status, Ctrl-C one line and status 130, a standard output
    that is closed or full one line and status 1.
    """
    if signal.getsignal(signal.SIGINT) is _stop:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(_guarded(main, *arguments))


def _stop(*_):
    """Ends the process at once, where nothing can be lost.

    A KeyboardInterrupt may be swallowed by what is being imported, or by importing itself.
    """
    os._exit(_tell(KeyboardInterrupt()))


def _guarded(function, *arguments):
    """Returns what a function returns, or ends the process with one line that says why not."""
    _prepare_streams()
    try:
        try:
            return function(*arguments)
        finally:
            sys.stdout.flush()  # while it can still be told that this fails
    except (Problem, KeyboardInterrupt, OSError, ModuleNotFoundError) as error:
        status = _tell(error)
    sys.exit(status)


def _end_of_imports(kind, error, traceback):
    """A sys.excepthook for what comes between `start` and `run`."""
    if issubclass(kind, ModuleNotFoundError):
        sys.exit(_tell(error))
    if issubclass(kind, (ImportError, RuntimeError)) and "torch" in str(error):
        reason = " ".join(str(error).split())
        complain(f"{reason}; install torch and torchvision from one place, see README.md")
        sys.exit(2)
    sys.__excepthook__(kind, error, traceback)


def _prepare_streams():
    """Makes standard output and error safe to print to."""
    # A file that is opened would take the number of a closed stream, and get what libraries print.
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: `>&-`
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        # A console that cannot show β should not stop a program.
        getattr(sys, name).reconfigure(errors="replace")


def _tell(error):
    """Says in one line how a program ended, and returns its exit status."""
    if isinstance(error, KeyboardInterrupt):
        notice(": ".join(filter(None, (f"{Path(sys.argv[0]).name}: stopped", str(error)))))
        return 130
    if isinstance(error, Problem):
        complain(error)
        return error.status
    if isinstance(error, ModuleNotFoundError):
        complain(f"{error}; python -m pip install -r requirements.txt")
        return 2
    if error.filename is not None:
        what = f"{error.filename}: {error.strerror}"
        complain(f"{what}; check the name, and who may read or write it")
        return 2
    if error.errno not in OUTPUT_FAILS:
        complain(error)
        return 2
    # What is still to be flushed at exit must go somewhere, or Python complains again.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    closed = isinstance(error, BrokenPipeError)
    reason = "it was closed before the end" if closed else error.strerror or error
    complain(f"cannot write to standard output: {reason}")
    return 1
