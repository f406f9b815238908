"""What people really have: their machines, weights, data sets, pictures and folders.

Each row is a kind of report that projects like this one get, made anew and tried through the
program's own door.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import os
import pickle
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from conftest import HOME, SHIPPED, contents, error_line, output, put
from torch import nn

from network import datasets, mnist, plots
from network.model import MyNetwork, save_network
from network.weights import load_network

SEVEN = HOME / "data" / "digits" / "7.png"


def copy_digit(digit, *paths):
    for path in paths:
        put(path, SEVEN.with_name(f"{digit}.png").read_bytes())


@pytest.fixture
def evaluate(script, tmp_path, quick_runs):
    """Runs mnist_eval.py, its figures in a folder of their own."""
    return partial(script, "mnist_eval.py", "--figures-dir", tmp_path / "figures")


# Environments


@pytest.mark.parametrize("readable", [True, False])
def test_figures_whatever_the_environment_asks_for(tmp_path, readable):
    settings = b"text.usetex: True\nbackend: nowhere\nfont.size: 40\n"
    settings += b"this is no setting\nlines.linewidth: very large\n"
    (tmp_path / "matplotlibrc").write_bytes(settings if readable else b"\xff\xfe\x00broken")
    backend = "module://matplotlib_inline.backend_inline"  # as Jupyter leaves it to its terminals
    done = subprocess.run(
        [sys.executable, HOME / "mnist_eval.py", "--figures-dir", "figures", SEVEN],
        cwd=tmp_path,
        env={**os.environ, "MPLBACKEND": backend, "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
    )
    assert "Traceback" not in done.stderr
    if readable:
        assert done.returncode == 0, done.stderr
        assert cv2.imread(str(tmp_path / "figures" / "1f_new_digits_7.png")).shape[1] > 300
    else:
        assert done.returncode == 2 and "matplotlibrc" in done.stderr.splitlines()[-1]


class Console:
    """A stream as IDLE, Spyder and notebooks have them: it takes text, and does little else."""

    text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


@pytest.mark.usefixtures("small_mnist", "quick_runs")
@pytest.mark.parametrize(
    ("program", "arguments", "status"),
    [
        ("mnist_eval.py", "--data-dir data 7.png none.png", 2),
        ("mnist_train.py", "--data-dir data --models-dir models --epochs 1 --dataset mnist", 0),
        ("analyze_filters.py", "--data-dir data --models-dir models --dataset mnist", 0),
        ("greek_network.py", "--models-dir models", 0),
    ],
)
def test_streams_of_other_consoles(script, tmp_path, monkeypatch, program, arguments, status):
    monkeypatch.chdir(tmp_path)
    copy_digit(7, tmp_path / "7.png")
    put(tmp_path / "models" / SHIPPED.name, SHIPPED.read_bytes())
    console = Console()
    monkeypatch.setattr(sys, "stdout", console)
    monkeypatch.setattr(sys, "stderr", console)
    done = script(program, "--figures-dir", "figures", *arguments.split())
    assert done.returncode == status, console.text
    assert "Traceback" not in console.text and "written:" in console.text


# Weights of other people


STATE = load_network(SHIPPED)[0].state_dict()
# Under the names that layers have in an nn.Sequential.
PLACES = [f"{place}.{kind}" for place in (0, 3, 8, 10) for kind in ("weight", "bias")]
SEQUENTIAL = dict(zip(PLACES, STATE.values(), strict=True))
ARRAYS = {name: value.numpy() for name, value in STATE.items()}


def prefixed(prefix, state=STATE):
    return {f"{prefix}{name}": value for name, value in state.items()}


def zip_of_weights(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SHIPPED, SHIPPED.name)


# As `put` takes them; these are read without a word.
READ = {
    "bare": STATE,
    "DataParallel": prefixed("module."),
    "torch.compile": prefixed("_orig_mod."),
    "both": prefixed("module._orig_mod."),
    "Lightning": {"epoch": 3, "state_dict": prefixed("model.")},
    "averaged": {"n_averaged": torch.tensor(9), **prefixed("module.")},
    "state_dict": {"state_dict": STATE, "epoch": 5, "arch": "MyNetwork"},
    "model_state_dict": {"model_state_dict": STATE, "optimizer_state_dict": {}},
    "model": {"model": STATE},
    "net": {"net": STATE, "acc": 98.4},
    "numbers between": {**STATE, "epoch": 3, "loss": 0.1},
    "deep": {"model": {"state_dict": prefixed("net.")}},
    "before torch 1.6": partial(torch.save, STATE, _use_new_zipfile_serialization=False),
    "half precision": {name: value.half() for name, value in STATE.items()},
    "double precision": {name: value.double() for name, value in STATE.items()},
    "NumPy's number": {"state_dict": STATE, "accuracy": np.float64(98.4)},
    "NumPy's arrays": ARRAYS,
    "its options": {"state_dict": STATE, "args": argparse.Namespace(lr=0.1)},
    "npz": lambda path: np.savez(path, **ARRAYS),
}
# Layers of other names are taken for the network's, and the program says so.
RENAMED = {
    "Sequential": SEQUENTIAL,
    "Sequential, sorted": dict(sorted(SEQUENTIAL.items())),
    "parts": prefixed("cnn_layers.", SEQUENTIAL),
    "a list": list(STATE.values()),
    "underscores": {name.replace(".", "_"): value for name, value in STATE.items()},
}
REFUSED = {
    "TorchScript": (torch.jit.script(nn.ReLU()).save, "is a TorchScript model"),
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0", "is an ONNX"),
    "a whole model": (MyNetwork(), "torch.save(model.state_dict()"),
    "a plain pickle": (pickle.dumps(ARRAYS), "could run code"),
    "another network": (
        nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)).state_dict(),
        "another network (0.weight [32, 1, 3, 3]",
    ),
    "two ways to match": (
        [torch.zeros(shape) for shape in 2 * [(1, 1, 5, 5), (1,)] + 2 * [(16, 16), (16,)]],
        "another network",
    ),
    "a layer more": ({**SEQUENTIAL, "fc2.weight": torch.zeros(2, 50)}, "another network"),
    "cut off": (SHIPPED.read_bytes()[:-300], "cut off or damaged"),
    "a zip of weights": (zip_of_weights, "unpack it first"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(99), "Keras"),
    "a web page": (b"<!DOCTYPE html><html>", "is a web page"),
    "a Git LFS pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha", "git lfs pull"),
}


@pytest.fixture
def answer(evaluate, tmp_path):
    """What a program answers to weights."""

    def run(content, name="weights.pth"):
        put(tmp_path / name, content)
        return evaluate("--weights", tmp_path / name, SEVEN)

    return run


@pytest.mark.parametrize("kind", [*READ, *RENAMED])
def test_weights_that_are_read(answer, kind):
    name = "weights.npz" if kind == "npz" else "weights.pth"
    done = answer({**READ, **RENAMED}[kind], name)
    assert done.returncode == 0 and f"{SEVEN}: 7 (" in done.stdout
    said = "by their order and shapes" if kind in RENAMED else ""
    assert said in done.stderr and bool(done.stderr) == bool(said)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_weights_that_are_refused(answer, kind):
    content, says = REFUSED[kind]
    line = error_line(answer(content))
    assert says in line and ("cut off" in line) == (kind == "cut off")


def test_safetensors_by_its_own_library(answer):
    # The format: the header's length, the header, the tensors end to end.
    header, body = {}, b""
    for name, array in ARRAYS.items():
        place = [len(body), len(body) + array.nbytes]
        header[name] = {"dtype": "F32", "shape": array.shape, "data_offsets": place}
        body += array.tobytes()
    text = json.dumps(header).encode()
    done = answer(struct.pack("<Q", len(text)) + text + body, "model.safetensors")
    if importlib.util.find_spec("safetensors"):
        assert f"{SEVEN}: 7 (" in done.stdout
    else:
        assert "python -m pip install safetensors" in error_line(done)


# Networks that learned something else


def test_clothes_are_answered_with_clothes(evaluate, script, small_mnist, tmp_path):
    # Digits pass for clothes.
    shutil.copytree(small_mnist / "MNIST", small_mnist / "FashionMNIST")
    path = tmp_path / "experiment_network.pth"
    clothes = list(datasets.CLOTHES)
    save_network(path, load_network(SHIPPED)[0], dataset="FashionMNIST", class_names=clothes)
    out = output(evaluate("--weights", path, "--data-dir", small_mnist))
    assert "the first 10 test images of FashionMNIST" in out
    assert "  ankle boot: " in out and "digit" not in out

    test = datasets.load("FashionMNIST", small_mnist, train=False)
    image = test.images[(test.labels == 7).nonzero()[0, 0]].numpy()
    picture = tmp_path / "sneaker" / "7.png"
    put(picture, 255 - cv2.resize(image, (280, 280), interpolation=cv2.INTER_CUBIC))
    out = evaluate("--weights", path, picture).stdout
    assert "7.png: sneaker (" in out and ", true sneaker" in out and "accuracy: 1/1" in out

    line = error_line(script("greek_network.py", "--weights", path, "--figures-dir", tmp_path))
    assert "not the ten digits" in line and "T-shirt" in line


def test_letters_are_answered_with_letters(evaluate, script, small_mnist, tmp_path):
    # A network that takes a 0 for alpha, a 1 for beta and a 7 for gamma.
    last = {name: STATE[name][[0, 1, 7]] for name in ("fc2.weight", "fc2.bias")}
    network = MyNetwork.from_state_dict({**STATE, **last})
    weights = ["--weights", tmp_path / "mine.pth"]
    save_network(weights[1], network, dataset="mine", class_names=["alpha", "beta", "gamma"])
    folders = [tmp_path / name for name in ("Alpha", "β", "gamma", "notes")]
    for folder, digit in zip(folders, (0, 1, 7, 7), strict=True):
        copy_digit(digit, folder / f"{digit}.png")
    out = output(evaluate(*weights, *folders))
    assert "0.png: alpha (" in out and ", true gamma" in out
    assert "accuracy: 3/3 = " in out  # 7.png in notes claims nothing of letters
    assert "name pictures to recognise" in error_line(evaluate(*weights))

    folders = ["--figures-dir", tmp_path / "figures", "--data-dir", small_mnist]
    out = output(script("analyze_filters.py", *weights, *folders, "--image", SEVEN))
    assert "7.png: gamma (" in out


# Data sets


def moved(place, rename=str, pack=bytes):
    """Lays the four files elsewhere, under other names, packed or not."""

    def lay(data, mnist_dir):
        for name in mnist.FILES:
            content = (mnist_dir / "MNIST" / "raw" / name).read_bytes()
            put(data / place / rename(name), pack(content))

    return lay


def parts(mnist_dir):
    return [datasets.load("MNIST", mnist_dir, train) for train in (True, False)]


def rows(part):
    """Each label with its image's grey values."""
    return np.column_stack([part.labels, part.images.flatten(1)])


