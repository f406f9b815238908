"""MNIST and Fashion-MNIST on disk, in the forms in which people have them.

torchvision's readers know one of these forms, and take a second to import.
"""

import gzip
import math
import re
import zlib
from functools import partial
from pathlib import Path

import numpy as np
import PIL.Image

from network.files import Problem
from network.weights import read_weights

# As torchvision names the four files: training and test part, images and labels.
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
NAME = re.compile(  # of which browsers and unpackers make others
    r"(train|t10k|test)-(images|labels)[-.]idx[13][-.]ubyte( ?\(\d\))?(\.gz)?", re.IGNORECASE
)
SHAPE = (28, 28)  # of an image
MAX_BYTES = 100_000_000  # of an idx file: twice MNIST's largest; a .gz could unpack to any size
ADVICE = "delete the file and run again to download it anew"


def load(read, paths):
    """Images (N, 28, 28) uint8, grey values 0 to 255, and labels (N,) int64 from 0 to 9.

    `read` and `paths` are of a part of a data set, as from `find`.

    Raises:
        Problem: a file is cut off, of another kind, or holds labels out of range.
    """
    images, labels = read(*paths)
    path, where = paths[0], paths[-1]  # of the images, of the labels
    if images.shape[1:] != SHAPE or images.dtype != np.uint8 or not len(images):
        raise Problem(
            f"{path} holds images of shape {images.shape} and type {images.dtype}, "
            f"not (N, 28, 28) of bytes; {ADVICE}"
        )
    if labels.shape != (len(images),):
        raise Problem(
            f"{where.parent} holds {len(images)} images but {labels.size} labels; delete "
            "these files and run again to download them anew"
        )
    wrong = labels[(labels < 0) | (labels > 9)]
    if len(wrong):
        raise Problem(f"{where} holds the label {wrong[0]}, but labels run from 0 to 9; {ADVICE}")
    return images, labels.astype(np.int64)


def places(dataset, data_dir):
    """The folders in which "MNIST" or "FashionMNIST" may lie, first the one of torchvision.

    Files that lie in the data folder itself are MNIST's, unless its name speaks of fashion.
    """
    data_dir = Path(data_dir)
    found = [data_dir / dataset / "raw", data_dir / dataset]
    if ("fashion" in data_dir.name.casefold()) == (dataset == "FashionMNIST"):
        found.append(data_dir)
    return found


def find(dataset, data_dir):
    """Where a data set lies: what reads its training part, with its paths, one or that of the
    images and that of the labels, and the same of its test part; or None."""
    for place in places(dataset, data_dir):
        idx, npz = _find_idx(place), place / "mnist.npz"
        if len(idx) == 4:
            paths = [idx[name] for name in FILES]
            return (_read_idx_pair, paths[:2]), (_read_idx_pair, paths[2:])
        if npz.is_file():  # as Keras has it: both parts in one file
            reads = (partial(_read_tensors, f"x_{part}", f"y_{part}") for part in ("train", "test"))
            return tuple((read, [npz]) for read in reads)
        for read, *parts in _FORMS:
            found = [next(filter(Path.exists, map(place.joinpath, part)), None) for part in parts]
            if all(found):
                return tuple((read, [path]) for path in found)
    return None


def what_else_is_there(dataset, data_dir):
    """What the places hold of a data set that does not do, as a text that may be empty."""
    told = []
    for place in places(dataset, data_dir):
        found = _find_idx(place)
        lacking = [name for name in FILES if name not in found]
        if found and lacking:
            told.append(f"{place} lacks {', '.join(lacking)}")
        kinds = ("*.zip", "*.tar", "*.tgz", "*.tar.gz", "*.pkl*", "*.mat", "*.parquet", "*.csv")
        others = sorted(path.name for kind in kinds for path in place.glob(kind))
        if others:
            told.append(
                f"{place} holds {', '.join(others[:4])}, which is not read: unpack it, or save "
                "idx files"
            )
    return "; ".join(told)


