"""Figures: what they show, and that a reader can read it."""

import io
import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from matplotlib.text import Text

from network import pictures, plots
from network.digits import figures
from network.digits.labels import Answer
from network.files import Problem
from network.model import MyNetwork, network_input, parameter_count

DIGITS = tuple("0123456789")
GREY = np.random.default_rng(0).integers(0, 256, (24, 28, 28), dtype=np.uint8)


def texts(figure):
    """Every text that is drawn in a figure, with its box in pixels and its size in points."""
    drawn = {}  # by object: the layout draws everything once before the picture is drawn

    def record(text, renderer):
        if text.get_visible() and text.get_text().strip():
            box = text.get_window_extent(renderer)
            drawn[text] = text.get_text(), box, text.get_fontsize()
        draw(text, renderer)

    draw = Text.draw
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Text, "draw", record)
        figure.savefig(io.BytesIO(), format="png", dpi=figure.dpi)
    return list(drawn.values())


def assert_readable(figure):
    """No text overlaps another or leaves the figure, and none is too small at half size."""
    found = texts(figure)
    width, height = figure.get_size_inches() * figure.dpi
    for text, box, size in found:
        assert size >= 9 and min(box.x0, box.y0) >= -1, text
        assert box.x1 <= width + 1 and box.y1 <= height + 1, text
    for (one, a, _), (two, b, _) in itertools.combinations(found, 2):
        wide, high = min(a.x1, b.x1) - max(a.x0, b.x0), min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(wide, high) < 1, f"{one!r} overlaps {two!r}"


def curves(count):
    """Epochs as `mnist_train.py` records them."""
    return [
        {
            "epoch": n,
            "running_accuracy": 0.99 - 0.3 / n,
            "train_accuracy": 0.996 - 0.03 / n,
            "test_accuracy": 0.995 - 0.03 / n,
        }
        for n in range(1, count + 1)
    ]


@pytest.mark.parametrize("columns", [3, 6])
def test_image_grid(columns):
    captions = ["7 (100.0%)", "4 (51.0%)\nor 9 (48.9%)", "9 read as 4\n99% sure"] * 8
    figure = figures.image_grid(GREY, captions, columns, "The first images of drawn digits")
    assert_readable(figure)
    images = [image.get_array() for axis in figure.axes for image in axis.get_images()]
    np.testing.assert_array_equal(images, GREY)
    assert [axis.get_title() for axis in figure.axes] == captions


def test_a_grid_of_no_images():
    assert_readable(figures.image_grid([], [], 6, "0 mistakes in 10,000 test images of MNIST"))


@pytest.mark.parametrize(("filters", "hidden"), [((10, 20), 50), ((5, 32), 200)])
def test_the_diagram_is_drawn_from_the_live_network(filters, hidden):
    network = MyNetwork(filters=filters, hidden=hidden)
    image = network_input(torch.from_numpy(GREY[:1]))
    figure = figures.network_diagram(network, image, DIGITS)
    assert_readable(figure)
    shown = "\n".join(text for text, *_ in texts(figure))
    first, second = filters
    for shape in (f"{first} × 24 × 24", f"{second} × 8 × 8", f"{second} × 4 × 4", 16 * second):
        assert f"\n{shape}\n" in shown
    for part in (network, network.conv1, network.conv2, network.fc1, network.fc2):
        assert f"{parameter_count(part):,} parameters" in shown
    # One sheet for each feature map: the input, both convolutions, both poolings, three vectors.
    sheets = figure.axes[0].get_images()
    assert len(sheets) == 1 + 2 * first + 2 * second + 3
    maps = network.eval().conv1(image)[0].detach().numpy()
    front = sheets[first].get_array()  # drawn last of its stack
    np.testing.assert_allclose(front, maps[0], rtol=1e-5)


@pytest.mark.parametrize("count", [1, 5, 20, 100])
def test_accuracy_curves(count):
    figure = figures.accuracy_curves(curves(count), 10_000, "Accuracy of the digit network")
    assert_readable(figure)
    lines = figure.axes[0].get_lines()
    assert [len(line.get_xdata()) for line in lines] == [count] * 3
    assert lines[1].get_ydata()[-1] == curves(count)[-1]["test_accuracy"]