def as_csv(data, mnist_dir, header=()):
    for name, part in zip(("mnist_train.csv", "mnist_test.csv"), parts(mnist_dir), strict=True):
        with open(data / name, "w", newline="") as file:
            csv.writer(file).writerows([*header, *rows(part)])


COLUMNS = ["label", *(f"{y}x{x}" for y in range(1, 29) for x in range(1, 29))]


def as_npz(data, mnist_dir):
    arrays = {}
    for name, part in zip(("train", "test"), parts(mnist_dir), strict=True):
        arrays |= {f"x_{name}": part.images, f"y_{name}": part.labels.byte()}
    (data / "MNIST").mkdir()
    np.savez(data / "MNIST" / "mnist.npz", **arrays)


def as_processed(data, mnist_dir):
    for name, part in zip(("training", "test"), parts(mnist_dir), strict=True):
        put(data / "MNIST" / "processed" / f"{name}.pt", (part.images, part.labels))


def as_pictures(data, mnist_dir):
    for name, part in zip(("training", "testing"), parts(mnist_dir), strict=True):
        for number, (image, label) in enumerate(zip(part.images, part.labels, strict=True)):
            put(data / "mnist_png" / name / f"{label}" / f"{number}.png", image.numpy())


LAID = {
    "straight in the folder": moved("."),
    "in MNIST": moved("MNIST"),
    "Kaggle's dots": moved("MNIST/raw", lambda name: name.replace("-idx", ".idx")),
    "test-images": moved("MNIST/raw", lambda name: name.replace("t10k", "test")),
    "Kaggle's folders": moved("MNIST/raw", lambda name: f"{name}/{name}"),
    "unpacked, named .gz": moved("MNIST/raw", lambda name: f"{name}.gz"),
    "packed, not named so": moved("MNIST/raw", pack=gzip.compress),
    "packed": moved(".", lambda name: f"{name}.gz", pack=gzip.compress),
    "capitals": moved(".", str.upper),
    "downloaded twice": moved(".", lambda name: f"{name} (1)"),
    "CSV": as_csv,
    "CSV with a header": partial(as_csv, header=[COLUMNS]),
    "npz": as_npz,
    "processed": as_processed,
    "pictures": as_pictures,
}


