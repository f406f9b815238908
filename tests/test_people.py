"""What people really have: their machines, weights, data sets, pictures and folders.

Each row is a kind of report that projects like this one get, made anew and tried through the
program's own door.
"""

import argparse
import csv
import gzip
import io
import json
import os
import pickle
import shutil
import struct
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from conftest import HOME, contents, error_line
from torch import nn

from network import datasets, mnist, plots
from network.model import MyNetwork, save_network
from network.weights import load_network

SHIPPED = HOME / "models" / "mnist_network.pth"
SEVEN = HOME / "data" / "digits" / "7.png"


@pytest.fixture
def evaluate(script, tmp_path, quick_runs):
    """Runs mnist_eval.py, its figures in a folder of their own."""

    def run(*arguments):
        return script("mnist_eval.py", "--figures-dir", tmp_path / "figures", *arguments)

    return run


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

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass


@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("mnist_eval.py", ["7.png", "none.png"]),
        ("mnist_train.py", ["--epochs", "1", "--dataset", "mnist"]),
        ("analyze_filters.py", ["--dataset", "mnist"]),
        ("greek_network.py", []),
    ],
)
def test_streams_of_other_consoles(
    script, small_mnist, tmp_path, monkeypatch, quick_runs, program, arguments
):
    monkeypatch.chdir(tmp_path)
    shutil.copy(SEVEN, "7.png")
    (tmp_path / "models").mkdir()
    shutil.copy(SHIPPED, "models")
    data = [] if program == "greek_network.py" else ["--data-dir", small_mnist]
    folders = [*data, "--figures-dir", "figures"]
    if program != "mnist_eval.py":
        folders += ["--models-dir", "models"]
    console = Console()
    monkeypatch.setattr(sys, "stdout", console)
    monkeypatch.setattr(sys, "stderr", console)
    done = script(program, *folders, *arguments)
    assert done.returncode == (2 if "none.png" in arguments else 0), console.text
    assert "Traceback" not in console.text and "written:" in console.text


# Weights of other people


STATE = {name: value.clone() for name, value in load_network(SHIPPED)[0].state_dict().items()}
MINE = dict(
    zip(STATE, ("0.w", "0.b", "3.w", "3.b", "8.w", "8.b", "10.w", "10.b"), strict=True)
)  # the names that layers have in an nn.Sequential
SEQUENTIAL = {
    MINE[name].replace("w", "weight").replace("b", "bias"): value for name, value in STATE.items()
}


class Whole(nn.Module):
    """A network whose whole object people save; reading it runs code."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 10, 5)


class Traced(nn.Module):
    def forward(self, x):
        return x + 1


def prefixed(prefix):
    return {f"{prefix}{name}": value for name, value in STATE.items()}


def as_safetensors(path):
    """The format: the header's length, the header, the tensors end to end."""
    header, body = {}, b""
    for name, value in STATE.items():
        data = value.numpy().tobytes()
        place = [len(body), len(body) + len(data)]
        header[name] = {"dtype": "F32", "shape": list(value.shape), "data_offsets": place}
        body += data
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)


def saved(content, **options):
    return lambda path: torch.save(content, path, **options)


def cut(path):
    file = io.BytesIO()
    torch.save(STATE, file)
    path.write_bytes(file.getvalue()[:-300])


def zipped(path):
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.write(SHIPPED, "mnist_network.pth")


