"""Figures of task 4: accuracy and time by setting."""

import math

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.ticker import NullLocator, PercentFormatter
from matplotlib.transforms import Bbox, ScaledTranslation

from network.cli import count_of
from network.experiment.hypotheses import accuracy, cpu_seconds
from network.experiment.report import mean_accuracy
from network.experiment.settings import BASELINE, describe
from network.experiment.statistics import LEAST_SEEDS, mean_interval
from network.experiment.trial import Trial
from network.plots import BLUE, GREEN, GREY, INK, ORANGE, titled

SECONDS = "least CPU time of an epoch on one thread (s)"
CROWD = 20  # more points than this are not all numbered


def setting_curves(series, baseline, name, title, log=False, straight=False):
    """Accuracy and training time along one dimension, side by side.

    The series are for each label a dict: for each value that was tried a dict: for each seed its
    result. The baseline is the value that other dimensions share. `log` tells values apart by their
    ratio; `straight` adds a line that shows how time would grow in proportion.
    """
    figure = titled(11, 5.2, title)
    axes = figure.subplots(1, 2)
    aside = 10 / 72  # inches from the mean to the seeds
    for axis, quantity in zip(axes, (accuracy, cpu_seconds), strict=True):
        looks = zip(series.items(), (BLUE, ORANGE), "os", (-aside, aside), strict=False)
        for (label, results), colour, marker, shift in looks:
            values = sorted(results)
            if not values:
                continue
            seeds = [[quantity(result) for result in results[value].values()] for value in values]
            means, halves = np.transpose([mean_interval(found) for found in seeds])
            halves[np.isinf(halves)] = 0  # too few seeds have no interval
            look = {"color": colour, "marker": marker, "ms": 7, "lw": 1.8, "capsize": 5}
            axis.errorbar(values, means, halves, **look, label=label)
            beside = axis.transData + ScaledTranslation(shift, 0, figure.dpi_scale_trans)
            for value, found in zip(values, seeds, strict=True):
                look = {"color": colour, "ms": 3.5, "alpha": 0.8, "transform": beside}
                axis.plot([value] * len(found), found, marker, **look)
                # A line that is set aside does not count for the limits by itself.
                axis.update_datalim([(value, seed) for seed in found])
            if straight and quantity is cpu_seconds and len(values) > 2:
                ends = [0, -1]
                line = {"color": INK, "lw": 1.2, "ls": "--", "label": "in a straight line"}
                axis.plot(np.take(values, ends), means[ends], **line)
        axis.axvline(baseline, color=GREY, lw=1.5, ls=":", label=f"baseline, {baseline:g}")
        axis.plot([], [], "o", color=GREY, ms=3.5, label="single seeds")
        if log:
            axis.set_xscale("log", base=2)
        ticks = sorted({value for results in series.values() for value in results} | {baseline})
        axis.set_xticks(ticks, [f"{value:g}" for value in ticks])
        axis.xaxis.set_minor_locator(NullLocator())
        axis.set_xlabel(name)
        axis.margins(x=0.08)
    axes[0].set_title("accuracy on validation images")
    _percent(axes[0])
    axes[1].set(title=SECONDS, ylim=(0, None))
    legend = axes[1].get_legend_handles_labels()
    figure.legend(*legend, loc="outside lower center", ncols=5, fontsize=12)
    return figure


def _percent(axis):
    """An upright axis of accuracy, that ends where accuracy does."""
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    low, high = axis.get_ylim()
    axis.set_ylim(max(low, -0.005), min(high, 1.005))


def cost_and_accuracy(points, title):
    """Settings in the plane of training time and accuracy, numbered, with the Pareto front.

    Points are of each setting its name, CPU time of an epoch (seconds), mean validation accuracy (0
    to 1) and half its interval, infinite if unknown. Of a crowd only those on the Pareto front and
    the baseline are numbered, and have their intervals drawn.
    """
    figure = titled(11, 6.5, title)
    axis = figure.subplots()
    points = sorted(points, key=lambda point: (point[1], -point[2]))
    front = []
    for point in points:
        if not front or point[2] > front[-1][2]:
            front.append(point)
    crowd = len(points) > CROWD
    numbered = [p for p in points if not crowd or p in front or p[0] == "baseline"]
    steps = np.transpose([point[1:3] for point in front])
    handles = axis.plot(*steps, drawstyle="steps-post", color=ORANGE, lw=1.5)
    labels = ["Pareto front: nothing is as fast\nand more accurate"]
    for point in points:
        _, x, y, half = point
        colour = ORANGE if point in front else BLUE
        if point not in numbered:
            axis.plot(x, y, "o", color=colour, ms=6, alpha=0.5)
        elif math.isfinite(half):
            axis.errorbar(x, y, half, color=colour, lw=1, alpha=0.6)
    for number, point in enumerate(numbered, 1):
        colour = ORANGE if point in front else BLUE
        handles += axis.plot(*point[1:3], "o", color=colour, ms=8)
        labels.append(f"{number}  {point[0]}")
    if crowd:
        handles.append(Line2D([], [], ls="", marker="o", color=BLUE, ms=6, alpha=0.5))
        labels.append(f"{len(points) - len(numbered)} others")
    axis.margins(x=0.08, y=0.08)
    axis.set(xlabel=SECONDS, ylabel="accuracy on validation images, 95 % interval")
    _percent(axis)
    figure.legend(handles, labels, loc="outside right center", fontsize=12)
    _number_points(figure, axis, points, numbered)
    return figure