@pytest.mark.parametrize("form", LAID)
def test_data_in_all_forms(small_mnist, tmp_path, form, offline):
    data = tmp_path / "theirs"
    data.mkdir()
    LAID[form](data, small_mnist)
    assert datasets.find_dataset("mnist", data) == "MNIST"
    for part, wanted in zip(parts(data), parts(small_mnist), strict=True):
        if form == "pictures":  # these have no order
            assert sorted(rows(part).tolist()) == sorted(rows(wanted).tolist())
        else:
            assert part.images.equal(wanted.images) and part.labels.equal(wanted.labels)


def test_the_error_names_every_place_and_what_lies_there(evaluate, tmp_path, offline):
    data = tmp_path / "theirs"
    put(data / "archive.zip", b"PK")
    put(data / "MNIST" / "train-images-idx3-ubyte", b"")
    line = error_line(evaluate("--data-dir", data, "--dataset", "mnist"))
    for place in (data / "MNIST" / "raw", data / "MNIST", data):
        assert f"{place}, " in line or f"{place} and" in line
    assert "archive.zip" in line and "lacks train-labels-idx1-ubyte" in line


def test_fashion_files_are_told_from_digits(small_mnist, tmp_path):
    shutil.copytree(small_mnist / "MNIST" / "raw", tmp_path / "fashion-mnist")
    assert mnist.find("FashionMNIST", tmp_path / "fashion-mnist")
    assert not mnist.find("MNIST", tmp_path / "fashion-mnist")
    assert not mnist.find("FashionMNIST", small_mnist / "MNIST" / "raw")


