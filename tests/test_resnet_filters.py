"""resnet_filters.py as a user runs it: weights from everywhere, any picture, its figures."""

import argparse
import functools
import http.server
import re
import threading
import time
import urllib.request
from hashlib import sha256
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from conftest import HOME, error_line
from test_figures import assert_readable, texts
from test_gratings import BLUE, GREY, RED_GREEN, coloured, grating, window

from network import cli, datasets, photos, plots
from network.files import Problem
from network.filters import gratings
from network.model import MyNetwork, parameter_count, save_network
from network.resnet import figures, findings, layers, pictures

PROGRAM = "resnet_filters.py"
FIGURES = ("colour_filters", "colour_filters_and_responses", "image_channels", "tuning_overview")
NOISE = np.random.default_rng(3).integers(0, 256, (30, 45, 3), dtype=np.uint8)


def known_filters():
    """(64, 3, 7, 7): 24 grey edges of all angles, 8 in colour, 16 + 8 blobs, 8 of noise."""
    rng = np.random.default_rng(0)
    edges = [grating(7, 7.5 * i, 0.15, 90) * window(7, 2) for i in range(24)]
    blob = window(7, 2)
    filters = [coloured(GREY, edge) for edge in edges]
    filters += [coloured(RED_GREEN, edges[3 * i]) for i in range(8)]
    filters += [coloured(GREY, -blob)] * 16 + [coloured(BLUE, blob)] * 8
    filters += list(rng.normal(size=(8, 1, 3, 7, 7)) / 5)
    order = rng.permutation(64)
    return np.float32(np.concatenate(filters))[order], order


def save_first_layer(path, **changes):
    content = {
        "conv1.weight": torch.from_numpy(known_filters()[0]),
        "model": "resnet18",
        "dataset": "CIFAR-10",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.25, 0.2, 0.3],
        "test_accuracy": 0.9123,
    }
    path.parent.mkdir(exist_ok=True)
    torch.save(content | changes, path)
    return path


@pytest.fixture
def models_dir(tmp_path):
    """A folder with what ships: known filters in place of the learned, and a digit network."""
    folder = tmp_path / "models"
    save_first_layer(folder / layers.SHIPPED)
    torch.manual_seed(0)
    save_network(folder / "mnist_network.pth", MyNetwork())
    return folder


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of torchvision's weights."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path / "torch" / "hub" / "checkpoints"


@pytest.fixture
def picture(tmp_path):
    """A file of 45×30 pixels in many colours."""
    cv2.imwrite(str(tmp_path / "mine.png"), NOISE[:, :, ::-1])
    return tmp_path / "mine.png"


@pytest.fixture
def look(script, models_dir, cache, offline, tmp_path, monkeypatch):
    """Runs resnet_filters.py without a connection, its figures in tmp_path."""
    monkeypatch.setattr(gratings, "POOL", 30)  # so much less time, a less exact chance
    monkeypatch.setattr(urllib.request, "_opener", None)  # it remembers proxies, or that none is
    folders = ["--models-dir", models_dir, "--figures-dir", tmp_path / "figures"]
    return lambda *arguments: script(PROGRAM, *folders, "--data-dir", tmp_path / "no", *arguments)


@pytest.fixture
def quick(monkeypatch):
    """No figures are drawn where a test is of something else; returns what would be shown."""
    shown = {}

    def keep(name, *arguments):
        shown[name] = arguments

    for name in FIGURES:
        monkeypatch.setattr(figures, name, functools.partial(keep, name))
    monkeypatch.setattr(plots, "save", lambda figure, path: None)
    return shown


