"""Figures of extension 1: colour filters, their measures, and what they make of an image."""

import math
import textwrap

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from network.pictures import thumbnail
from network.plots import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    SIGNED,
    bar,
    panels,
    show,
    show_signed,
)

KIND_LOOKS = (BLUE, "o"), (ORANGE, "D"), (GREEN, "s"), (RED, "p"), (GREY, "X")


def _kind_legend(figure, kind_names, extra=()):
    """A legend for the kinds of filters below a figure."""
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour, ms=9, label=name)
        for (colour, marker), name in zip(KIND_LOOKS, kind_names, strict=True)
    ]
    figure.legend(
        handles=[*handles, *extra],
        loc="outside lower center",
        ncols=6,
        columnspacing=1.5,
        handletextpad=0.2,
    )


def _tiles(count, columns, cell, title, inch):
    """A figure of one axis for many small pictures, as (figure, axis, corners).

    An axis for each would take seconds to lay out. The corners (count, 2) are the upper left ones
    of cells of width and height `cell`, in units of `inch` inches; y points down.
    """
    rows = math.ceil(count / columns)
    wide, tall = columns * cell[0], rows * cell[1]
    title = textwrap.fill(title, int(wide * inch / 0.125))
    more = 0.28 * (title.count("\n") + 1) + 0.6  # for title and legend
    figure = Figure(figsize=(wide * inch + 0.2, tall * inch + more), layout="constrained")
    figure.suptitle(title)
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set(xlim=(0, wide), ylim=(tall, 0), aspect="equal", autoscale_on=False)
    row, column = np.divmod(np.arange(count), columns)
    return figure, axis, np.stack([column * cell[0], row * cell[1]], 1)


def _tile(axis, image, left, top, width, height, **look):
    """A small picture whose upper left corner is at (left, top)."""
    extent = (left, left + width, top + height, top)
    axis.imshow(image, extent=extent, interpolation="nearest", aspect="auto", **look)


def _weights_in_colour(filters, limits):
    """Filters (F, 3, n, n) as pictures (F, n, n, 3): grey is zero, weights go up to ±limits."""
    return np.moveaxis(0.5 + filters / (2 * np.maximum(limits, 1e-30)), 1, -1)


def colour_filters(filters, order, kinds, kind_names, title):
    """The filters of a first layer in colour, eight in a row, on one scale.

    Args:
        filters: (F, 3, n, n).
        order: (F,), the indices of the filters as they are to be shown.
        kinds: (F,), of each filter, an index into kind_names.
        kind_names: five.
        title: of the figure.
    """
    label = 0.3
    figure, axis, corners = _tiles(len(filters), 8, (1.12, 1.16 + label), title, 0.95)
    pictures = _weights_in_colour(filters, np.abs(filters).max())
    for index, (left, top) in zip(order, corners, strict=True):
        _tile(axis, pictures[index], left + 0.06, top + label, 1, 1)
        colour = KIND_LOOKS[kinds[index]][0]
        axis.text(left + 0.56, top + label - 0.05, index, ha="center", va="bottom", color=colour)
    _kind_legend(figure, kind_names)
    return figure


