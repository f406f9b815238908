"""Learning CIFAR-10 or one's own pictures with a ResNet: small, stopped, and gone on with."""

import multiprocessing
import pickle
import re
import time
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
import torchvision

from network import training
from network.files import Problem
from network.resnet import learn, pictures
from network.resnet.layers import SHIPPED


def write_pictures(folder, classes=3, each=12):
    """Nearly flat pictures of one colour a class, a folder for each class."""
    rng = np.random.default_rng(0)
    for label in range(classes):
        place = folder / f"class {label}"
        place.mkdir(parents=True)
        for number in range(each):
            picture = np.full((40, 32, 3), (90 * label, 128, 250 - 90 * label), dtype=np.uint8)
            picture += rng.integers(0, 5, picture.shape, dtype=np.uint8)
            cv2.imwrite(str(place / f"{number:02}.png"), picture[:, :, ::-1])
    return folder


@pytest.fixture
def folder(tmp_path):
    return write_pictures(tmp_path / "my pictures")


def tiny_resnet(*names, weights=None, num_classes=3):
    block = torchvision.models.resnet.BasicBlock
    return torchvision.models.ResNet(block, [1, 1, 1, 1], num_classes=num_classes)


@pytest.fixture
def tiny(monkeypatch):
    """Trains a ResNet of one block a stage, in place of those of torchvision."""
    monkeypatch.setattr("torchvision.models.get_model", tiny_resnet)
    recipe = learn.dataclasses.replace(learn.RECIPE, batch_size=9)  # three steps in an epoch
    monkeypatch.setattr(learn, "RECIPE", recipe)


def learned(train, tmp_path, **changes):
    given = {"train": train, "model": None, "epochs": 2, "seed": 3}
    chosen = SimpleNamespace(**{**given, "models_dir": tmp_path / "models", **changes})
    return learn.learn_first_layer(chosen, torch.device("cpu"))


def test_torchvisions_files_are_read(tmp_path, monkeypatch):
    place = tmp_path / "cifar-10-batches-py"
    place.mkdir()
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        content = {"data": np.full((2, 3072), number, dtype=np.uint8), "labels": [number, 9]}
        (place / name).write_bytes(pickle.dumps(content))
    (place / "batches.meta").write_bytes(pickle.dumps({"label_names": list("abcdefghij")}))
    # These are not CIFAR's own, so they are refused, before anything in them is run …
    with pytest.raises(Problem, match="cifar-10-batches-py"):
        pictures.load_cifar10(tmp_path, train=True)
    # … and read where their checksums are right.
    monkeypatch.setattr("torchvision.datasets.CIFAR10._check_integrity", lambda self: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *arguments: True)
    training = pictures.load_cifar10(tmp_path, train=True)
    assert training.images.shape == (10, 3, 32, 32) and training.images.dtype == torch.uint8
    assert training.labels.tolist() == [0, 9, 1, 9, 2, 9, 3, 9, 4, 9]
    assert pictures.load_cifar10(tmp_path, train=False).images.unique().tolist() == [5]


def test_a_download_tells_its_size_before(tmp_path, offline, script):
    folders = ["--models-dir", tmp_path, "--figures-dir", tmp_path, "--data-dir", tmp_path]
    done = script("resnet_filters.py", "--train", *folders)
    assert done.returncode == 2
    told, problem = done.stderr.splitlines()
    assert told.startswith("downloading CIFAR10, 170 MB, to")
    assert problem.startswith("resnet_filters.py: error: CIFAR10 is not in")


def test_folders_of_pictures(folder):
    training, test, names = pictures.load_folder(folder)
    assert names == ["class 0", "class 1", "class 2"]
    assert training.images.shape == (27, 3, 64, 64) and test.images.shape == (9, 3, 64, 64)
    assert test.labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]  # every fourth is held out
    middle = training.images[:, :, 32, 32].int()
    assert (middle[:, 0] - 90 * training.labels).abs().max() < 6  # red rises with the label
    assert (middle[:, 2] + 90 * training.labels - 250).abs().max() < 6


@pytest.mark.parametrize(
    ("classes", "each", "spoil", "says"),
    [
        (0, 0, None, "is no folder"),
        (1, 4, None, "no two folders"),
        (2, 3, None, "four are the least"),
        (2, 4, lambda folder: (folder / "empty").mkdir(), "no image files"),
        (2, 4, lambda folder: (folder / "class 1" / "03.png").write_text("7"), "03.png"),
    ],
)
def test_folders_that_are_no_good(tmp_path, classes, each, spoil, says):
    folder = write_pictures(tmp_path / "my pictures", classes, each)
    if spoil:
        spoil(folder)
    with pytest.raises(Problem, match=re.escape(says)):
        pictures.load_folder(folder)


def test_enlarging_and_random_views():
    assert learn.enlarge(torch.randint(0, 256, (200, 3, 32, 32))).shape == (200, 3, 64, 64)
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in (learn.MEAN, learn.STD))
    grey = torch.full((1, 3, 32, 32), 128)
    assert torch.allclose(learn.enlarge(grey), (128 / 255 - mean) / std, atol=1e-5)
    # Dark to the left, bright to the right: half of them are mirrored, and moved by an eighth.
    ramp = torch.linspace(0, 255, 32).expand(200, 3, 32, 32)
    torch.manual_seed(0)
    views = learn.random_views(ramp)
    assert views.shape == (200, 3, 64, 64) and views.min() >= 0 and views.max() < 255.01
    rises = views[:, 0, 32, 48] > views[:, 0, 32, 16]
    assert 70 < rises.sum() < 130
    assert 25 < (views[rises, 0, 32, 32] - 128).abs().max() < 50
    assert torch.allclose(views[:, :, 10], views[:, :, 50], atol=0.01)  # nothing is turned


