"""What the digit network learns beside MNIST: digits in the ways of many countries, and what is
none, all drawn by the pen."""

from dataclasses import replace

import torch

from network import pen
from network.datasets import Labelled
from network.digits import nodigits

# Drawn beside MNIST's 60,000. Twice as many read other people's digits no better.
DRAWN_DIGITS, DRAWN_OTHERS = 5_500, 3_000
SWING = 0.6  # of the hands that draw them, see `pen.Hand`: MNIST has the odd ones itself
KNOWN, DRAWN_DOUBTFUL = 30_000, 7_000  # to learn doubts from: lessons, and more that is no digit
READ, DRAWN_MORE = 10_000, 2_000  # to calibrate with: training images, and drawn digits


def with_drawn(training, seed):
    """Adds to training images of digits, a `Labelled`, what the pen draws; the same seed draws the
    same.

    Returns:
        A `Labelled`: first the images given, then digits in the ways of many countries, at the end
        what is no digit, with labels from 10 on, in the order of `nodigits.CLASSES`.
    """
    others, kinds = nodigits.drawn(DRAWN_OTHERS, seed)
    digits = _followed_by(training, *pen.drawn_digits(DRAWN_DIGITS, seed, SWING))
    lessons = _followed_by(digits, others, 10 + kinds)
    return replace(lessons, dataset=f"{training.dataset} and drawn digits")


def to_doubt(lessons, seed):
    """What to learn doubts from: the last of what `with_drawn` returned, and more of what is no
    digit, Greek letters as well. The digit network itself learns none: these are for task 3.
    """
    others, kinds = nodigits.drawn(DRAWN_DOUBTFUL, seed + 1, nodigits.WITH_GREEK)
    return _followed_by(lessons, others, 10 + kinds, KNOWN)


def to_calibrate(training, seed):
    """The last training images, and drawn digits that are not among those of `with_drawn`."""
    return _followed_by(training, *pen.drawn_digits(DRAWN_MORE, seed + 2**32, SWING), READ)


def _followed_by(labelled, images, labels, most=None):
    """The last images of a `Labelled`, at most so many, and behind them those of arrays."""
    start, device = -(most or len(labelled.labels)), labelled.labels.device
    return Labelled(
        labelled.dataset,
        torch.cat([labelled.images[start:], torch.from_numpy(images).to(device)]),
        torch.cat([labelled.labels[start:], torch.from_numpy(labels).to(device)]),
    )