# Pictures and their labels


CLAIMS = (
    "7/a.jpg", "7/3.png", "7.png", "digit_7.png", "DIGIT_7.PNG", "7_2.jpg", "digit_7_2.png",
    "7 (2).png",
)  # fmt: skip
NO_CLAIMS = (
    "scan1.png", "photo5.jpg", "IMG_1.jpg", "IMG_2041.png", "digit12.png", "digit1.png",
    "my digits v3.png", "12.png", "2023-01-07.png", "33/a.png", "page 7.png", "7 copies.png",
    "seven.png", "٣.png",
)  # fmt: skip


def test_only_clear_names_are_taken_for_the_truth(evaluate, tmp_path):
    folder = tmp_path / "pictures"
    copy_digit(7, *(folder / name for name in CLAIMS + NO_CLAIMS))
    out = evaluate(folder).stdout
    told = dict(re.findall(r"^(.*): 7 \(.*?\)(, true .*)?$", out, re.M))
    assert told == {
        **{str(folder / name): ", true 7" for name in CLAIMS},
        **{str(folder / name): "" for name in NO_CLAIMS},
    }
    assert "accuracy: 8/8 = " in out and "misread" not in out
    out = evaluate("--no-labels", folder).stdout
    assert ", true" not in out and "accuracy" not in out


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([f"digit{n + 1}" for n in range(9)], "are all one more than the answers"),
        ([f"{n + 1}" for n in range(9)], "are all one more than the answers"),
        ([f"{(n + 5) % 10}" for n in range(10)], "are none of the answers"),
        ([f"digit_{n}" for n in range(10)], ""),
    ],
)
def test_running_numbers_are_no_truth(evaluate, tmp_path, names, says):
    for digit, name in enumerate(names):
        copy_digit(digit, tmp_path / "digits" / f"{name}.png")
    done = evaluate(tmp_path / "digits")
    assert done.returncode == 0
    assert done.stderr.count("\n") == bool(says) and says in done.stderr
    assert re.findall("accuracy: .*? ", done.stdout) == ([] if says else ["accuracy: 10/10 "])


