"""resnet_filters.py as a user runs it: weights from everywhere, any picture, its figures."""

import argparse
import http.server
import re
import threading
import time
import urllib.request
from functools import partial
from hashlib import sha256
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from conftest import HOME, SHIPPED, error_line, no_figures, output, put
from numpy.testing import assert_allclose, assert_array_equal
from test_figures import assert_readable, texts
from test_gratings import BLUE, GREY, RED_GREEN, apart, coloured, grating, window

from network import cli, datasets, plots
from network.files import Problem
from network.filters import gratings
from network.model import MyNetwork, parameter_count, save_network
from network.resnet import figures, findings, layers, pictures

FIGURES = ("colour_filters", "colour_filters_and_responses", "image_channels", "tuning_overview")
NOISE = np.random.default_rng(3).integers(0, 256, (30, 45, 3), dtype=np.uint8)
NOISE_SHA256 = sha256(NOISE.tobytes()).hexdigest()[:8]
CIFAR10 = "--weights", "cifar10"  # what ships


# 24 grey edges of all angles, 8 in colour, 16 + 8 blobs, 8 of noise; then mixed.
EDGES = [grating(7, 7.5 * i, 0.15, 90) * window(7, 2) for i in range(24)]
MADE = [
    *(coloured(GREY, edge) for edge in EDGES),
    *(coloured(RED_GREEN, edge) for edge in EDGES[::3]),
    *[coloured(GREY, -window(7, 2))] * 16,
    *[coloured(BLUE, window(7, 2))] * 8,
    *np.random.default_rng(0).normal(size=(8, 1, 3, 7, 7)) / 5,
]
ORDER = np.random.default_rng(1).permutation(64)
FILTERS = np.float32(np.concatenate(MADE))[ORDER]
FIRST = "conv1.weight"
FIRST_LAYER = {  # as what ships
    FIRST: torch.from_numpy(FILTERS),
    "model": "resnet18",
    "dataset": "CIFAR-10",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.25, 0.2, 0.3],
    "test_accuracy": 0.9123,
}


@pytest.fixture
def models_dir(tmp_path):
    """A folder with what ships: a first layer and a digit network."""
    put(tmp_path / "models" / layers.SHIPPED, FIRST_LAYER)
    torch.manual_seed(0)
    save_network(tmp_path / "models" / SHIPPED.name, MyNetwork())
    return tmp_path / "models"


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torchvision's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def picture(tmp_path):
    """A file of 45×30 pixels in many colours."""
    put(tmp_path / "mine.png", NOISE[:, :, ::-1])
    return tmp_path / "mine.png"


@pytest.fixture
def look(script, models_dir, cache, offline, tmp_path, monkeypatch):
    """Runs resnet_filters.py without a connection, its figures in tmp_path."""
    monkeypatch.setattr(gratings, "POOL", 30)  # so much less time, a less exact chance
    folders = ["--models-dir", models_dir, "--figures-dir", tmp_path / "figures"]
    return partial(script, "resnet_filters.py", *folders, "--data-dir", tmp_path / "no")


@pytest.fixture
def quick(monkeypatch):
    """No figures are drawn where a test is of something else; returns what would be shown."""
    shown = {}
    for name in FIGURES:
        monkeypatch.setattr(figures, name, lambda *args, name=name: shown.update({name: args}))
    monkeypatch.setattr(plots, "save", no_figures)
    return shown