def colour_filters_and_responses(filters, responses, order, kinds, kind_names, title):
    """Each filter in colour beside what it makes of an image, eight pairs in a row.

    Args:
        filters: (F, 3, n, n).
        responses: (F, h, w), blue negative, red positive; each is on its own scale, as each filter.
        order: (F,), the indices of the filters as they are to be shown.
        kinds: (F,), of each filter, an index into kind_names.
        kind_names: five.
        title: of the figure.
    """
    # Finer than this, a response would neither show nor fit into a file of reasonable size.
    responses = np.stack([thumbnail(response, 64) for response in responses])
    label, small = 0.28, 0.55
    tall, wide = np.array(responses.shape[1:]) / max(responses.shape[1:])
    # Not narrower than the legend needs.
    cell = max(small + wide + 0.2, 1.35), max(tall, small) + label + 0.1
    figure, axis, corners = _tiles(len(filters), 8, cell, title, 0.92)
    largest = np.abs(filters).max((1, 2, 3), keepdims=True)
    pictures = _weights_in_colour(filters, largest)
    shades = matplotlib.colormaps[SIGNED].resampled(15)  # with more the file gets too large
    for index, (left, top) in zip(order, corners, strict=True):
        colour = KIND_LOOKS[kinds[index]][0]
        middle = left + 0.05 + small / 2
        axis.text(middle, top + label - 0.04, index, ha="center", va="bottom", color=colour)
        _tile(axis, pictures[index], left + 0.05, top + label, small, small)
        limit = max(np.abs(responses[index]).max(), 1e-30)
        look = {"cmap": shades, "vmin": -limit, "vmax": limit}
        at = left + 0.1 + small, top + label
        _tile(axis, responses[index], *at, wide, tall, **look)
        axis.add_patch(Rectangle(at, wide, tall, fill=False, ec=GREY, lw=0.5))
    _kind_legend(figure, kind_names)
    return figure


def image_channels(picture, channels, title):
    """A colour picture as given, and as a network sees it.

    Args:
        picture: (H, W, 3) uint8 RGB.
        channels: (3, H, W), the normalised red, green and blue.
        title: of the figure.
    """
    height, width = picture.shape[:2]
    panel = 2.3 * np.array([width, height]) / max(height, width)
    figure, axes = panels(1, 5, title, width=max(panel[0], 1.2) + 0.2, height=panel[1] + 0.9)
    limit = max(np.abs(channels).max(), 1e-30)
    show(axes[0], picture, "as given")
    for axis, values, name in zip(axes[1:4], channels, ("red", "green", "blue"), strict=True):
        shown = show_signed(axis, values, limit, name)
    show(axes[4], np.uint8(255 * np.moveaxis(0.5 + channels / (2 * limit), 0, -1)))
    axes[4].set_title("all three\n(grey = mean)")
    bar(figure, shown, axes[1:4], "standard deviations from the mean", "bottom")
    return figure


def tuning_overview(tuning, chance, digits, counts, kind_names, title):
    """What the filters of a first layer are tuned to, at a glance.

    Args:
        tuning: a `gratings.Tuning` of the layer.
        chance: the same of random filters that are as smooth and as coloured.
        digits: the same of the digit network's filters, or None.
        counts: a dict of label to counts (5,) of each kind, a bar for each.
        kind_names: five.
        title: of the figure.
    """
    figure = Figure(figsize=(13, 10), layout="constrained")
    figure.suptitle(textwrap.fill(title, 100))
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.1))
    _draw_gratings(figure.add_subplot(grid[0, 0]), tuning, digits)
    _draw_bandwidths(figure.add_subplot(grid[0, 1]), tuning)
    _draw_forms(figure.add_subplot(grid[1, 0]), tuning, chance)
    _draw_counts(figure.add_subplot(grid[1, 1]), counts)
    extra = []
    if digits is not None:
        look = {"marker": "^", "mfc": "none", "mec": INK, "ls": "", "ms": 9}
        extra = [Line2D([], [], **look, label="digit network")]
    _kind_legend(figure, kind_names, extra)
    return figure


