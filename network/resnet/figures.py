"""Figures of extension 1: colour filters, their measures, and what they make of an image."""

import math
import textwrap

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from network import plots
from network.filters import gratings
from network.pictures import thumbnail
from network.plots import BLUE, GREEN, GREY, INK, ORANGE, RED, SIGNED
from network.resnet import findings

KIND_LOOKS = (BLUE, "o"), (ORANGE, "D"), (GREEN, "s"), (RED, "p"), (GREY, "X")  # of each kind
PALE = "#d5d8dd"
COLUMNS = 8  # filters in a row


def _kind_legend(figure, extra=()):
    """A legend for the kinds of filters below a figure."""
    handles = [
        Line2D([], [], ls="", marker=marker, color=colour, ms=9, label=name)
        for (colour, marker), name in zip(KIND_LOOKS, gratings.KINDS, strict=True)
    ]
    figure.legend(
        handles=[*handles, *extra],
        loc="outside lower center",
        ncols=6,
        columnspacing=1.5,
        handletextpad=0.2,
    )


def _tile_corners(axis, count, cell, columns=COLUMNS):
    """Makes an axis, y down, a table of cells (width, height); returns their upper left corners.

    One axis for all pictures: one for each would take seconds to lay out.
    """
    axis.set_axis_off()
    wide, tall = columns * cell[0], math.ceil(count / columns) * cell[1]
    axis.set(xlim=(0, wide), ylim=(tall, 0), autoscale_on=False)
    row, column = np.divmod(np.arange(count), columns)
    return np.stack([column * cell[0], row * cell[1]], 1)


def _tile(axis, image, left, top, width, height, **look):
    """A small picture whose upper left corner is at (left, top)."""
    extent = (left, left + width, top + height, top)
    axis.imshow(image, extent=extent, interpolation="nearest", aspect="auto", **look)


def _titled_figure(width, height, title):
    """A figure of a width and, below its title and above a legend, a height in inches."""
    title = textwrap.fill(title, int(width / plots.LETTER))
    return plots.titled(width + 0.2, height + 0.28 * (title.count("\n") + 1) + 0.6, title)


def _weights_in_colour(filters, limits):
    """Filters (F, 3, n, n) as pictures (F, n, n, 3): grey is zero, weights go up to ±limits."""
    return np.moveaxis(0.5 + filters / (2 * np.maximum(limits, 1e-30)), 1, -1)


def colour_filters(filters, tuning, order, title):
    """Filters (F, 3, n, n) in colour: each at its own contrast with its weight as a bar, and below,
    once more, all on one scale; in the order of their indices (F,), with their `gratings.Tuning`.
    """
    count, inch = len(filters), 0.95  # inches of a filter above
    label, bar_height = 0.28, 0.07
    cell = 1.14, 1 + label + bar_height + 0.1
    heights = cell[1] * math.ceil(count / COLUMNS), cell[0] / 2 * math.ceil(count / COLUMNS / 2)
    figure = _titled_figure(cell[0] * COLUMNS * inch, sum(heights) * inch + 0.7, title)
    own, common = figure.subplots(2, 1, height_ratios=heights)
    own.set_title("each at its own contrast; the bar below is its weight")
    common.set_title("the same on one scale")
    largest = np.abs(filters).max((1, 2, 3), keepdims=True)
    pictures = _weights_in_colour(filters, largest)
    weights = tuning.weight / max(tuning.weight.max(), 1e-30)
    for index, (left, top) in zip(order, _tile_corners(own, count, cell), strict=True):
        left, top = left + 0.07, top + label
        colour = KIND_LOOKS[tuning.kind[index]][0]
        own.text(left + 0.5, top - 0.05, index, ha="center", va="bottom", color=colour)
        _tile(own, pictures[index], left, top, 1, 1)
        for length, shade in ((1, PALE), (weights[index], colour)):
            own.add_patch(Rectangle((left, top + 1.05), length, bar_height, color=shade, lw=0))
    pictures = _weights_in_colour(filters, largest.max())
    corners = _tile_corners(common, count, (1.1, 1.1), 2 * COLUMNS)
    for index, (left, top) in zip(order, corners, strict=True):
        _tile(common, pictures[index], left + 0.05, top + 0.05, 1, 1)
    _kind_legend(figure)
    return figure


def colour_filters_and_responses(filters, responses, tuning, order, title):
    """Each filter in colour beside its response (h, w) to an image, eight pairs in a row, each on
    its own scale: blue negative, red positive. Else as `colour_filters`.
    """
    # Finer than this, a response would neither show nor fit into a file of reasonable size.
    responses = np.stack([thumbnail(response, 64) for response in responses])
    label, small = 0.28, 0.55
    tall, wide = np.array(responses.shape[1:]) / max(responses.shape[1:])
    # Not narrower than the legend needs.
    cell = max(small + wide + 0.2, 1.35), max(tall, small) + label + 0.1
    inch = 0.92
    rows = math.ceil(len(filters) / COLUMNS)
    figure = _titled_figure(COLUMNS * cell[0] * inch, rows * cell[1] * inch, title)
    axis = figure.subplots()
    pictures = _weights_in_colour(filters, np.abs(filters).max((1, 2, 3), keepdims=True))
    for index, (left, top) in zip(order, _tile_corners(axis, len(filters), cell), strict=True):
        left, top = left + 0.05, top + label
        colour = KIND_LOOKS[tuning.kind[index]][0]
        axis.text(left + small / 2, top - 0.04, index, ha="center", va="bottom", color=colour)
        _tile(axis, pictures[index], left, top, small, small)
        limit = max(np.abs(responses[index]).max(), 1e-30)
        left += 0.05 + small
        _tile(axis, responses[index], left, top, wide, tall, cmap=SIGNED, vmin=-limit, vmax=limit)
        axis.add_patch(Rectangle((left, top), wide, tall, fill=False, ec=GREY, lw=0.5))
    _kind_legend(figure)
    return figure


