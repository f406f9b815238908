"""analyze_filters.py as a user runs it, and its figures."""

import re

import cv2
import numpy as np
import pytest
import torch
from conftest import error_line
from test_figures import assert_readable, texts
from torch import nn

from network import datasets, plots
from network.filters import figures, operators
from network.filters.occlusion import occlude
from network.model import MyNetwork, save_network
from network.training import predict
from network.weights import DIGITS, load_network

PROGRAM = "analyze_filters.py"


@pytest.fixture
def weights(tmp_path):
    """Weights of a network whose first nine filters are Sobel's, of any direction, sign, scale."""
    torch.manual_seed(1)
    network = MyNetwork()
    kernels = (
        operators.sobel_direction(5, np.arange(0, 360, 40)) * np.linspace(0.1, 1, 9)[:, None, None]
    )
    with torch.no_grad():
        network.conv1.weight[:9, 0] = torch.from_numpy(kernels)
        line = operators.classical_operators(5)["line 45°"]
        network.conv1.weight[9, 0] = torch.from_numpy(-2 * line)
    save_network(tmp_path / "sobel.pth", network)
    return tmp_path / "sobel.pth"


@pytest.fixture
def analyze(script, small_mnist, weights, tmp_path, monkeypatch):
    """Runs analyze_filters.py on the small data set, its figures in tmp_path."""
    monkeypatch.setattr(operators, "POOL", 4000)  # so much less time, a less exact chance

    def run(*arguments):
        folders = ["--data-dir", small_mnist, "--figures-dir", tmp_path / "figures"]
        return script(PROGRAM, *folders, "--weights", weights, *arguments)

    return run


def written(done):
    return re.findall(r"(\w+)\.png$", done.stdout[done.stdout.index("\nwritten:") :], re.M)


def test_the_first_layer(analyze, weights, small_mnist, tmp_path):
    done = analyze()
    assert done.returncode == 0 and done.stderr == ""
    network, _ = load_network(weights)
    assert done.stdout.startswith(f"{network}\n21,840 parameters\n")
    # The weights, two filters side by side.
    text = done.stdout[
        done.stdout.index("conv1.weight [10, 1, 5, 5]") : done.stdout.index("Angles")
    ]
    rows = re.findall(r"^(?: *-?\d\.\d{3}){10}$", text, re.M)
    shown = np.array([row.split() for row in rows], dtype=float).reshape(5, 5, 2, 5)
    shown = shown.transpose(0, 2, 1, 3).reshape(10, 5, 5)
    kernels = network.conv1.weight.detach().numpy()[:, 0]
    np.testing.assert_allclose(shown, kernels, atol=0.00051)
    # The table: a Sobel is found to be one.
    table = re.findall(
        r"^ +(\d)  (.{27}) +(-?\d\.\d\d) +(\d+)° .* (\d+)% at +(\d+)°", text + done.stdout, re.M
    )
    assert [int(row[0]) for row in table] == list(range(10))
    assert float(table[0][2]) == 1
    assert table[0][1].strip() == "Sobel x"
    assert (table[9][1].strip(), float(table[9][2])) == ("line 45°", -1)
    assert [int(row[5]) for row in table[:9]] == list(range(0, 360, 40))
    assert [int(row[4]) for row in table] == [100] * 9 + [0]
    verdict = re.search(r"^verdict: (.*)$", done.stdout, re.M)[1]
    assert verdict.startswith("9 of 10 filters of conv1 are edge detectors; of 10 random ones 0.0")
    assert len(re.findall("9 or more in fewer than 1 of [0-9,]+ draws", verdict)) == 2
    # The evidence is of the ninth test image.
    test = datasets.load("MNIST", small_mnist, train=False)
    p = predict(network, test.images[8:9])[0].exp().sort(descending=True)
    line = re.search(
        r"^the ninth test image of MNIST: (\d) \((\S+)%\), then (\d) ", done.stdout, re.M
    )
    assert (int(line[1]), int(line[3])) == tuple(p.indices[:2].tolist())
    assert float(line[2]) == pytest.approx(100 * p.values[0].item(), abs=0.06)
    names = ["2a_filters", "2b_responses", "2c_operators", "2d_occlusion"]
    names = [f"{name}_sobel" for name in names]  # not those of the network that ships
    assert written(done) == names
    for name in names:
        path = tmp_path / "figures" / f"{name}.png"
        assert cv2.imread(str(path)).shape[1] > 800
        assert path.stat().st_size < 250_000