def test_all_at_once(look, picture, tmp_path):
    out = output(look(*CIFAR10, "--image", picture))
    assert out.startswith("ResNet(\n  (conv1): Conv2d(3, 64, kernel_size=(7, 7)")
    assert "\nresnet18: 11,181,642 parameters\n" in out  # with ten classes
    words = "the first layer of a ResNet-18 trained on CIFAR-10"
    weights = cli.short(tmp_path / "models" / layers.SHIPPED).as_posix()
    assert f"\nfilters: {words} ({weights}, test accuracy 91.23%)" in out.replace("\\", "/")
    assert "\nimage: the picture, 45×30 pixels\n" in out
    # The table: every filter once, family by family, edges by angle.
    row = r"^ +(\d+)  (\S+ ?\S*) +[\d.]+ +(\d+)% +(\d+)% \(.{17}\) +(\d+°|–) +(0\.\d+) "
    rows = re.findall(row, out, re.M)
    rows, of_digits = rows[:64], rows[64:]
    assert sorted(int(row[0]) for row in of_digits) == list(range(10))
    assert sorted(int(row[0]) for row in rows) == list(range(64))
    assert [row[1].strip() for row in rows] == (
        ["oriented, grey"] * 24 + ["unoriented, grey"] * 16 + ["oriented, colour"] * 8
        + ["colour blob"] * 8 + ["nothing"] * 8
    )  # fmt: skip
    edges = rows[:24]
    assert sorted(ORDER[int(row[0])] for row in edges) == list(range(24))
    angles = [int(row[4][:-1]) for row in edges]
    assert angles == sorted(angles)
    for row, angle in zip(edges, angles, strict=True):
        assert apart(angle, 7.5 * ORDER[int(row[0])]) <= 4
        assert float(row[5]) == pytest.approx(0.15, rel=0.1)
        assert int(row[2]) >= 95 and row[3] == "100"
    # Counts, chance, findings.
    counts = re.findall(r"^(\S.*?) +(\d+) +((?:\d+ \(\d+%\) +){5})", out, re.M)
    assert [(name, int(total)) for name, total, _ in counts] == [
        ("this layer", 64),
        ("random, as smooth", 30),
        ("random", 30),
        ("digit network", 10),
        ("5×5 random, as smooth", 30),
        ("5×5 random", 30),
    ]
    numbers = {name: re.findall(r"(\d+) \(", cells) for name, _, cells in counts}
    assert numbers["this layer"] == ["24", "8", "16", "8", "8"]
    assert numbers["random"] == ["0", "0", "0", "0", "30"]
    found = out.partition("\nfindings:\n")[2].splitlines()
    assert found[0].startswith("  40 of 64 filters are oriented or colour blobs (62%)")
    assert "  8 of the 16 in colour prefer flat light" in found
    parts = ("filters", ""), ("analysis", ""), ("image", "_mine"), ("responses", "_mine")
    names = [f"ext1_{part}_resnet18_cifar10{of}.png" for part, of in parts]
    assert re.findall(r"(\w+\.png)$", out, re.M) == names
    for name in names:
        path = tmp_path / "figures" / name
        assert cv2.imread(str(path)).shape[1] > 800
        assert path.stat().st_size < 450_000


@pytest.mark.parametrize("size", [(32, 32), (5, 40), (61, 30), (1, 1)])
def test_responses_are_the_networks_convolution(look, quick, size, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    put(tmp_path / "noise.png", pixels[:, :, ::-1])
    output(look(*CIFAR10, "--image", tmp_path / "noise.png"))
    weights, responses = quick["colour_filters_and_responses"][:2]
    assert_array_equal(weights, FILTERS)
    shown, channels, _ = quick["image_channels"]
    assert_array_equal(shown, pixels)
    # Normalised by what the file says.
    x = torch.from_numpy((pixels / 255 - [0.5, 0.4, 0.3]) / [0.25, 0.2, 0.3])
    x = x.permute(2, 0, 1).float()
    assert_allclose(channels, x, atol=1e-5)
    conv1 = torchvision.models.resnet18(num_classes=10).conv1
    conv1.weight.data = torch.from_numpy(FILTERS)
    with torch.no_grad():
        own = F.conv2d(x[None], conv1.weight, stride=1, padding=conv1.padding)[0]
        strided = conv1(x[None])[0]
    assert responses.shape == (64, *size)
    assert_allclose(responses, own, atol=1e-4)
    assert_allclose(responses[:, ::2, ::2], strided, atol=1e-4)
    # Grey is measured where grey is: in the picture's colours, before they are normalised.
    on_rgb = FILTERS / np.reshape([0.25, 0.2, 0.3], (3, 1, 1))
    tuning = quick["tuning_overview"][0][findings.LAYER]
    assert_allclose(tuning.grey, gratings.grey_share(on_rgb), rtol=1e-5)


def test_printing_the_network():
    network = layers.empty("resnet50")
    lines = layers.describe(network).splitlines()
    whole = str(torchvision.models.resnet50())
    assert str(network) == whole
    assert {line for line in lines if "…" not in line} <= set(whole.splitlines())
    more = [line.strip() for line in lines if "…" in line]
    # What is shown and what is counted are all parameters.
    stages = network.layer1, network.layer2, network.layer3, network.layer4
    counts = [sum(map(parameter_count, stage[1:])) for stage in stages]
    assert more == [
        f"… {blocks} more Bottleneck blocks, {count:,} parameters"
        for blocks, count in zip((2, 3, 5, 2), counts, strict=True)
    ]
    assert counts[0] == 140_800
    small = layers.describe(layers.empty("resnet18")).splitlines()
    assert "    … 1 more BasicBlock block, 73,984 parameters" in small


@pytest.fixture(scope="module")
def resnet18_state():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=5).state_dict()


