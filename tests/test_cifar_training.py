"""Learning CIFAR-10 with a ResNet: small, from files as users have them, stopped and gone on."""

import pickle
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torchvision

from network.datasets import load_cifar10
from network.files import Problem
from network.resnet import learn


@pytest.fixture(scope="module")
def cifar_dir(tmp_path_factory):
    """A folder with a cifar10_jpeg.npz of 64 flat images to train on and 20 to test on."""
    folder = tmp_path_factory.mktemp("cifar")
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 64), ("test", 20)):
        labels = np.arange(count) % 10
        jpegs = []
        for label in labels:  # a colour for each class
            picture = np.full((32, 32, 3), (25 * label, 128, 250 - 25 * label), dtype=np.uint8)
            picture += rng.integers(0, 5, picture.shape, dtype=np.uint8)
            jpegs.append(cv2.imencode(".jpg", picture)[1])
        arrays[f"{part}_jpeg"] = np.concatenate(jpegs)
        arrays[f"{part}_end"] = np.cumsum([len(jpeg) for jpeg in jpegs])
        arrays[f"{part}_label"] = labels
    np.savez(folder / "cifar10_jpeg.npz", **arrays)
    return folder


def tiny_resnet():
    torch.manual_seed(0)
    block = torchvision.models.resnet.BasicBlock
    return torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=10)


def test_jpegs_are_read_in_order(cifar_dir):
    training = load_cifar10(cifar_dir, train=True)
    assert training.images.shape == (64, 3, 32, 32)
    assert training.images.dtype == torch.uint8
    # Blue, in OpenCV's order the first channel, rises with the label; red falls.
    middle = training.images[:10, :, 16, 16].int()
    assert (middle[:, 2].diff() > 0).all()
    assert (middle[:, 0].diff() < 0).all()
    assert load_cifar10(cifar_dir, train=False, count=1).labels.tolist() == [0]


def test_torchvisions_files_are_read(tmp_path, monkeypatch):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    names = [*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]
    for number, name in enumerate(names):
        pixels = np.full((2, 3072), number, dtype=np.uint8)
        content = {"data": pixels, "labels": [number, 9]}
        (folder / name).write_bytes(pickle.dumps(content))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    # These are not CIFAR's own, so they are refused, before anything in them is run …
    with pytest.raises(Problem, match="cifar-10-batches-py"):
        load_cifar10(tmp_path, train=True)
    # … and read where their checksums are right.
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    training = load_cifar10(tmp_path, train=True)
    assert training.images.shape == (10, 3, 32, 32)
    assert training.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert load_cifar10(tmp_path, train=False).images.unique().tolist() == [5]


@pytest.mark.parametrize("damage", ["cut", "no jpeg", "labels", "fields"])
def test_a_broken_file_is_named(cifar_dir, tmp_path, damage):
    path = tmp_path / "cifar10_jpeg.npz"
    with np.load(cifar_dir / "cifar10_jpeg.npz") as found:
        arrays = dict(found)
    if damage == "no jpeg":
        arrays["train_jpeg"] = arrays["train_jpeg"] * 0
    if damage == "labels":
        arrays["train_label"] = arrays["train_label"] + 5
    if damage == "fields":
        del arrays["train_end"]
    np.savez(path, **arrays)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(Problem, match=r"cannot read .*cifar10_jpeg"):
        load_cifar10(tmp_path, train=True)


def test_without_data_and_network_one_problem(tmp_path, offline):
    with pytest.raises(Problem, match="CIFAR10 is not in"):
        load_cifar10(tmp_path, train=True)


def test_enlarging_is_what_interpolate_does(cifar_dir):
    images = load_cifar10(cifar_dir, train=True, count=4).images
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in (learn.MEAN, learn.STD))
    wanted = torch.nn.functional.interpolate(images.float() / 255, scale_factor=2, mode="bilinear")
    # Beyond the border one mirrors and the other repeats: the same for half a pixel.
    assert torch.allclose(learn.enlarge(images), (wanted - mean) / std, atol=1e-4)


def test_views_mirror_and_move():
    rows = learn.random_views(1000, torch.Generator().manual_seed(0))
    mirrored = rows[:, 0, 0] < 0
    assert 400 < mirrored.sum() < 600
    assert rows[:, 1, 1].min() >= 0.9 and rows[:, 1, 1].max() <= 1.1
    assert rows[:, :, 2].abs().max() <= 0.25