def test_the_second_layer(analyze, tmp_path):
    done = analyze("--layer", "conv2")
    assert done.returncode == 0 and done.stderr == ""
    assert "conv2.weight [20, 10, 5, 5]" in done.stdout
    counts = re.findall(r"^  (\w+) +(\d+)$", done.stdout, re.M)
    assert sum(int(count) for _, count in counts) == 200
    assert re.search(r"^verdict: \d+ of 200 kernels of conv2 ", done.stdout, re.M)
    assert written(done) == [
        "2a_filters_conv2_sobel",
        "2b_responses_conv2_sobel",
        "2d_occlusion_sobel",
    ]
    assert {path.stem for path in (tmp_path / "figures").iterdir()} == set(written(done))


@pytest.mark.parametrize("sizes", [{}, {"filters": (3, 4), "hidden": 9}])
def test_responses_are_what_the_network_computes(
    analyze, sizes, small_mnist, monkeypatch, tmp_path
):
    torch.manual_seed(2)
    network = MyNetwork(**sizes).eval()
    save_network(tmp_path / "any.pth", network)
    drawn = {}
    for name in ("filters_and_responses", "maps_and_responses", "filter_table"):

        def keep(*arguments, name=name):
            drawn[name] = arguments

        monkeypatch.setattr(figures, name, keep)
    monkeypatch.setattr(
        plots, "save", lambda drawn, place, end: [place / f"{name}{end}.png" for name in drawn]
    )
    for layer in ("conv1", "conv2"):
        assert analyze("--weights", tmp_path / "any.pth", "--layer", layer).returncode == 0
    image = datasets.load("MNIST", small_mnist, train=True).images[:1]
    recorded = {}
    for layer in (network.conv1, network.conv2):
        layer.register_forward_hook(
            lambda layer, given, result: recorded.update({layer: (given[0][0], result[0])})
        )
    predict(network, image)
    shown, _, responses, _ = drawn["filters_and_responses"]
    np.testing.assert_array_equal(shown, image[0])
    np.testing.assert_allclose(responses, recorded[network.conv1][1], atol=1e-4)
    maps, responses, _ = drawn["maps_and_responses"]
    np.testing.assert_allclose(maps, recorded[network.conv2][0], atol=1e-5)
    np.testing.assert_allclose(responses, recorded[network.conv2][1], atol=1e-4)
    np.testing.assert_array_equal(drawn["filter_table"][0], network.conv2.weight.detach())


@pytest.fixture
def quick(monkeypatch):
    """No figures are drawn where a test is of something else."""
    for name in ("filter_panels", "filters_and_responses", "likenesses"):
        monkeypatch.setattr(figures, name, lambda *arguments: None)
    monkeypatch.setattr(
        plots, "save", lambda drawn, place, end: [place / f"{name}{end}.png" for name in drawn]
    )


