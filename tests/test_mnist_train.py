"""mnist_train.py as a user runs it."""

import dataclasses
import math
import re
import signal
import sys
from unittest import mock

import cv2
import pytest
import torch
from conftest import error_line, started
from test_model import PRINTED

from network import pen, training
from network.datasets import Labelled
from network.digits import additions
from network.model import MyNetwork, save_network
from network.weights import load_network

FIGURES = {"1a_examples.png", "1b_network.png", "1c_accuracy.png", "1c_loss.png"}


@pytest.fixture
def train(script, small_mnist, tmp_path, quick_figures):
    """Runs mnist_train.py on the small data set, its results in tmp_path."""

    def run(*arguments, dataset="mnist", data_dir=small_mnist):
        folders = ["--models-dir", tmp_path / "models", "--figures-dir", tmp_path / "figures"]
        data = ["--data-dir", data_dir, "--dataset", dataset]
        return script("mnist_train.py", *folders, *data, *arguments)

    return run


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "mnist_network.pth"


@pytest.mark.painted
def test_trains_draws_and_saves(train, path, tmp_path):
    done = train("--epochs", 3, "--batch-size", 32)
    assert (done.returncode, done.stderr) == (0, "")  # no progress bar without a terminal
    assert done.stdout.startswith(PRINTED + "\n21,840 parameters\n")
    assert len(re.findall(r"^epoch +\d/3: training accuracy \S+%, test", done.stdout, re.M)) == 3
    learned = re.search(r"^training accuracy: (\d+)/600 = (\S+)%$", done.stdout, re.M)
    test = re.search(r"^test accuracy: (\d+)/200 = (\S+)%$", done.stdout, re.M)
    gap = re.search(r"^gap: ([+-]\S+) percentage points", done.stdout, re.M)
    assert float(gap[1]) == pytest.approx(float(learned[2]) - float(test[2]), abs=0.011)
    assert int(test[1]) > 60  # guessing gets 20
    for name in FIGURES:
        assert cv2.imread(str(tmp_path / "figures" / name)).shape[1] > 500
        assert name in done.stdout
    network, facts = load_network(path)
    assert network.dropout.p == 0.25
    assert facts["dataset"] == "MNIST" and facts["seed"] == 0
    assert facts["class_names"] == list("0123456789")
    assert facts["recipe"]["epochs"] == 3 and facts["recipe"]["batch_size"] == 32
    assert len(facts["history"]["epochs"]) == 3
    assert len(facts["history"]["batch_losses"]) == 3 * 19
    assert facts["test_accuracy"] == int(test[1]) / 200
    assert [*path.parent.iterdir()] == [path]


def test_the_default_learns_drawn_digits_as_well(train, path, monkeypatch):
    counts = {"DRAWN_DIGITS": 300, "DRAWN_OTHERS": 100, "DRAWN_MORE": 50, "DRAWN_DOUBTFUL": 50}
    for name, count in counts.items():
        monkeypatch.setattr(additions, name, count)
    done = train("--epochs", 2, dataset="auto")
    assert done.returncode == 0, done.stderr
    assert "600 images of MNIST and, drawn by network/pen.py, 300 digits and 100" in done.stdout
    assert re.search(r"^training accuracy: \d+/600 = ", done.stdout, re.M)  # MNIST's own
    assert re.search(r"^test accuracy: \d+/200 = ", done.stdout, re.M)
    _, facts = load_network(path)
    assert facts["dataset"] == "MNIST and drawn digits"
    assert len(facts["history"]["batch_losses"]) == 2 * 4  # of 256 images
    assert 0 < facts["doubts"]["limit"] < math.log(10)
    done = train("--epochs", 1, "--recipe", "report", "--momentum", 0.7, dataset="auto")
    assert "drawn by" not in done.stdout
    _, facts = load_network(path)
    assert facts["dataset"] == "MNIST" and "doubts" not in facts
    wanted = dataclasses.replace(training.REPORT, epochs=1, momentum=0.7)
    assert facts["recipe"] == dataclasses.asdict(wanted)


def test_drawn_digits_join_others_on_any_device(monkeypatch):
    monkeypatch.setattr(additions, "DRAWN_DIGITS", 5)
    monkeypatch.setattr(additions, "DRAWN_OTHERS", 5)
    training = Labelled("MNIST", torch.zeros(4, 28, 28).byte(), torch.zeros(4).long()).to("meta")
    lessons = additions.with_drawn(training, 0)
    assert len(lessons.images) == len(lessons.labels) == 14
    assert lessons.images.device.type == lessons.labels.device.type == "meta"


def test_a_seed_repeats_a_run(train, path):
    def weights(*arguments):
        assert train("--epochs", 1, *arguments).returncode == 0
        return load_network(path)[0].parameters()

    first, again, other = weights(), weights("--seed", 0), weights("--seed", 1)
    for a, b, c in zip(first, again, other, strict=True):
        assert torch.equal(a, b) and not torch.equal(a, c)