@pytest.mark.parametrize(("images", "size", "epochs"), [(60_000, 256, 20), (90, 64, 3), (9, 64, 1)])
def test_loss_curves(images, size, epochs):
    batches = -(-images // size)  # in an epoch; the last has fewer images
    losses = 2.3 / np.arange(1, epochs * batches + 1) ** 0.5
    tests = [(n * images, losses[n * batches - 1]) for n in range(1, epochs + 1)]
    figure = figures.loss_curves(losses, size, images, tests, "Loss")
    assert_readable(figure)
    raw, smooth, points = figure.axes[0].get_lines()
    ends = [raw.get_xdata()[n * batches - 1] for n in range(1, epochs + 1)]
    assert ends == list(points.get_xdata()) == [n * images for n in range(1, epochs + 1)]
    assert raw.get_xdata()[0] == min(size, images)
    # The smooth line lies on the losses, neither early nor late.
    expected = np.interp(smooth.get_xdata(), raw.get_xdata(), losses)
    assert np.abs(np.log(smooth.get_ydata() / expected))[len(expected) // 2 :].max() < 0.05


@pytest.mark.parametrize("names", [DIGITS, ("alpha", "beta", "gamma")])
def test_confusion(names):
    counts = np.eye(len(names), dtype=int) * 1135
    counts[0, 1], counts[1, 2] = 12, 3
    title = "15 mistakes in 10,000 test letters, of Handwriting of my students, autumn term"
    figure = plots.confusion(counts, names, title)
    assert_readable(figure)
    axis = figure.axes[0]
    shown = {text.get_position(): text.get_text() for text in axis.texts}
    assert shown[(1, 0)] == "12" and shown[(2, 1)] == "3" and shown[(0, 0)] == "1,135"
    assert len(shown) == len(names) + 2
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("answer", "true")


@pytest.mark.parametrize("count", [1, 2, 10, 30])
def test_pictures_as_seen(count):
    sizes = [(40, 400, 3), (4000, 3000, 3), (28, 28, 3)] * 10
    given = [np.full(size, 200, np.uint8) for size in sizes[:count]]
    captions = ["7 (100.0%)", "4 (51.0%)\nor 9 (48.9%), true 9"] * 15
    figure = plots.pictures_as_seen(
        list(map(pictures.thumbnail, given)),
        GREY[[0] * count],
        captions[:count],
        [plots.INK] * count,
        "New digits: as given, and as the network sees them (30 of 77)",
    )
    assert_readable(figure)
    assert sum(len(axis.get_images()) for axis in figure.axes) == 2 * count


def test_thumbnails_keep_their_aspect():
    sizes = {(4000, 2000): (200, 100), (4000, 3): (200, 1), (20, 30): (20, 30)}
    for size, small in sizes.items():
        assert pictures.thumbnail(np.zeros((*size, 3), np.uint8)).shape == (*small, 3)


def test_save_writes_a_png_and_makes_the_folder(tmp_path):
    drawn = {"1c_accuracy": figures.accuracy_curves(curves(20), 600, "Accuracy")}
    (path,) = plots.save(drawn, tmp_path / "new", "_own")
    assert path == tmp_path / "new" / "1c_accuracy_own.png"
    height, width, _ = cv2.imread(str(path)).shape
    assert width > 1000 and height > 600
    assert path.stat().st_size < 200_000
    with pytest.raises(Problem, match="cannot write"):
        plots.save(drawn, path)  # below a file


def test_what_is_doubted_and_what_is_misread_are_told_in_the_figure():
    picture, image = np.full((40, 30, 3), 200, np.uint8), np.zeros((28, 28), np.uint8)
    probabilities = torch.tensor([0.6, 0.3, 0.1])
    names = ("short", "a class whose name is long", "c")
    answers = [
        Answer(Path("a.png"), None, 0, "", doubted=True),
        Answer(Path("b.png"), 1, 0, ""),
        Answer(Path("c.png"), 0, 0, ""),
    ]
    pairs = [(answer, picture, image, probabilities) for answer in answers]
    figure = figures.recognised(pairs, names, "Pictures")
    assert_readable(figure)
    assert [axis.get_title() for axis in figure.axes] == [
        "short (60.0%)\nperhaps no digit",
        "short (60.0%)\ntrue a class whose… (30.0%)",
        "short (60.0%)\nor a class whose… (30.0%)",
    ]
