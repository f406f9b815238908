"""Colour pictures: CIFAR-10 or a folder of one's own to learn from, and one to look at."""

from dataclasses import dataclass
from hashlib import sha256

import cv2
import numpy as np
import torch
from torchvision.datasets import CIFAR10
from tqdm import tqdm

from network import cli
from network.datasets import PLACES, Labelled, find_or_download
from network.files import Problem
from network.pictures import image_files, read_image, thumbnail

SIDE = 64  # pixels along each side of a picture from a folder, when a network learns from it
LONGEST = 224  # pixels of the longer side of a picture to look at: ImageNet's networks' own size
# CIFAR-10's first test image is known by its pixels, whatever its file is called.
CAT, CAT_SHA256 = "CIFAR-10's first test image (a cat)", "af12e124"


def load_cifar10(data_dir, train):
    """CIFAR-10's training part or test part, downloaded where it is missing.

    Returns:
        A `Labelled` whose images are (N, 3, 32, 32) RGB.

    Raises:
        Problem: it is neither on disk nor to be had, or is broken.
    """
    find_or_download("CIFAR10", data_dir)
    try:
        # These files are pickles; torchvision opens them only if they are CIFAR's own.
        found = CIFAR10(data_dir, train)
    except (OSError, RuntimeError) as error:
        raise Problem(
            f"cannot read CIFAR-10 in {data_dir} ({error}); delete {PLACES['CIFAR10'][0]} there "
            "and run again to download it anew"
        ) from None
    images = torch.from_numpy(found.data).permute(0, 3, 1, 2).contiguous()  # (N, 3, 32, 32)
    return Labelled("CIFAR-10", images, torch.tensor(found.targets))


def load_folder(folder):
    """Pictures of one's own, a folder of them for each class; every fourth is held out to test.

    Returns:
        The training part and the test part: `Labelled` images (N, 3, 64, 64) RGB, cut to squares;
        and the folders' names, by label.

    Raises:
        Problem: there are not two folders with four pictures each, or a picture cannot be read.
    """
    if not folder.is_dir():
        raise Problem(f"{folder} is no folder; name one with a folder of pictures for each class")
    classes = sorted(path for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if len(classes) < 2:
        raise Problem(f"{folder} holds no two folders; put the pictures of each class in its own")
    parts = [], []  # to train on and to test on: (path, label) each
    for label, place in enumerate(classes):
        paths = image_files([place])
        if len(paths) < 4:
            raise Problem(f"{place} holds {len(paths)} pictures; four are the least for a class")
        for number, path in enumerate(paths):
            parts[number % 4 == 3].append((path, label))
    loaded = []
    for part in parts:
        paths = tqdm([path for path, _ in part], "reading", leave=False, disable=None)
        images = torch.from_numpy(np.stack([square(read_image(path)) for path in paths]))
        images = images.permute(0, 3, 1, 2).contiguous()
        labels = torch.tensor([label for _, label in part])
        loaded.append(Labelled(folder.resolve().name, images, labels))
    return *loaded, [path.name for path in classes]


def square(picture):
    """The middle of a picture (H, W, 3) uint8, scaled to (64, 64, 3)."""
    height, width = picture.shape[:2]
    size = min(height, width)
    top, left = (height - size) // 2, (width - size) // 2
    middle = picture[top : top + size, left : left + size]
    return cv2.resize(middle, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


@dataclass(frozen=True)
class Picture:
    """A picture to look at."""

    pixels: np.ndarray  # (H, W, 3) uint8 RGB, its longer side at most 224 pixels
    words: str  # what it is, for titles
    suffix: str  # what names of files get to tell it from CIFAR-10's first test image


def find_picture(path, data_dir):
    """The picture in a file. Without one, CIFAR-10's first test image, if that is on disk, or a
    photograph that comes with matplotlib: nothing is downloaded for a single picture.

    Raises:
        Problem: the file cannot be read.
    """
    if path:
        pixels = read_image(path)
        words, suffix = "the picture", cli.suffix(path)
    else:
        try:
            pixels = CIFAR10(data_dir, train=False).data[0]
        except (OSError, RuntimeError):  # it is not there
            from matplotlib.cbook import get_sample_data  # after plots.py has chosen the backend

            pixels = read_image(get_sample_data("grace_hopper.jpg", asfileobj=False))
            words, suffix = "matplotlib's sample photograph", "_photograph"
    if sha256(pixels.tobytes()).hexdigest().startswith(CAT_SHA256):
        words, suffix = CAT, ""
    height, width = pixels.shape[:2]
    if max(height, width) > LONGEST:
        cli.notice(f"{words} is scaled down from {width}×{height} pixels")
    return Picture(thumbnail(pixels, LONGEST), words, suffix)