def _number_points(figure, axis, points, numbered):
    """Writes the numbers of points beside them, each at the nearest place where nothing is."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # the layout is known from here on
    figure.set_layout_engine("none")
    renderer, dot = canvas.get_renderer(), figure.dpi / 72  # pixels in a typographic point
    centres = axis.transData.transform([point[1:3] for point in points])
    taken = [Bbox([centre, centre]).padded(4 * dot) for centre in centres]
    places = [
        (reach * np.cos(angle), reach * np.sin(angle))
        for reach in range(13, 120, 4)  # typographic points
        for angle in np.deg2rad(range(45, 405, 30))
    ]
    for number, (_, x, y, _) in enumerate(numbered, 1):
        look = {"ha": "center", "va": "center", "textcoords": "offset points"}
        halo = [withStroke(linewidth=3, foreground="white")]
        text = axis.annotate(str(number), (x, y), (0, 0), **look, path_effects=halo)
        for place in places:
            text.set_position(place)
            box = text.get_window_extent(renderer)
            if not box.count_overlaps(taken):
                break
        taken.append(box)


def grid(found, settings, of):
    """Accuracy of all combinations of `Settings` as a heat map, a panel for each value of dropout.

    The rest is as in `draw_all`; what is missing is left out.
    """
    filters, dropout, batch_size = settings.filters, settings.dropout, settings.batch_size
    shares = np.full((len(dropout), len(filters), len(batch_size)), math.nan)
    for panel, row, column in np.ndindex(shares.shape):
        results = found.get(Trial(filters[row], dropout[panel], batch_size[column]))
        if results:
            shares[panel, row, column] = mean_accuracy(results)
    wide = max(6, (0.85 * len(batch_size) + 0.9) * len(dropout) + 1.4)  # inches
    title = f"Mean validation accuracy of all combinations\n{of}"
    figure = titled(wide, 0.6 * len(filters) + 1.9, title)
    axes = figure.subplots(1, len(dropout), squeeze=False, sharey=True)[0]
    low, high = np.nanmin(shares), np.nanmax(shares)
    greens = LinearSegmentedColormap.from_list("greens", ["#f4f6f4", "#9ccbb0", GREEN])
    for axis, value, values in zip(axes, dropout, shares, strict=True):
        shown = axis.imshow(values, cmap=greens, vmin=low, vmax=high, aspect="auto")
        for (row, column), share in np.ndenumerate(values):
            if np.isfinite(share):
                weight = "bold" if share == high else "normal"
                text = f"{100 * share:.1f}"
                axis.text(column, row, text, ha="center", va="center", weight=weight)
        axis.grid(False)
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        axis.set_xticks(range(len(batch_size)), [f"{value:g}" for value in batch_size])
        axis.set_yticks(range(len(filters)), [f"{value:g}" for value in filters])
        axis.set(title=f"dropout {value:g}", xlabel="batch size")
    axes[0].set_ylabel("filters")
    bar = figure.colorbar(shown, ax=axes, label="accuracy", format=PercentFormatter(1))
    bar.outline.set_visible(False)
    return figure


def draw_all(found, dimensions, scaled, of):
    """The figures that every run draws, a dict: for each file name, without its ending, the figure.

    Args:
        found: for each setting a dict: for each seed its result.
        dimensions: for "filters", "dropout" and "batch_size" a dict: for each value its results.
        scaled: for each batch size its results at a learning rate in proportion; may be empty.
        of: what data, how many images, seeds and epochs.
    """
    drawn = {}
    enough = max(map(len, found.values())) >= LEAST_SEEDS
    mean = "mean and 95 % interval" if enough else f"mean (intervals need {LEAST_SEEDS} seeds)"
    for name, results in dimensions.items():
        series, words = {mean: results}, name.replace("_", " ")
        if name == "batch_size" and scaled:
            series = {
                f"{mean}, learning rate {BASELINE.learning_rate:g}": results,
                "in proportion to the batch": scaled,
            }
        drawn[f"4_{name}"] = setting_curves(
            series,
            getattr(BASELINE, name),
            words,
            f"Accuracy and training time by {words}\n{of}",
            log=name == "batch_size",
            straight=name == "filters",
        )
    points = []
    for setting, results in found.items():
        share, half = mean_interval([accuracy(result) for result in results.values()])
        seconds = np.mean([cpu_seconds(result) for result in results.values()])
        points.append((describe(setting), seconds, share, half))
    title = f"What accuracy costs, all {count_of(len(points), 'setting')}\n{of}"
    drawn["4_summary"] = cost_and_accuracy(points, title)
    return drawn
