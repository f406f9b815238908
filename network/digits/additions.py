"""What the digit network learns beside MNIST: digits in the ways of many countries, and what is
none, all drawn by the pen."""

import torch

from network import pen
from network.datasets import Labelled
from network.digits import nodigits

# Drawn beside MNIST's 60,000. Twice as many read other people's digits no better.
DRAWN_DIGITS, DRAWN_OTHERS = 5_500, 3_000
SWING = 0.6  # of the hands that draw them, see `pen.Hand`: MNIST has the odd ones itself
DRAWN_MORE = 2_000  # drawn digits to calibrate with
DRAWN_DOUBTFUL = 7_000  # more of what is no digit
KNOWN = 30_000  # of the lessons, the last ones: enough to learn to doubt


def with_drawn(training, seed):
    """Adds to training images of digits what the pen draws: digits in the ways of many countries,
    and what is no digit.

    Args:
        training: a `Labelled`.
        seed: the same seed draws the same images.

    Returns:
        A `Labelled`: first the images given, then drawn digits, at the end what is none, with
        labels from 10 on, in the order of `nodigits.CLASSES`.
    """
    new = *pen.drawn_digits(DRAWN_DIGITS, seed, SWING), *nodigits.drawn(DRAWN_OTHERS, seed)
    device = training.labels.device
    images, labels, others, kinds = (torch.from_numpy(array).to(device) for array in new)
    return Labelled(
        f"{training.dataset} and drawn digits",
        torch.cat([training.images, images, others]),
        torch.cat([training.labels, labels, 10 + kinds]),
    )


def to_doubt(lessons, seed):
    """What to learn doubts from: the last of what `with_drawn` returned, and more of what is no
    digit, Greek letters as well. The digit network itself learns none: these are for task 3.
    """
    images, kinds = nodigits.drawn(DRAWN_DOUBTFUL, seed + 1, nodigits.WITH_GREEK)
    images, kinds = (torch.from_numpy(new).to(lessons.labels.device) for new in (images, kinds))
    return Labelled(
        lessons.dataset,
        torch.cat([lessons.images[-KNOWN:], images]),
        torch.cat([lessons.labels[-KNOWN:], 10 + kinds]),
    )


def more_drawn(seed):
    """Drawn digits that are not among those that `with_drawn` adds with the same seed."""
    images, labels = pen.drawn_digits(DRAWN_MORE, seed + 2**32, SWING)
    return Labelled("drawn digits", torch.from_numpy(images), torch.from_numpy(labels))