def test_a_state_dict_of_ones_own(look, quick, resnet18_state, picture, tmp_path):
    torch.save(resnet18_state, tmp_path / "own.pth")
    look = partial(look, "--weights", tmp_path / "own.pth", "--image", picture)
    out = output(look("--full"))
    network = torchvision.models.resnet18(num_classes=5)
    assert out.startswith(f"{network}\nresnet18: {parameter_count(network):,} parameters\n")
    assert "\nfilters: the first layer of a ResNet-18 (" in out
    assert_array_equal(quick["colour_filters"][0], resnet18_state[FIRST])
    # As ImageNet's networks normalise.
    values = (NOISE[3, 4] / 255 - layers.MEAN) / layers.STD
    assert_allclose(quick["image_channels"][1][:, 3, 4], values, atol=1e-5)
    output(look("--model", "resnet18"))
    line = error_line(look("--model", "resnet50"))
    assert "own.pth holds weights of resnet18, not of resnet50" in line


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("state_dict", ""),
        ("model", "module."),
        ("net", "_orig_mod.module."),
        (None, "model."),
        (None, "backbone."),  # known by order and shapes
    ],
)
def test_a_state_dict_as_other_programs_leave_it(resnet18_state, key, prefix, tmp_path):
    older = {n: v for n, v in resnet18_state.items() if not n.endswith("num_batches_tracked")}
    state = {prefix + name: value.half() for name, value in older.items()}
    beside = {"epoch": 3, "best_acc1": np.float64(69.7), "args": argparse.Namespace(lr=0.1)}
    torch.save({key: state, **beside} if key else state, tmp_path / "whole.pth")
    layer = layers.read_first_layer(tmp_path / "whole.pth", None)
    assert layer.model == "resnet18" and layer.network.fc.out_features == 5
    assert (layer.words, layer.suffix) == ("ResNet-18", "_resnet18_whole")
    assert_array_equal(layer.filters, resnet18_state[FIRST].half())


def test_a_whole_network_with_what_it_learned(resnet18_state, tmp_path):
    facts = {"model": "resnet18", "dataset": "CIFAR-10", "mean": [0.1, 0.2, 0.3], "std": [1, 1, 2]}
    torch.save({"state_dict": resnet18_state, **facts}, tmp_path / "whole.pth")
    layer = layers.read_first_layer(tmp_path / "whole.pth", None)
    assert layer.words == "ResNet-18 trained on CIFAR-10" and layer.network.fc.out_features == 5
    assert_allclose(layer.mean, facts["mean"])
    assert layer.normalise(np.full((2, 3, 3), 255, np.uint8))[2, 0, 0] == pytest.approx(0.35)


