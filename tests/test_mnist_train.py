"""mnist_train.py as a user runs it."""

import math
import re
import signal
import subprocess
import sys
import time

import cv2
import pytest
import torch
from conftest import HOME
from test_model import PRINTED

from network import datasets, pen
from network.model import MyNetwork, save_network
from network.weights import load_network

FIGURES = {"1a_examples.png", "1b_network.png", "1c_accuracy.png", "1c_loss.png"}


@pytest.fixture
def train(script, small_mnist, tmp_path):
    """Runs mnist_train.py on the small data set, its results in tmp_path."""

    def run(*arguments, dataset="mnist"):
        folders = ["--models-dir", tmp_path / "models", "--figures-dir", tmp_path / "figures"]
        data = [] if "--data-dir" in arguments else ["--data-dir", small_mnist]
        return script("mnist_train.py", *data, *folders, "--dataset", dataset, *arguments)

    return run


def error_line(done, status=2):
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("downloading")]
    assert len(errors) == 1, done.stderr
    assert errors[0].startswith("mnist_train.py: error: ")
    return errors[0]


def test_trains_draws_and_saves(train, tmp_path):
    done = train("--epochs", 3, "--batch-size", 32)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no progress bar without a terminal
    assert done.stdout.startswith(PRINTED + "\n21,840 parameters\n")
    assert len(re.findall(r"^epoch +\d/3: training accuracy \S+%, test", done.stdout, re.M)) == 3
    training = re.search(r"^training accuracy: (\d+)/600 = (\S+)%$", done.stdout, re.M)
    test = re.search(r"^test accuracy: (\d+)/200 = (\S+)%$", done.stdout, re.M)
    gap = re.search(r"^gap: ([+-]\S+) percentage points", done.stdout, re.M)
    assert float(gap[1]) == pytest.approx(float(training[2]) - float(test[2]), abs=0.011)
    assert int(test[1]) > 60  # guessing gets 20
    for name in FIGURES:
        assert cv2.imread(str(tmp_path / "figures" / name)).shape[1] > 500
        assert name in done.stdout
    network, facts = load_network(tmp_path / "models" / "mnist_network.pth")
    assert facts["dataset"] == "MNIST" and facts["seed"] == 0
    assert facts["class_names"] == list("0123456789")
    assert facts["recipe"]["epochs"] == 3 and facts["recipe"]["batch_size"] == 32
    assert len(facts["history"]["epochs"]) == 3
    assert len(facts["history"]["batch_losses"]) == 3 * 19
    assert facts["test_accuracy"] == int(test[1]) / 200
    assert network.dropout.p == 0.25
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"mnist_network.pth"}


def test_the_default_learns_drawn_digits_as_well(train, tmp_path, monkeypatch):
    for name, count in (("DRAWN_DIGITS", 300), ("DRAWN_OTHERS", 100), ("DRAWN_MORE", 50)):
        monkeypatch.setattr(datasets, name, count)
    done = train("--epochs", 2, dataset="auto")
    assert done.returncode == 0, done.stderr
    assert "600 images of MNIST and, drawn by network/pen.py, 300 digits and 100" in done.stdout
    assert re.search(r"^training accuracy: \d+/600 = ", done.stdout, re.M)  # MNIST's own
    assert re.search(r"^test accuracy: \d+/200 = ", done.stdout, re.M)
    facts = load_network(tmp_path / "models" / "mnist_network.pth")[1]
    assert facts["dataset"] == "MNIST and drawn digits"
    assert len(facts["history"]["batch_losses"]) == 2 * 4  # of 256 images
    assert 0 < facts["doubt_limit"] < math.log(10)
    done = train("--epochs", 1, "--recipe", "report", dataset="auto")
    assert "drawn" not in done.stdout
    facts = load_network(tmp_path / "models" / "mnist_network.pth")[1]
    assert facts["dataset"] == "MNIST" and facts["doubt_limit"] is None


def test_a_seed_repeats_a_run(train, tmp_path):
    def weights(*arguments):
        assert train("--epochs", 1, *arguments).returncode == 0
        return load_network(tmp_path / "models" / "mnist_network.pth")[0].state_dict()

    first, again, other = weights(), weights("--seed", 0), weights("--seed", 1)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not any(torch.equal(first[name], other[name]) for name in first)


def test_the_reports_recipe_and_changes_of_it(train, tmp_path):
    assert train("--recipe", "report", "--epochs", 1, "--momentum", 0.7).returncode == 0
    recipe = load_network(tmp_path / "models" / "mnist_network.pth")[1]["recipe"]
    assert recipe == {
        **{"epochs": 1, "batch_size": 64, "optimizer": "sgd", "learning_rate": 0.01},
        **{"momentum": 0.7, "weight_decay": 0, "one_cycle": False, "augment": False},
        **{"curriculum": False, "average": False},
    }


