"""Every plot of the project: one style, one `save`.

Figures are made without pyplot, so no display is needed and none is opened.
"""

import io
import itertools
import math
import textwrap
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
import PIL.Image
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.patheffects import withStroke
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    MultipleLocator,
    NullLocator,
    PercentFormatter,
)
from matplotlib.transforms import Bbox, ScaledTranslation

from network.files import whole_file
from network.hypotheses import mean_interval

LARGE = 200_000  # bytes of a PNG
BLUE, ORANGE, GREEN, RED, INK, GREY = (
    *("#2f6db5", "#d9762b", "#3a8f5b", "#c23b3b", "#22252b", "#8a9099"),
)
matplotlib.rcParams.update(
    {
        "font.size": 12,
        "text.color": INK,
        "text.parse_math": False,  # a $ in a file's name is a $
        "axes.edgecolor": GREY,
        "axes.labelcolor": INK,
        "axes.titlesize": 12,
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "grid.color": "#e4e6ea",
        "grid.linewidth": 0.8,
        "xtick.color": INK,
        "ytick.color": INK,
        "legend.frameon": False,
        "figure.titlesize": 14,
        "figure.titleweight": "bold",
    }
)


def save(figure, path):
    """Writes a figure as a PNG, whole or not at all.

    Raises:
        Problem: the file cannot be written.
    """
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=130, pil_kwargs={"optimize": True})
    if picture.tell() > LARGE:  # the grain of photographs; 256 colours show them as well
        colours = PIL.Image.open(picture).convert("RGB").quantize(dither=PIL.Image.Dither.NONE)
        picture = io.BytesIO()
        colours.save(picture, format="png", optimize=True)
    with whole_file(path) as file:
        file.write(picture.getvalue())


def _panels(rows, columns, title, width=1.7, height=1.95):
    """A figure of image panels without ticks, as (figure, flat list of axes)."""
    wide = max(3, width * columns + 0.2)  # inches, of which a letter of the title takes 0.125
    title = textwrap.fill(title, int(wide / 0.125))
    tall = height * rows + 0.35 * title.count("\n") + 0.6
    figure = Figure(figsize=(wide, tall), layout="constrained")
    figure.suptitle(title)
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for axis in axes:
        axis.set_axis_off()
    return figure, axes


