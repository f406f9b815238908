"""Data sets of 28×28 images: from disk, else by torchvision's download, else drawn.

Files lie as torchvision lays them: `data/MNIST/raw/train-images-idx3-ubyte` and its three kin.
"""

import contextlib
import gzip
import http.client
import math
import os
import socket
import sys
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from network import nodigits, pen
from network.files import Problem
from network.model import IMAGE_SIZE

CLASS_NAMES = {
    "MNIST": pen.DIGITS,
    "FashionMNIST": (
        *("T-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
    "drawn digits": pen.DIGITS,
    "MNIST and drawn digits": pen.DIGITS,
    "CIFAR10": (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    ),
}
FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
# Where torchvision puts the files of a data set, and their names.
PLACES = {
    "MNIST": (Path("MNIST", "raw"), FILES),
    "FashionMNIST": (Path("FashionMNIST", "raw"), FILES),
    "CIFAR10": (
        Path("cifar-10-batches-py"),
        (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta"),
    ),
}
CIFAR_JPEG = "cifar10_jpeg.npz"  # see `load_cifar10`
# Drawn beside MNIST's 60,000: found on sets of other people's digits. More digits cost MNIST.
DRAWN_DIGITS, DRAWN_OTHERS = 15_000, 6_000
SWING = 0.6  # of the hands that draw them, see `pen.Hand`: MNIST has the odd ones itself
DRAWN_MORE = 5_000  # drawn digits to calibrate with
MAX_BYTES = 100_000_000  # of an idx file: twice MNIST's largest; a .gz could unpack to any size
TIMEOUT = 20  # seconds without an answer after which a connection is given up


@dataclass(frozen=True)
class Labelled:
    """Images with their labels: the training part or the test part of a data set."""

    dataset: str  # a key of CLASS_NAMES
    images: torch.Tensor  # (N, 28, 28) uint8, grey values 0 to 255, light on dark
    labels: torch.Tensor  # (N,) int64

    @property
    def class_names(self):
        """One name a class, by label."""
        return CLASS_NAMES[self.dataset]

    def to(self, device):
        """The same on another device."""
        return Labelled(self.dataset, self.images.to(device), self.labels.to(device))


def find_digits(choice, data_dir):
    """The name of the digit data set to use, and its files put in place where need be.

    Args:
        choice: "mnist" (from disk, else downloaded), "drawn", or "auto" (MNIST, else drawn).
        data_dir: the folder that has, or gets, `MNIST/raw`.

    Returns:
        "MNIST" or "drawn digits".

    Raises:
        Problem: "mnist" is neither on disk nor to be had.
    """
    if choice == "drawn":
        return "drawn digits"
    try:
        find_or_download("MNIST", data_dir)
    except Problem as problem:
        if choice == "mnist":
            raise
        print(
            f"NOTICE: {problem}\n"
            "NOTICE: going on with DRAWN digits, made by network/pen.py. They are no MNIST: "
            "accuracies below are not comparable with it.",
            file=sys.stderr,
        )
        return "drawn digits"
    return "MNIST"


def find_fashion_or_digits(choice, data_dir):
    """The name of the data set to use where clothes will do as well, and its files in place.

    Args:
        choice: "fashion" (from disk, else downloaded), "auto" (Fashion-MNIST, else as
            `find_digits`), or what `find_digits` takes.
        data_dir: the folder that has, or gets, `FashionMNIST/raw` or `MNIST/raw`.

    Returns:
        "FashionMNIST", "MNIST" or "drawn digits".

    Raises:
        Problem: what was chosen is neither on disk nor to be had.
    """
    if choice not in ("fashion", "auto"):
        return find_digits(choice, data_dir)
    try:
        find_or_download("FashionMNIST", data_dir)
    except Problem as problem:
        if choice == "fashion":
            raise
        print(f"NOTICE: {problem}", file=sys.stderr)
        name = find_digits("auto", data_dir)
        print(f"NOTICE: going on with {name} in its place", file=sys.stderr)
        return name
    return "FashionMNIST"


def find_or_download(dataset, data_dir):
    """Makes sure that the files of "MNIST", "FashionMNIST" or "CIFAR10" are in `data_dir`.

    A download appears there only when it is complete and its checksums are right.

    Raises:
        Problem: they are not there and can not be downloaded.
    """
    place, names = PLACES[dataset]
    folder = Path(data_dir) / place
    if all(_found(folder / name) for name in names):
        return
    try:
        from torchvision import datasets  # slow, and needed for nothing else here
    except (ImportError, OSError, RuntimeError) as error:
        raise Problem(
            f"{dataset} is not in {folder}, and torchvision, to download it, does not load "
            f"({error}); install torch and torchvision from one place, see README.md"
        ) from None
    print(f"downloading {dataset} to {folder} …", file=sys.stderr)
    otherwise = f"put {', '.join(names)} there, or name their folder with --data-dir"
    with downloading(f"{dataset} is", folder, otherwise):
        Path(data_dir).mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(prefix=".download-", dir=data_dir) as temporary,
            contextlib.redirect_stdout(sys.stderr),
        ):
            getattr(datasets, dataset)(temporary, download=True)
            folder.mkdir(parents=True, exist_ok=True)
            for name in names:
                os.replace(Path(temporary) / place / name, folder / name)


@contextlib.contextmanager
def downloading(what_is, folder, otherwise):
    """Gives up what downloads in it when there is no answer for long, and says in one line why.

    Args:
        what_is: what is downloaded, and "is" or "are".
        folder: where it is not yet.
        otherwise: what to do without a connection.

    Raises:
        Problem: the download failed.
    """
    patience = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)  # torch and torchvision would wait for ever
    try:
        yield
    except (OSError, RuntimeError, http.client.HTTPException, EOFError, zlib.error) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise Problem(
            f"{what_is} not in {folder} and could not be downloaded ({reason}); connect to the "
            f"network, or {otherwise}"
        ) from None
    finally:
        socket.setdefaulttimeout(patience)


def load(dataset, data_dir, train, count=None):
    """Reads the training part or the test part of a data set.

    Args:
        dataset: "MNIST", "FashionMNIST" or "drawn digits" (60,000 to train, 10,000 to test, the
            same at every call).
        data_dir: where `find_or_download` put the files.
        train: whether the training part is wanted.
        count: how many images are enough, from the first on; all when left out.

    Returns:
        A `Labelled`.

    Raises:
        Problem: a file is missing, cut off, no idx file, or holds labels out of range.
    """
    if dataset == "drawn digits":
        total, seed = (60_000, 0) if train else (10_000, 1)
        images, labels = pen.drawn_digits(count or total, seed, progress=_drawing_bar)
    else:
        part = "train" if train else "t10k"
        folder = Path(data_dir) / dataset / "raw"
        images = read_idx(folder / f"{part}-images-idx3-ubyte", (IMAGE_SIZE, IMAGE_SIZE))
        labels = read_idx(folder / f"{part}-labels-idx1-ubyte", ()).astype(np.int64)
        classes = len(CLASS_NAMES[dataset])
        if len(images) != len(labels):
            raise Problem(
                f"{folder} holds {len(images)} {part} images but {len(labels)} labels; "
                "delete the folder and run again to download it anew"
            )
        if labels.max() >= classes:
            raise Problem(
                f"{folder / f'{part}-labels-idx1-ubyte'} holds the label {labels.max()}, but "
                f"labels run from 0 to {classes - 1}; delete the file and run again"
            )
    return Labelled(dataset, torch.from_numpy(images[:count]), torch.from_numpy(labels[:count]))


def with_drawn(training, seed):
    """Adds to training images of digits what the pen draws: digits in the ways of many countries,
    and what is no digit.

    Args:
        training: a `Labelled`.
        seed: the same seed draws the same images.

    Returns:
        A `Labelled`: first the images given, then drawn digits, at the end what is none (label -1).
    """
    images, labels = pen.drawn_digits(DRAWN_DIGITS, seed, _drawing_bar, SWING)
    others = nodigits.drawn(DRAWN_OTHERS, seed, _drawing_bar)
    return Labelled(
        f"{training.dataset} and drawn digits",
        torch.cat([training.images, torch.from_numpy(images), torch.from_numpy(others)]),
        torch.cat([training.labels, torch.from_numpy(labels), torch.full((len(others),), -1)]),
    )


def more_drawn(seed):
    """Drawn digits that are not among those that `with_drawn` adds with the same seed."""
    images, labels = pen.drawn_digits(DRAWN_MORE, seed + 2**32, swing=SWING)
    return Labelled("drawn digits", torch.from_numpy(images), torch.from_numpy(labels))


def load_cifar10(data_dir, train, count=None):
    """Reads CIFAR-10's training part or test part, downloading it where it is missing.

    From torchvision's files, or from `cifar10_jpeg.npz` beside them, which holds the images as
    JPEGs: `{train,test}_jpeg`, uint8, the files end to end; `{train,test}_end`, where each ends;
    `{train,test}_label`, 0 to 9.

    Args:
        data_dir: the folder.
        train: whether the training part is wanted.
        count: how many images are enough, from the first on; all when left out.

    Returns:
        A `Labelled`, its images (N, 3, 32, 32) RGB.

    Raises:
        Problem: the data set is neither on disk nor to be had, or is broken.
    """
    packed = Path(data_dir) / CIFAR_JPEG
    if packed.is_file():
        images, labels = _read_cifar_jpegs(packed, "train" if train else "test", count)
    else:
        find_or_download("CIFAR10", data_dir)
        from torchvision.datasets import CIFAR10

        try:
            # These files are pickles; torchvision checks that they are CIFAR's own before it
            # opens them.
            found = CIFAR10(data_dir, train)
        except (OSError, RuntimeError) as error:
            raise Problem(
                f"cannot read CIFAR-10 in {data_dir} ({error}); delete "
                f"{PLACES['CIFAR10'][0]} there and run again to download it anew"
            ) from None
        images, labels = found.data[:count], np.array(found.targets[:count])
    images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return Labelled("CIFAR10", images, torch.from_numpy(labels))


def _read_cifar_jpegs(path, part, count):
    """The images (N, 32, 32, 3) uint8 RGB and labels (N,) int64 of one part of such a file."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            files, ends, labels = (arrays[f"{part}_{key}"] for key in ("jpeg", "end", "label"))
        ends, labels = ends[:count].astype(np.int64), labels[:count].astype(np.int64)
        starts = np.append(0, ends[:-1])
        images = np.stack(
            [
                cv2.imdecode(files[start:end], cv2.IMREAD_COLOR_RGB)
                for start, end in zip(starts, ends, strict=True)
            ]
        )
        if images.shape != (len(labels), 32, 32, 3) or not set(labels) <= set(range(10)):
            raise ValueError("not 32×32 images with as many labels from 0 to 9")
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, cv2.error) as error:
        raise Problem(
            f"cannot read {path} ({error}); delete it, and CIFAR-10 is downloaded instead"
        ) from None
    return images, labels


def read_idx(path, item_shape):
    """Reads an idx file of unsigned bytes, or the .gz of it that lies in its place.

    The format: two zero bytes, 8 for unsigned bytes, the number of dimensions, each dimension as
    a big-endian 32-bit number, the data (http://yann.lecun.com/exdb/mnist/).

    Args:
        path: the file.
        item_shape: the dimensions that must follow the first, (28, 28) for images.

    Returns:
        (N, *item_shape) uint8, N at least 1.

    Raises:
        Problem: the file is missing, cut off, too long, or of another kind.
    """
    advice = "delete the file and run again to download it anew"
    found = _found(path)
    if found is None:
        raise Problem(f"no file {path}; run mnist_train.py to download it or check --data-dir")
    try:
        with gzip.open(found) if found.suffix == ".gz" else open(found, "rb") as file:
            content = np.frombuffer(bytearray(file.read(MAX_BYTES)), np.uint8)  # writable
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(f"cannot read {found} ({error}); {advice}") from None
    dimensions = 1 + len(item_shape)
    header = 4 + 4 * dimensions  # bytes
    if len(content) < header or content[:4].tolist() != [0, 0, 8, dimensions]:
        raise Problem(f"{found} is no idx file of bytes in {dimensions} dimensions; {advice}")
    count, *shape = content[4:header].view(">u4").tolist()
    if count == 0 or tuple(shape) != item_shape:
        raise Problem(f"{found} holds {count} items of shape {tuple(shape)}; {advice}")
    expected = header + count * math.prod(item_shape)
    if len(content) != expected:
        raise Problem(
            f"{found} has {len(content):,} bytes but its header speaks of {expected:,}; {advice}"
        )
    return content[header:].reshape(count, *item_shape)


def _found(path):
    """The file, or its .gz, or None."""
    return next((p for p in (path, path.with_name(path.name + ".gz")) if os.path.isfile(p)), None)


def _drawing_bar(items):
    """A progress bar around the items, on a terminal."""
    return tqdm(items, desc="drawing digits", unit=" digits", leave=False, disable=None)
