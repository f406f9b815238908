"""Data sets of 28×28 images: from disk (see `mnist.py`), else downloaded, else drawn.

A download lies as torchvision lays it: `data/MNIST/raw/train-images-idx3-ubyte` and its three kin.
"""

import contextlib
import http.client
import os
import socket
import sys
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import torch

from network import mnist, pen
from network.cli import notice
from network.files import Problem

FASHION = "T-shirt, trouser, pullover, dress, coat, sandal, shirt, sneaker, bag, ankle boot"
CLOTHES = tuple(FASHION.split(", "))
BATCHES = (*(f"data_batch_{n}" for n in range(1, 6)), "test_batch", "batches.meta")
# Where torchvision puts the files of a data set, their names, megabytes of the download.
PLACES = {
    "MNIST": (Path("MNIST", "raw"), mnist.FILES, 12),
    "FashionMNIST": (Path("FashionMNIST", "raw"), mnist.FILES, 31),
    "CIFAR10": (Path("cifar-10-batches-py"), BATCHES, 170),
}
TIMEOUT = 20  # seconds without an answer after which a connection is given up


@dataclass(frozen=True)
class Labelled:
    """Images with their labels: the training part or the test part of a data set."""

    dataset: str  # its name, as of `load`
    images: torch.Tensor  # (N, 28, 28) uint8, grey values 0 to 255, light on dark
    labels: torch.Tensor  # (N,) int64

    @property
    def class_names(self):
        """One name a class of 28×28 images, by label: all but clothes are digits."""
        return CLOTHES if self.dataset == "FashionMNIST" else pen.DIGITS

    def to(self, device):
        """The same on another device."""
        return Labelled(self.dataset, self.images.to(device), self.labels.to(device))


def find_dataset(choice, data_dir, first="MNIST"):
    """The data set to use, a name that `load` takes, its files put in place where need be.

    Args:
        choice: "mnist" or "fashion" (from disk, else downloaded), "drawn", or "auto": `first`, else
            MNIST, else drawn digits, saying so.
        data_dir: the folder that has, or gets, `MNIST/raw` or `FashionMNIST/raw`.
        first: "MNIST" or "FashionMNIST".

    Raises:
        Problem: "mnist" or "fashion" is neither on disk nor to be had.
    """
    if choice == "drawn":
        return "drawn digits"
    if choice != "auto":
        dataset = "MNIST" if choice == "mnist" else "FashionMNIST"
        find_or_download(dataset, data_dir)
        return dataset
    for dataset in dict.fromkeys([first, "MNIST"]):  # each once
        try:
            find_or_download(dataset, data_dir)
        except Problem as problem:
            notice(f"NOTICE: {problem}")
            continue
        if dataset != first:
            notice(f"NOTICE: going on with {dataset} in its place")
        return dataset
    notice(
        "NOTICE: going on with DRAWN digits, made by network/pen.py. They are no MNIST: accuracies "
        "below are not comparable with it."
    )
    return "drawn digits"


def find_or_download(dataset, data_dir):
    """Makes sure that the files of "MNIST", "FashionMNIST" or "CIFAR10" are in `data_dir`.

    A download appears there only when it is complete and its checksums are right.

    Raises:
        Problem: they are not there and can not be downloaded.
    """
    place, names, megabytes = PLACES[dataset]
    folder = Path(data_dir) / place
    looked, there = folder, ""
    if all(map(os.path.isfile, (folder / name for name in names))):
        return
    if dataset != "CIFAR10":  # which people have in other forms, too
        if mnist.find(dataset, data_dir):
            return
        looked = ", ".join(map(str, mnist.places(dataset, data_dir)))
        there = mnist.what_else_is_there(dataset, data_dir)
    try:
        from torchvision import datasets  # slow, and needed for nothing else here
    except (ImportError, OSError, RuntimeError) as error:
        raise Problem(
            f"{dataset} is not in {looked}, and torchvision, to download it, does not load "
            f"({error}); install torch and torchvision from one place, see README.md"
        ) from None
    notice(f"downloading {dataset}, {megabytes} MB, to {folder} …")
    otherwise = f"put {', '.join(names)} there, or name their folder with --data-dir"
    otherwise += f" ({there})" if there else ""
    with downloading(f"{dataset} is", looked, otherwise):
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

    Raises:
        Problem: it failed; `what_is` names it, with "is" or "are", `folder` where it is not yet,
            `otherwise` what to do without a connection.
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
    """Reads the training part or, without `train`, the test part of a data set: a `Labelled`.

    That is "MNIST" or "FashionMNIST", where `find_dataset` found or put them, or "drawn digits",
    60,000 to train and 10,000 to test, the same at every call. With a `count`, the first so many
    images are enough.

    Raises:
        Problem: a file is cut off, no idx file, or holds labels out of range.
    """
    if dataset == "drawn digits":
        total, seed = (60_000, 0) if train else (10_000, 1)
        images, labels = pen.drawn_digits(total, seed, first=count)
    else:
        images, labels = mnist.load(*mnist.find(dataset, data_dir)[0 if train else 1])
    return Labelled(dataset, torch.from_numpy(images[:count]), torch.from_numpy(labels[:count]))
