"""Folders of letters: one folder for each letter, any letters, any pictures.

greek_train/
    alpha/  alpha_01.png, alpha_02.png, …
    beta/   …
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from network.cli import HOME, notice, short
from network.files import Problem
from network.photos import NoInk, image_files, normalise, read_character, thumbnail

ALPHABET = (
    *("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta"),
    *("iota", "kappa", "lambda", "mu", "nu", "xi", "omicron", "pi"),
    *("rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega"),
)

THUMBNAIL = 64  # longest side, in pixels, at which pictures are kept for the figures


@dataclass(frozen=True)
class Letters:
    """Pictures of letters, as given and as a network sees them."""

    names: tuple  # of the letters, by label
    pictures: list  # each (h, w, 3) uint8 RGB, made to fit into THUMBNAIL²
    images: torch.Tensor  # (N, 28, 28) uint8, light on dark
    labels: torch.Tensor  # (N,) int64
    no_ink: torch.Tensor  # (classes,) int64: pictures in which no letter was found

    @property
    def counts(self):
        """How many images each letter has: (classes,) int64."""
        return torch.bincount(self.labels, minlength=len(self.names))


def letter_names(folder):
    """The letters of a folder, named by its folders: Greek ones by the alphabet, then others.

    Raises:
        Problem: the folder is missing, cannot be read, or has no folders in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise Problem(f"no folder {folder}; name one that has a folder for each letter")
    try:
        names = [path.name for path in folder.iterdir() if path.is_dir()]
    except OSError as error:
        raise Problem(f"cannot read {folder}: {error.strerror or error}; check it") from None
    names = [name for name in names if not name.startswith(".")]
    for name in names:
        if name != name.encode(errors="replace").decode():
            raise Problem(f"{folder} has a folder whose name is no text, {name!r}; rename it")
    if not names:
        raise Problem(f"{folder} has no folders in it; make one for each letter, such as alpha")
    known = {name: place for place, name in enumerate(ALPHABET)}
    return tuple(sorted(names, key=lambda name: (known.get(name, len(known)), name)))


def read_letters(folder, names, transform=normalise):
    """Reads the pictures of these letters; what cannot be read is named and left out.

    Args:
        folder: has a folder for each letter.
        names: the letters, in the order of their labels; those without a folder are left out.
        transform: makes 28×28 of a picture; see `network/photos.py`.

    Returns:
        `Letters`.

    Raises:
        Problem: a letter's folder has no pictures, or none of them can be read.
    """
    pictures, images, labels = [], [], []
    no_ink = torch.zeros(len(names), dtype=torch.int64)
    files = {
        label: image_files([Path(folder) / name])
        for label, name in enumerate(names)
        if (Path(folder) / name).is_dir()
    }
    total = sum(map(len, files.values()))
    with tqdm(total=total, desc="reading letters", leave=False, disable=None) as bar:
        for label, paths in files.items():
            for path in paths:
                bar.update()
                try:
                    picture, image = read_character(path, transform)
                except Problem as problem:
                    tell(bar, problem)
                    no_ink[label] += isinstance(problem, NoInk)
                    continue
                pictures.append(thumbnail(picture, THUMBNAIL))
                images.append(image)
                labels.append(label)
            if label not in labels:
                raise Problem(f"no picture in {Path(folder) / names[label]} is of use; see above")
    return Letters(
        tuple(names),
        pictures,
        torch.from_numpy(np.stack(images)),
        torch.tensor(labels, dtype=torch.int64),
        no_ink,
    )


def tell(bar, problem):
    """Says which picture is left out, and why; a progress bar makes room for it."""
    with bar.external_write_mode():
        notice(f"left out: {problem}")


def are_drawn(folder):
    """Whether a folder's letters are those that ship: drawn by `network/pen.py`, not written."""
    shipped = [HOME / "data" / name for name in ("greek_train", "greek_extended", "greek_test")]
    return Path(folder).resolve() in [path.resolve() for path in shipped]


def source(folder):
    """A folder's name with what a reader must know of it."""
    return f"{short(folder)} (drawn by network/pen.py)" if are_drawn(folder) else f"{short(folder)}"