def test_better_weights_are_kept_with_a_word(train, tmp_path):
    path = tmp_path / "models" / "mnist_network.pth"
    save_network(path, MyNetwork(), test_accuracy=0.999)
    before = path.read_bytes()
    done = train("--epochs", 1)
    assert "kept as mnist_network_best.pth: they tested better (99.90%" in done.stderr
    assert path.with_name("mnist_network_best.pth").read_bytes() == before
    assert path.read_bytes() != before
    path.write_bytes(b"somebody's own")
    assert "kept as mnist_network_before1.pth" in train("--epochs", 1).stderr
    assert path.with_name("mnist_network_before1.pth").read_bytes() == b"somebody's own"
    for accuracy, says in ((0.001, ""), (0.98, "the best so far (99.90%) are in")):
        save_network(path, MyNetwork(), test_accuracy=accuracy)
        assert says in train("--epochs", 1).stderr
    assert path.with_name("mnist_network_best.pth").read_bytes() == before
    assert len(list(path.parent.iterdir())) == 3  # nothing piles up


@pytest.mark.skipif(sys.platform == "win32", reason="there, Ctrl-C would reach the tests as well")
@pytest.mark.parametrize("kind", ["Ctrl-C", "kill"])
def test_a_stopped_training_leaves_old_weights_and_keeps_new_ones(small_mnist, tmp_path, kind):
    models = tmp_path / "models"
    path = models / "mnist_network.pth"
    save_network(path, MyNetwork(), test_accuracy=0.5)
    before = path.read_bytes()
    command = [sys.executable, HOME / "mnist_train.py", "--dataset", "mnist", "--epochs", "100000"]
    folders = ["--models-dir", models, "--figures-dir", tmp_path, "--data-dir", small_mnist]
    with subprocess.Popen(
        [*command, *folders], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        for line in process.stdout:
            if line.startswith("epoch  3"):
                break
        time.sleep(0.2)  # somewhere in an epoch
        process.send_signal(signal.SIGINT if kind == "Ctrl-C" else signal.SIGKILL)
        process.stdout.read()
        error = process.stderr.read()
    assert path.read_bytes() == before
    kept, facts = load_network(models / "mnist_network_unfinished.pth")
    assert len(facts["history"]["epochs"]) >= 2
    assert not torch.equal(kept.fc2.weight, load_network(path)[0].fc2.weight)
    if kind == "Ctrl-C":
        assert process.returncode == 130
        assert error.count("\n") == 1 and "mnist_network_unfinished.pth" in error


def test_without_a_network_connection_it_draws_and_says_so(train, tmp_path, offline, monkeypatch):
    some = pen.drawn_digits(600, seed=3)  # 60,000 would take a minute
    monkeypatch.setattr(pen, "drawn_digits", lambda *_, **__: some)
    done = train("--epochs", 1, "--data-dir", tmp_path / "none", dataset="auto")
    assert done.returncode == 0
    assert "NOTICE" in done.stderr and "DRAWN" in done.stderr
    assert {path.name for path in (tmp_path / "models").iterdir()} == {"drawn_network.pth"}
    assert load_network(tmp_path / "models" / "drawn_network.pth")[1]["dataset"] == "drawn digits"


def test_mnist_is_never_replaced_by_drawn_digits(train, tmp_path, offline):
    done = train("--dataset", "mnist", "--data-dir", tmp_path / "none")
    assert "could not be downloaded" in error_line(done) and "--data-dir" in done.stderr


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "many"], "'many' is no whole number"),
        (["--batch-size", "-1"], "--batch-size"),
        (["--learning-rate", "nan"], "--learning-rate"),
        (["--learning-rate", "-0.1"], "--learning-rate"),
        (["--momentum", "1"], "below 1"),
        (["--optimizer", "magic"], "--optimizer"),
        (["--recipe", "none"], "--recipe"),
        (["--dataset", "imagenet"], "--dataset"),
        (["--seed", "-3"], "--seed"),
        (["--device", "cuda:99"], "no device 'cuda:99'"),
        (["--device", "toaster"], "no device 'toaster'"),
        (["--no-such-option"], "--no-such-option"),
        (["stray"], "stray"),
    ],
)
def test_options_that_make_no_sense(train, options, says):
    assert says in error_line(train(*options))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_one(train):
    assert "no device 'cuda' here; there is cpu" in error_line(train("--device", "cuda"))


@pytest.mark.parametrize("option", ["--models-dir", "--figures-dir"])
def test_a_folder_that_cannot_be_written(train, tmp_path, option):
    (tmp_path / "file").write_text("no folder")
    done = train("--epochs", 1, option, tmp_path / "file" / "below")
    assert "cannot write" in error_line(done)
    assert "epoch  1" not in done.stdout  # found out before the training, not after it


def test_broken_data(train, small_mnist):
    path = small_mnist / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:-1])
    assert "its header speaks of" in error_line(train())


def test_help_tells_the_defaults(script):
    done = script("mnist_train.py", "--help")
    assert done.returncode == 0
    assert "(default: 0)" in done.stdout and "None" not in done.stdout
    assert "--batch-size" in done.stdout