def test_weights_that_do_not_fit(look, resnet18_state, picture, tmp_path):
    path = tmp_path / "bad.pth"
    nan = resnet18_state["layer3.0.conv1.weight"].clone()
    nan[5, 5] = torch.nan
    torch.save(resnet18_state, path)
    cut = path.read_bytes()[:1_000_000]
    for content, words in (
        (MyNetwork().state_dict(), "no weights of a ResNet; choose some of resnet18, resnet34"),
        ({FIRST: resnet18_state[FIRST]}, "no weights of a ResNet"),
        (resnet18_state | {FIRST: torch.zeros(64, 3, 3, 3)}, "no weights of a ResNet"),
        (resnet18_state | {"more": torch.zeros(1)}, "no weights of a ResNet"),
        (resnet18_state | {"layer3.0.conv1.weight": nan}, "no finite numbers"),
        ([1, 2], "no weights of a ResNet"),
        (torch.zeros(3), "no weights of a ResNet"),
        (torchvision.models.resnet18(), "could run code"),
        (FIRST_LAYER | {"model": "resnet99"}, "no weights of a ResNet"),
        (FIRST_LAYER | {FIRST: torch.zeros(64, 3, 5, 5)}, "no weights of a ResNet"),
        (FIRST_LAYER | {FIRST: [1, 2]}, "no weights of a ResNet"),
        (FIRST_LAYER | {"mean": "grey"}, "no finite numbers"),
        (FIRST_LAYER | {"std": [0.2, 0, 0.2]}, "no finite numbers"),
        (FIRST_LAYER | {FIRST: torch.full(layers.SHAPE, torch.inf)}, "no finite numbers"),
        (cut, "cut off"),
        (b"no weights at all", "is no weights file"),
        (None, "no weights file"),
    ):
        path.unlink()
        put(path, content)
        line = error_line(look("--weights", path, "--image", picture))
        assert "bad.pth" in line and words in line
        assert not list((tmp_path / "figures").iterdir())
    # What ships is a first layer of one model, too.
    line = error_line(look(*CIFAR10, "--model", "resnet50", "--image", picture))
    assert "holds weights of resnet18, not of resnet50" in line


def test_no_connection(look, quick, models_dir, cache, picture):
    start = time.monotonic()
    done = look("--image", picture)  # --weights auto
    assert done.returncode == 0
    notices = [line for line in done.stderr.splitlines() if line.startswith("NOTICE: ")]
    assert "ImageNet weights of resnet50" in notices[0]
    assert "could not be downloaded" in notices[0]
    assert "ResNet-18 trained on CIFAR-10" in notices[1]
    assert "\nresnet18: 11,181,642 parameters\n" in done.stdout  # of what is shown
    title = "The 64 filters of the first layer of a ResNet-18 trained on CIFAR-10"
    assert quick["colour_filters"][-1].startswith(title)
    line = error_line(look("--weights", "imagenet", "--model", "resnet34", "--image", picture))
    assert "ImageNet weights of resnet34 are not in" in line and "--weights cifar10" in line
    (models_dir / layers.SHIPPED).unlink()
    assert layers.SHIPPED in error_line(look("--image", picture))
    assert not any(cache.iterdir())
    assert time.monotonic() - start < 30


@pytest.fixture
def server(monkeypatch, resnet18_state, tmp_path):
    """Serves weights of resnet18, in a way that tests choose: whole, cut, or never ending."""
    torch.save(resnet18_state, tmp_path / "served.pth")
    content = (tmp_path / "served.pth").read_bytes()
    state = SimpleNamespace(way="whole", requests=0, stop=threading.Event())

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.requests += 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content if state.way == "whole" else content[:1_000_000])
            if state.way == "hang":
                state.stop.wait(20)

        def log_message(self, *arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http_server:
        threading.Thread(target=http_server.serve_forever, daemon=True).start()
        state.name = f"resnet18-{sha256(content).hexdigest()[:8]}.pth"
        url = f"http://127.0.0.1:{http_server.server_port}/models/{state.name}"
        weights = SimpleNamespace(url=url, meta={"_file_size": 44.7})
        found = SimpleNamespace(IMAGENET1K_V1=weights)
        monkeypatch.setattr(torchvision.models, "get_model_weights", lambda model: found)
        for name in ("http_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers proxies
        yield state
        state.stop.set()
        http_server.shutdown()


def test_downloads(server, cache, resnet18_state, tmp_path, capfd):
    load = partial(layers.first_layer, "imagenet", "resnet18", tmp_path)
    server.way = "cut"
    with pytest.raises(Problem, match="could not be downloaded"):
        load()
    assert list(cache.iterdir()) == []  # half of it is nothing
    server.way = "whole"
    layer = load()
    assert layer.words == "ResNet-18 trained on ImageNet"
    assert "resnet18, 45 MB, to" in capfd.readouterr().err  # told before
    assert_array_equal(layer.filters, resnet18_state[FIRST])
    kept = cache / server.name
    assert list(cache.iterdir()) == [kept] and server.requests == 2
    load()
    assert server.requests == 2  # from the cache
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-1000])
    load()
    assert server.requests == 3 and kept.read_bytes() == whole