def _draw_gratings(axis, tuning, digits):
    """The preferred grating of each filter in the plane of frequencies."""

    def plane(some, frequency, angle):
        turn = np.deg2rad(angle[some])
        return frequency[some] * np.cos(turn), frequency[some] * np.sin(turn)

    for kind, (colour, marker) in enumerate(KIND_LOOKS):
        points = plane(
            (tuning.kind == kind) & (tuning.frequency > 0), tuning.frequency, tuning.angle
        )
        axis.scatter(*points, s=46, color=colour, marker=marker, alpha=0.8, lw=0, clip_on=False)
    highest = tuning.frequency.max(initial=0.15)
    if digits is not None:
        points = plane(digits.frequency > 0, digits.frequency, digits.angle)
        axis.scatter(*points, s=60, marker="^", facecolor="none", edgecolor=INK, clip_on=False)
        highest = max(highest, digits.frequency.max())
    limit = np.ceil(highest * 20 + 0.2) / 20
    half = np.linspace(0, np.pi, 100)
    for radius in np.arange(0.1, limit + 0.01, 0.1):
        axis.plot(radius * np.cos(half), radius * np.sin(half), color=GREY, lw=0.8, zorder=0.5)
    axis.set(xlim=(-limit, limit), ylim=(limit, 0), aspect="equal")
    axis.xaxis.set_major_locator(MultipleLocator(0.1))
    axis.yaxis.set_major_locator(MultipleLocator(0.1))
    axis.set_xlabel("cycles per pixel to the right")
    axis.set_ylabel("cycles per pixel down")
    flat = np.sum(tuning.frequency == 0)
    axis.set_title(f"preferred gratings, by frequency and direction;\n{flat} prefer flat light")


def _draw_bandwidths(axis, tuning):
    """How many filters of each kind have which bandwidth."""
    edges = np.arange(0, 4.6, 0.5)
    undefined = edges[-1] + 0.75  # where the bar of those without one stands
    base = np.zeros(len(edges))
    for kind, (colour, _) in enumerate(KIND_LOOKS):
        values = tuning.bandwidth[tuning.kind == kind]
        none = np.isnan(values)
        counts = np.histogram(values[~none].clip(0, edges[-1] - 1e-9), edges)[0]
        counts = np.append(counts, none.sum())
        at = np.append(edges[:-1] + 0.25, undefined)
        axis.bar(at, counts, 0.45, base, color=colour)
        base += counts
    axis.set_title(
        "bandwidth: full width at half of the best answer;\n"
        "none: it does not fall to half on both sides"
    )
    axis.set_xlabel("octaves")
    axis.set_ylabel("filters")
    axis.set_xticks([0, 1, 2, 3, 4, undefined], ["0", "1", "2", "3", "4+", "none"])
    axis.set_ylim(0, 1.05 * max(base.max(), 1))
    axis.grid(axis="x", visible=False)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_forms(axis, tuning, chance):
    """How grey each filter is, and how much one colour times one Gabor explains of it."""
    axis.scatter(chance.grey, chance.form, s=7, color="#c9ccd1", lw=0, label="random, as smooth")
    for kind, (colour, marker) in enumerate(KIND_LOOKS):
        some = tuning.kind == kind
        points = tuning.grey[some], tuning.form[some]
        axis.scatter(*points, s=46, color=colour, marker=marker, alpha=0.8, lw=0, clip_on=False)
    axis.axhline(0.5, color=INK, lw=1, ls=":")
    axis.axvline(0.5, color=INK, lw=1, ls=":")
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title(
        "each filter's form and colour; small dots: random ones,\nas smooth and coloured"
    )
    axis.set_xlabel("share of energy along the grey axis")
    axis.set_ylabel("explained by one colour × one Gabor")
    for values in (axis.xaxis, axis.yaxis):
        values.set_major_formatter(PercentFormatter(1))


def _draw_counts(axis, counts):
    """The kinds of the layer's filters and of what they are compared with, as shares."""
    for row, numbers in enumerate(counts.values()):
        shares, left = numbers / max(numbers.sum(), 1), 0
        for share, number, (colour, _) in zip(shares, numbers, KIND_LOOKS, strict=True):
            axis.barh(row, share, 0.7, left, color=colour)
            if share >= 0.06:
                text = {"ha": "center", "va": "center", "color": "white", "weight": "bold"}
                axis.text(left + share / 2, row, number, **text)
            left += share
    axis.set_yticks(range(len(counts)), counts)
    axis.invert_yaxis()
    axis.set_xlim(0, 1)
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(axis="y", visible=False)
    axis.set_title("how many are of which kind")