# How a file is made, and what is said where it is not read, or said of how it was read.
READ = {
    "bare": (saved(STATE), None),
    "DataParallel": (saved(prefixed("module.")), None),
    "torch.compile": (saved(prefixed("_orig_mod.")), None),
    "both": (saved(prefixed("module._orig_mod.")), None),
    "Lightning": (saved({"epoch": 3, "state_dict": prefixed("model.")}), None),
    "averaged": (saved({"n_averaged": torch.tensor(9), **prefixed("module.")}), None),
    "state_dict": (saved({"state_dict": STATE, "epoch": 5, "arch": "MyNetwork"}), None),
    "model_state_dict": (saved({"model_state_dict": STATE, "optimizer_state_dict": {}}), None),
    "model": (saved({"model": STATE}), None),
    "net": (saved({"net": STATE, "acc": 98.4}), None),
    "numbers between": (saved({**STATE, "epoch": 3, "loss": 0.1}), None),
    "deep": (saved({"model": {"state_dict": prefixed("net.")}}), None),
    "before torch 1.6": (saved(STATE, _use_new_zipfile_serialization=False), None),
    "half precision": (saved({name: value.half() for name, value in STATE.items()}), None),
    "double precision": (saved({name: value.double() for name, value in STATE.items()}), None),
    "NumPy's number": (saved({"state_dict": STATE, "accuracy": np.float64(98.4)}), None),
    "NumPy's arrays": (saved({name: value.numpy() for name, value in STATE.items()}), None),
    "its options": (saved({"state_dict": STATE, "args": argparse.Namespace(lr=0.1)}), None),
    "npz": (lambda path: np.savez(path, **{n: v.numpy() for n, v in STATE.items()}), None),
    "Sequential": (saved(SEQUENTIAL), "by their shapes"),
    "Sequential, sorted": (saved(dict(sorted(SEQUENTIAL.items()))), "by their shapes"),
    "parts": (
        saved({f"cnn_layers.{name}": value for name, value in SEQUENTIAL.items()}),
        "by their shapes",
    ),
    "a list": (saved(list(STATE.values())), "by their shapes"),
}
REFUSED = {
    "TorchScript": (lambda path: torch.jit.script(Traced()).save(path), "is a TorchScript model"),
    "ONNX": (lambda path: path.write_bytes(b"\x08\x07\x12\x07pytorch\x1a\x052.1.0"), "is an ONNX"),
    "a whole model": (saved(Whole()), "torch.save(model.state_dict()"),
    "a plain pickle": (
        lambda path: path.write_bytes(pickle.dumps({n: v.numpy() for n, v in STATE.items()})),
        "could run code",
    ),
    "another network": (
        saved(nn.Sequential(nn.Conv2d(1, 32, 3), nn.Conv2d(32, 64, 3)).state_dict()),
        "another network (0.weight [32, 1, 3, 3]",
    ),
    "cut off": (cut, "cut off or damaged"),
    "a zip of weights": (zipped, "unpack it first"),
    "Keras": (lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(99)), "Keras"),
    "a web page": (lambda path: path.write_bytes(b"<!DOCTYPE html><html>"), "is a web page"),
    "a Git LFS pointer": (
        lambda path: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0"),
        "git lfs pull",
    ),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", [*READ, *REFUSED])
def test_weights_of_other_people(evaluate, tmp_path, kind):
    make, says = {**READ, **REFUSED}[kind]
    path = tmp_path / ("weights.npz" if kind == "npz" else "weights.pth")
    make(path)
    done = evaluate("--weights", path, SEVEN)
    if kind in REFUSED:
        assert says in error_line(done)
        assert ("cut off" in done.stderr) == (kind == "cut off")
    else:
        assert done.returncode == 0, done.stderr
        assert f"{SEVEN}: 7 (" in done.stdout
        assert (says in done.stderr) if says else done.stderr == ""


def test_safetensors_by_its_own_library(evaluate, tmp_path):
    as_safetensors(tmp_path / "model.safetensors")
    done = evaluate("--weights", tmp_path / "model.safetensors", SEVEN)
    try:
        import safetensors  # noqa: F401
    except ImportError:
        assert "python -m pip install safetensors" in error_line(done)
    else:
        assert f"{SEVEN}: 7 (" in done.stdout


# Networks that learned something else


CLOTHES = datasets.CLOTHES


@pytest.fixture
def fashion(small_mnist, tmp_path):
    """A network whose classes are clothes, and a data folder in which digits pass for them."""
    shutil.copytree(small_mnist / "MNIST", small_mnist / "FashionMNIST")
    network, _ = load_network(SHIPPED)
    path = tmp_path / "experiment_network.pth"
    save_network(path, network, dataset="FashionMNIST", class_names=list(CLOTHES))
    return path