def test_a_download_that_hangs(server, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(datasets, "TIMEOUT", 0.5)
    server.way = "hang"
    start = time.monotonic()
    with pytest.raises(Problem, match="timed out"):
        layers.first_layer("imagenet", "resnet18", tmp_path)
    assert time.monotonic() - start < 10
    assert list(cache.iterdir()) == []


def test_what_is_looked_at_without_a_picture(look, quick, monkeypatch):
    done = look(*CIFAR10)  # nothing is downloaded for it
    assert done.stderr == "matplotlib's sample photograph is scaled down from 512×600 pixels\n"
    assert "\nimage: matplotlib's sample photograph, 191×224 pixels\n" in done.stdout
    assert "ext1_responses_resnet18_cifar10_photograph.png" in done.stdout
    found = SimpleNamespace(data=NOISE[None])
    monkeypatch.setattr(pictures, "CIFAR10", lambda data_dir, train: found)
    monkeypatch.setattr(pictures, "CAT_SHA256", NOISE_SHA256)
    out = output(look(*CIFAR10))
    assert f"\nimage: {pictures.CAT}, 45×30 pixels\n" in out
    assert_array_equal(quick["image_channels"][0], NOISE)
    assert pictures.CAT in quick["colour_filters_and_responses"][-1]


def test_a_picture_is_named_by_what_it_shows(look, quick, picture, monkeypatch):
    """Never by its file's name, which need be no text."""
    strange = picture.with_name("\udcff $x_{.png")
    try:
        picture.rename(strange)
    except (OSError, UnicodeError):
        strange = picture
    weights = strange.with_name("x.pth")
    torch.save(FIRST_LAYER | {"model": "resnet50", "dataset": "ImageNet"}, weights)
    for digest, words, name in (
        (pictures.CAT_SHA256, "the picture", "ext1_responses_x"),
        (NOISE_SHA256, pictures.CAT, "ext1_responses"),
    ):
        monkeypatch.setattr(pictures, "CAT_SHA256", digest)
        out = output(look("--weights", weights, "--image", strange))
        assert f"image: {words}, 45×30" in out and f"{name}.png\n" in out
        assert words in quick["image_channels"][-1]


def test_a_large_transparent_picture(look, quick, tmp_path):
    pixels = np.full((600, 1000, 4), (10, 20, 200, 255), np.uint8)
    pixels[:300, :, 3] = 0
    put(tmp_path / "large.png", pixels)
    done = look(*CIFAR10, "--image", tmp_path / "large.png")
    assert done.returncode == 0 and "scaled down from 1000×600" in done.stderr
    seen = quick["image_channels"][0]
    assert seen.shape == (134, 224, 3) and seen[-1, 0].tolist() == [200, 20, 10]


def test_without_the_digit_network(look, quick, models_dir, picture):
    (models_dir / SHIPPED.name).unlink()
    done = look(*CIFAR10, "--image", picture)
    assert done.returncode == 0 and "going on without the digit network" in done.stderr
    assert "digit network" not in done.stdout and "5×5" not in done.stdout


def test_a_layer_of_nothing(look, models_dir, picture):
    """Weights of zero, as some filters of real networks nearly are: figures and all."""
    nothing = {FIRST: torch.zeros(layers.SHAPE)}
    torch.save(FIRST_LAYER | nothing, models_dir / layers.SHIPPED)
    assert "\nfindings:\n  0 of 64 filters" in output(look(*CIFAR10, "--image", picture))


def test_chance_is_of_the_seed(look, quick, picture):
    look = partial(look, *CIFAR10, "--image", picture, "--seed")
    one, again, other = (output(look(seed)) for seed in (1, 1, 2))
    assert one == again != other


LONG = "Each filter of the first layer of a ResNet-152 trained on ImageNet, and a picture"


@pytest.fixture(scope="module")
def tuning():
    return gratings.measure(FILTERS)


def test_filters_are_shown_in_order_at_their_own_contrast_and_on_one_scale(tuning):
    order = np.arange(64)[::-1]
    figure = figures.colour_filters(FILTERS, tuning, order, LONG)
    assert_readable(figure)
    greatest = np.abs(FILTERS).max((1, 2, 3), keepdims=True)
    for axis, limits in zip(figure.axes, (greatest, greatest.max()), strict=True):
        expected = (0.5 + FILTERS / (2 * limits))[order].transpose(0, 2, 3, 1)
        tiles = [tile.get_array() for tile in axis.get_images()]
        assert_allclose(tiles, expected, atol=1e-6)
    labels = [text for text, *_ in texts(figure) if text.isdigit()]
    assert sorted(labels, key=int) == [str(i) for i in range(64)]
    bars = figure.axes[0].patches[1::2]  # each is on a pale one
    lengths = [bar.get_width() for bar in bars]
    assert_allclose(lengths, (tuning.weight / tuning.weight.max())[order])


@pytest.mark.parametrize("size", [(32, 32), (20, 224), (224, 20), (1, 1)])
def test_figures_of_any_picture_are_readable(size, tuning):
    responses = np.random.default_rng(0).normal(size=(64, *size))
    order = np.arange(64)
    assert_readable(figures.colour_filters_and_responses(FILTERS, responses, tuning, order, LONG))
    picture = np.zeros((*size, 3), np.uint8)
    assert_readable(figures.image_channels(picture, np.full((3, *size), -2.0), LONG))


@pytest.mark.parametrize("with_digits", [True, False])
def test_the_overview_is_readable(with_digits, tuning, monkeypatch):
    monkeypatch.setattr(gratings, "POOL", 50)
    chance = gratings.measure(gratings.chance_filters(FILTERS, np.random.default_rng(0), True))
    rows = {findings.LAYER: tuning, findings.ALIKE: chance}
    if with_digits:
        rows[findings.DIGITS] = gratings.measure(FILTERS[:10, :1, 1:6, 1:6])
    figure = figures.tuning_overview(rows, LONG)
    assert_readable(figure)
    gratings_shown, bandwidths, forms, bars = figure.axes
    shown = sum(len(dots.get_offsets()) for dots in gratings_shown.collections)
    flat = np.sum(tuning.frequency == 0)
    told = [row for name, row in rows.items() if name != findings.ALIKE]
    assert shown == sum(np.sum(row.frequency > 0) for row in told)
    assert f"{flat} prefer flat" in gratings_shown.get_title()
    assert sum(bar.get_height() for bar in bandwidths.patches) == 64
    assert sum(len(dots.get_offsets()) for dots in forms.collections) == 64 + 50
    told = [text.get_text() for text in bars.texts]
    assert told[:5] == ["24", "8", "16", "8", "8"]
    numbers = [(n, len(row.kind)) for row in rows.values() for n in findings.counts(row)]
    assert told == [str(n) for n, of in numbers if n / of >= 0.06]


def test_the_shipped_filters_are_learned():
    """Not speckle: oriented or of one colour far more often than random ones."""
    path = HOME / "models" / layers.SHIPPED
    if not path.exists():
        pytest.skip(f"{path} does not ship yet: resnet_filters.py --train makes it")
    assert path.stat().st_size < 100_000
    layer = layers.read_first_layer(path, None)
    tuning = gratings.measure(layer.filters_on_rgb)
    random = gratings.measure(np.random.default_rng(0).normal(size=layers.SHAPE))
    assert np.mean(np.isin(tuning.kind, (0, 1, 3))) > 0.4
    assert np.mean(np.isin(random.kind, (0, 1, 3))) == 0
    assert np.median(tuning.form) > 2 * np.median(random.form)