def test_a_stopped_training_takes_the_same_steps(cifar_dir, tmp_path, monkeypatch):
    training = load_cifar10(cifar_dir, train=True)
    monkeypatch.setattr(learn, "BATCH_SIZE", 16)
    run = {"images": training.images, "labels": training.labels, "epochs": 2, "seed": 3}

    whole = tiny_resnet()
    learn.train(whole, **run, unfinished=tmp_path / "whole.pth")

    # Ctrl-C comes in the sixth of eight steps, in the middle of the second epoch.
    enlarge, calls = learn.enlarge, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return enlarge(*arguments)

    monkeypatch.setattr(learn, "enlarge", interrupted)
    with pytest.raises(KeyboardInterrupt, match="62% of the training is in"):
        learn.train(tiny_resnet(), **run, unfinished=tmp_path / "parts.pth")
    parts = tiny_resnet()
    learn.train(parts, **run, unfinished=tmp_path / "parts.pth")
    assert len(calls) == 6 + 3
    for name, value in whole.state_dict().items():
        assert torch.equal(value, parts.state_dict()[name]), name

    # Another training does not go on from there.
    run["epochs"] = 3
    with pytest.raises(Problem, match="other settings"):
        learn.train(tiny_resnet(), **run, unfinished=tmp_path / "parts.pth")


def test_it_learns_and_saves(cifar_dir, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(learn, "BATCH_SIZE", 16)
    folders = {"data_dir": cifar_dir, "models_dir": tmp_path / "models"}
    options = SimpleNamespace(seed=0, **folders)
    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: tiny_resnet())
    first, whole = learn.learn_first_layer("resnet18", 8, torch.device("cpu"), options)
    content = torch.load(first, weights_only=True)
    assert content["conv1.weight"].shape == (64, 3, 7, 7)
    assert first.stat().st_size < 60_000
    assert content["model"] == "resnet18" and content["image_size"] == 64
    # Ten flat colours: chance is 10 %.
    assert content["test_accuracy"] > 0.3
    assert f"test accuracy {content['test_accuracy']:.2%}" in capsys.readouterr().out
    state = torch.load(whole, weights_only=True)["state_dict"]
    assert torch.equal(state["conv1.weight"], content["conv1.weight"])
    assert {path.name for path in folders["models_dir"].iterdir()} == {first.name, whole.name}


def test_the_program_trains_then_looks(cifar_dir, tmp_path, script, monkeypatch):
    monkeypatch.setattr("torchvision.models.get_model", lambda *_, **__: tiny_resnet())
    monkeypatch.setattr("network.resnet.layers.empty", lambda *_: torchvision.models.resnet18())
    folders = ["--models-dir", tmp_path, "--figures-dir", tmp_path, "--data-dir", cifar_dir]
    run = script("resnet_filters.py", "--train", "--epochs", 1, *folders, "--device", "cpu")
    assert run.returncode == 0, run.stderr
    tested = re.search(r"^test accuracy (\S+%) of 20 images", run.stdout, re.M)[1]
    assert f"learned on CIFAR-10 ({tmp_path}/resnet_cifar10_conv1.pth" in run.stdout.replace(
        str(tmp_path) + "\\", str(tmp_path) + "/"
    )
    assert f"test accuracy {tested})" in run.stdout
    for name in ("resnet_cifar10_conv1.pth", "resnet18_cifar10.pth", "ext1_filters.png"):
        assert (tmp_path / name).exists()
        assert name in run.stdout.partition("written:")[2]


def test_killed_at_any_moment_it_goes_on(cifar_dir, tmp_path):
    program = (
        "import sys; from pathlib import Path; from types import SimpleNamespace\n"
        "from network import cifar_training as t\n"
        "t.BATCH_SIZE, t.SAVE_EVERY = 32, 0\n"
        f"options = SimpleNamespace(seed=0, data_dir=Path({str(cifar_dir)!r}), "
        f"models_dir=Path({str(tmp_path)!r}))\n"
        "t.learn_first_layer('resnet18', 3, t.torch.device('cpu'), options)\n"
    )
    run = [sys.executable, "-c", program]
    unfinished = tmp_path / "resnet18_cifar10_unfinished.pth"
    with subprocess.Popen(run, stderr=subprocess.PIPE) as process:
        while not unfinished.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
    assert process.returncode
    ended = subprocess.run(run, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert "going on from" in ended.stderr
    assert not unfinished.exists()