def _show(axis, image, title="", colour=INK):
    """A grey image (H, W) of 0 to 255, or a colour one (H, W, 3), with its title above."""
    axis.imshow(np.asarray(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
    axis.set_title(title, color=colour)


def image_grid(images, captions, columns, title):
    """Images with captions, row by row.

    Args:
        images: each (28, 28), grey values 0 to 255.
        captions: a text above each image.
        columns: images in a row.
        title: of the figure.
    """
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    rows = max(1, math.ceil(len(images) / columns))
    figure, axes = _panels(rows, columns, title, height=1.6 + 0.25 * lines)
    for axis, image, caption in zip(axes, images, captions, strict=False):
        _show(axis, image, caption)
    return figure


# The measures of a network's diagram, in pixels of its input.
SHEET = 0.55  # from one feature map of a stack to the next, sideways and upwards
ENTRY = 0.1  # height of one entry of a vector


@dataclass(frozen=True)
class _Stage:
    """A tensor on its way through a network."""

    operations: tuple  # texts of what made it, in order
    parameters: int  # weights that these operations have
    values: np.ndarray  # (C, H, W) or (N,)

    @property
    def size(self):
        """Width and height of its block in the diagram."""
        if self.values.ndim == 1:
            return 3, len(self.values) * ENTRY
        channels, height, width = self.values.shape
        return width + (channels - 1) * SHEET, height + (channels - 1) * SHEET


def _stages(network, image):
    """The tensors through which a network sends an image: recorded while it runs.

    torch.fx follows the network's own `forward`; operations that keep the shape and learn nothing
    (ReLU, dropout) are told with the one before them.
    """
    traced = torch.fx.symbolic_trace(network)
    modules = dict(traced.named_modules())
    stages = []

    class Recorder(torch.fx.Interpreter):
        def run_node(self, node):
            result = super().run_node(node)
            if node.op == "output":
                return result
            values = result[0].detach().cpu().numpy()
            module = modules.get(node.target) if node.op == "call_module" else None
            text = _operation(node, module)
            parameters = sum(p.numel() for p in module.parameters()) if module else 0
            if stages and not parameters and stages[-1].values.shape == values.shape:
                last = stages.pop()
                stages.append(_Stage((*last.operations, text), last.parameters, values))
            else:
                stages.append(_Stage((text,), parameters, values))
            return result

    with torch.inference_mode():
        Recorder(traced.eval()).run(image)
    return stages


def _operation(node, module):
    """A short text for what a node of a network's graph does."""
    kind = type(module).__name__
    if kind == "Conv2d":
        return f"{node.target}\n{'×'.join(map(str, module.kernel_size))} convolution"
    if kind == "MaxPool2d":
        return f"{node.target}\n{module.kernel_size}×{module.kernel_size} maximum"
    if kind == "Dropout2d":
        return f"dropout {module.p:g}"
    if kind == "Linear":
        return f"{node.target}\nfully connected"
    if node.op == "placeholder":
        return "input"
    name = getattr(node.target, "__name__", str(node.target))
    return {"relu": "ReLU", "log_softmax": "log-softmax"}.get(name, name)


def network_diagram(network, image, class_names):
    """A network as the tensors that one image becomes on its way through it.

    Everything is read off the running network. Feature maps are stacks of sheets in proportion to
    their height, width and number; vectors are columns of a tenth of a pixel an entry.

    Args:
        network: takes (1, 1, 28, 28) and returns log-probabilities (1, classes).
        image: the network's input, (1, 1, 28, 28) float.
        class_names: one for each output.
    """
    stages = _stages(network, image)
    gap, slot = 7, 19  # between blocks; the least width that a block's text needs
    tall = max(stage.size[1] for stage in stages)
    total = sum(max(stage.size[0], slot) + gap for stage in stages) + 9
    figure = Figure(figsize=(total / 15.5, (tall + 36) / 15.5), layout="constrained")
    count = f"{sum(p.numel() for p in network.parameters()):,} parameters"
    figure.suptitle(f"{type(network).__name__}: {count}, and what they make of one image")
    axis = figure.subplots()
    axis.set_axis_off()
    axis.set_aspect("equal")
    left, end = 0, None  # of the next slot; of the last block drawn
    for stage in stages:
        width = stage.size[0]
        middle = left + max(width, slot) / 2
        x = middle - width / 2
        if end is not None:
            arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "color": GREY}
            axis.add_patch(FancyArrowPatch((end + 1, 0), (x - 1, 0), **arrow))
        draw = _draw_maps if stage.values.ndim == 3 else _draw_vector
        draw(axis, stage, x)
        shape = " × ".join(map(str, stage.values.shape))
        axis.text(middle, tall / 2 + 3, shape, ha="center", va="bottom", weight="bold")
        lines = list(stage.operations)
        if stage.parameters:
            lines.append(f"{stage.parameters:,} parameters")
        axis.text(middle, -tall / 2 - 3, "\n".join(lines), ha="center", va="top", fontsize=11)
        left, end = left + max(width, slot) + gap, x + width
    _draw_answer(axis, stages[-1], class_names, end, tall)
    axis.set_xlim(-2, total)
    axis.set_ylim(-tall / 2 - 17, tall / 2 + 8)
    return figure


def _edge(stage):
    """The colour of a block's outline: what has learned its parameters stands out."""
    return {"fill": False, "ec": BLUE if stage.parameters else GREY, "lw": 0.8}


def _draw_maps(axis, stage, x):
    """Feature maps as a stack of sheets whose left edge is at x, its middle at y = 0."""
    maps = stage.values
    _, height, width = maps.shape
    bottom = -stage.size[1] / 2
    low, high = maps.min(), maps.max()
    for channel in reversed(range(len(maps))):  # the first in front
        left, base = x + SHEET * channel, bottom + SHEET * channel
        extent = (left, left + width, base, base + height)
        axis.imshow(maps[channel], cmap="gray", vmin=low, vmax=high, extent=extent)
        axis.add_patch(Rectangle((left, base), width, height, **_edge(stage)))


def _draw_vector(axis, stage, x):
    """A vector as a column, its first entry on top."""
    width, height = stage.size
    extent = (x, x + width, -height / 2, height / 2)
    axis.imshow(stage.values[:, None], cmap="gray", extent=extent, aspect="auto")
    axis.add_patch(Rectangle((x, -height / 2), width, height, **_edge(stage)))


def _draw_answer(axis, stage, class_names, x, tall):
    """The last vector enlarged: a bar for the probability of each class."""
    probabilities = np.exp(stage.values)
    step = min(tall / len(probabilities), 3.2)
    half = step * len(probabilities) / 2
    for side in (-1, 1):
        axis.plot([x, x + 5], [side * stage.size[1] / 2, side * half], color=GREY, lw=0.8)
    for index, (name, value) in enumerate(zip(class_names, probabilities, strict=True)):
        y = half - (index + 0.5) * step
        colour = ORANGE if value == probabilities.max() else GREY
        axis.text(x + 6, y, name, va="center", fontsize=4 * step, color=colour)
        axis.add_patch(Rectangle((x + 9, y - 0.35 * step), 12 * value, 0.7 * step, color=colour))


def accuracy_curves(epochs, title):
    """Training and test accuracy by epoch.

    Args:
        epochs: a dict for each epoch with "epoch" (1 for the first), "running_accuracy" (while
            learning), "train_accuracy" and "test_accuracy" (eval mode), all 0 to 1.
        title: of the figure.
    """
    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axis = figure.subplots()
    figure.suptitle(title)
    numbers = [epoch["epoch"] for epoch in epochs]
    for key, label, colour, style in (
        ("train_accuracy", "training images, as they are", BLUE, "o-"),
        ("test_accuracy", "test images", ORANGE, "o-"),
        ("running_accuracy", "training images, while learning", GREY, "--"),
    ):
        values = [epoch[key] for epoch in epochs]
        axis.plot(numbers, values, style, color=colour, ms=4, label=f"{label}: {values[-1]:.2%}")
    # The first epochs while learning are so much worse that they would press the rest together.
    lowest = min(epoch[key] for epoch in epochs for key in ("train_accuracy", "test_accuracy"))
    axis.set_ylim(1 - 1.5 * (1 - lowest) - 1e-3, 1 + 0.05 * (1 - lowest) + 1e-4)
    axis.set_xlabel("epoch")
    axis.set_ylabel("accuracy")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(title="after the last epoch", loc="lower right", alignment="left")
    return figure


def loss_curves(batch_losses, batch_size, tests, title):
    """Training loss by batch with its smooth line, test loss as points.

    Args:
        batch_losses: the mean loss of each training batch, in order (nats).
        batch_size: images in a batch.
        tests: pairs of training images seen, and test loss then.
        title: of the figure.
    """
    figure = Figure(figsize=(8.5, 5), layout="constrained")
    axis = figure.subplots()
    figure.suptitle(title)
    seen = np.arange(1, len(batch_losses) + 1) * batch_size
    losses = np.asarray(batch_losses)
    window = max(1, min(101, len(losses) // 10))
    # Each average is drawn at the middle of its window.
    smooth = np.convolve(losses, np.ones(window) / window, mode="valid")
    middle = seen[window // 2 : window // 2 + len(smooth)]
    axis.plot(seen, losses, ".", ms=2.5, color=BLUE, alpha=0.2, label="training, each batch")
    axis.plot(middle, smooth, color=BLUE, lw=2, label=f"training, mean of {window} batches")
    axis.plot(*zip(*tests, strict=True), "o", ms=6, color=ORANGE, label="test, after each epoch")
    axis.set_yscale("log")
    axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.yaxis.set_minor_locator(NullLocator())
    axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1000:,g}"))
    axis.set_xlabel("training images seen (thousands)")
    axis.set_ylabel("mean negative log-likelihood (nats)")
    for handle in axis.legend(loc="upper right").legend_handles:
        handle.set_alpha(1)
    return figure


def confusion(counts, class_names, title):
    """A confusion matrix: mistakes in colour, right answers as plain numbers.

    Args:
        counts: (classes, classes), row: true class, column: predicted class.
        class_names: one for each row.
        title: of the figure.
    """
    counts = np.asarray(counts)
    size = max(5.5, 0.62 * len(counts) + 1.6)
    figure = Figure(figsize=(size + 1, size), layout="constrained")
    axis = figure.subplots()
    axis.spines[:].set_visible(False)
    axis.grid(False)
    axis.set_xticks(np.arange(len(counts) - 1) + 0.5, minor=True)  # lines between the cells
    axis.set_yticks(np.arange(len(counts) - 1) + 0.5, minor=True)
    axis.grid(which="minor")
    figure.suptitle(title)
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
    axis.set_xticks(range(len(counts)), class_names)
    axis.set_yticks(range(len(counts)), class_names)
    axis.tick_params(which="both", length=0)
    axis.set_xlabel("answer")
    axis.set_ylabel("true")
    bar = figure.colorbar(shown, ax=axis, shrink=0.6, label="mistakes")
    bar.ax.yaxis.set_major_locator(MaxNLocator(integer=True))
    bar.outline.set_visible(False)
    return figure


def pictures_as_seen(pictures, images, captions, colours, title):
    """Pictures as given, each beside the 28×28 that the network saw of it.

    Args:
        pictures: each (H, W, 3) uint8 RGB, any size.
        images: each (28, 28) uint8.
        captions: the answer, above each pair.
        colours: of each caption.
        title: of the figure.
    """
    columns = min(5, len(pictures))
    rows = math.ceil(len(pictures) / columns)
    lines = max(caption.count("\n") + 1 for caption in captions)
    figure, axes = _panels(rows, columns, title, width=2.75, height=1.35 + 0.25 * lines)
    for index, (picture, image) in enumerate(zip(pictures, images, strict=True)):
        # Both in squares of side 1, the picture in the middle of its own.
        height, width = np.array(picture.shape[:2]) / max(picture.shape[:2])
        left, bottom = (1 - width) / 2, (1 - height) / 2
        _show(axes[index], picture, captions[index], colours[index])
        axes[index].get_images()[0].set_extent((left, left + width, bottom, bottom + height))
        axes[index].imshow(image, cmap="gray", vmin=0, vmax=255, extent=(1.04, 2.04, 0, 1))
        axes[index].set(xlim=(-0.06, 2.1), ylim=(-0.02, 1.02))
    return figure


def thumbnail(picture, side=200):
    """A picture made to fit into side×side pixels; smaller ones stay as they are."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


SIGNED = "RdBu_r"  # negative blue, zero white, positive red


def _show_signed(axis, values, limit, title=""):
    """Values of either sign (H, W) in colours from -limit to limit, with their title above."""
    axis.set_title(title)
    return axis.imshow(values, cmap=SIGNED, vmin=-limit, vmax=limit, interpolation="nearest")


def _bar(figure, shown, axes, label, place="right"):
    """The colour bar of what was shown, beside these axes or below them."""
    bar = figure.colorbar(shown, ax=axes, label=label, location=place, shrink=0.7, aspect=30)
    bar.outline.set_visible(False)
    figure.get_layout_engine().set(h_pad=0.06)  # or the label's foot leaves the figure


def filter_panels(filters, title):
    """The filters of a first layer, all on one scale.

    Args:
        filters: (F, n, n).
        title: of the figure.
    """
    columns = 5
    rows = math.ceil(len(filters) / columns)
    figure, axes = _panels(rows, columns, title)
    limit = np.abs(filters).max()
    for index, (axis, weights) in enumerate(zip(axes, filters, strict=False)):
        shown = _show_signed(axis, weights, limit, f"filter {index}")
    _bar(figure, shown, axes, "weight")
    return figure


def filter_table(filters, title):
    """The filters of a second layer, all on one scale: a row for each, a column for each input.

    Args:
        filters: (F, C, n, n).
        title: of the figure.
    """
    count, channels, size, _ = filters.shape
    step = size + 1  # a pixel stays white between two kernels
    tiles = np.full((count, channels, step, step), np.nan)
    tiles[:, :, :size, :size] = filters
    picture = tiles.transpose(0, 2, 1, 3).reshape(count * step, channels * step)[:-1, :-1]
    wide, tall = max(4, 0.42 * channels + 2.2), 0.42 * count + 1.1
    figure = Figure(figsize=(wide, tall), layout="constrained")
    figure.suptitle(textwrap.fill(title, int(wide / 0.125)))
    axis = figure.subplots()
    axis.grid(False)
    axis.spines[:].set_visible(False)
    axis.tick_params(length=0)
    shown = _show_signed(axis, picture, np.abs(filters).max())
    axis.set_xticks(np.arange(channels) * step + size // 2, range(channels))
    axis.set_yticks(np.arange(count) * step + size // 2, range(count))
    axis.set_xlabel("feature map that it is for")
    axis.set_ylabel("filter")
    _bar(figure, shown, axis, "weight")
    return figure


def filters_and_responses(image, filters, responses, title):
    """An image, then each filter beside what it makes of the image.

    Args:
        image: (28, 28), grey values 0 to 255.
        filters: (F, n, n), shown on one scale.
        responses: (F, h, w), shown on another.
        title: of the figure.
    """
    pairs = 3  # in a row
    rows = math.ceil((len(filters) + 1) / pairs)
    figure, axes = _panels(rows, 2 * pairs, title, width=1.65)
    _show(axes[0], image, "image")
    limits = np.abs(filters).max(), np.abs(responses).max()
    for index, (weights, response) in enumerate(zip(filters, responses, strict=True)):
        left, right = axes[2 * index + 2 : 2 * index + 4]
        of_filters = _show_signed(left, weights, limits[0], f"filter {index}")
        of_responses = _show_signed(right, response, limits[1], f"response {index}")
    _bar(figure, of_filters, axes, "weight", "bottom")
    _bar(figure, of_responses, axes, "response")
    return figure


def maps_and_responses(maps, responses, title):
    """The feature maps that a layer sees, then what its filters answer to them.

    Args:
        maps: (C, H, W), from 0 up, shown on one scale.
        responses: (F, h, w), shown on another.
        title: of the figure.
    """
    columns = 10
    above = math.ceil(len(maps) / columns)  # rows
    rows = above + math.ceil(len(responses) / columns)
    figure, axes = _panels(rows, columns, title, width=1.2, height=1.45)
    for index, (axis, values) in enumerate(zip(axes, maps, strict=False)):
        _show(axis, values * (255 / max(maps.max(), 1e-9)), f"map {index}")
    below = axes[above * columns :]
    limit = np.abs(responses).max()
    for index, (axis, values) in enumerate(zip(below, responses, strict=False)):
        shown = _show_signed(axis, values, limit, f"filter {index}")
    _bar(figure, shown, below, "response")
    return figure


def likenesses(kernels, captions, angles, title):
    """Each filter with its gradient, beside two kernels to compare it with; all on one scale.

    Args:
        kernels: (F, 3, n, n), the filter first.
        captions: three for each filter, of two lines each.
        angles: (F,), in which direction each filter's weights rise, in degrees, 90 down.
        title: of the figure.
    """
    per_row = 2
    figure, axes = _panels(math.ceil(len(kernels) / per_row), 3 * per_row, title, 1.7, 2.1)
    size = kernels.shape[-1]
    limit = np.abs(kernels).max()
    for index, (triple, angle) in enumerate(zip(kernels, np.deg2rad(angles), strict=True)):
        trio = axes[3 * index : 3 * index + 3]
        for axis, kernel, caption in zip(trio, triple, captions[index], strict=True):
            shown = _show_signed(axis, kernel, limit, caption)
        way = 0.4 * size * np.array([np.cos(angle), np.sin(angle)])
        tail, head = size // 2 - way, size // 2 + way
        look = {"arrowstyle": "-|>", "mutation_scale": 16, "lw": 2, "color": INK}
        trio[0].add_patch(FancyArrowPatch(tail, head, **look))
    _bar(figure, shown, axes, "weight, as a share of the filter's norm", "bottom")
    return figure


def evidence(image, class_names, probabilities, maps, captions, row_labels, title):
    """An image, its probabilities, and maps of what in it speaks for which class.

    Args:
        image: (28, 28), grey values 0 to 255.
        class_names: one for each probability.
        probabilities: (classes,).
        maps: (R, C, 28, 28), positive where the image speaks for it; all on one scale.
        captions: above each column of maps.
        row_labels: beside each row of maps.
        title: of the figure.
    """
    rows, columns = maps.shape[:2]
    figure = Figure(figsize=(3 * columns + 3.6, 2.9 * rows + 0.8), layout="constrained")
    figure.suptitle(title)
    grid = figure.add_gridspec(rows, columns + 1)
    seen = figure.add_subplot(grid[0, 0])
    seen.set_axis_off()
    _show(seen, image, "as the network sees it")
    bars = figure.add_subplot(grid[1:, 0])
    best = np.argmax(probabilities)
    colours = [ORANGE if index == best else GREY for index in range(len(probabilities))]
    drawn = bars.barh(range(len(probabilities)), probabilities, color=colours)
    bars.bar_label(
        drawn, [f"{value:.1%}" if value >= 0.0005 else "" for value in probabilities], padding=4
    )
    bars.set_yticks(range(len(class_names)), class_names)
    bars.invert_yaxis()
    bars.set_xlim(0, 1.4)  # leaves room for the number behind the longest bar
    bars.set_xticks([0, 0.5, 1])
    bars.xaxis.set_major_formatter(PercentFormatter(1))
    bars.set_title("probability")
    bars.grid(axis="y", visible=False)
    limit, axes = np.abs(maps).max(), []
    for (row, column), _ in np.ndenumerate(maps[:, :, 0, 0]):
        axis = figure.add_subplot(grid[row, column + 1])
        shown = _show_signed(axis, maps[row, column], limit, captions[column] if row == 0 else "")
        axis.contour(image, levels=[128], colors=INK, linewidths=1.2)
        axis.grid(False)
        axis.set(xticks=[], yticks=[])
        axis.spines[:].set_visible(False)
        axis.set_ylabel(row_labels[row] if column == 0 else "")
        axes.append(axis)
    _bar(figure, shown, axes, "nats: red speaks for it, blue against")
    return figure


def training_curves(epochs, title, unfrozen=None):
    """Loss and accuracy by epoch, side by side.

    Args:
        epochs: a dict for each epoch with "epoch" (1 for the first), "train_loss", "test_loss"
            (nats), "train_accuracy", "test_accuracy" and "running_accuracy" (while learning), all
            0 to 1.
        title: of the figure.
        unfrozen: after which epoch all layers learned, if they did.
    """
    figure = Figure(figsize=(11, 5.8), layout="constrained")
    figure.suptitle(textwrap.fill(title, 85))
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
    loss.set_ylim(bottom=0)
    loss.set_ylabel("mean negative log-likelihood (nats)")
    accuracy.set_ylabel("accuracy")
    accuracy.yaxis.set_major_formatter(PercentFormatter(1))
    return figure


def feature_plane(points, labels, is_test, class_names, shares, title):
    """Features in the plane of their first two principal components, a colour for each class.

    Args:
        points: (N, 2).
        labels: (N,).
        is_test: (N,), whether each is a test image.
        class_names: one for each label.
        shares: of the variance that each of both components explains, 0 to 1.
        title: of the figure.
    """
    figure = Figure(figsize=(9, 6), layout="constrained")
    figure.suptitle(textwrap.fill(title, 70))
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


# Of the kinds that gratings.py tells apart, in its order.
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
    figure, axes = _panels(1, 5, title, width=max(panel[0], 1.2) + 0.2, height=panel[1] + 0.9)
    limit = max(np.abs(channels).max(), 1e-30)
    _show(axes[0], picture, "as given")
    for axis, values, name in zip(axes[1:4], channels, ("red", "green", "blue"), strict=True):
        shown = _show_signed(axis, values, limit, name)
    _show(axes[4], np.uint8(255 * np.moveaxis(0.5 + channels / (2 * limit), 0, -1)))
    axes[4].set_title("all three\n(grey = mean)")
    _bar(figure, shown, axes[1:4], "standard deviations from the mean", "bottom")
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