def _find_idx(place):
    """The idx files in a folder, or in folders of their names in it, by torchvision's names."""
    found = {}
    for path in sorted([*place.glob("*"), *place.glob("*/*")]):
        name = NAME.fullmatch(path.name)
        own_folder = path.parent == place or NAME.fullmatch(path.parent.name)
        if name and own_folder and path.is_file():
            number = 2 * (name[1].lower() != "train") + (name[2].lower() == "labels")
            found.setdefault(FILES[number], path)
    return found


def _read_idx_pair(images, labels):
    return read_idx(images, SHAPE), read_idx(labels, ())


def read_idx(path, item_shape):
    """Reads an idx file of unsigned bytes, packed by gzip or not, whatever its name says.

    The format: two zero bytes, 8 for unsigned bytes, the number of dimensions, each dimension as
    a big-endian 32-bit number, the data (http://yann.lecun.com/exdb/mnist/).

    Returns:
        (N, *item_shape) uint8, N at least 1.

    Raises:
        Problem: the file is cut off, too long, or of another kind.
    """
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            content = np.frombuffer(bytearray(file.read(MAX_BYTES)), np.uint8)  # writable
    except (OSError, EOFError, zlib.error) as error:
        raise Problem(f"cannot read {path} ({error}); {ADVICE}") from None
    dimensions = 1 + len(item_shape)
    header = 4 + 4 * dimensions  # bytes
    if len(content) < header or content[:4].tolist() != [0, 0, 8, dimensions]:
        raise Problem(f"{path} is no idx file of bytes in {dimensions} dimensions; {ADVICE}")
    count, *shape = content[4:header].view(">u4").tolist()
    if count == 0 or tuple(shape) != item_shape:
        raise Problem(f"{path} holds {count} items of shape {tuple(shape)}; {ADVICE}")
    expected = header + count * math.prod(item_shape)
    if len(content) != expected:
        raise Problem(
            f"{path} has {len(content):,} bytes but its header speaks of {expected:,}; {ADVICE}"
        )
    return content[header:].reshape(count, *item_shape)


def _read_tensors(images, labels, path):
    """What a file of torch or NumPy holds under the keys `images` and `labels`."""
    content = read_weights(path)
    try:
        return content[images].numpy(), content[labels].numpy()
    except (LookupError, TypeError, AttributeError):
        raise Problem(f"{path} does not hold images and labels; {ADVICE}") from None


def _read_csv(path):
    """A line for each image: its label and 784 grey values, as on Kaggle."""
    try:
        with open(path, encoding="utf-8-sig") as file:
            named = not file.readline()[:1].isdigit()  # its columns, in a line of their own
        rows = np.loadtxt(
            path, np.uint8, delimiter=",", skiprows=int(named), ndmin=2, encoding="utf-8-sig"
        )
        return rows[:, 1:].reshape(-1, *SHAPE), rows[:, 0]
    except (OSError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise Problem(f"cannot read {path} ({reason}); {ADVICE}") from None


def _read_pictures(zeros):
    """Pictures in a folder for each digit, beside that of the zeros, which is named."""
    folder = zeros.parent
    paths = sorted(path for path in folder.glob("[0-9]/*.*") if not path.name.startswith("."))
    if not paths:
        raise Problem(f"{folder} has no pictures in its folders 0 to 9; check --data-dir")
    # Not digit by digit: the first images, and the last, stand for all.
    paths = [paths[i] for i in np.random.default_rng(0).permutation(len(paths))]
    try:
        images = []
        for path in paths:
            with PIL.Image.open(path) as picture:
                images.append(np.asarray(picture.convert("L")))
        return np.stack(images), np.array([int(path.parent.name) for path in paths])
    except (OSError, ValueError) as error:
        raise Problem(f"cannot read {path} ({error}); {ADVICE}") from None


# Other forms: what reads a part, and the names that the training and the test part may have.
_FORMS = (
    (
        _read_csv,
        ("mnist_train.csv", "fashion-mnist_train.csv"),
        ("mnist_test.csv", "fashion-mnist_test.csv"),
    ),
    # as torchvision kept them before 2021
    (partial(_read_tensors, 0, 1), ("processed/training.pt",), ("processed/test.pt",)),
    (
        _read_pictures,
        ("training/0", "train/0", "mnist_png/training/0", "trainingSet/0"),
        ("testing/0", "test/0", "mnist_png/testing/0", "testSet/0"),
    ),
)
