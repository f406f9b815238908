"""Every program under every kind of bad input: one clear line, its exit status, nothing lost.

What reads a kind of input is shared: one program meets all that can be bad about it, the others a
sample. To add a program, say in `TAKES` how it is given each kind, and add rows to `OPTIONS`.
"""

import errno
import os
import pickle
import shlex
import struct
import subprocess
import sys
from unittest import mock

import cv2
import matplotlib.figure
import numpy as np
import pytest
import torch
from conftest import HOME, SHIPPED, contents, error_line, put, started

from network import cli, datasets
from network.files import Problem
from network.model import MyNetwork
from network.weights import load_network

DRAWING = np.full((60, 50, 3), 230, np.uint8)
cv2.line(DRAWING, (20, 10), (30, 50), (20, 20, 20), 4)
PNG, JPEG, GIF = (cv2.imencode(kind, DRAWING)[1].tobytes() for kind in (".png", ".jpg", ".gif"))
OLD_FIGURE = b"an old figure"


class Touch:
    """A pickle of it makes the file "touched" when it is read carelessly."""

    def __reduce__(self):
        return open, ("touched", "w")


def state(name, value):
    """A digit network's state_dict with another tensor in it."""
    return {**MyNetwork().state_dict(), name: value}


def folder(path):
    path.mkdir()


def idx(*dimensions, body=None, kind=0x800):
    """An idx file's bytes."""
    body = bytes(int(np.prod(dimensions))) if body is None else body
    return struct.pack(f">i{len(dimensions)}i", kind + len(dimensions), *dimensions) + body


def labels_of_ten(path):
    """As many labels as there are images, but out of range."""
    count = 600 if path.name.startswith("train") else 200
    path.write_bytes(idx(count, body=bytes([10] * count)))


def empty_letters(path):
    for name in ("alpha", "beta"):
        (path / name).mkdir(parents=True)


def broken_letters(path):
    for name in ("alpha", "beta"):
        put(path / name / "1.png", b"")


# How programs are given each kind of input: their arguments, {} for the name of what is bad. The
# first of each kind meets all that is bad, the others the first two.
TAKES = {
    "weights": [
        ("mnist_eval.py", "--weights {} good.png"),
        ("analyze_filters.py", "--weights {} --dataset mnist"),
        ("greek_network.py", "--weights {}"),
    ],
    "image": [
        ("mnist_eval.py", "{}"),
        ("analyze_filters.py", "--image {} --dataset mnist"),
        ("greek_network.py", "{}"),
        ("resnet_filters.py", "--image {}"),
    ],
    "ResNet weights": [("resnet_filters.py", "--image good.png --weights {}")],
    "data": [
        ("mnist_eval.py", "--dataset mnist"),
        ("mnist_train.py", "--dataset mnist --epochs 1"),
        ("experiment.py", "--dataset mnist"),
        ("analyze_filters.py", "--dataset mnist"),
    ],
    "results": [("experiment.py", "--dataset mnist")],
    "letters": [("greek_network.py", "--train-dir {}"), ("greek_network.py", "--test-dir {}")],
    "output folder": [
        ("mnist_eval.py", "--figures-dir {} good.png"),
        ("mnist_train.py", "--figures-dir {} --dataset mnist --epochs 1"),
        ("mnist_train.py", "--models-dir {} --dataset mnist --epochs 1"),
        ("mnist_eval.py", "--figures-dir {} --dataset mnist"),
        ("analyze_filters.py", "--figures-dir {} --dataset mnist"),
        ("greek_network.py", "--figures-dir {}"),
        ("greek_network.py", "--models-dir {} --weights models/mnist_network.pth"),
        ("experiment.py", "--figures-dir {} --dataset mnist"),
        ("experiment.py", "--models-dir {} --dataset mnist"),
        ("resnet_filters.py", "--figures-dir {} --image good.png --weights first.pth"),
    ],
}
# Which do the rest of their work nevertheless, and write its files.
GOES_ON = {("image", "analyze_filters.py"), ("image", "greek_network.py")}

