"""Problems that a user can mend, files written whole or not at all, image files in folders."""

import itertools
import os
from contextlib import contextmanager, suppress
from pathlib import Path

# Kinds of image files that are looked for in folders; a file named singly may be of any kind.
IMAGE_SUFFIXES = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}


class Problem(Exception):
    """Something the user can mend; its text is one line: what, where, and what to do.

    The programs print it without a traceback and end with its exit status (see `command.py`).
    """

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
    except OSError as error:
        raise Problem(
            f"cannot write {path}: {error.strerror or error}; "
            "free some space there or choose another folder"
        ) from None
    finally:
        with suppress(OSError):
            part.unlink()


def names_beside(path):
    """Names under which to keep what was in a file: weights_before1.pth, weights_before2.pth, …"""
    return (path.with_stem(f"{path.stem}_before{n}") for n in itertools.count(1))


def image_files(paths):
    """The files named, and in place of a folder all image files in it and below it, sorted.

    Raises:
        Problem: a folder has no image file, or cannot be read.
    """
    found = []
    for path in map(Path, paths):
        # Unlike path.is_dir(), this is false, no error, of what cannot be looked at.
        if not os.path.isdir(path):
            found.append(path)  # whether it is there is found out when it is read
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        )
        if not inside:
            raise Problem(f"no image files in the folder {path}; put some there or name others")
        found += inside
    return found
