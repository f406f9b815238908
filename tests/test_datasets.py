"""Data sets: idx files good and bad, downloads that fail, drawn digits."""

import gzip
import socket

import pytest
import torch

from network import datasets, mnist
from network.files import Problem

TRAIN_IMAGES, _, TEST_IMAGES, TEST_LABELS = mnist.FILES


@pytest.fixture
def raw(small_mnist):
    return small_mnist / "MNIST" / "raw"


def test_reads_what_was_written(small_mnist):
    train = datasets.load("MNIST", small_mnist, train=True)
    assert train.images.shape == (600, 28, 28) and train.images.dtype == torch.uint8
    assert train.labels.shape == (600,) and train.labels.dtype == torch.int64
    assert train.class_names == tuple("0123456789")
    assert train.labels.bincount().tolist() == [60] * 10
    assert datasets.load("MNIST", small_mnist, train=False).images.shape == (200, 28, 28)


def test_packed_files_serve_as_well(small_mnist, raw):
    before = datasets.load("MNIST", small_mnist, train=True).images
    path = raw / TRAIN_IMAGES
    path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert torch.equal(datasets.load("MNIST", small_mnist, train=True).images, before)


def test_the_real_mnist(mnist_dir):
    train = datasets.load("MNIST", mnist_dir, train=True)
    test = datasets.load("MNIST", mnist_dir, train=False)
    assert len(train.images) == len(train.labels) == 60_000
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]


def test_agrees_with_torchvision(mnist_dir):
    from torchvision.datasets import MNIST

    theirs = MNIST(mnist_dir, train=False)
    ours = datasets.load("MNIST", mnist_dir, train=False)
    assert torch.equal(theirs.data, ours.images)
    assert torch.equal(theirs.targets, ours.labels)


def problem(data_dir, train=True):
    with pytest.raises(Problem) as caught:
        datasets.load("MNIST", data_dir, train)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_broken_packed_file(small_mnist, raw):
    path = raw / TEST_IMAGES
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    for content in (packed[: len(packed) // 2], b"not packed", packed[:200] + b"x" + packed[201:]):
        path.with_name(path.name + ".gz").write_bytes(content)
        text = problem(small_mnist, train=False)
        assert ("cannot read" in text or "no idx file" in text) and "delete" in text


def test_a_missing_file(small_mnist, raw, offline):
    (raw / TEST_LABELS).unlink()
    with pytest.raises(Problem, match=f"--data-dir .*lacks {TEST_LABELS}"):
        datasets.find_dataset("mnist", small_mnist)


def test_drawn_digits_need_no_files():
    part = datasets.load("drawn digits", None, train=False, count=200)
    assert part.images.shape == (200, 28, 28) and len(part.labels.unique()) == 10


@pytest.fixture
def silent(monkeypatch):
    """Connections are accepted and never answered."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{server.getsockname()[1]}")
        monkeypatch.setattr(datasets, "TIMEOUT", 0.3)
        yield


@pytest.mark.parametrize("network", ["offline", "silent"])
def test_a_download_that_fails(tmp_path, network, request, capsys):
    request.getfixturevalue(network)
    patience = socket.getdefaulttimeout()
    with pytest.raises(Problem) as caught:
        datasets.find_dataset("mnist", tmp_path / "data")
    text = str(caught.value)
    assert "could not be downloaded" in text and "--data-dir" in text and "\n" not in text
    assert list((tmp_path / "data").rglob("*")) == []  # nothing half done
    assert socket.getdefaulttimeout() == patience
    assert capsys.readouterr().out == ""  # what torchvision prints is no result


def test_auto_goes_on_with_drawn_digits_and_says_so_loudly(tmp_path, offline, capsys):
    assert datasets.find_dataset("auto", tmp_path) == "drawn digits"
    assert "DRAWN" in capsys.readouterr().err
    assert datasets.find_dataset("drawn", tmp_path) == "drawn digits"


def test_auto_takes_mnist_where_it_is(small_mnist, offline):
    assert datasets.find_dataset("auto", small_mnist) == "MNIST"


def test_a_broken_file_is_never_passed_over_for_drawn_digits(small_mnist, raw, offline):
    (raw / TRAIN_IMAGES).write_bytes(b"broken")
    assert datasets.find_dataset("auto", small_mnist) == "MNIST"
    assert "no idx file" in problem(small_mnist)


def test_a_data_folder_that_cannot_be_made(tmp_path, offline):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(Problem, match="could not be downloaded"):
        datasets.find_dataset("mnist", tmp_path / "file" / "data")


def test_the_first_drawn_digits_are_the_first_of_all():
    few, more = (datasets.load("drawn digits", None, train=False, count=n) for n in (9, 30))
    assert torch.equal(few.images, more.images[:9]) and torch.equal(few.labels, more.labels[:9])


def test_pictures_of_something_else_are_not_taken_for_mnist(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "cats").mkdir(parents=True)
        (tmp_path / part / "cats" / "1.png").write_bytes(b"a cat")
    assert mnist.find("MNIST", tmp_path) is None
