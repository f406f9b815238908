"""Every plot of the project: one style, one `save`.

Figures are made without pyplot, so no display is needed and none is opened.
"""

import math
import os
import textwrap

# Files need Agg alone, whatever backend the environment names; it may not be there.
os.environ["MPLBACKEND"] = "Agg"

try:
    import matplotlib
except UnicodeDecodeError as error:
    raise ImportError(
        f"matplotlib cannot read a file of settings, matplotlibrc ({error}); rename it"
    ) from None
import numpy as np
from matplotlib import font_manager
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from network.files import whole_file

BLUE, ORANGE, GREEN = "#2f6db5", "#d9762b", "#3a8f5b"
RED, INK, GREY = "#c23b3b", "#22252b", "#8a9099"
SURE = 0.9  # below this probability a caption tells the second guess, too
LETTER = 0.125  # inches that a letter of a title takes
SIGNED = "RdBu_r"  # negative blue, zero white, positive red
# For names in letters that matplotlib's own font lacks: those of Windows, macOS and Linux.
ASIAN = "Yu Gothic, Malgun Gothic, Nirmala UI, Arial Unicode MS, Noto Sans CJK JP, Noto Sans"
asian = [name for name in ASIAN.split(", ") if name in font_manager.get_font_names()]
matplotlib.rcdefaults()  # whatever a user's matplotlibrc asks for, TeX for one
matplotlib.rc("font", size=12, family=["DejaVu Sans", *asian])
matplotlib.rc("text", color=INK, parse_math=False)  # a $ in a file's name is a $
matplotlib.rc("axes", edgecolor=GREY, labelcolor=INK, titlesize=12, grid=True, axisbelow=True)
matplotlib.rc("axes.spines", top=False, right=False)
matplotlib.rc("grid", color="#e4e6ea", linewidth=0.8)
matplotlib.rc(("xtick", "ytick"), color=INK)
matplotlib.rc("legend", frameon=False)
matplotlib.rc("figure", titlesize=14, titleweight="bold")


def save(figures, folder, suffix=""):
    """Writes figures, a dict by name, as PNGs into a folder, each whole or not at all: their paths.

    Raises:
        Problem: a file cannot be written.
    """
    paths = [folder / f"{name}{suffix}.png" for name in figures]
    for path, figure in zip(paths, figures.values(), strict=True):
        with whole_file(path) as file:
            figure.savefig(file, format="png", dpi=130)
    return paths


def titled(width, height, title):
    """A figure of a size in inches under its title, whose lines are broken to fit."""
    figure = Figure(figsize=(width, height), layout="constrained")
    lines = (textwrap.fill(line, int(width / LETTER)) for line in title.splitlines())
    figure.suptitle("\n".join(lines))
    return figure


def panels(rows, columns, title, width=1.7, height=1.95):
    """A figure of image panels without ticks, as (figure, flat list of axes)."""
    wide = max(3, width * columns + 0.2)
    title = textwrap.fill(title, int(wide / LETTER))
    figure = titled(wide, height * rows + 0.35 * title.count("\n") + 0.6, title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def show(axis, image, title="", colour=INK):
    """A grey image (H, W) of 0 to 255, or a colour one (H, W, 3), with its title above."""
    axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    # Without a place of its own matplotlib measures ticks for it, which takes longer than to draw.
    axis.set_title(title, color=colour, y=1)


def brief(name):
    """The name of a class, cut short where it would run into its neighbours."""
    return name if len(name) <= 14 else f"{name[:13]}…"


def guesses(probabilities, names, truth=None):
    """The answer of `probabilities` (classes,), and the next best where it is not sure; or, where
    it is misread, the label `truth`."""
    names = list(map(brief, names))
    best, second = probabilities.topk(2).indices.tolist()
    lines = [f"{names[best]} ({probabilities[best]:.1%})"]
    if truth is not None:
        lines.append(f"true {names[truth]} ({probabilities[truth]:.1%})")
    elif probabilities[best] < SURE:
        lines.append(f"or {names[second]} ({probabilities[second]:.1%})")
    return "\n".join(lines)


def confusion(counts, class_names, title):
    """A confusion matrix of (classes, classes), row: true class, column: predicted class.

    Mistakes are in colour, right answers plain numbers.
    """
    counts = np.asarray(counts)
    size = max(5.5, 0.62 * len(counts) + 1.6)
    figure = titled(size + 1, size, title)
    axis = figure.subplots()
    axis.spines[:].set_visible(False)
    axis.grid(False)
    axis.set_xticks(np.arange(len(counts) - 1) + 0.5, minor=True)  # lines between the cells
    axis.set_yticks(np.arange(len(counts) - 1) + 0.5, minor=True)
    axis.grid(which="minor")
    # The right answers would drown the mistakes in any common scale.
    mistakes = np.where(np.eye(len(counts), dtype=bool), 0, counts)
    reds = LinearSegmentedColormap.from_list("reds", ["white", "#f3b08c", RED])
    shown = axis.imshow(mistakes, cmap=reds, vmin=0, vmax=max(1, mistakes.max()))
    for row, column in np.argwhere(counts > 0):
        dark = mistakes[row, column] > 0.7 * mistakes.max()
        look = {"color": "white" if dark else INK}
        if row == column:
            look = {"color": GREEN, "weight": "bold"}
        axis.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", **look)
    turned = 45 if max(map(len, class_names)) > 7 else 0  # long names would overlap
    look = {"rotation": turned, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    axis.set_xticks(range(len(counts)), map(brief, class_names), **look)
    axis.set_yticks(range(len(counts)), map(brief, class_names))
    axis.tick_params(which="both", length=0)
    axis.set(xlabel="answer", ylabel="true")
    bar = figure.colorbar(shown, ax=axis, shrink=0.6, label="mistakes")
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.outline.set_visible(False)
    return figure


def pictures_as_seen(pictures, images, captions, colours, title):
    """Pictures as given, each (H, W, 3) uint8 RGB of any size, beside the (28, 28) uint8 that the
    network saw of it, under a caption in its colour."""
    columns = min(5, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure, axes = panels(rows, columns, title, width=2.75, height=1.35 + 0.25 * lines)
    for index, (picture, image) in enumerate(zip(pictures, images, strict=True)):
        # Both in squares of side 1, the picture in the middle of its own.
        height, width = np.array(picture.shape[:2]) / max(picture.shape[:2])
        left, bottom = (1 - width) / 2, (1 - height) / 2
        show(axes[index], picture, captions[index], colours[index])
        axes[index].get_images()[0].set_extent((left, left + width, bottom, bottom + height))
        axes[index].imshow(image, cmap="gray", vmin=0, vmax=255, extent=(1.04, 2.04, 0, 1))
        axes[index].set(xlim=(-0.06, 2.1), ylim=(-0.02, 1.02))
    return figure


def show_signed(axis, values, limit, title=""):
    """Values of either sign (H, W) in colours from -limit to limit, with their title above."""
    axis.set_title(title)
    return axis.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")


def bar(figure, shown, axes, label, place="right"):
    """The colour bar of what was shown, beside these axes or below them."""
    bar = figure.colorbar(shown, ax=axes, label=label, location=place, shrink=0.7, aspect=30)
    bar.outline.set_visible(False)
    # In a large figure a label leaves it by more.
    pad = max(0.06, 0.007 * figure.get_figheight())
    figure.get_layout_engine().set(h_pad=pad, w_pad=pad)
