"""analyze_filters.py as a user runs it, and its figures."""

import re

import cv2
import numpy as np
import pytest
import torch
from conftest import error_line, no_figures, output
from numpy.testing import assert_allclose, assert_array_equal
from test_figures import assert_readable, texts
from torch import nn

from network import datasets, plots
from network.filters import figures, operators
from network.filters.occlusion import occlude
from network.model import MyNetwork, save_network
from network.training import predict
from network.weights import DIGITS, load_network

PROGRAM = "analyze_filters.py"
OF_CONV1 = "filter_panels", "filters_and_responses", "likenesses"
OF_CONV2 = "filter_table", "maps_and_responses"


@pytest.fixture
def weights(tmp_path):
    """Weights of a network whose first nine filters are Sobel's, of any direction, sign, scale."""
    torch.manual_seed(1)
    network = MyNetwork()
    sobels = operators.sobel_direction(5, np.arange(0, 360, 40))
    sobels *= np.linspace(0.1, 1, 9)[:, None, None]
    kernels = [*sobels, -2 * operators.classical_operators(5)["line 45°"]]
    network.conv1.weight.data[:, 0] = torch.from_numpy(np.stack(kernels))
    save_network(tmp_path / "sobel.pth", network)
    return tmp_path / "sobel.pth"


@pytest.fixture
def analyze(script, small_mnist, weights, tmp_path, monkeypatch):
    """Runs analyze_filters.py on the small data set, its figures in tmp_path."""
    monkeypatch.setattr(operators, "POOL", 4000)  # so much less time, a less exact chance
    folders = ["--data-dir", small_mnist, "--figures-dir", tmp_path / "figures"]
    return lambda *arguments: script(PROGRAM, *folders, "--weights", weights, *arguments)


@pytest.fixture
def quick(monkeypatch):
    """No figures are drawn where a test is of something else; returns what would be shown."""
    given = {}
    for name in OF_CONV1 + OF_CONV2:
        monkeypatch.setattr(figures, name, lambda *args, name=name: given.update({name: args}))
    monkeypatch.setattr(plots, "save", no_figures)
    return given


def written(out):
    return re.findall(r"(\w+)\.png$", out.partition("\nwritten:")[2], re.M)


def test_the_first_layer(analyze, weights, small_mnist, tmp_path):
    out = output(analyze())
    network, _ = load_network(weights)
    assert out.startswith(f"{network}\n21,840 parameters\n\nconv1.weight [10, 1, 5, 5]\n")
    # The weights, two filters side by side.
    rows = re.findall(r"^(?: *-?\d\.\d{3}){10}$", out, re.M)
    shown = np.array([row.split() for row in rows], dtype=float).reshape(5, 5, 2, 5)
    shown = shown.transpose(0, 2, 1, 3).reshape(10, 5, 5)
    assert_allclose(shown, network.conv1.weight.detach().numpy()[:, 0], atol=0.00051)
    # The table: a Sobel is found to be one.
    row = r"^ +(\d)  (\S.*?) +(-?\d\.\d\d) +\d+° .* (\d+)% at +(\d+)°"
    numbers, likes, cosines, shares, angles = zip(*re.findall(row, out, re.M), strict=True)
    assert numbers == DIGITS
    assert (likes[0], cosines[0], likes[9], cosines[9]) == ("Sobel x", "1.00", "line 45°", "-1.00")
    assert [int(angle) for angle in angles[:9]] == list(range(0, 360, 40))
    assert shares == ("100",) * 9 + ("0",)
    verdict = re.search(r"^verdict: (.*)$", out, re.M)[1]
    assert verdict.startswith("9 of 10 filters of conv1 are edge detectors; of 10 random ones 0.0")
    assert len(re.findall("9 or more in fewer than 1 of [0-9,]+ draws", verdict)) == 2
    # The evidence is of the ninth test image.
    test = datasets.load("MNIST", small_mnist, train=False)
    p = predict(network, test.images[8:9])[0].exp().sort(descending=True)
    line = re.search(r"^the ninth test image of MNIST: (\d) \((\S+)%\), then (\d) ", out, re.M)
    assert (int(line[1]), int(line[3])) == tuple(p.indices[:2].tolist())
    assert float(line[2]) == pytest.approx(100 * p.values[0].item(), abs=0.06)
    names = ("2a_filters", "2b_responses", "2c_operators", "2d_occlusion")
    names = [f"{name}_sobel" for name in names]  # not those of the network that ships
    assert written(out) == names
    for name in names:
        path = tmp_path / "figures" / f"{name}.png"
        assert cv2.imread(str(path)).shape[1] > 800
        assert path.stat().st_size < 250_000


