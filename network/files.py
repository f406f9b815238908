"""Problems that a user can mend, and files that are written whole or not at all."""

import os
from contextlib import contextmanager, suppress
from pathlib import Path


class Problem(Exception):
    """Something the user can mend; its text is one line: what, where, and what to do.

    The programs print it without a traceback and end with exit status 2 (see `command.py`).
    """


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
    except OSError as error:
        raise Problem(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space there or choose another folder"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()