@pytest.fixture
def letters(tmp_path):
    """A network of three letters that takes a 0 for alpha, a 1 for beta and a 7 for gamma."""
    state = dict(STATE)
    for name in ("fc2.weight", "fc2.bias"):
        state[name] = STATE[name][[0, 1, 7]]
    names = ["alpha", "beta", "gamma"]
    save_network(
        tmp_path / "mine.pth", MyNetwork.from_state_dict(state), dataset="mine", class_names=names
    )
    return tmp_path / "mine.pth"


def test_clothes_are_answered_with_clothes(evaluate, script, small_mnist, tmp_path, fashion):
    done = evaluate("--weights", fashion, "--data-dir", small_mnist)
    assert done.returncode == 0, done.stderr
    assert "the first 10 test images of FashionMNIST" in done.stdout
    assert "  ankle boot: " in done.stdout and "digit" not in done.stdout
    test = datasets.load("FashionMNIST", small_mnist, train=False)
    picture = tmp_path / "sneaker" / "7.png"
    picture.parent.mkdir()
    image = test.images[(test.labels == 7).nonzero()[0, 0]].numpy()
    cv2.imwrite(str(picture), 255 - cv2.resize(image, (280, 280), interpolation=cv2.INTER_CUBIC))
    done = evaluate("--weights", fashion, picture)
    assert "7.png: sneaker (" in done.stdout and ", true sneaker" in done.stdout
    assert "accuracy: 1/1" in done.stdout

    done = script("greek_network.py", "--weights", fashion, "--figures-dir", tmp_path)
    assert "not the ten digits" in error_line(done) and "T-shirt" in done.stderr


def test_letters_are_answered_with_letters(evaluate, script, small_mnist, tmp_path, letters):
    for folder, digit in (("Alpha", 0), ("β", 1), ("gamma", 7), ("notes", 7)):
        (tmp_path / folder).mkdir()
        shutil.copy(HOME / "data" / "digits" / f"{digit}.png", tmp_path / folder / f"{digit}.png")
    folders = [tmp_path / name for name in ("Alpha", "β", "gamma", "notes")]
    done = evaluate("--weights", letters, *folders)
    assert done.returncode == 0, done.stderr
    assert "0.png: alpha (" in done.stdout and ", true gamma" in done.stdout
    assert "accuracy: 3/3 = " in done.stdout  # 7.png in notes claims nothing of letters
    assert "name pictures to recognise" in error_line(evaluate("--weights", letters))

    own = ["--weights", letters, "--figures-dir", tmp_path / "figures", "--data-dir", small_mnist]
    done = script("analyze_filters.py", *own, "--image", SEVEN)
    assert done.returncode == 0 and "7.png: gamma (" in done.stdout


# Data sets


def train_and_test(raw):
    return [
        (part, mnist.read_idx(raw / f"{name}-images-idx3-ubyte", (28, 28)),
         mnist.read_idx(raw / f"{name}-labels-idx1-ubyte", ()))
        for part, name in (("train", "train"), ("test", "t10k"))
    ]  # fmt: skip


def moved(place, rename=lambda name: name, pack=None):
    """A spoiler that lays the four files elsewhere, under other names, packed or not."""

    def lay(data, raw):
        (data / place).mkdir(parents=True, exist_ok=True)
        for name in mnist.FILES:
            content = (raw / name).read_bytes()
            path = data / place / rename(name)
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(gzip.compress(content) if pack else content)

    return lay


def as_csv(header, names):
    def lay(data, raw):
        for (_, images, labels), name in zip(train_and_test(raw), names, strict=True):
            with open(data / name, "w", newline="") as file:
                rows = csv.writer(file)
                if header:
                    rows.writerow(
                        ["label", *(f"{y + 1}x{x + 1}" for y in range(28) for x in range(28))]
                    )
                rows.writerows(np.column_stack([labels, images.reshape(len(images), -1)]))

    return lay  # fmt: skip


def as_npz(data, raw):
    parts = train_and_test(raw)
    arrays = {f"{k}_{part}": v for part, x, y in parts for k, v in (("x", x), ("y", y))}
    (data / "MNIST").mkdir()
    np.savez(data / "MNIST" / "mnist.npz", **arrays)


