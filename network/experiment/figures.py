"""Figures of task 4: accuracy and time by setting."""

import itertools
import math
import textwrap

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator, PercentFormatter
from matplotlib.transforms import Bbox, ScaledTranslation

from network.experiment.hypotheses import mean_interval
from network.plots import BLUE, GREEN, GREY, INK, ORANGE


def setting_curves(series, baseline, name, title, log=False, straight=False):
    """Accuracy and training time along one dimension, side by side.

    Args:
        series: for each label a dict: for each value that was tried the validation accuracies (0
            to 1) and the CPU times of an epoch (seconds) of its seeds.
        baseline: the value that other dimensions share.
        name: of the dimension.
        title: of the figure.
        log: whether values are told apart by their ratio.
        straight: whether a straight line shows how time would grow in proportion.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    figure.suptitle(textwrap.fill(title, 85))
    axes = figure.subplots(1, 2)
    aside = 10 / 72  # inches from the mean to the seeds
    for axis, index in zip(axes, (0, 1), strict=True):
        looks = zip(series.items(), (BLUE, ORANGE), "os", (-aside, aside), strict=False)
        for (label, results), colour, marker, shift in looks:
            values = sorted(results)
            if not values:
                continue
            means, halves = np.transpose([mean_interval(results[v][index]) for v in values])
            halves[np.isinf(halves)] = 0  # a single seed has no interval
            look = {"color": colour, "marker": marker, "ms": 7, "lw": 1.8, "capsize": 5}
            axis.errorbar(values, means, halves, **look, label=label)
            beside = axis.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)
            for value in values:
                seeds = results[value][index]
                look = {"color": colour, "ms": 3.5, "alpha": 0.8, "transform": beside}
                axis.plot([value] * len(seeds), seeds, marker, **look)
                # A line that is set aside does not count for the limits by itself.
                axis.update_datalim([(value, seed) for seed in seeds])
            if straight and index == 1 and len(values) > 2:
                ends = [0, -1]
                axis.plot(np.take(values, ends), means[ends], color=INK, lw=1.2, ls="--")
        band = {"color": GREY, "alpha": 0.25, "lw": 24, "zorder": 0}
        axis.axvline(baseline, **band, solid_capstyle="butt")
        if log:
            axis.set_xscale("log", base=2)
        ticks = sorted({value for results in series.values() for value in results} | {baseline})
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(name)
        axis.margins(x=0.08)
    axes[0].set_title("accuracy on validation images")
    axes[1].set_title("CPU time of an epoch on one thread (s)")
    axes[0].yaxis.set_major_formatter(PercentFormatter(1))
    low, high = axes[0].get_ylim()
    axes[0].set_ylim(max(low, -0.005), min(high, 1.005))
    axes[1].set_ylim(bottom=0)
    handles, labels = axes[1].get_legend_handles_labels()
    handles += [Line2D([], [], ls="", marker="o", color=GREY, ms=3.5), Rectangle((0, 0), 1, 1)]
    handles[-1].set(color=GREY, alpha=0.25)
    labels += ["single seeds", f"baseline, {baseline:g}"]
    if straight:
        handles.append(Line2D([], [], color=INK, lw=1.2, ls="--"))
        labels.append("in a straight line")
    figure.legend(handles, labels, loc="outside lower center", ncols=5, fontsize=12)
    return figure


CROWD = 20  # more points than this cannot all have names


def cost_and_accuracy(points, title):
    """Settings in the plane of training time and accuracy, with the frontier.

    On the frontier lie those that nothing beats in both: none is as fast and more accurate.

    Args:
        points: of each setting its name, CPU time of an epoch (seconds), mean validation accuracy
            (0 to 1) and half its interval, infinite if unknown. Of a crowd only those on the
            frontier are named.
        title: of the figure.
    """
    figure = Figure(figsize=(10, 6.5), layout="constrained")
    figure.suptitle(textwrap.fill(title, 75))
    axis = figure.subplots()
    frontier = []
    for point in sorted(points, key=lambda point: (point[1], -point[2])):
        if not frontier or point[2] > frontier[-1][2]:
            frontier.append(point)
    for point in points:
        _, seconds, accuracy, half = point
        colour = ORANGE if point in frontier else BLUE
        shown = math.isfinite(half) and (point in frontier or len(points) <= CROWD)
        half = half if shown else 0
        axis.errorbar(seconds, accuracy, half, color=colour, marker="o", ms=8, lw=1, alpha=0.8)
    steps = np.array([point[1:3] for point in frontier])
    look = {"drawstyle": "steps-post", "color": ORANGE, "lw": 1.5, "marker": "o", "ms": 8}
    axis.plot(*steps.T, **look, label="frontier: none is as fast and more accurate")
    axis.plot([], [], "o", color=BLUE, ms=8, label="other settings")
    axis.margins(x=0.14, y=0.1)
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -0.005), min(high, 1.005))
    axis.set_xlabel("CPU time of an epoch on one thread (s)")
    axis.set_ylabel("accuracy on validation images, 95 % interval")
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    figure.legend(loc="outside lower center", ncols=2, fontsize=12)
    named = points if len(points) <= CROWD else frontier
    obstacles = [(x, y - half, x, y + half) for _, x, y, half in points if math.isfinite(half)]
    obstacles += [(x, y, x, y) for _, x, y, _ in points]
    for (x0, y0), (x1, y1) in itertools.pairwise(steps):
        obstacles += [(x0, y0, x1, y0), (x1, y0, x1, y1)]
    _name_points(figure, axis, [point[:3] for point in named], obstacles)
    return figure


def _name_points(figure, axis, named, obstacles):
    """Writes names beside points, each at the nearest free place around its own.

    Args:
        named: (name, x, y) of each point that gets its name.
        obstacles: (x0, y0, x1, y1) of points and upright lines that no name may cover.
    """
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # the layout is known from here on
    figure.set_layout_engine("none")
    renderer, point = canvas.get_renderer(), figure.dpi / 72  # pixels
    frame = axis.get_window_extent(renderer)
    taken = []
    for x0, y0, x1, y1 in obstacles:
        corners = axis.transData.transform([(x0, y0), (x1, y1)])
        taken.append(Bbox(corners).padded(5 * point))
    places = [
        (reach * np.cos(angle), reach * np.sin(angle))
        for reach in range(12, 300, 6)  # points
        for angle in np.deg2rad(range(0, 360, 30))
    ]
    for name, x, y in named:
        text = axis.annotate(
            name,
            (x, y),
            (0, 0),
            textcoords="offset points",
            **{"va": "center", "fontsize": 11, "annotation_clip": False},
            path_effects=[withStroke(linewidth=3, foreground="white")],
        )
        for right, up in places:
            text.set_position((right, up))
            text.set_ha("left" if right > 1 else "right" if right < -1 else "center")
            box = text.get_window_extent(renderer).padded(2 * point)
            inside = frame.containsx(box.x0) and frame.containsx(box.x1)
            inside = inside and frame.containsy(box.y0) and frame.containsy(box.y1)
            if inside and not box.count_overlaps(taken):
                break
        else:
            text.remove()  # no room
            continue
        taken.append(box)
        if math.hypot(right, up) > 20:
            edge = 8 if text.get_ha() == "center" else 0  # points; the line ends at the name's edge
            line = {"arrowstyle": "-", "color": GREY, "lw": 0.8, "shrinkA": edge, "shrinkB": 4}
            axis.annotate("", (x, y), (right, up), textcoords="offset points", arrowprops=line)


def accuracy_tables(accuracies, panels, rows, columns, title):
    """Accuracy as a heat map, a panel for each value of a third dimension, all on one scale.

    Args:
        accuracies: (P, R, C), 0 to 1, nan where unknown.
        panels: P titles.
        rows, columns: their values, and a name for them.
        title: of the figure.
    """
    count = len(panels)
    wide, tall = 0.85 * len(columns[0]) + 0.9, 0.6 * len(rows[0])
    figure = Figure(figsize=(max(6, wide * count + 1.4), tall + 1.9), layout="constrained")
    figure.suptitle(textwrap.fill(title, int(max(6, wide * count + 1.4) / 0.125)))
    axes = figure.subplots(1, count, squeeze=False, sharey=True)[0]
    low, high = np.nanmin(accuracies), np.nanmax(accuracies)
    greens = LinearSegmentedColormap.from_list("greens", ["#f4f6f4", "#9ccbb0", GREEN])
    for axis, panel, values in zip(axes, panels, accuracies, strict=True):
        shown = axis.imshow(values, cmap=greens, vmin=low, vmax=high, aspect="auto")
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                best = value == high
                axis.text(
                    *(column, row, f"{100 * value:.1f}"),
                    **{"ha": "center", "va": "center", "weight": "bold" if best else "normal"},
                )
        axis.set_title(panel)
        axis.grid(False)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xticks(range(len(columns[0])), [f"{value:g}" for value in columns[0]])
        axis.set_yticks(range(len(rows[0])), [f"{value:g}" for value in rows[0]])
        axis.set_xlabel(columns[1])
    axes[0].set_ylabel(rows[1])
    bar = figure.colorbar(shown, ax=axes, label="accuracy")
    bar.formatter = PercentFormatter(1)
    bar.outline.set_visible(False)
    return figure