def test_the_second_layer(analyze, tmp_path):
    out = output(analyze("--layer", "conv2"))
    assert "conv2.weight [20, 10, 5, 5]" in out
    counts = re.findall(r"^  \w+ +(\d+)$", out, re.M)
    assert sum(map(int, counts)) == 200
    assert re.search(r"^verdict: \d+ of 200 kernels of conv2 ", out, re.M)
    names = ["2a_filters_conv2_sobel", "2b_responses_conv2_sobel", "2d_occlusion_sobel"]
    assert written(out) == names
    assert sorted(path.stem for path in (tmp_path / "figures").iterdir()) == names


@pytest.mark.parametrize("sizes", [{}, {"filters": (3, 4), "hidden": 9}])
def test_responses_are_what_the_network_computes(analyze, quick, sizes, small_mnist, tmp_path):
    torch.manual_seed(2)
    network = MyNetwork(**sizes).eval()
    save_network(tmp_path / "any.pth", network)
    for layer in ("conv1", "conv2"):
        assert analyze("--weights", tmp_path / "any.pth", "--layer", layer).returncode == 0
    image = datasets.load("MNIST", small_mnist, train=True).images[:1]
    recorded = {}
    for layer in (network.conv1, network.conv2):
        layer.register_forward_hook(
            lambda layer, given, result: recorded.update({layer: (given[0][0], result[0])})
        )
    predict(network, image)
    shown, _, responses, _ = quick["filters_and_responses"]
    assert_array_equal(shown, image[0])
    assert_allclose(responses, recorded[network.conv1][1], atol=1e-4)
    maps, responses, _ = quick["maps_and_responses"]
    assert_allclose(maps, recorded[network.conv2][0], atol=1e-5)
    assert_allclose(responses, recorded[network.conv2][1], atol=1e-4)
    assert_array_equal(quick["filter_table"][0], network.conv2.weight.detach())


def test_any_picture(analyze, quick, drawn, tmp_path):
    picture = cv2.resize(drawn[0][0], (200, 200), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "mine.png"), 230 - picture // 4 * 3)
    out = output(analyze("--image", tmp_path / "mine.png"))
    assert re.search(r"^mine\.png: \d \(\d+\.\d%\), then \d ", out, re.M)
    assert "2d_occlusion_sobel_mine" in written(out)


def test_a_network_of_other_classes_answers_in_them(analyze, quick, tmp_path):
    letters = ["alpha", "beta", "gamma"]
    save_network(tmp_path / "greek.pth", MyNetwork(classes=3), class_names=letters)
    out = output(analyze("--weights", tmp_path / "greek.pth"))
    answer = r"^the ninth test image of MNIST: (alpha|beta|gamma) \(.*%\), then (alpha|beta|gamma) "
    assert re.search(answer, out, re.M) and "2d_occlusion_greek" in written(out)


def test_a_picture_without_ink(analyze, quick, tmp_path):
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((50, 50), 200, np.uint8))
    done = analyze("--image", tmp_path / "flat.png")
    assert "flat.png" in error_line(done, 1)
    # The others are not in vain.
    assert written(done.stdout) == ["2a_filters_sobel", "2b_responses_sobel", "2c_operators_sobel"]