def as_processed(data, raw):
    (data / "MNIST" / "processed").mkdir(parents=True)
    for (_, images, labels), name in zip(train_and_test(raw), ("training", "test"), strict=True):
        content = torch.from_numpy(images.copy()), torch.from_numpy(labels.astype(np.int64))
        torch.save(content, data / "MNIST" / "processed" / f"{name}.pt")


def as_pictures(data, raw):
    for (_, images, labels), name in zip(train_and_test(raw), ("training", "testing"), strict=True):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = data / "mnist_png" / name / str(label) / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)


def in_order(part):
    """Images with their labels, in an order that does not depend on theirs."""
    rows = np.column_stack([part.labels, part.images.flatten(1)])
    return rows[np.lexsort(rows.T)]


LAID = {
    "straight in the folder": moved("."),
    "in MNIST": moved("MNIST"),
    "Kaggle's dots": moved("MNIST/raw", lambda name: name.replace("-idx", ".idx")),
    "test-images": moved("MNIST/raw", lambda name: name.replace("t10k", "test")),
    "Kaggle's folders": moved("MNIST/raw", lambda name: f"{name}/{name}"),
    "unpacked, named .gz": moved("MNIST/raw", lambda name: f"{name}.gz"),
    "packed, not named so": moved("MNIST/raw", pack=True),
    "packed": moved(".", lambda name: f"{name}.gz", pack=True),
    "capitals": moved(".", str.upper),
    "downloaded twice": moved(".", lambda name: f"{name} (1)"),
    "CSV": as_csv(False, ("mnist_train.csv", "mnist_test.csv")),
    "CSV with a header": as_csv(True, ("mnist_train.csv", "mnist_test.csv")),
    "npz": as_npz,
    "processed": as_processed,
    "pictures": as_pictures,
}


@pytest.mark.parametrize("form", LAID)
def test_data_in_all_forms(small_mnist, tmp_path, form, offline):
    data = tmp_path / "theirs"
    data.mkdir()
    LAID[form](data, small_mnist / "MNIST" / "raw")
    assert datasets.find_dataset("mnist", data) == "MNIST"
    for train in (True, False):
        found, wanted = (datasets.load("MNIST", place, train) for place in (data, small_mnist))
        if form == "pictures":  # these have no order
            assert np.array_equal(in_order(found), in_order(wanted))
        else:
            assert found.images.equal(wanted.images) and found.labels.equal(wanted.labels)


def test_the_error_names_every_place_and_what_lies_there(evaluate, tmp_path, offline):
    data = tmp_path / "theirs"
    (data / "MNIST").mkdir(parents=True)
    (data / "archive.zip").write_bytes(b"PK")
    (data / "MNIST" / "train-images-idx3-ubyte").write_bytes(b"")
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
    "7/a.jpg",
    "7/3.png",
    "7.png",
    "digit_7.png",
    "DIGIT_7.PNG",
    "7_2.jpg",
    "digit_7_2.png",
    "7 (2).png",
)
NO_CLAIMS = (
    "scan1.png",
    "photo5.jpg",
    "IMG_1.jpg",
    "IMG_2041.png",
    "digit12.png",
    "digit1.png",
    "my digits v3.png",
    "12.png",
    "2023-01-07.png",
    "33/a.png",
    "page 7.png",
    "7 copies.png",
    "seven.png",
    "٣.png",
)


def test_only_clear_names_are_taken_for_the_truth(evaluate, tmp_path):
    folder = tmp_path / "pictures"
    for name in (*CLAIMS, *NO_CLAIMS):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(SEVEN, folder / name)
    done = evaluate(folder)
    told = {line.split(": ")[0]: line for line in done.stdout.splitlines() if ": 7 (" in line}
    for name in CLAIMS:
        assert ", true 7" in told[str(folder / name)]
    for name in NO_CLAIMS:
        assert ", true" not in told[str(folder / name)]
    assert f"accuracy: {len(CLAIMS)}/{len(CLAIMS)} = " in done.stdout
    assert "misread" not in done.stdout
    done = evaluate("--no-labels", folder)
    assert ", true" not in done.stdout and "accuracy" not in done.stdout


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
    folder = tmp_path / "digits"
    folder.mkdir()
    for digit, name in enumerate(names):
        shutil.copy(HOME / "data" / "digits" / f"{digit}.png", folder / f"{name}.png")
    done = evaluate(folder)
    assert done.returncode == 0
    assert done.stderr.count("\n") == bool(says) and says in done.stderr
    assert ("accuracy: 10/10" in done.stdout) == (not says)
    assert ("accuracy" in done.stdout) == (not says)


