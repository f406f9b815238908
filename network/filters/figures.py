"""Figures of task 2: filters, what they make of an image, and what in it speaks for an answer."""

import math

import numpy as np
from matplotlib.ticker import PercentFormatter

from network.plots import GREY, INK, ORANGE, bar, panels, show, show_signed, titled


def filter_panels(filters, title):
    """The filters (F, n, n) of a first layer, all on one scale."""
    columns = 5
    figure, axes = panels(math.ceil(len(filters) / columns), columns, title)
    limit = np.abs(filters).max()
    for index, (axis, weights) in enumerate(zip(axes, filters, strict=False)):
        shown = show_signed(axis, weights, limit, f"filter {index}")
    bar(figure, shown, axes, "weight")
    return figure


def filter_table(filters, title):
    """The filters (F, C, n, n) of a second layer, all on one scale: a row for each, a column for
    each input."""
    count, channels, size, _ = filters.shape
    step = size + 1  # a pixel stays white between two kernels
    tiles = np.full((count, channels, step, step), np.nan)
    tiles[:, :, :size, :size] = filters
    picture = tiles.transpose(0, 2, 1, 3).reshape(count * step, channels * step)[:-1, :-1]
    wide, tall = max(4, 0.42 * channels + 2.2), 0.42 * count + 1.1
    figure = titled(wide, tall, title)
    axis = figure.subplots()
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    shown = show_signed(axis, picture, np.abs(filters).max())
    axis.set_xticks(np.arange(channels) * step + size // 2, range(channels))
    axis.set_yticks(np.arange(count) * step + size // 2, range(count))
    axis.set(xlabel="feature map that it is for", ylabel="filter")
    bar(figure, shown, axis, "weight")
    return figure


def filters_and_responses(image, filters, responses, title):
    """An image (28, 28) of grey values 0 to 255, then each filter (F, n, n) beside its response
    (F, h, w) to it: filters on one scale, responses on another."""
    pairs = 3  # in a row
    rows = math.ceil((len(filters) + 1) / pairs)
    figure, axes = panels(rows, 2 * pairs, title, width=1.65)
    show(axes[0], image, "image")
    limits = np.abs(filters).max(), np.abs(responses).max()
    for index, (weights, response) in enumerate(zip(filters, responses, strict=True)):
        left, right = axes[2 * index + 2 : 2 * index + 4]
        of_filters = show_signed(left, weights, limits[0], f"filter {index}")
        of_responses = show_signed(right, response, limits[1], f"response {index}")
    bar(figure, of_filters, axes, "weight", "bottom")
    bar(figure, of_responses, axes, "response")
    return figure


def maps_and_responses(maps, responses, title):
    """The feature maps (C, H, W) that a layer sees, from 0 up, then what its filters answer to
    them, (F, h, w): maps on one scale, answers on another."""
    columns = 10
    above = math.ceil(len(maps) / columns)  # rows
    rows = above + math.ceil(len(responses) / columns)
    figure, axes = panels(rows, columns, title, width=1.2, height=1.45)
    for index, (axis, values) in enumerate(zip(axes, maps, strict=False)):
        show(axis, values * (255 / max(maps.max(), 1e-9)), f"map {index}")
    below = axes[above * columns :]
    limit = np.abs(responses).max()
    for index, (axis, values) in enumerate(zip(below, responses, strict=False)):
        shown = show_signed(axis, values, limit, f"filter {index}")
    bar(figure, shown, below, "response")
    return figure


def likenesses(kernels, captions, angles, slopes, title):
    """Each filter with its gradient, beside two kernels to compare it with; all on one scale.

    Args:
        kernels: (F, 3, n, n), the filter first.
        captions: three for each filter, of two lines each.
        angles: (F,), in which direction each filter's weights rise, in degrees, 90 down.
        slopes: (F,), how steeply: the arrows' lengths.
    """
    per_row = 2
    figure, axes = panels(math.ceil(len(kernels) / per_row), 3 * per_row, title, 1.7, 2.1)
    size = kernels.shape[-1]
    limit = np.abs(kernels).max()
    longest = 0.8 * size / max(slopes.max(), 1e-30)
    for index, triple in enumerate(kernels):
        trio = axes[3 * index : 3 * index + 3]
        for axis, kernel, caption in zip(trio, triple, captions[index], strict=True):
            shown = show_signed(axis, kernel, limit, caption)
        angle, length = np.deg2rad(angles[index]), longest * slopes[index]
        arrow = length * np.cos(angle), length * np.sin(angle)
        look = {"angles": "xy", "scale_units": "xy", "scale": 1, "width": 0.035, "color": INK}
        trio[0].quiver(size // 2, size // 2, *arrow, pivot="mid", **look)
    bar(figure, shown, axes, "weight, as a share of the filter's norm", "bottom")
    return figure


def in_two_lines(name):
    """An operator's name, its last part below: Sobel x, Laplacian of Gaussian σ 1.1."""
    words = name.split()
    cut = {"Sobel": 0, "line": 0, "Laplacian": 3, "Gaussian": 1, "Gabor": 2}[words[0]]
    return (" ".join(words[:cut]) + "\n" + " ".join(words[cut:])).strip(" ")


def occlusion_maps(image, class_names, probabilities, maps, captions, row_labels, title):
    """An image (28, 28) of grey values 0 to 255, its probabilities (classes,), and maps
    (R, C, 28, 28) of what in it speaks for which class, positive where it does, all on one scale;
    each column has a caption, each row a label."""
    rows, columns = maps.shape[:2]
    figure = titled(3 * columns + 3.6, 2.9 * rows + 0.8, title)
    grid = figure.add_gridspec(rows, columns + 1)
    seen = figure.add_subplot(grid[0, 0])
    seen.set_axis_off()
    show(seen, image, "as the network sees it")
    bars = figure.add_subplot(grid[1:, 0])
    best = np.argmax(probabilities)
    colours = [ORANGE if index == best else GREY for index in range(len(probabilities))]
    drawn = bars.barh(range(len(probabilities)), probabilities, color=colours)
    bars.bar_label(
        drawn, [f"{value:.1%}" if value >= 0.0005 else "" for value in probabilities], padding=4
    )
    bars.set_yticks(range(len(class_names)), class_names)
    bars.invert_yaxis()
    # The limit leaves room for the number behind the longest bar.
    bars.set(title="probability", xlim=(0, 1.4), xticks=[0, 0.5, 1])
    bars.xaxis.set_major_formatter(PercentFormatter(1))
    bars.grid(axis="y", visible=False)
    limit, axes = np.abs(maps).max(), []
    for row, column in np.ndindex(rows, columns):
        axis = figure.add_subplot(grid[row, column + 1])
        shown = show_signed(axis, maps[row, column], limit, captions[column] if row == 0 else "")
        axis.contour(image, levels=[128], colors=INK, linewidths=1.2)
        axis.grid(False)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(row_labels[row] if column == 0 else "")
        axes.append(axis)
    bar(figure, shown, axes, "log-probability lost, in nats: red speaks for it, blue against")
    return figure
