"""What the digit network learns beside MNIST: digits in the ways of many countries, and what is
none, all drawn by the pen."""

import torch

from network import pen
from network.datasets import Labelled
from network.digits import nodigits

# Drawn beside MNIST's 60,000: found on sets of other people's digits. More digits cost MNIST.
DRAWN_DIGITS, DRAWN_OTHERS = 11_000, 5_000
SWING = 0.6  # of the hands that draw them, see `pen.Hand`: MNIST has the odd ones itself
DRAWN_MORE = 5_000  # drawn digits to calibrate with


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
    images, labels = pen.drawn_digits(DRAWN_DIGITS, seed, SWING)
    others, kinds = nodigits.drawn(DRAWN_OTHERS, seed)
    return Labelled(
        f"{training.dataset} and drawn digits",
        torch.cat([training.images, torch.from_numpy(images), torch.from_numpy(others)]),
        torch.cat([training.labels, torch.from_numpy(labels), 10 + torch.from_numpy(kinds)]),
    )


def more_drawn(seed):
    """Drawn digits that are not among those that `with_drawn` adds with the same seed."""
    images, labels = pen.drawn_digits(DRAWN_MORE, seed + 2**32, SWING)
    return Labelled("drawn digits", torch.from_numpy(images), torch.from_numpy(labels))