def test_patterns_that_the_shell_left(evaluate, tmp_path):
    for name in ("a.jpg", "b.jpg", "c.png", "[x].png"):
        shutil.copy(SEVEN, tmp_path / name)
    assert evaluate(tmp_path / "*.jpg").stdout.count(": 7 (") == 2
    assert evaluate(tmp_path / "[x].png").stdout.count(": 7 (") == 1  # a file of that name
    assert "does not exist" in error_line(evaluate(tmp_path / "*.gif"))


def test_mistakes_come_first_and_once_more(evaluate, tmp_path, monkeypatch):
    folder = tmp_path / "pictures"
    for number in range(40):
        digit = 7 if number < 38 else 4
        (folder / "7").mkdir(parents=True, exist_ok=True)
        shutil.copy(HOME / "data" / "digits" / f"{digit}.png", folder / "7" / f"{number:02}.png")
    drawn = []
    monkeypatch.setattr(
        plots,
        "pictures_as_seen",
        lambda *arguments: drawn.append(arguments) or plots.panels(1, 1, "")[0],
    )
    done = evaluate(folder)
    assert "accuracy: 38/40 = 95.00%" in done.stdout
    listed = done.stdout.split("misread:\n")[1].splitlines()[:3]
    assert ["38.png: 4 (" in listed[0], "39.png: 4 (" in listed[1]] == [True, True]
    assert listed[2] == ""
    ((pictures, _, captions, _, title),) = drawn
    assert len(pictures) == 30 and "30 of 40" in title
    assert [", true 7" in caption for caption in captions] == [True] * 2 + [False] * 28


# Nothing of theirs is lost


OWN = {
    "mnist_eval.py": [
        ["PICTURE"],
        ["FOLDER"],
        ["PICTURE", "FOLDER"],
        ["--weights", "OTHER", "--data-dir", "DATA", "--dataset", "mnist"],
        ["--weights", "OTHER", "PICTURE"],
        ["--dataset", "drawn"],
    ],
    "analyze_filters.py": [
        ["--image", "PICTURE", "--weights", "OTHER", "--data-dir", "DATA", "--dataset", "mnist"],
    ],
}


@pytest.mark.parametrize(
    ("program", "arguments"), [(program, row) for program in OWN for row in OWN[program]]
)
def test_own_input_never_replaces_what_ships(
    script, small_mnist, tmp_path, monkeypatch, quick_runs, drawn, program, arguments
):
    monkeypatch.setattr(datasets.pen, "drawn_digits", lambda *_, **__: drawn)
    (tmp_path / "new digits").mkdir()
    shutil.copy(SEVEN, tmp_path / "new digits")
    shutil.copy(SHIPPED, tmp_path / "other.pth")
    figures = shutil.copytree(HOME / "figures", tmp_path / "figures")
    before = contents(figures)
    places = {"PICTURE": SEVEN, "FOLDER": tmp_path / "new digits", "OTHER": tmp_path / "other.pth"}
    places["DATA"] = small_mnist
    arguments = [places.get(argument, argument) for argument in arguments]
    for _ in range(2):
        done = script(program, "--figures-dir", figures, *arguments)
        assert done.returncode == 0, done.stderr
    after = contents(figures)
    shipped = [path for path in before if path.name != "1f_new_digits.png"]
    if "drawn" not in arguments:  # that run reads the shipped digits, too
        shipped = list(before)
    assert all(after[path] == before[path] for path in shipped)
    written = [line.strip() for line in done.stdout.split("written:")[1].splitlines() if line]
    assert set(after) - set(before) == {figures / os.path.basename(path) for path in written} - {
        figures / "1f_new_digits.png"
    }