def test_all_at_once(look, picture, tmp_path):
    done = look("--weights", "cifar10", "--image", picture)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("ResNet(\n  (conv1): Conv2d(3, 64, kernel_size=(7, 7)")
    assert "\nresnet18: 11,181,642 parameters\n" in done.stdout  # with ten classes
    words = "the first layer of a ResNet-18 trained on CIFAR-10"
    weights = cli.short(tmp_path / "models" / layers.SHIPPED).as_posix()
    assert f"\nfilters: {words} ({weights}, test accuracy 91.23%)" in (
        done.stdout.replace("\\", "/")
    )
    assert "\nimage: the picture, 45×30 pixels\n" in done.stdout
    # The table: every filter once, family by family, edges by angle.
    rows = re.findall(
        r"^ +(\d+)  (\S+ ?\S*) +[\d.]+ +(\d+)% +(\d+)% \(.{17}\) +(\d+°|–) +(0\.\d+) ",
        done.stdout,
        re.M,
    )
    rows, of_digits = rows[:64], rows[64:]
    assert sorted(int(row[0]) for row in of_digits) == list(range(10))
    order = known_filters()[1]
    assert sorted(int(row[0]) for row in rows) == list(range(64))
    kinds = [row[1].strip() for row in rows]
    assert kinds == (
        ["oriented, grey"] * 24 + ["unoriented, grey"] * 16 + ["oriented, colour"] * 8
        + ["colour blob"] * 8 + ["nothing"] * 8
    )  # fmt: skip
    for row in rows:
        made = order[int(row[0])]  # which of `known_filters`, before they were mixed
        if made < 24:
            turned = (int(row[4][:-1]) - 7.5 * made + 90) % 180 - 90
            assert abs(turned) <= 4
            assert float(row[5]) == pytest.approx(0.15, rel=0.1)
            assert int(row[2]) >= 95 and row[3] == "100"
    angles = [int(row[4][:-1]) for row in rows[:24]]
    assert angles == sorted(angles)
    # Counts, chance, findings.
    counts = re.findall(r"^(\S.*?) +(\d+) +((?:\d+ \(\d+%\) +){5})", done.stdout, re.M)
    assert [(name, int(total)) for name, total, _ in counts] == [
        ("this layer", 64),
        ("random, as smooth", 30),
        ("random", 30),
        ("digit network", 10),
        ("5×5 random, as smooth", 30),
        ("5×5 random", 30),
    ]
    numbers = {name: [int(n) for n in re.findall(r"(\d+) \(", cells)] for name, _, cells in counts}
    assert numbers["this layer"] == [24, 8, 16, 8, 8]
    assert numbers["random"] == [0, 0, 0, 0, 30]
    found = done.stdout.partition("\nfindings:\n")[2].splitlines()
    assert found[0].startswith("  40 of 64 filters are oriented or colour blobs (62%)")
    assert "  8 of the 16 in colour prefer flat light" in found
    of = "resnet18_cifar10"
    names = [f"ext1_filters_{of}", f"ext1_analysis_{of}"]
    names += [f"ext1_image_{of}_mine", f"ext1_responses_{of}_mine"]
    assert re.findall(r"(\w+)\.png$", done.stdout, re.M) == names
    for name in names:
        path = tmp_path / "figures" / f"{name}.png"
        assert cv2.imread(str(path)).shape[1] > 800
        assert path.stat().st_size < 450_000