# What may lie at a name, as `put` takes it. With it, what the program must say of it; and its exit
# status, where it is not 2, and its name.
BAD = {
    "weights": {
        "missing": (None, "no weights file"),
        "cut off": (SHIPPED.read_bytes()[:9999], "cut off or damaged"),
        "in no folder": (None, "no weights file", 2, "none/bad"),
        "a folder": (folder, "no weights file"),
        "empty": (b"", "is empty"),
        "text": (b"accuracy: 99 %\n", "is no weights file"),
        "an image": (PNG, "is no weights file"),
        "a pickle with code": (pickle.dumps(Touch()), "could run code"),
        "a checkpoint with code": ({"state_dict": Touch()}, "could run code"),
        "a list": ([1, 2], "no state_dict"),
        "another network": (torch.nn.Linear(3, 3).state_dict(), "another network"),
        "colour filters": (state("conv1.weight", torch.zeros(10, 3, 5, 5)), "[10, 3, 5, 5]"),
        "not finite": (state("fc2.bias", torch.full((10,), torch.nan)), "no finite numbers"),
        "a name too long": (None, "no weights file", 2, "w" * 300),
    },
    "image": {
        "missing": (None, "does not exist"),
        "text": (b"seven", "is no image"),
        "in no folder": (None, "does not exist", 2, "none/bad.png"),
        "below a file": (None, "check the", 2, "good.png/bad.png"),
        "an empty folder": (folder, "no image files"),
        "empty": (b"", "is empty"),
        "weights": (SHIPPED.read_bytes(), "is no image"),
        "a cut PNG": (PNG[:-40], "cut off"),
        "a cut JPEG": (JPEG[: len(JPEG) // 2], "cut off"),
        "a cut GIF": (GIF[: len(GIF) // 2], ""),
        "a PNG of broken data": (PNG[:60] + bytes(40) + PNG[100:], ""),
        "no ink": (np.full((50, 50), 200, np.uint8), "no ink", 1),
        "one pixel": (np.full((1, 1), 200, np.uint8), "no ink", 1),
        "nothing but transparency": (np.zeros((50, 50, 4), np.uint8), "no ink", 1),
        "a name too long": (None, "File name too long", 2, "w" * 300 + ".png"),
    },
    # Of the training part and the test part alike; by default the images. What is there is to be
    # deleted, and the program says so.
    "data": {
        "missing": (None, "could not be downloaded"),
        "cut off": (idx(200, 28, 28)[:-1], "its header speaks of"),
        "empty": (b"", "no idx file"),
        "a login page": (b"<!DOCTYPE html><title>Log in to this network</title>", "no idx file"),
        "floats": (idx(200, 28, 28, kind=0xD00), "no idx file"),
        "labels": (idx(200), "no idx file"),
        "a cut header": (idx(200, 28, 28)[:8], "no idx file"),
        "less than nothing": (idx(-1, 28, 28, body=b""), "its header speaks of"),
        "no images": (idx(0, 28, 28), "holds 0 items"),
        "larger images": (idx(200, 32, 32), "(32, 32)"),
        "too long": (idx(200, 28, 28) + b"\0", "its header speaks of"),
        "fewer images": (idx(100, 28, 28), "100 images but 200 labels"),
        "a broken .gz": (b"\x1f\x8b no gzip", "cannot read", 2, "images-idx3-ubyte.gz"),
        "fewer labels": (idx(100), "but 100 labels", 2, "labels-idx1-ubyte"),
        "labels of 10": (labels_of_ten, "the label 10", 2, "labels-idx1-ubyte"),
    },
    "letters": {
        "missing": (None, "no folder"),
        "broken pictures": (broken_letters, "see above"),
        "a file": (b"alpha", "no folder"),
        "empty": (folder, "has no folders"),
        "letters without pictures": (empty_letters, "no image files"),
    },
    "output folder": {
        "a file": (b"no folder", "cannot write"),
        "where nobody writes": (None, "cannot write", 2, "/proc/bad"),
        "below a file": (None, "cannot write", 2, "good.png/bad"),
        "a name too long": (None, "cannot write", 2, "w" * 300),
    },
    "ResNet weights": {
        "missing": (None, "no weights file"),
        "a pickle with code": (pickle.dumps(Touch()), "could run code"),
    },
    "results": {
        "a folder": (folder, "irectory"),
        "an image": (PNG, "line 1 "),
        "another version": (b'{"format": 99, "trial": {}}\n', "of version 99"),
        "another program's": (b'{"loss": 0.5}\n', "is no result of a trial"),
    },
}
USUAL_NAMES = {  # others are called "bad"
    "image": "bad.png",
    "data": "images-idx3-ubyte",
    "results": "models/experiment.jsonl",
}
LINUX_ONLY = {"where nobody writes", "a name too long"}

OPTIONS = {
    "mnist_train.py": {
        "--no-such-option": "--no-such-option",
        "stray": "stray",
        "--epoch 3": "--epoch",  # no abbreviations
        "--epochs": "expected one argument",
        "--epochs 0": "0 is out of range, it must be at least 1",
        "--epochs 2.5": "'2.5' is no whole number",
        "--epochs 1e3": "'1e3' is no whole number",
        "--epochs 99999999999999999999": "is out of range",
        "--learning-rate nan": "nan is out of range",
        "--learning-rate inf": "inf is out of range",
        "--learning-rate fast": "'fast' is no number",
        "--learning-rate -0.1": "-0.1 is out of range",
        "--momentum 1": "below 1",
        "--optimizer magic": "invalid choice: 'magic'",
        "--recipe ''": "invalid choice: ''",
        "--seed -3": "-3 is out of range, it must be at least 0",
        "--seed 99999999999999999999": "it must be below 4294967296",
        "--device toaster": "no device 'toaster'",
        "--device ''": "no device ''",
        "--device cpu:x": "no device 'cpu:x'",
        "--device cuda:99": "no device 'cuda:99'",
        "--device cpu:99999999999999999999": "no device",
        "--models-dir ''": "it is empty",
    },
    "mnist_eval.py": {
        "--weights": "expected one argument",
        "''": "it is empty",
        "--device 7": "no device '7'",
        "--seed 1": "--seed",  # would do nothing
        "--turn 90 good.png": "go with --page",
        "--json found.json good.png": "go with --page",
    },
    "analyze_filters.py": {
        "--layer conv3": "invalid choice: 'conv3'",
        "--image ''": "it is empty",
        "good.png": "good.png",
    },
    "greek_network.py": {
        "--transform none": "invalid choice: 'none'",
        "--train-dir ''": "it is empty",
        "--extended=yes": "ignored explicit argument 'yes'",
        "--data-dir data": "--data-dir",  # would do nothing
    },
    "experiment.py": {
        "--filters ''": "'' is no whole number",
        "--filters 5,5": "5 is there twice",
        "--filters 0,5": "0 is out of range",
        "--dropout 1": "below 1",
        "--seeds 0": "0 is out of range",
        "--train-size 501 --dataset mnist": "500 are left to learn from",
        "--dataset cifar": "invalid choice: 'cifar'",
        "--device cuda": "--device",  # would do nothing
        "--cluster": "expected one argument",
    },
    "resnet_filters.py": {
        "--model resnet19": "invalid choice: 'resnet19'",
        "--model resnet50 --weights first.pth --image good.png": "--model resnet18",
        "--weights ''": "it is empty",
        "--image ''": "it is empty",
        "--ful": "--ful",  # no abbreviations
        "--epochs 3": "for --train alone",
        "--device cpu": "for --train alone",
        "good.png": "good.png",
    },
}


@pytest.fixture
def place(tmp_path, small_mnist, monkeypatch, offline):
    """A working folder as a user has it: data, weights, letters, a picture, old figures."""
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "good.png", PNG)
    put(tmp_path / "models" / SHIPPED.name, SHIPPED.read_bytes())
    first = {"model": "resnet18", "conv1.weight": torch.ones(64, 3, 7, 7)}
    put(tmp_path / "first.pth", first)
    for name in ("1a_examples", "1c_loss", "1f_new_digits", "2a_filters", "3_training"):
        put(tmp_path / "figures" / f"{name}.png", OLD_FIGURE)
    for number, (name, end) in enumerate((("alpha", 10), ("beta", 40), ("gamma", 25))):
        for shift in range(2):
            picture = cv2.circle(DRAWING.copy(), (10 + shift, end), 6, 0, 1 + number)
            put(tmp_path / "letters" / name / f"{shift}.png", picture)
    return tmp_path


def usual(program):
    """The options that make a program use the folders of `place`."""
    own = "--data-dir data"
    if program == "greek_network.py":
        own = "--train-dir letters --test-dir letters"
    return f"{own} --models-dir models --figures-dir figures".split()


@pytest.fixture
def run(script, place):
    """Runs a program in `place`."""
    return lambda program, arguments: script(program, *usual(program), *shlex.split(arguments))


def assert_one_line(done, status, *says):
    told = "downloading ", "left out", "there is one picture of "
    assert len([line for line in done.stderr.splitlines() if not line.startswith(told)]) == 1
    line = error_line(done, status)
    for text in says:
        assert text in line


def is_figure(content):
    """Whether these bytes are a whole picture."""
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) is not None


def assert_nothing_lost(before, place, may_write=False):
    """What was there is there as it was; only a program that goes on writes new files, and whole.

    Figures are made anew by every run: a program that goes on may replace them.
    """
    after = contents(place)
    changed = {path for path in before if after.get(path) != before[path]}
    new = set(after) - set(before)
    if may_write:
        changed = {path for path in changed if not is_figure(after[path])}
        new = {path for path in new if path.suffix != ".pth" and not is_figure(after[path])}
    assert not changed and not new


@pytest.mark.usefixtures("quick_runs")
@pytest.mark.parametrize(
    ("kind", "program", "arguments", "name"),
    [
        pytest.param(kind, program, arguments, name, id=f"{program} {arguments} {kind} {name}")
        for kind in TAKES
        for program, arguments in TAKES[kind]
        for name in list(BAD[kind])[: None if (program, arguments) == TAKES[kind][0] else 2]
    ],
)
def test_bad_input(run, place, kind, program, arguments, name):
    if name in LINUX_ONLY and sys.platform != "linux":
        pytest.skip("other systems say it otherwise")
    content, says, *rest = BAD[kind][name]
    status = rest[0] if rest else 2
    bad = rest[1] if len(rest) > 1 else USUAL_NAMES.get(kind, "bad")
    told, paths = [bad], [place / bad]
    if kind == "data":
        told = ["data", "--data-dir" if content is None else "delete"]
        raw = place / "data" / "MNIST" / "raw"
        paths = [raw / f"{part}-{bad}" for part in ("train", "t10k")]
        for path in paths:
            path.with_suffix("").unlink()
    for path in paths:
        put(path, content)
    before = contents(place)
    done = run(program, arguments.format(bad))
    assert_one_line(done, status, says, *told)
    if kind == "output folder":
        assert done.stdout == ""  # found out before the work
    assert_nothing_lost(before, place, may_write=(kind, program) in GOES_ON)


@pytest.mark.parametrize("program", OPTIONS)
def test_bad_options(run, place, program):
    before = contents(place)
    for options, says in OPTIONS[program].items():
        assert_one_line(run(program, options), 2, says)
    assert_nothing_lost(before, place)


def test_a_training_that_goes_astray_spoils_no_weights(run, place):
    before = contents(place)
    done = run("mnist_train.py", "--dataset mnist --epochs 1 --learning-rate 1e9")
    assert_one_line(done, 2, "--learning-rate than 1e+09")
    after = contents(place)
    assert all(after[path] == before[path] for path in after if path.suffix == ".pth")


@pytest.mark.usefixtures("quick_runs")
@pytest.mark.parametrize(
    ("program", "arguments"),
    [
        ("mnist_train.py", "--dataset mnist --epochs 1"),
        ("greek_network.py", ""),
        ("mnist_eval.py", "good.png"),
        ("analyze_filters.py", "--dataset mnist"),
    ],
)
def test_a_full_disk(run, place, monkeypatch, program, arguments):
    resource = pytest.importorskip("resource", reason="no way to limit the size of files here")
    # Weights have 90 kB and do not fit; figures do, unless they are all that a program writes.
    if program in ("mnist_eval.py", "analyze_filters.py"):
        figure = matplotlib.figure.Figure
        monkeypatch.setattr(figure, "savefig", lambda _, file, **__: file.write(bytes(90_000)))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = contents(place)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        done = run(program, arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert_one_line(done, 2, "cannot write", "free some space")
    assert_nothing_lost(before, place, may_write=True)


@pytest.mark.parametrize(
    ("library", "error", "says"),
    [
        ("torch", "ModuleNotFoundError(\"No module named 'torch'\", name='torch')", "'torch'"),
        ("torchvision", "RuntimeError('operator torchvision::nms does not exist')", "nms does not"),
        ("cv2", "ImportError('libGL.so.1: cannot open shared object')", "opencv-python-headless"),
        (
            "torch",
            "OSError('[WinError 126] The specified module is not found')",
            "WinError 126",
        ),
    ],
)
def test_a_library_that_does_not_load(script, tmp_path, monkeypatch, library, error, says):
    (tmp_path / f"{library}.py").write_text(f"raise {error}")
    monkeypatch.syspath_prepend(tmp_path)
    program = "resnet_filters.py" if library == "torchvision" else "mnist_eval.py"
    with mock.patch.dict(sys.modules):  # it and what may import it are imported anew
        for module in list(sys.modules):
            if module.split(".")[0] in (library, "network"):
                del sys.modules[module]
        assert_one_line(script(program), 2, says)
        # Help and the word on a wrong option come without it, and so without waiting for it.
        for program in OPTIONS if library == "torch" else ():
            done = script(program, "--help")
            assert done.returncode == 0 and done.stdout.startswith("usage: ") and not done.stderr
            assert "None" not in done.stdout  # as a default


def test_digits_with_a_torchvision_that_does_not_fit_torch(tmp_path, monkeypatch):
    class Unfit:
        def __getattr__(self, name):
            raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setitem(sys.modules, "torchvision", Unfit())
    with pytest.raises(Problem, match=r"nms does not exist.*from one place"):
        datasets.find_dataset("mnist", tmp_path)


def test_two_runs_at_once_in_one_folder(place):
    before = contents(place)
    train = "mnist_train.py", *usual("mnist_train.py"), "--dataset", "mnist", "--epochs", 1
    with started(*train) as one, started(*train, "--seed", 1) as other:
        for process in (one, other):
            _, error = process.communicate(timeout=300)
            assert process.returncode == 0, error
    after = contents(place)
    kept = place / "models" / "mnist_network.pth"
    assert before[kept] in after.values()  # better weights are kept under another name
    for path, content in after.items():
        assert not path.name.startswith(".")
        if path.suffix == ".pth" and path.parent == kept.parent:
            load_network(path)
        elif path.suffix == ".png" and content != OLD_FIGURE:
            assert is_figure(content)


@pytest.mark.skipif(sys.platform == "win32", reason="no such names there")
def test_names_that_are_no_text(run, place, quick_runs):
    """Old archives unpack to such names on Linux; other systems do not let them be."""
    name = os.fsdecode(b"\xff 7.png")
    try:
        put(place / name, PNG)
        (place / "mine" / os.fsdecode(b"\xe1")).mkdir(parents=True)
    except OSError:
        pytest.skip("this file system allows no such names")
    for program, arguments in (
        ("mnist_eval.py", "{}"),
        ("analyze_filters.py", "--image {}"),
        ("resnet_filters.py", "--image {} --weights first.pth"),
    ):
        done = run(program, arguments.format(shlex.quote(name)))
        assert done.returncode == 0, done.stderr
    assert_one_line(run("greek_network.py", "--train-dir mine"), 2, "mine")


def test_what_the_system_refuses(run, place, monkeypatch):
    """Where nothing better is said of it, it is one line all the same."""
    refused = PermissionError(errno.EACCES, "Permission denied", "some/file")
    monkeypatch.setattr(datasets, "find_dataset", lambda *_: (_ for _ in ()).throw(refused))
    before = contents(place)
    assert_one_line(run("mnist_train.py", ""), 2, "some/file: Permission")
    assert_nothing_lost(before, place)


@pytest.mark.parametrize("program", OPTIONS)
def test_help_on_a_console_of_few_letters(program):
    command = [sys.executable, HOME / program, "--help"]
    streams = {"capture_output": True, "env": {**os.environ, "PYTHONIOENCODING": "ascii"}}
    assert subprocess.run(command, **streams).returncode == 0


def test_an_option_between_pictures(script, tmp_path, monkeypatch):
    one, two = (HOME / "data" / "digits" / f"{n}.png" for n in (1, 2))
    done = script("mnist_eval.py", one, "--figures-dir", tmp_path, two)
    assert done.returncode == 0 and "accuracy: 2/2" in done.stdout
    (tmp_path / "-1.png").write_bytes(one.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "-1.png: 1 (" in script("mnist_eval.py", "--figures-dir", ".", "--", "-1.png").stdout


def test_ctrl_c_while_libraries_load(capsys):
    with pytest.raises(SystemExit) as end, cli.loading():
        raise KeyboardInterrupt
    assert end.value.code == 130 and capsys.readouterr().err.endswith(": stopped\n")