def test_any_picture(analyze, quick, drawn, tmp_path):
    picture = cv2.resize(drawn[0][0], (200, 200), interpolation=cv2.INTER_CUBIC)
    cv2.imwrite(str(tmp_path / "mine.png"), 230 - picture // 4 * 3)
    done = analyze("--image", tmp_path / "mine.png")
    assert done.returncode == 0 and done.stderr == ""
    assert re.search(r"^mine\.png: \d \(\d+\.\d%\), then \d ", done.stdout, re.M)
    assert "2d_occlusion_sobel_mine" in written(done)


def test_a_network_of_other_classes_answers_in_them(analyze, quick, tmp_path):
    names = ["alpha", "beta", "gamma"]
    save_network(tmp_path / "greek.pth", MyNetwork(classes=3), class_names=names)
    done = analyze("--weights", tmp_path / "greek.pth")
    assert done.returncode == 0 and done.stderr == ""
    answer = r"^the ninth test image of MNIST: (alpha|beta|gamma) \(.*%\), then (alpha|beta|gamma) "
    assert re.search(answer, done.stdout, re.M)
    assert "2d_occlusion_greek" in written(done)


def test_a_picture_without_ink(analyze, quick, tmp_path):
    cv2.imwrite(str(tmp_path / "flat.png"), np.full((50, 50), 200, np.uint8))
    done = analyze("--image", tmp_path / "flat.png")
    assert "flat.png" in error_line(done, 1)
    names = ("2a_filters", "2b_responses", "2c_operators")
    assert written(done) == [f"{name}_sobel" for name in names]  # not in vain


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
        ink = (x > 0).float()
        logits = torch.stack(
            [ink[:, 0, :14, :14].sum((1, 2)), ink[:, 0, 14:, 14:].sum((1, 2))], dim=1
        )
        return torch.log_softmax(nn.functional.pad(logits, (0, 1)), dim=1)


def test_occlusion_finds_what_speaks_for_what():
    image = np.zeros((28, 28), np.uint8)
    image[5, 5], image[6, 7], image[20, 21] = 255, 255, 255  # two pixels for 0, one for 1
    probabilities, maps = occlude(Corners(), image)
    e = np.e
    np.testing.assert_allclose(probabilities, np.array([e**2, e, 1]) / (e**2 + e + 1), rtol=1e-5)
    paper, ink = maps
    answer, second, margin = paper
    assert margin[5, 6] == pytest.approx(2, abs=1e-4)  # covers both: the logit falls by 2
    assert margin[3, 3] == margin[7, 7 + 2] == pytest.approx(1, abs=1e-4)
    assert margin[20, 21] == pytest.approx(-1, abs=1e-4)  # what speaks for 1
    assert answer[5, 6] > 0.5 > 0 > second[5, 6]
    np.testing.assert_allclose(margin, answer - second, atol=1e-5)
    touched = np.zeros((28, 28), bool)
    for row, column in ((5, 5), (6, 7), (20, 21)):
        touched[row - 2 : row + 3, column - 2 : column + 3] = True
    assert (np.abs(paper[:, ~touched]) < 1e-5).all()
    # Ink in the empty part of a corner speaks for its class: emptiness there speaks against it.
    assert ink[2, 10, 10] == pytest.approx(-25, abs=1e-3)
    assert ink[2, 0, 0] == pytest.approx(-9, abs=1e-3)  # of 5×5 pixels 3×3 lie inside
    assert ink[2, 22, 22] == pytest.approx(24, abs=1e-3)
    assert ink[2, 5, 22] == pytest.approx(0, abs=1e-5)


def pictures(figure):
    return [shown.get_array() for axis in figure.axes for shown in axis.get_images()]


def signed(figure):
    """Every picture in signed colours; their scale must be centred on zero."""
    found = [
        shown
        for axis in figure.axes
        for shown in axis.get_images()
        if shown.get_cmap().name == plots.SIGNED
    ]
    assert all(shown.norm.vmin == -shown.norm.vmax for shown in found)
    return [(shown.get_array(), shown.norm.vmax) for shown in found]


@pytest.mark.parametrize("count", [3, 10])
def test_filter_panels(count):
    weights = np.random.default_rng(0).normal(size=(count, 5, 5))
    figure = figures.filter_panels(weights, f"The {count} filters of conv1")
    assert_readable(figure)
    panels = signed(figure)
    assert len(panels) == count
    assert {scale for _, scale in panels} == {np.abs(weights).max()}
    assert all(np.array_equal(panel, own) for (panel, _), own in zip(panels, weights, strict=True))


@pytest.mark.parametrize(("count", "channels"), [(20, 10), (4, 3)])
def test_filter_table(count, channels):
    weights = np.random.default_rng(0).normal(size=(count, channels, 5, 5))
    figure = figures.filter_table(weights, f"The {count} × {channels} kernels of conv2")
    assert_readable(figure)
    ((table, scale),) = signed(figure)
    assert table.shape == (count * 6 - 1, channels * 6 - 1) and scale == np.abs(weights).max()
    np.testing.assert_array_equal(table[6:11, 12:17], weights[1, 2])
    assert np.ma.getmaskarray(table)[5].all() and np.ma.getmaskarray(table)[:, 5].all()
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert ticks == [str(index) for index in range(count)]


@pytest.mark.parametrize("count", [1, 10])
def test_filters_and_responses(count, drawn):
    rng = np.random.default_rng(0)
    weights, responses = rng.normal(size=(count, 5, 5)), 9 * rng.normal(size=(count, 24, 24))
    title = "The filters of conv1, and what each makes of the first training image of drawn digits"
    figure = figures.filters_and_responses(drawn[0][0], weights, responses, title)
    assert_readable(figure)
    panels = signed(figure)
    assert len(panels) == 2 * count and len(pictures(figure)) == 2 * count + 1
    for index in range(count):
        np.testing.assert_array_equal(panels[2 * index][0], weights[index])
        np.testing.assert_array_equal(panels[2 * index + 1][0], responses[index])


@pytest.mark.parametrize(("channels", "count"), [(10, 20), (3, 4)])
def test_maps_and_responses(channels, count):
    rng = np.random.default_rng(0)
    maps, responses = rng.random((channels, 12, 12)), rng.normal(size=(count, 8, 8))
    figure = figures.maps_and_responses(maps, responses, "What conv2 sees and makes of an image")
    assert_readable(figure)
    assert len(signed(figure)) == count and len(pictures(figure)) == channels + count


def test_likenesses():
    classical = operators.classical_operators(5)
    names = list(classical)
    assert [" ".join(figures.in_two_lines(name).split()) for name in names] == names
    longest = [*sorted(names, key=lambda name: (len(name), "112.5" in name))[-9:], "Sobel x"]
    trios = np.stack([[0.5 * classical[name], classical[name], np.eye(5)] for name in longest])
    captions = [
        ("filter 10\ngradient 300°", f"{figures.in_two_lines(name)} (-0.55)", "Sobel pair\n100%")
        for name in longest
    ]
    figure = figures.likenesses(
        trios, captions, np.full(10, 300), np.arange(10.0), "The filters of conv1"
    )
    assert_readable(figure)
    panels = signed(figure)
    assert len(panels) == 30
    for (panel, scale), own in zip(panels, trios.reshape(30, 5, 5), strict=True):
        np.testing.assert_array_equal(panel, own)
        assert scale == 1  # the identity's weights are the greatest


def test_arrows_point_where_the_weights_rise_and_are_as_long_as_it_is_steep():
    kernel = operators.sobel_direction(5, np.array([90.0]))  # y: brighter below
    trios, captions = kernel[None].repeat(3, 1).repeat(2, 0), [["", "", ""]] * 2
    figure = figures.likenesses(trios, captions, [90, 90], np.array([0.5, 0.05]), "")
    arrows = [figure.axes[index].collections[0] for index in (0, 3)]
    ends = np.array([(arrow.U[0], arrow.V[0]) for arrow in arrows])
    np.testing.assert_allclose(ends, [(0, 4), (0, 0.4)], atol=1e-12)
    assert figure.axes[0].yaxis_inverted()  # so a greater y is drawn below


def test_occlusion_maps(drawn):
    image = drawn[0][0]
    maps = np.random.default_rng(0).normal(size=(2, 3, 28, 28))
    probabilities = np.array([0.0004, 0.0006, 0.9, *[0.014] * 7])
    captions = ["for 2", "for 3", "for 2 against 3"]
    rows = ["ink covered by paper", "paper covered by ink"]
    title = "What in the ninth test image of drawn digits speaks for 2, and what for 3"
    figure = figures.occlusion_maps(image, DIGITS, probabilities, maps, captions, rows, title)
    assert_readable(figure)
    panels = signed(figure)
    assert [scale for _, scale in panels] == [np.abs(maps).max()] * 6
    for (panel, _), own in zip(panels, maps.reshape(6, 28, 28), strict=True):
        np.testing.assert_array_equal(panel, own)
    shown = [text for text, *_ in texts(figure)]
    assert shown.count("90.0%") == 1 and shown.count("0.1%") == 1 and "0.0%" not in shown
    assert all(digit in shown for digit in DIGITS)
