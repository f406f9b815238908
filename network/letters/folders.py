"""Pictures of letters: a folder for each letter, or the letter in each file's name.

greek_train/
    alpha/  alpha_01.png, alpha_02.png, …
    beta/   …
"""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from network import pen
from network.cli import HOME, notice, short
from network.files import Problem
from network.pen import ALPHABET
from network.photos import NoInk, fit, normalise, read_character
from network.pictures import SUFFIXES, image_files, thumbnail

SYMBOLS = dict(zip("αβγδεζηθικλμνξοπρστυφχψω", ALPHABET, strict=True))
THUMBNAIL = 64  # longest side, in pixels, at which pictures are kept for the figures


@dataclass(frozen=True)
class Letters:
    """Pictures of letters, as given and as a network sees them."""

    names: tuple  # of the letters, by label
    files: list  # the pictures' paths
    pictures: list  # each (h, w, 3) uint8 RGB, made to fit into THUMBNAIL²
    images: torch.Tensor  # (N, 28, 28) uint8, light on dark
    labels: torch.Tensor  # (N,) int64
    no_ink: torch.Tensor  # (classes,) int64: pictures in which no letter was found

    @property
    def counts(self):
        """How many images each letter has: (classes,) int64."""
        return torch.bincount(self.labels, minlength=len(self.names))


def letter_name(text):
    """What a folder's name means: "alpha" for Alpha, ALPHA, α and Α; others as they are."""
    known = unicodedata.normalize("NFC", text).casefold()
    return SYMBOLS.get(known, known if known in ALPHABET else text)


def find_letters(folder):
    """The pictures of each letter in a folder.

    A folder for each letter, in this one or in the only one in it; else pictures named by Greek
    letters, such as alpha_001.png.

    Returns:
        {name: [paths]}: Greek letters in the alphabet's order, then others.

    Raises:
        Problem: the folder is missing, cannot be read, or has no letters in it.
    """
    if not folder.is_dir():
        raise Problem(f"no folder {folder}; name one that has a folder for each letter")
    inside = _folders(folder)
    if len(inside) == 1 and _is_set(inside[0]):
        notice(f"letters are looked for one level down, in {short(inside[0])}")
        return find_letters(inside[0])
    sets = [path.name for path in inside if _is_set(path)]
    if sets:
        raise Problem(f"{folder} has sets of letters in it ({', '.join(sets)}); name one of them")
    found = {}
    for path in inside:
        found.setdefault(letter_name(path.name), []).extend(image_files([path]))
    found = found or _named_pictures(folder)
    if not found:
        raise Problem(
            f"{folder} has no folders in it; make one for each letter, such as alpha, or name the "
            "pictures alpha_001.png and so on"
        )
    taken = [path for paths in found.values() for path in paths]
    others = [path.name for path in _pictures(folder) if path not in taken]
    if others:
        listed = ", ".join(others[:5]) + (", …" if len(others) > 5 else "")
        notice(f"left out of {short(folder)}, pictures in no letter's name: {listed}")
    for name in found:
        if name != name.encode(errors="replace").decode():
            raise Problem(f"{folder} has a folder whose name is no text, {name!r}; rename it")
    names = [*filter(found.get, ALPHABET), *sorted(found.keys() - ALPHABET)]
    return {name: found[name] for name in names}


def _folders(folder):
    """The folders in a folder, sorted, without what systems hide there."""
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    return [path for path in inside if not path.name.startswith(".") and path.name != "__MACOSX"]


def _is_set(folder):
    """Whether a folder is a set of letters rather than the pictures of one."""
    if letter_name(folder.name) in ALPHABET:
        return False
    letters = [path.name for path in _folders(folder) if letter_name(path.name) in ALPHABET]
    return bool(letters) or len(_named_pictures(folder)) > 1


def _named_pictures(folder):
    """The pictures straight in a folder, by the Greek letters that begin their names."""
    found = {}
    for path in _pictures(folder):
        name = letter_name(re.sub(r"[\W_]*\d*\W*$", "", path.stem))
        if name in ALPHABET:
            found.setdefault(name, []).append(path)
    return found


def _pictures(folder):
    """The pictures straight in a folder."""
    pictures = (path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    return sorted(path for path in pictures if not path.name.startswith("."))


def hold_out(files):
    """Parts the files of `find_letters` into those to learn and every fourth to test on: both in
    the same form, without letters that have no picture there.

    A letter of which there is one picture only keeps it for learning.
    """
    learned, tested, number = {}, {}, 0
    for name, paths in files.items():
        for path in paths:
            number += len(paths) > 1
            part = tested if len(paths) > 1 and number % 4 == 0 else learned
            part.setdefault(name, []).append(path)
    return learned, tested


def read_letters(files, names, transform=normalise):
    """Reads the pictures of letters, `Letters`; what cannot be read is named and left out.

    Args:
        files: as `find_letters` returns them.
        names: the letters, in the order of their labels; those without files are left out.
        transform: makes 28×28 of a picture; see `network/photos.py`.

    Raises:
        Problem: none of the pictures can be read.
    """
    read, pictures, images, labels = [], [], [], []
    no_ink = torch.zeros(len(names), dtype=torch.int64)
    wanted = [(label, path) for label, name in enumerate(names) for path in files.get(name, [])]
    for label, path in tqdm(wanted, "reading letters", leave=False, disable=None):
        try:
            picture, image, _ = read_character(path, transform)
        except Problem as problem:
            with tqdm.external_write_mode():
                notice(f"left out: {problem}")
            no_ink[label] += isinstance(problem, NoInk)
            continue
        read.append(path)
        pictures.append(thumbnail(picture, THUMBNAIL))
        images.append(image)
        labels.append(label)
    if not images:
        raise Problem(f"no picture of letters is of use, such as {path}; see above")
    images = torch.from_numpy(np.stack(images))
    return Letters(tuple(names), read, pictures, images, torch.tensor(labels), no_ink)


def draw_letters(names, count, seed, transform=normalise):
    """Letters that the pen knows (`pen.ALPHABET`), each drawn by another hand: `Letters` of `count`
    pictures of each, and 28×28 as a transform would make it of them. The same seed draws the same.
    """
    rng = np.random.default_rng(seed)
    size = 64 if transform is normalise else 128  # the report's pictures are that large
    inks = [pen.draw(name, rng, size) for name in names for _ in range(count)]  # white on black
    if transform is normalise:  # there is no ink to look for
        pictures = [np.repeat(255 - ink[..., None], 3, axis=2) for ink in inks]
        images = [fit(ink / np.float32(255)) for ink in inks]
    else:
        pictures = [pen.photograph(ink, rng) for ink in inks]
        images = list(map(transform, pictures))
    return Letters(
        tuple(names),
        [Path(f"{name}, drawn ({number})") for name in names for number in range(1, count + 1)],
        pictures,
        torch.from_numpy(np.stack(images)),
        torch.arange(len(names)).repeat_interleave(count),
        torch.zeros(len(names), dtype=torch.int64),
    )


def are_drawn(folder):
    """Whether letters are drawn by `network/pen.py`, not written: those that ship, or no folder."""
    shipped = [HOME / "data" / name for name in ("greek_train", "greek_extended", "greek_test")]
    return not folder or folder.resolve() in [path.resolve() for path in shipped]
