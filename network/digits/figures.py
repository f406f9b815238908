"""Task 1: the network as a diagram, how its training went, and what it recognises."""

import math
import textwrap
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator, PercentFormatter

from network import plots
from network.cli import count_of
from network.model import parameter_count
from network.plots import BLUE, GREY, ORANGE
from network.training import count_answers

SHEET = 0.55  # from one feature map of a stack to the next, sideways and upwards
ENTRY = 0.1  # height of one entry of a vector


@dataclass(frozen=True)
class _Stage:
    """A tensor on its way through a network."""

    operations: tuple  # texts of what made it, in order
    parameters: int  # weights that these operations have
    values: np.ndarray  # (C, H, W) or (N,)

    @property
    def maps(self):
        """The sheets of its block, (C, H, W): a vector is one of a single column."""
        return self.values if self.values.ndim == 3 else self.values[None, :, None]

    @property
    def sheet(self):
        """Width and height of a sheet in the diagram."""
        return self.values.shape[:0:-1] if self.values.ndim == 3 else (3, len(self.values) * ENTRY)

    @property
    def size(self):
        """Width and height of its block in the diagram."""
        return tuple(side + (len(self.maps) - 1) * SHEET for side in self.sheet)


def _stages(network, image):
    """The tensors through which a network sends an image: recorded while it runs.

    torch.fx follows the network's own `forward`; operations that keep the shape and learn nothing
    (ReLU, dropout) are told with the one before them.
    """
    traced = torch.fx.symbolic_trace(network).eval()
    modules = dict(traced.named_modules())
    recorder = torch.fx.Interpreter(traced, garbage_collect_values=False)
    with torch.inference_mode():
        recorder.run(image)
    *tensors, _ = recorder.env.items()  # the last is the output, once more
    stages = []
    for node, result in tensors:
        values = result[0].cpu().numpy()
        module = modules.get(node.target) if node.op == "call_module" else None
        text = _operation(node, module)
        parameters = parameter_count(module) if module else 0
        if stages and not parameters and stages[-1].values.shape == values.shape:
            last = stages.pop()
            stages.append(_Stage((*last.operations, text), last.parameters, values))
        else:
            stages.append(_Stage((text,), parameters, values))
    return stages