def test_the_real_digits(script, mnist_dir, tmp_path, monkeypatch, quick):
    monkeypatch.setattr(operators, "POOL", 4000)
    done = script(PROGRAM, "--data-dir", mnist_dir, "--figures-dir", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "the ninth test image of MNIST: 5 (" in done.stdout


class Corners(nn.Module):
    """Class 0 is ink in the upper left, class 1 ink in the lower right, class 2 neither."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 1, 5)  # says where it is

    def forward(self, x):
        ink = (x[:, 0] > 0).float()  # (N, 28, 28)
        parts = ink[:, :14, :14], ink[:, 14:, 14:], ink[:, :0]
        return torch.log_softmax(torch.stack([part.sum((1, 2)) for part in parts], 1), 1)


def test_occlusion_finds_what_speaks_for_what():
    image = np.zeros((28, 28), np.uint8)
    inked = (5, 5), (6, 7), (20, 21)  # two pixels for 0, one for 1
    image[tuple(zip(*inked, strict=True))] = 255
    probabilities, (paper, ink) = occlude(Corners(), image)
    assert_allclose(probabilities, np.exp([2, 1, 0]) / np.exp([2, 1, 0]).sum(), rtol=1e-5)
    answer, second, margin = paper
    assert_allclose(margin, answer - second, atol=1e-5)
    assert answer[5, 6] > 0.5 > 0 > second[5, 6]
    touched = np.zeros((28, 28), bool)
    for row, column in inked:
        touched[row - 2 : row + 3, column - 2 : column + 3] = True
    assert (np.abs(paper[:, ~touched]) < 1e-5).all()
    # The patch at 5, 6 covers both pixels for 0; what it covers at 20, 21 speaks for 1.
    covered = [margin[place] for place in ((5, 6), (3, 3), (7, 9), (20, 21))]
    assert covered == pytest.approx([2, 1, 1, -1], abs=1e-4)
    # Ink in the empty part of a corner speaks for its class: emptiness there speaks against it.
    # Of the 5×5 pixels around 0, 0 3×3 lie inside.
    inked = [ink[2][place] for place in ((10, 10), (0, 0), (22, 22), (5, 22))]
    assert inked == pytest.approx([-25, -9, 24, 0], abs=1e-3)


def images(figure):
    return [image for axis in figure.axes for image in axis.get_images()]


def assert_shows(figure, *groups):
    """Readable, it shows these groups of values in turns, in signed colours, a scale for each."""
    assert_readable(figure)
    panels = [image for image in images(figure) if image.get_cmap().name == plots.SIGNED]
    for number, group in enumerate(groups):
        limit = np.abs(group).max()
        for panel, values in zip(panels[number :: len(groups)], group, strict=True):
            assert_array_equal(panel.get_array(), values)
            assert (panel.norm.vmin, panel.norm.vmax) == (-limit, limit)


@pytest.mark.parametrize("count", [1, 3, 10])
def test_figures_of_the_first_layer(count, drawn):
    rng = np.random.default_rng(0)
    weights, responses = rng.normal(size=(count, 5, 5)), 9 * rng.normal(size=(count, 24, 24))
    assert_shows(figures.filter_panels(weights, f"The {count} filters of conv1"), weights)
    title = "The filters of conv1, and what each makes of the first training image of drawn digits"
    figure = figures.filters_and_responses(drawn[0][0], weights, responses, title)
    assert_shows(figure, weights, responses)
    assert len(images(figure)) == 2 * count + 1


@pytest.mark.parametrize(("count", "channels"), [(20, 10), (4, 3)])
def test_figures_of_the_second_layer(count, channels):
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(count, channels, 5, 5))
    figure = figures.filter_table(weights, f"The {count} × {channels} kernels of conv2")
    table = np.ma.masked_all((count, 6, channels, 6))  # a pixel stays white between two kernels
    table[:, :5, :, :5] = weights.transpose(0, 2, 1, 3)
    table = table.reshape(count * 6, channels * 6)[:-1, :-1]
    assert_shows(figure, table[None])
    assert_array_equal(images(figure)[0].get_array().mask, table.mask)
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == [str(index) for index in range(count)]
    maps, responses = rng.random((channels, 12, 12)), rng.normal(size=(count, 8, 8))
    figure = figures.maps_and_responses(maps, responses, "What conv2 sees and makes of an image")
    assert_shows(figure, responses)
    assert len(images(figure)) == channels + count


def test_likenesses():
    classical = operators.classical_operators(5)
    lines = {name: figures.in_two_lines(name) for name in classical}
    assert [" ".join(name.split()) for name in lines.values()] == list(classical)
    longest = [*sorted(lines, key=lambda name: (len(name), "112.5" in name))[-9:], "Sobel x"]
    # The identity's weights are the greatest.
    trios = np.stack([[0.5 * classical[name], classical[name], np.eye(5)] for name in longest])
    captions = [
        ("filter 10\ngradient 300°", f"{lines[name]} (-0.55)", "Sobel pair\n100%")
        for name in longest
    ]
    angles, slopes = np.full(10, 300), np.arange(10.0)
    figure = figures.likenesses(trios, captions, angles, slopes, "The filters of conv1")
    assert_shows(figure, trios.reshape(30, 5, 5))


def test_arrows_point_where_the_weights_rise_and_are_as_long_as_it_is_steep():
    kernel = operators.sobel_direction(5, np.array([90.0]))  # y: brighter below
    trios, captions = kernel[None].repeat(3, 1).repeat(2, 0), [["", "", ""]] * 2
    figure = figures.likenesses(trios, captions, [90, 90], np.array([0.5, 0.05]), "")
    arrows = [figure.axes[index].collections[0] for index in (0, 3)]
    ends = np.array([(arrow.U[0], arrow.V[0]) for arrow in arrows])
    assert_allclose(ends, [(0, 4), (0, 0.4)], atol=1e-12)
    assert figure.axes[0].yaxis_inverted()  # so a greater y is drawn below


def test_occlusion_maps(drawn):
    maps = np.random.default_rng(0).normal(size=(2, 3, 28, 28))
    probabilities = np.array([0.0004, 0.0006, 0.9, *[0.014] * 7])
    captions = ["for 2", "for 3", "for 2 against 3"]
    rows = ["ink covered by paper", "paper covered by ink"]
    title = "What in the ninth test image of drawn digits speaks for 2, and what for 3"
    figure = figures.occlusion_maps(drawn[0][0], DIGITS, probabilities, maps, captions, rows, title)
    assert_shows(figure, maps.reshape(6, 28, 28))
    shown = [text for text, *_ in texts(figure)]
    assert [shown.count(text) for text in ("90.0%", "0.1%", "0.0%")] == [1, 1, 0]
    assert set(DIGITS) <= set(shown)
