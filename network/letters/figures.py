"""Figures of task 3: how letters are learned, how they are read, where their features lie."""

import math

import matplotlib
import numpy as np
import torch
from matplotlib.ticker import MaxNLocator, PercentFormatter

from network.plots import BLUE, GREEN, GREY, INK, ORANGE, RED, guesses, pictures_as_seen, titled

SHOWN = 20  # most pictures in the figure of letters


def training_curves(epochs, title, unfrozen=None):
    """Loss and accuracy by epoch, side by side.

    `epochs` are dicts as of `training.measures`; all layers learned after epoch `unfrozen`, if
    they did.
    """
    figure = titled(11, 5.8, title)
    loss, accuracy = figure.subplots(1, 2)
    numbers = [epoch["epoch"] for epoch in epochs]
    for axis, what, form in ((loss, "loss", ".3f"), (accuracy, "accuracy", ".1%")):
        for key, label, colour, style in (
            (f"train_{what}", "training letters", BLUE, "o-"),
            (f"test_{what}", "test letters", ORANGE, "o-"),
            (f"running_{what}", "distorted, while learning", GREY, "--"),
        ):
            if key in epochs[0]:
                values = [epoch[key] for epoch in epochs]
                label = f"{label}: {values[-1]:{form}}"
                axis.plot(numbers, values, style, color=colour, ms=4, label=label)
        if unfrozen:
            axis.axvline(unfrozen + 0.5, color=INK, lw=1, ls=":", label="from here, all layers")
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        place = {"loc": "upper left", "bbox_to_anchor": (0, -0.15)}  # below, clear of the curves
        axis.legend(title="after the last epoch", alignment="left", **place)
    loss.set(ylim=(0, None), ylabel="mean negative log-likelihood (nats)")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def feature_plane(points, labels, is_test, class_names, shares, title):
    """Features (N, 2) in the plane of their first two principal components, which explain these
    shares of the variance, 0 to 1: a colour for each class, by label (N,), and a mark of their own
    for test images, by `is_test` (N,)."""
    figure = titled(9, 6, title)
    axis = figure.subplots()
    points, labels, is_test = (np.asarray(values) for values in (points, labels, is_test))
    colours = matplotlib.colormaps["tab10" if len(class_names) <= 10 else "gist_rainbow"]
    step = 1 if len(class_names) <= 10 else 256 // len(class_names)
    for label, name in enumerate(class_names):
        colour = colours(label * step)
        for test, look in ((False, {"marker": "o"}), (True, {"marker": "^", "edgecolor": INK})):
            of_class = points[(labels == label) & (is_test == test)]
            axis.scatter(*of_class.T, s=64 if test else 36, color=colour, alpha=0.75, **look)
        axis.scatter([], [], color=colour, label=name, marker="s")
    for marker, what in (("o", "training"), ("^", "test")):
        axis.scatter([], [], color="white", edgecolor=INK, marker=marker, s=50, label=what)
    axis.set_xlabel(f"first principal component ({shares[0]:.0%} of the variance)")
    axis.set_ylabel(f"second principal component ({shares[1]:.0%})")
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), ncols=math.ceil(len(class_names) / 16))
    return figure


def read_letters(letters, probabilities, title):
    """`Letters` as given and as seen, with the answers by their probabilities (N, classes); of too
    many, mistakes are chosen first."""
    right = probabilities.argmax(1) == letters.labels
    # Of many, mistakes of every letter, and others of every letter beside them.
    parts = [_spread_over(part.nonzero().flatten(), letters.labels) for part in (~right, right)]
    shown = torch.cat(parts)[:SHOWN].sort().values.tolist()
    captions, colours = [], []
    for index in shown:
        truth = None if right[index] else int(letters.labels[index])
        captions.append(guesses(probabilities[index], letters.names, truth))
        colours.append(GREEN if right[index] else RED)
    if len(shown) < len(right):
        title += f" ({len(shown)} of {len(right)}, mistakes chosen first)"
    pictures = [letters.pictures[index] for index in shown]
    return pictures_as_seen(pictures, letters.images[shown].numpy(), captions, colours, title)


def _spread_over(chosen, labels):
    """Indices (n,) in another order: one of each letter, then a second of each, and so on."""
    own = labels[chosen][:, None] == labels.unique()  # (n, letters)
    return chosen[own.cumsum(0)[own].argsort(stable=True)]  # by its number among its letter's