def _operation(node, module):
    """A short text for what a node of a network's graph does."""
    kind = type(module).__name__
    if kind == "Conv2d":
        return f"{node.target}\n{'×'.join(map(str, module.kernel_size))} convolution"
    if kind == "MaxPool2d":
        return f"{node.target}\n{module.kernel_size}×{module.kernel_size} max pooling"
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
    their height, width and number; vectors are columns of a tenth of a pixel an entry. The network
    takes the image, (1, 1, 28, 28) float, and returns log-probabilities (1, classes).
    """
    stages = _stages(network, image)
    gap, slot = 7, 19  # between blocks; the least width that a block's text needs
    tall = max(stage.size[1] for stage in stages)
    total = sum(max(stage.size[0], slot) + gap for stage in stages) + 9
    count = f"{parameter_count(network):,} parameters"
    title = f"{type(network).__name__}: {count}, and what they make of one image"
    figure = plots.titled(total / 15.5, (tall + 36) / 15.5, title)
    axis = figure.subplots()
    axis.set_axis_off()
    left, end = 0, None  # of the next slot; of the last block drawn
    for stage in stages:
        width = stage.size[0]
        middle = left + max(width, slot) / 2
        x = middle - width / 2
        if end is not None:
            arrow = {"arrowstyle": "-|>", "mutation_scale": 14, "color": GREY}
            axis.add_patch(FancyArrowPatch((end + 1, 0), (x - 1, 0), **arrow))
        _draw_block(axis, stage, x)
        shape = " × ".join(map(str, stage.values.shape))
        axis.text(middle, tall / 2 + 3, shape, ha="center", va="bottom", weight="bold")
        lines = list(stage.operations)
        if stage.parameters:
            lines.append(f"{stage.parameters:,} parameters")
        axis.text(middle, -tall / 2 - 3, "\n".join(lines), ha="center", va="top", fontsize=11)
        left, end = left + max(width, slot) + gap, x + width
    _draw_answer(axis, stages[-1], class_names, end, tall)
    axis.set(xlim=(-2, total), ylim=(-tall / 2 - 17, tall / 2 + 8))
    return figure


def _draw_block(axis, stage, x):
    """A stack of sheets whose left edge is at x, its middle at y = 0."""
    maps, (width, height) = stage.maps, stage.sheet
    look = {"cmap": "gray", "vmin": maps.min(), "vmax": maps.max(), "aspect": "auto"}
    # What has learned its parameters stands out.
    edge = {"fill": False, "ec": BLUE if stage.parameters else GREY, "lw": 0.8}
    for channel in reversed(range(len(maps))):  # the first in front
        left, base = x + SHEET * channel, SHEET * channel - stage.size[1] / 2
        axis.imshow(maps[channel], **look, extent=(left, left + width, base, base + height))
        axis.add_patch(Rectangle((left, base), width, height, **edge))


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


def accuracy_curves(epochs, checked, title):
    """Training and test accuracy, 0 to 1, by epoch: dicts as of `training.measures`, in which
    "train_accuracy" is of the first `checked` training images."""
    figure = plots.titled(8.5, 5, title)
    axis = figure.subplots()
    numbers = [epoch["epoch"] for epoch in epochs]
    for key, label, colour, style in (
        ("train_accuracy", f"first {checked:,} training images", BLUE, "o-"),
        ("test_accuracy", "test images", ORANGE, "o-"),
        ("running_accuracy", "all training images, while learning", GREY, "--"),
    ):
        values = [epoch[key] for epoch in epochs]
        axis.plot(numbers, values, style, color=colour, ms=4, label=f"{label}: {values[-1]:.2%}")
    # The first epochs while learning are so much worse that they would press the rest together.
    lowest = min(epoch[key] for epoch in epochs for key in ("train_accuracy", "test_accuracy"))
    axis.set_ylim(1 - 1.5 * (1 - lowest) - 1e-3, 1 + 0.05 * (1 - lowest) + 1e-4)
    axis.set(xlabel="epoch", ylabel="accuracy")
    axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axis.yaxis.set_major_formatter(PercentFormatter(1))
    axis.legend(title="after the last epoch", loc="best", alignment="left")
    return figure


def loss_curves(batch_losses, batch_size, images, tests, title):
    """Training loss by batch with its smooth line, test loss as points.

    Args:
        batch_losses: the mean loss of each training batch, in order (nats).
        batch_size: images in a batch, but for the last of an epoch, which may have fewer.
        images: images in an epoch.
        tests: pairs of training images seen, and test loss then.
    """
    figure = plots.titled(8.5, 5, title)
    axis = figure.subplots()
    epoch, batch = np.divmod(np.arange(len(batch_losses)), math.ceil(images / batch_size))
    seen = epoch * images + np.minimum((batch + 1) * batch_size, images)
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


def image_grid(images, captions, columns, title):
    """Images, each (28, 28) of grey values 0 to 255, row by row, with a caption above each."""
    lines = max((caption.count("\n") + 1 for caption in captions), default=1)
    rows = max(1, math.ceil(len(images) / columns))
    figure, axes = plots.panels(rows, columns, title, height=1.6 + 0.25 * lines)
    for axis, image, caption in zip(axes, images, captions, strict=False):
        plots.show(axis, image, caption)
    return figure


def test_results(probabilities, test):
    """The figures of a test: the first nine images, the confusion matrix, the worst mistakes.

    Returns a dict of figures by name; takes probabilities (N, classes) and the `Labelled` images
    that they are of.
    """
    names = test.class_names
    answers = probabilities.argmax(1)
    mistakes = (answers != test.labels).nonzero().flatten()
    worst = mistakes[probabilities[mistakes].amax(1).argsort(descending=True)][:24]
    counts = count_answers(test.labels, answers, len(names))
    total = f"{count_of(len(mistakes), 'mistake')} in {len(answers):,} test images"
    total += f" of {test.dataset}"
    return {
        "1e_predictions": image_grid(
            test.images[:9],
            [plots.guesses(row, names) for row in probabilities[:9]],
            3,
            f"The first nine test images of {test.dataset} as the network reads them",
        ),
        "1e_confusion": plots.confusion(counts, names, total),
        "1e_mistakes": image_grid(
            test.images[worst],
            [
                textwrap.fill(f"{names[label]} read as {names[row.argmax()]}", 18)
                + f"\n{row.max():.0%} sure"
                for row, label in zip(probabilities[worst], test.labels[worst], strict=True)
            ],
            6,
            f"{len(worst)} most confident of the {total}",
        ),
    }


def recognised(pairs, names, title):
    """Pictures as given and as the network sees them, right answers in green, mistakes in red.

    `pairs` has of each an `Answer`, the picture (H, W, 3), what the network sees of it (28, 28) and
    its probabilities (classes,).
    """
    captions, colours = [], []
    for answer, _, _, probabilities in pairs:
        truth = answer.label if answer.is_mistake else None
        first, *others = plots.guesses(probabilities, names, truth).splitlines()
        if answer.doubted:
            others = ["perhaps no digit", *(others if answer.is_mistake else [])]
        captions.append("\n".join([first, *others]))
        colour = plots.RED if answer.is_mistake else plots.GREEN
        colours.append(plots.INK if answer.label is None else colour)
    pictures, images = [pair[1] for pair in pairs], [pair[2] for pair in pairs]
    return plots.pictures_as_seen(pictures, images, captions, colours, title)
