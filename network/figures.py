"""Every plot of the project: one style, one `save`.

Figures are made without pyplot, so no display is needed and none is opened.
"""

import io
import math
import textwrap
from dataclasses import dataclass

import cv2
import matplotlib
import numpy as np
import PIL.Image
import torch
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from network.files import whole_file

LARGE = 200_000  # bytes of a PNG
BLUE, ORANGE, GREEN, RED, INK, GREY = (
    *("#2f6db5", "#d9762b", "#3a8f5b", "#c23b3b", "#22252b", "#8a9099"),
)
matplotlib.rcParams.update(
    {
        "font.size": 12,
        "text.color": INK,
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