def test_patterns_that_the_shell_left(evaluate, tmp_path):
    copy_digit(7, *(tmp_path / name for name in ("a.jpg", "b.jpg", "c.png", "[x].png")))
    assert evaluate(tmp_path / "*.jpg").stdout.count(": 7 (") == 2
    assert evaluate(tmp_path / "[x].png").stdout.count(": 7 (") == 1  # a file of that name
    assert "does not exist" in error_line(evaluate(tmp_path / "*.gif"))


def test_mistakes_come_first_and_once_more(evaluate, tmp_path, monkeypatch):
    folder = tmp_path / "7"
    copy_digit(7, *(folder / f"{number:02}.png" for number in range(38)))
    copy_digit(4, folder / "38.png", folder / "39.png")
    drawn = []

    def draw(*arguments):
        drawn.append(arguments)
        return plots.panels(1, 1, "")[0]

    monkeypatch.setattr(plots, "pictures_as_seen", draw)
    out = evaluate(folder).stdout
    assert "accuracy: 38/40 = 95.00%" in out
    listed = out.split("misread:\n")[1].splitlines()
    assert "38.png: 4 (" in listed[0] and "39.png: 4 (" in listed[1] and listed[2] == ""
    ((pictures, _, captions, _, title),) = drawn
    assert len(pictures) == 30 and "30 of 40" in title
    assert ["\ntrue 7" in caption for caption in captions] == [True] * 2 + [False] * 28


# Nothing of theirs is lost


PICTURE, FOLDER, OTHER, DATA = str(SEVEN), "new digits", "other.pth", "data"


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("mnist_eval.py", [PICTURE]),
        ("mnist_eval.py", [FOLDER]),
        ("mnist_eval.py", [PICTURE, FOLDER]),
        ("mnist_eval.py", ["--weights", OTHER, "--data-dir", DATA, "--dataset", "mnist"]),
        ("mnist_eval.py", ["--weights", OTHER, PICTURE]),
        ("mnist_eval.py", ["--dataset", "drawn"]),
        (
            "analyze_filters.py",
            ["--image", PICTURE, "--weights", OTHER, "--data-dir", DATA, "--dataset", "mnist"],
        ),
    ],
)
def test_own_input_never_replaces_what_ships(
    script, small_mnist, tmp_path, monkeypatch, quick_runs, drawn, program, arguments
):
    monkeypatch.setattr(datasets.pen, "drawn_digits", lambda *_, **__: drawn)
    monkeypatch.chdir(tmp_path)
    copy_digit(7, tmp_path / FOLDER / "7.png")
    put(tmp_path / OTHER, SHIPPED.read_bytes())
    figures = shutil.copytree(HOME / "figures", tmp_path / "figures")
    before = contents(figures)
    for _ in range(2):
        done = script(program, "--figures-dir", "figures", *arguments)
        assert done.returncode == 0, done.stderr
    after = contents(figures)
    lines = done.stdout.split("written:")[1].split("\n")
    written = {figures / os.path.basename(line.strip()) for line in lines if line}
    # A run on drawn digits reads the shipped digits, too.
    own = {figures / "1f_new_digits.png"} if "drawn" in arguments else set()
    assert {path for path in after if after[path] != before.get(path)} <= written
    assert all(after[path] == before[path] for path in before.keys() - own)
    assert after.keys() - before.keys() == written - own