@pytest.mark.parametrize("size", [(32, 32), (5, 40), (61, 30), (1, 1)])
def test_responses_are_the_networks_convolution(look, quick, models_dir, size, tmp_path):
    pixels = np.random.default_rng(1).integers(0, 256, (*size, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), pixels[:, :, ::-1])
    assert look("--weights", "cifar10", "--image", tmp_path / "noise.png").returncode == 0
    weights, responses = quick["colour_filters_and_responses"][:2]
    conv1 = torchvision.models.resnet18(num_classes=10).conv1
    conv1.weight.data = torch.load(models_dir / layers.SHIPPED)["conv1.weight"]
    np.testing.assert_array_equal(weights, conv1.weight.detach())
    # Normalised by what the file says.
    mean, std = (torch.tensor(v)[:, None, None] for v in ([0.5, 0.4, 0.3], [0.25, 0.2, 0.3]))
    x = (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std
    with torch.no_grad():
        own = F.conv2d(x[None], conv1.weight, stride=1, padding=conv1.padding)[0]
        strided = conv1(x[None])[0]
    assert responses.shape == (64, *size)
    np.testing.assert_allclose(responses, own, atol=1e-4)
    np.testing.assert_allclose(responses[:, ::2, ::2], strided, atol=1e-4)
    # Grey is measured where grey is: in the picture's colours, before they are normalised.
    tuning = quick["tuning_overview"][0][findings.LAYER]
    np.testing.assert_allclose(tuning.grey, gratings.grey_share(weights / std.numpy()), rtol=1e-5)
    shown, channels, _ = quick["image_channels"]
    np.testing.assert_array_equal(shown, pixels)
    np.testing.assert_allclose(channels, x, atol=1e-5)


def test_printing_the_network():
    network = layers.empty("resnet50")
    text = layers.describe(network)
    lines = text.splitlines()
    whole = str(torchvision.models.resnet50())
    assert str(network) == whole
    assert {line for line in lines if "…" not in line} <= set(whole.splitlines())
    more = [line.strip() for line in lines if "…" in line]
    assert more[0] == "… 2 more Bottleneck blocks, 140,800 parameters"
    assert [int(line.split()[1]) for line in more] == [2, 3, 5, 2]
    # What is shown and what is counted are all parameters.
    blocks = [block for stage in (network.layer1, network.layer2) for block in stage[1:]]
    counted = sum(int(line.split()[-2].replace(",", "")) for line in more[:2])
    assert counted == sum(p.numel() for block in blocks for p in block.parameters())
    (one,) = [line for line in layers.describe(layers.empty("resnet18")).splitlines() if "…" in line
              and "73,984" in line]  # fmt: skip
    assert one.strip() == "… 1 more BasicBlock block, 73,984 parameters"


@pytest.fixture(scope="module")
def resnet18_state():
    torch.manual_seed(0)
    return torchvision.models.resnet18(num_classes=5).state_dict()


def test_a_state_dict_of_ones_own(look, quick, resnet18_state, picture, tmp_path):
    path = tmp_path / "own.pth"
    torch.save(resnet18_state, path)
    done = look("--weights", path, "--image", picture, "--full")
    assert done.returncode == 0 and done.stderr == ""
    network = torchvision.models.resnet18(num_classes=5)
    count = f"{parameter_count(network):,} parameters"
    assert done.stdout.startswith(f"{network}\nresnet18: {count}\n")
    assert "\nfilters: the first layer of a ResNet-18 (" in done.stdout
    filters = quick["colour_filters"][0]
    np.testing.assert_array_equal(filters, resnet18_state["conv1.weight"])
    # As ImageNet's networks normalise.
    pixels = photos.read_image(picture)
    values = (pixels[3, 4] / 255 - layers.MEAN) / layers.STD
    np.testing.assert_allclose(quick["image_channels"][1][:, 3, 4], values, atol=1e-5)
    assert look("--weights", path, "--model", "resnet18", "--image", picture).returncode == 0
    line = error_line(look("--weights", path, "--model", "resnet50", "--image", picture))
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
    np.testing.assert_array_equal(layer.filters, resnet18_state["conv1.weight"].half())


def test_a_whole_network_with_what_it_learned(resnet18_state, tmp_path):
    facts = {"model": "resnet18", "dataset": "CIFAR-10", "mean": [0.1, 0.2, 0.3], "std": [1, 1, 2]}
    torch.save({"state_dict": resnet18_state, **facts}, tmp_path / "whole.pth")
    layer = layers.read_first_layer(tmp_path / "whole.pth", None)
    assert layer.words == "ResNet-18 trained on CIFAR-10" and layer.network.fc.out_features == 5
    np.testing.assert_allclose(layer.mean, facts["mean"])
    assert layer.normalise(np.full((2, 3, 3), 255, np.uint8))[2, 0, 0] == pytest.approx(0.35)


def test_weights_that_do_not_fit(look, resnet18_state, picture, models_dir, tmp_path):
    path = tmp_path / "bad.pth"

    def complaint(content=None, *arguments):
        if content is not None:
            torch.save(content, path)
        line = error_line(look("--weights", path, "--image", picture, *arguments))
        assert "bad.pth" in line and not list((tmp_path / "figures").iterdir())
        return line

    first = "conv1.weight"
    nan = resnet18_state["layer3.0.conv1.weight"].clone()
    nan[5, 5] = torch.nan
    for content, words in (
        (MyNetwork().state_dict(), "no weights of a ResNet; choose some of resnet18, resnet34"),
        ({first: resnet18_state[first]}, "no weights of a ResNet"),
        (resnet18_state | {first: torch.zeros(64, 3, 3, 3)}, "no weights of a ResNet"),
        (resnet18_state | {"more": torch.zeros(1)}, "no weights of a ResNet"),
        (resnet18_state | {"layer3.0.conv1.weight": nan}, "no finite numbers"),
        ([1, 2], "no weights of a ResNet"),
        (torch.zeros(3), "no weights of a ResNet"),
        (torchvision.models.resnet18(), "could run code"),
    ):
        assert words in complaint(content)
    for changes, words in (
        ({"model": "resnet99"}, "no weights of a ResNet"),
        ({first: torch.zeros(64, 3, 5, 5)}, "no weights of a ResNet"),
        ({first: [1, 2]}, "no weights of a ResNet"),
        ({"mean": "grey"}, "no finite numbers"),
        ({"std": [0.2, 0, 0.2]}, "no finite numbers"),
        ({first: torch.full(layers.SHAPE, torch.inf)}, "no finite numbers"),
    ):
        save_first_layer(path, **changes)
        assert words in complaint()
    torch.save(resnet18_state, path)
    path.write_bytes(path.read_bytes()[:1_000_000])
    assert "cut off" in complaint()
    path.write_bytes(b"no weights at all")
    complaint()
    path.unlink()
    assert "no weights file" in complaint()
    # What ships is a first layer of one model, too.
    line = error_line(look("--weights", "cifar10", "--model", "resnet50", "--image", picture))
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
    assert quick["colour_filters"][-1].startswith(
        "The 64 filters of the first layer of a ResNet-18 trained on CIFAR-10"
    )
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
    def load():
        return layers.first_layer("imagenet", "resnet18", tmp_path)

    server.way = "cut"
    with pytest.raises(Problem, match="could not be downloaded"):
        load()
    assert list(cache.iterdir()) == []  # half of it is nothing
    server.way = "whole"
    layer = load()
    assert layer.words == "ResNet-18 trained on ImageNet"
    assert "resnet18, 45 MB, to" in capfd.readouterr().err  # told before
    np.testing.assert_array_equal(layer.filters, resnet18_state["conv1.weight"])
    assert [path.name for path in cache.iterdir()] == [server.name]
    assert server.requests == 2
    load()
    assert server.requests == 2  # from the cache
    whole = (cache / server.name).read_bytes()
    (cache / server.name).write_bytes(whole[:-1000])
    load()
    assert server.requests == 3 and (cache / server.name).read_bytes() == whole
    capfd.readouterr()


def test_a_download_that_hangs(server, cache, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(datasets, "TIMEOUT", 0.5)
    server.way = "hang"
    start = time.monotonic()
    with pytest.raises(Problem, match="timed out"):
        layers.first_layer("imagenet", "resnet18", tmp_path)
    assert time.monotonic() - start < 10
    assert list(cache.iterdir()) == []
    capfd.readouterr()


def test_what_is_looked_at_without_a_picture(look, quick, monkeypatch):
    done = look("--weights", "cifar10")  # nothing is downloaded for it
    assert done.stderr == "matplotlib's sample photograph is scaled down from 512×600 pixels\n"
    assert "\nimage: matplotlib's sample photograph, 191×224 pixels\n" in done.stdout
    assert "ext1_responses_resnet18_cifar10_photograph.png" in done.stdout
    found = SimpleNamespace(data=NOISE[None])
    monkeypatch.setattr(pictures, "CIFAR10", lambda data_dir, train: found)
    monkeypatch.setattr(pictures, "CAT_SHA256", sha256(NOISE.tobytes()).hexdigest()[:8])
    done = look("--weights", "cifar10")
    assert f"\nimage: {pictures.CAT}, 45×30 pixels\n" in done.stdout
    np.testing.assert_array_equal(quick["image_channels"][0], NOISE)
    assert pictures.CAT in quick["colour_filters_and_responses"][-1]


def test_a_picture_is_named_by_what_it_shows(look, quick, picture, monkeypatch):
    """Never by its file's name, which need be no text."""
    strange = picture.with_name("\udcff $x_{.png")
    try:
        picture.rename(strange)
    except (OSError, UnicodeError):
        strange = picture
    for changes, words, name in (
        ({}, "the picture", "ext1_responses_x"),
        ({"CAT_SHA256": sha256(NOISE.tobytes()).hexdigest()[:8]}, pictures.CAT, "ext1_responses"),
    ):
        for key, value in changes.items():
            monkeypatch.setattr(pictures, key, value)
        save_first_layer(strange.parent / "x.pth", model="resnet50", dataset="ImageNet")
        done = look("--weights", strange.parent / "x.pth", "--image", strange)
        assert done.returncode == 0, done.stderr
        assert f"image: {words}, 45×30" in done.stdout and f"{name}.png\n" in done.stdout
        assert words in quick["image_channels"][-1]


def test_a_large_transparent_picture(look, quick, tmp_path):
    pixels = np.full((600, 1000, 4), (10, 20, 200, 255), np.uint8)
    pixels[:300, :, 3] = 0
    cv2.imwrite(str(tmp_path / "large.png"), pixels)
    done = look("--weights", "cifar10", "--image", tmp_path / "large.png")
    assert done.returncode == 0
    assert "scaled down from 1000×600" in done.stderr
    seen = quick["image_channels"][0]
    assert seen.shape == (134, 224, 3)
    assert seen[-1, 0].tolist() == [200, 20, 10]


def test_without_the_digit_network(look, quick, models_dir, picture):
    (models_dir / "mnist_network.pth").unlink()
    done = look("--weights", "cifar10", "--image", picture)
    assert done.returncode == 0
    assert "going on without the digit network" in done.stderr
    assert "digit network" not in done.stdout and "5×5" not in done.stdout


def test_a_layer_of_nothing(look, models_dir, picture, tmp_path):
    """Weights of zero, as some filters of real networks nearly are: figures and all."""
    save_first_layer(models_dir / layers.SHIPPED, **{"conv1.weight": torch.zeros(layers.SHAPE)})
    done = look("--weights", "cifar10", "--image", picture)
    assert done.returncode == 0, done.stderr
    assert "\nfindings:\n  0 of 64 filters" in done.stdout


def test_chance_is_of_the_seed(look, quick, picture):
    outputs = [
        look("--weights", "cifar10", "--image", picture, "--seed", seed).stdout
        for seed in (1, 1, 2)
    ]
    assert outputs[0] == outputs[1] != outputs[2]


LONG = "Each filter of the first layer of a ResNet-152 trained on ImageNet, and a picture"


@pytest.fixture(scope="module")
def tuning():
    return gratings.measure(known_filters()[0])


def test_filters_are_shown_in_order_at_their_own_contrast_and_on_one_scale(tuning):
    filters, _ = known_filters()
    order = np.arange(64)[::-1]
    figure = figures.colour_filters(filters, tuning, order, LONG)
    assert_readable(figure)
    own, common = figure.axes
    for axis, limits in (
        (own, np.abs(filters).max((1, 2, 3))),
        (common, [np.abs(filters).max()] * 64),
    ):
        for tile, index in zip(axis.get_images(), order, strict=True):
            expected = 0.5 + filters[index].transpose(1, 2, 0) / (2 * limits[index])
            np.testing.assert_allclose(tile.get_array(), expected, atol=1e-6)
    labels = [text for text, *_ in texts(figure) if text.isdigit()]
    assert sorted(labels, key=int) == [str(i) for i in range(64)]
    bars = own.patches[1::2]  # each is on a pale one
    lengths = [bar.get_width() for bar in bars]
    np.testing.assert_allclose(lengths, (tuning.weight / tuning.weight.max())[order])


@pytest.mark.parametrize("size", [(32, 32), (20, 224), (224, 20), (1, 1)])
def test_figures_of_any_picture_are_readable(size, tuning):
    filters, _ = known_filters()
    responses = np.random.default_rng(0).normal(size=(64, *size))
    arguments = responses, tuning, np.arange(64), LONG
    assert_readable(figures.colour_filters_and_responses(filters, *arguments))
    picture = np.zeros((*size, 3), np.uint8)
    assert_readable(figures.image_channels(picture, np.full((3, *size), -2.0), LONG))


@pytest.mark.parametrize("with_digits", [True, False])
def test_the_overview_is_readable(with_digits, tuning, monkeypatch):
    monkeypatch.setattr(gratings, "POOL", 50)
    filters, _ = known_filters()
    chance = gratings.measure(gratings.chance_filters(filters, np.random.default_rng(0), True))
    rows = {findings.LAYER: tuning, findings.ALIKE: chance}
    digits = gratings.measure(filters[:10, :1, 1:6, 1:6])
    if with_digits:
        rows[findings.DIGITS] = digits
    figure = figures.tuning_overview(rows, LONG)
    assert_readable(figure)
    gratings_shown, bandwidths, forms, bars = figure.axes
    shown = sum(len(dots.get_offsets()) for dots in gratings_shown.collections)
    flat = np.sum(tuning.frequency == 0)
    expected = 64 - flat + (np.sum(digits.frequency > 0) if with_digits else 0)
    assert shown == expected and f"{flat} prefer flat" in gratings_shown.get_title()
    assert sum(bar.get_height() for bar in bandwidths.patches) == 64
    assert sum(len(dots.get_offsets()) for dots in forms.collections) == 64 + 50
    told = [text.get_text() for text in bars.texts]
    assert told[:5] == ["24", "8", "16", "8", "8"]
    numbers = [
        n for row in rows.values() for n in findings.counts(row) if n / len(row.kind) >= 0.06
    ]
    assert told == list(map(str, numbers))


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