def test_a_stopped_training_goes_on(folder, tiny, tmp_path, monkeypatch, capsys):
    whole = learned(folder, tmp_path / "whole")
    enlarge, calls = learn.enlarge, []

    def interrupted(images):
        calls.append(1)
        if len(calls) == 5:  # in the second step of the second epoch
            raise KeyboardInterrupt
        return enlarge(images)

    monkeypatch.setattr(learn, "enlarge", interrupted)
    with pytest.raises(KeyboardInterrupt, match="the same command goes on"):
        learned(folder, tmp_path)
    (unfinished,) = (tmp_path / "models").iterdir()
    assert re.fullmatch(r"resnet18_mypictures_\w{8}_unfinished.pth", unfinished.name)
    # Another training does not go on from there, nor does it write over it.
    before = unfinished.read_bytes()
    learned(folder, tmp_path, epochs=1)
    assert "going on" not in capsys.readouterr().err and unfinished.read_bytes() == before
    calls.clear()
    calls += range(5)
    parts = learned(folder, tmp_path)
    assert "going on from" in capsys.readouterr().err
    assert len(calls) == 5 + 2 + 2  # two steps, and two evaluations
    assert not unfinished.exists()
    for one, other in zip(whole, parts, strict=True):
        one, other = (torch.load(path, weights_only=True) for path in (one, other))
        assert one["test_accuracy"] == other["test_accuracy"]
        for name, value in one.get("state_dict", {}).items():
            assert torch.equal(value, other["state_dict"][name]), name


def test_other_classes_in_a_folder_of_the_same_name(folder, tiny, tmp_path, capsys):
    other = write_pictures(tmp_path / "other" / folder.name, classes=2, each=18)  # as many pictures
    learned(folder, tmp_path)
    learned(other, tmp_path)
    assert capsys.readouterr().err.count("before1.pth: they tell other classes apart") == 2


def test_it_learns_and_the_program_looks(folder, tiny, tmp_path, script, monkeypatch):
    monkeypatch.setattr("network.resnet.layers.empty", lambda _, n=1000: tiny_resnet(num_classes=n))
    monkeypatch.setattr("network.filters.gratings.POOL", 20)
    monkeypatch.setattr("matplotlib.figure.Figure.savefig", lambda *_, **__: None)
    folders = ["--models-dir", tmp_path, "--figures-dir", tmp_path, "--data-dir", tmp_path]
    more = ["--epochs", 8, "--device", "cpu", "--seed", 2**32 - 1]
    done = script("resnet_filters.py", "--train", folder, *folders, *more)
    assert done.returncode == 0, done.stderr
    first = torch.load(tmp_path / "resnet_mypictures_conv1.pth", weights_only=True)
    assert first["conv1.weight"].shape == (64, 3, 7, 7) and first["model"] == "resnet18"
    assert first["test_accuracy"] > 0.5  # three flat colours: guessing gives a third
    assert f"test accuracy {first['test_accuracy']:.2%} of 9 pictures" in done.stdout
    whole = torch.load(tmp_path / "resnet18_mypictures.pth", weights_only=True)["state_dict"]
    assert torch.equal(whole["conv1.weight"], first["conv1.weight"])
    assert "the first layer of a ResNet-18 trained on my pictures (" in done.stdout
    learned, looked_at = re.findall(r"resnet18[,:] ([\d,]+) parameters", done.stdout)
    assert learned == looked_at  # with as many classes as there are folders
    for name in ("resnet_mypictures_conv1.pth", "resnet18_mypictures.pth"):
        assert name in done.stdout.partition("written:")[2]
    assert (tmp_path / "ext1_filters_resnet18_mypictures.png").exists()


def test_cifar_is_the_default(tiny, tmp_path, monkeypatch):
    read = pictures.load_folder
    monkeypatch.setattr(learn, "load_cifar10", lambda folder, train: read(folder)[not train])
    data_dir = write_pictures(tmp_path / "cifar", classes=10, each=4)
    first, whole = learned(True, tmp_path, data_dir=data_dir, epochs=1)
    assert (first.name, whole.name) == (SHIPPED, "resnet18_cifar10.pth")
    assert torch.load(first, weights_only=True)["dataset"] == "CIFAR-10"


def save_at_every_step(recipe, *arguments):
    """A training that a process of its own runs, to be killed."""
    torchvision.models.get_model = tiny_resnet
    training.SAVE_EVERY, learn.RECIPE = 0, recipe
    learned(*arguments)


def test_killed_at_any_moment_it_goes_on(folder, tiny, tmp_path, capsys):
    arguments = learn.RECIPE, folder, tmp_path
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=save_at_every_step, args=arguments)
    process.start()
    models = tmp_path / "models"
    while not (unfinished := list(models.glob("*_unfinished.pth"))):
        assert process.is_alive()
        time.sleep(0.01)
    process.kill()
    process.join()
    assert process.exitcode
    learned(folder, tmp_path)
    assert "going on from" in capsys.readouterr().err
    assert not unfinished[0].exists()
