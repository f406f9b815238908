"""Problems that a user can mend, and files that are written whole or not at all."""

import itertools
import os
import signal
import threading
from contextlib import contextmanager, suppress
from pathlib import Path


class Problem(Exception):
    """Something the user can mend; its text is one line: what, where, and what to do. A program
    prints it without a traceback and ends with its exit status (see `cli.py`)."""

    status = 2


@contextmanager
def whole_file(path):
    """Opens a binary file for writing that appears at `path` complete or never.

    The bytes go to a hidden neighbour, which replaces `path` in one step when the block ends well
    (`os.replace` is atomic within a folder). A run that fails or is killed leaves the old file.
    Missing folders are made.

    Raises:
        Problem: the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    # The process number keeps two runs in one folder out of each other's way.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(part, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError):  # torch.save on top of what the disk says
            error = error.__context__
            if not isinstance(error, OSError):
                raise
        raise Problem(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space there or choose another folder"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()


@contextmanager
def ctrl_c_afterwards():
    """A Ctrl-C within the block takes effect at its end."""
    if threading.current_thread() is not threading.main_thread():
        yield  # others do not hear of it
        return
    pressed = []
    handler = signal.signal(signal.SIGINT, lambda *which: pressed.append(which))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if pressed and callable(handler):  # else it is ignored, as under nohup
        handler(*pressed[0])


def require_writable(*folders):
    """Makes sure that files can be written in these folders, before long work and not after it.

    Raises:
        Problem: one of them cannot be made or written.
    """
    for folder in folders:
        probe = Path(folder) / f".{os.getpid()}.part"
        try:
            probe.parent.mkdir(parents=True, exist_ok=True)
            probe.write_bytes(b"\0")
        except OSError as error:
            raise Problem(
                f"cannot write in {folder}: {error.strerror or error}; choose another folder"
            ) from None
        finally:
            with suppress(OSError):
                probe.unlink()


def name_beside(path):
    """A free name under which to keep what is in a file: weights_before1.pth, …before2.pth, …"""
    names = (path.with_stem(f"{path.stem}_before{n}") for n in itertools.count(1))
    return next(name for name in names if not name.exists())