def image_channels(picture, channels, title):
    """A picture (H, W, 3) uint8 RGB as given, and the normalised channels (3, H, W) of it."""
    height, width = picture.shape[:2]
    panel = 2.3 * np.array([width, height]) / max(height, width)
    figure, axes = plots.panels(1, 5, title, width=max(panel[0], 1.2) + 0.2, height=panel[1] + 1.2)
    limit = max(np.abs(channels).max(), 1e-30)
    plots.show(axes[0], picture, "as given")
    for axis, values, name in zip(axes[1:4], channels, ("red", "green", "blue"), strict=True):
        shown = plots.show_signed(axis, values, limit, name)
    together = np.uint8(255 * np.moveaxis(0.5 + channels / (2 * limit), 0, -1))
    plots.show(axes[4], together, "all three")
    what = "difference from the mean, as the network takes it"
    plots.bar(figure, shown, axes, what, "bottom")  # of all, so that they stand in line
    return figure


def tuning_overview(rows, title):
    """What the filters of a first layer are tuned to, at a glance; `rows` are as of
    `findings.measure_all`."""
    tuning, digits = rows[findings.LAYER], rows.get(findings.DIGITS)
    figure = plots.titled(13, 10, title)
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 1.1))
    _draw_gratings(figure.add_subplot(grid[0, 0]), tuning, digits)
    _draw_bandwidths(figure.add_subplot(grid[0, 1]), tuning)
    _draw_forms(figure.add_subplot(grid[1, 0]), tuning, rows[findings.ALIKE])
    _draw_counts(figure.add_subplot(grid[1, 1]), rows)
    look = {"ls": "", "marker": "^", "mfc": "none", "mec": INK, "ms": 9}
    extra = [] if digits is None else [Line2D([], [], **look, label="digit network")]
    _kind_legend(figure, extra)
    return figure


def _draw_gratings(axis, tuning, digits):
    """The preferred grating of each filter in the plane of frequencies."""

    def in_plane(of, some):
        turn = np.deg2rad(of.angle[some])
        return of.frequency[some] * np.cos(turn), of.frequency[some] * np.sin(turn)

    for kind, (colour, marker) in enumerate(KIND_LOOKS):
        some = (tuning.kind == kind) & (tuning.frequency > 0)
        x, y = in_plane(tuning, some)
        axis.scatter(x, y, s=46, color=colour, marker=marker, alpha=0.8, lw=0, clip_on=False)
    highest = tuning.frequency.max(initial=0.15)
    if digits is not None:
        x, y = in_plane(digits, digits.frequency > 0)
        axis.scatter(x, y, s=60, marker="^", facecolor="none", edgecolor=INK, clip_on=False)
        highest = max(highest, digits.frequency.max())
    limit = np.ceil(highest * 20 + 0.2) / 20
    half = np.linspace(0, np.pi, 100)
    for radius in np.arange(0.1, limit + 0.01, 0.1):
        axis.plot(radius * np.cos(half), radius * np.sin(half), color=GREY, lw=0.8, zorder=0.5)
    axis.set(xlim=(-limit, limit), ylim=(limit, 0), aspect="equal")
    step = 0.1 if limit <= 0.5 else 0.2  # or the numbers would touch
    axis.xaxis.set_major_locator(MultipleLocator(step))
    axis.yaxis.set_major_locator(MultipleLocator(step))
    axis.set(xlabel="cycles per pixel to the right", ylabel="cycles per pixel down")
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
    axis.set(xlabel="octaves", ylabel="filters", ylim=(0, 1.05 * max(base.max(), 1)))
    axis.set_xticks([0, 1, 2, 3, 4, undefined], ["0", "1", "2", "3", "4+", "none"])
    axis.grid(axis="x", visible=False)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))


def _draw_forms(axis, tuning, chance):
    """How grey each filter is, and how much one colour times one Gabor explains of it."""
    axis.scatter(chance.grey, chance.form, s=7, color=PALE, lw=0)
    for kind, (colour, marker) in enumerate(KIND_LOOKS):
        some = tuning.kind == kind
        x, y = tuning.grey[some], tuning.form[some]
        axis.scatter(x, y, s=46, color=colour, marker=marker, alpha=0.8, lw=0, clip_on=False)
    axis.axhline(0.5, color=INK, lw=1, ls=":")
    axis.axvline(0.5, color=INK, lw=1, ls=":")
    axis.set(xlim=(0, 1), ylim=(0, 1.02))
    axis.set_title(
        "each filter's form and colour; small dots: random ones,\nas smooth and coloured"
    )
    axis.set_xlabel("share of energy that is grey")
    axis.set_ylabel("share that one colour × one Gabor makes up")
    for values in (axis.xaxis, axis.yaxis):
        values.set_major_formatter(PercentFormatter(1))


def _draw_counts(axis, rows):
    """The kinds of the layer's filters and of what they are compared with, as shares."""
    for row, numbers in enumerate(map(findings.counts, rows.values())):
        shares, left = numbers / numbers.sum(), 0
        for share, number, (colour, _) in zip(shares, numbers, KIND_LOOKS, strict=True):
            bars = axis.barh(row, share, 0.7, left, color=colour)
            if share >= 0.06:
                axis.bar_label(bars, [number], label_type="center", color="white", weight="bold")
            left += share
    axis.set_yticks(range(len(rows)), rows)
    axis.invert_yaxis()
    axis.set(xlim=(0, 1), title="how many are of which kind")
    axis.xaxis.set_major_formatter(PercentFormatter(1))
    axis.grid(axis="y", visible=False)