def test_better_weights_are_kept_with_a_word(train, path):
    best, aside = (path.with_name(f"mnist_network_{name}.pth") for name in ("best", "before1"))
    save_network(path, MyNetwork(), test_accuracy=0.999)
    before = path.read_bytes()
    done = train("--epochs", 1)
    assert "kept as mnist_network_best.pth: they tested better (99.90%" in done.stderr
    assert best.read_bytes() == before != path.read_bytes()
    path.write_bytes(b"somebody's own")
    assert "kept as mnist_network_before1.pth" in train("--epochs", 1).stderr
    assert aside.read_bytes() == b"somebody's own"
    for accuracy, says in ((0.001, ""), (0.98, "the best so far (99.90%) are in")):
        save_network(path, MyNetwork(), test_accuracy=accuracy)
        assert says in train("--epochs", 1).stderr
    assert best.read_bytes() == before
    assert {*path.parent.iterdir()} == {path, best, aside}  # nothing piles up


def stopped_after(epochs):
    """Ctrl-C while the test images of the epoch after these are looked at."""
    results = [(1.0, 0.5)] * (2 * epochs + 1)  # two an epoch: of training images, of test images
    return mock.patch.object(training, "evaluate", side_effect=[*results, KeyboardInterrupt])


def unfinished_in(models):
    """The file of the one training there that was stopped."""
    (path,) = models.glob("mnist_network_*_unfinished.pth")
    return path


def test_a_stopped_training_goes_on_where_it_was(train, path):
    command = "--epochs", 4, "--batch-size", 64
    assert train(*command).returncode == 0
    whole, facts = load_network(path)
    before = path.read_bytes()
    with stopped_after(2):
        done = train(*command)
    assert (done.returncode, done.stderr.count("\n")) == (130, 1)
    assert "the same command goes on" in done.stderr
    assert path.read_bytes() == before
    kept = torch.load(unfinished_in(path.parent), weights_only=True)
    assert len(kept["history"]["epochs"]) == 2
    assert not torch.equal(kept["network"]["fc2.weight"], whole.fc2.weight)

    done = train(*command)
    assert done.returncode == 0 and "going on from" in done.stderr
    assert "epoch  3/4" in done.stdout and "epoch  2/4" not in done.stdout
    again, of_again = load_network(path)
    assert all(map(torch.equal, whole.parameters(), again.parameters()))
    assert of_again["history"]["batch_losses"] == facts["history"]["batch_losses"]
    assert [*path.parent.iterdir()] == [path]


def test_another_training_leaves_a_stopped_one_alone(train, path):
    with stopped_after(1):
        assert train("--epochs", 2, "--seed", 1).returncode == 130
    unfinished = unfinished_in(path.parent)
    before = unfinished.read_bytes()
    done = train("--epochs", 1)
    assert done.returncode == 0 and "going on" not in done.stderr
    assert unfinished.read_bytes() == before
    done = train("--epochs", 2, "--seed", 1)  # its own command finds it again
    assert "going on from" in done.stderr and "epoch  1/2" not in done.stdout
    assert not unfinished.exists()
    unfinished.write_bytes(b"damaged")  # it begins anew
    done = train("--epochs", 2, "--seed", 1)
    assert "it begins anew" in done.stderr and "epoch  1/2" in done.stdout
    assert not unfinished.exists()


@pytest.mark.skipif(sys.platform == "win32", reason="there, Ctrl-C would reach the tests as well")
def test_ctrl_c_within_an_epoch(small_mnist, tmp_path):
    folders = ["--models-dir", tmp_path, "--figures-dir", tmp_path, "--data-dir", small_mnist]
    arguments = ["--dataset", "mnist", "--epochs", 100_000]
    with started("mnist_train.py", *arguments, *folders) as process:
        assert any(line.startswith("epoch  3") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert error.count("\n") == 1 and unfinished_in(tmp_path).name in error
    kept = torch.load(unfinished_in(tmp_path), weights_only=True)
    assert len(kept["history"]["epochs"]) >= 2
    assert not (tmp_path / "mnist_network.pth").exists()


def test_without_a_network_connection_it_draws_and_says_so(train, tmp_path, offline, monkeypatch):
    some = pen.drawn_digits(600, seed=3)  # 60,000 would take a minute
    monkeypatch.setattr(pen, "drawn_digits", lambda *_, **__: some)
    done = train("--epochs", 1, dataset="auto", data_dir=tmp_path / "none")
    assert done.returncode == 0 and "NOTICE" in done.stderr and "DRAWN" in done.stderr
    written = {
        path.name for folder in ("models", "figures") for path in (tmp_path / folder).iterdir()
    }
    assert written == {"drawn_network.pth", *(f.replace(".png", "_drawn.png") for f in FIGURES)}
    assert load_network(tmp_path / "models" / "drawn_network.pth")[1]["dataset"] == "drawn digits"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_one(train):
    assert "no device 'cuda' here; there is cpu" in error_line(train("--device", "cuda"))
