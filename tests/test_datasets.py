"""Data sets: idx files good and bad, downloads that fail, drawn digits."""

import gzip
import socket
from functools import partial

import pytest
import torch
from conftest import refusal

from network import datasets, mnist

TRAIN_IMAGES, _, TEST_IMAGES, TEST_LABELS = mnist.FILES
load = partial(datasets.load, "MNIST")
find_mnist = partial(datasets.find_dataset, "mnist")
find_some = partial(datasets.find_dataset, "auto")


@pytest.fixture
def raw(small_mnist):
    return small_mnist / "MNIST" / "raw"


def pack(path):
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def test_reads_what_was_written_packed_or_not(small_mnist, raw):
    train = load(small_mnist, train=True)
    assert (train.images.shape, train.images.dtype) == ((600, 28, 28), torch.uint8)
    assert (train.labels.shape, train.labels.dtype) == ((600,), torch.int64)
    assert train.class_names == tuple("0123456789")
    assert train.labels.bincount().tolist() == [60] * 10
    assert load(small_mnist, train=False).images.shape == (200, 28, 28)
    pack(raw / TRAIN_IMAGES)
    assert torch.equal(load(small_mnist, train=True).images, train.images)


def test_the_real_mnist_as_torchvision_reads_it(mnist_dir):
    from torchvision.datasets import MNIST

    train, test = load(mnist_dir, train=True), load(mnist_dir, train=False)
    assert len(train.images) == len(train.labels) == 60_000
    assert train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    theirs = MNIST(mnist_dir, train=False)
    assert torch.equal(theirs.data, test.images) and torch.equal(theirs.targets, test.labels)


def test_a_broken_packed_file(small_mnist, raw):
    packed = pack(raw / TEST_IMAGES)
    whole = packed.read_bytes()
    for content, says in (
        (whole[: len(whole) // 2], "cannot read"),
        (b"not packed", "no idx file"),
        (whole[:200] + b"x" + whole[201:], "cannot read"),
    ):
        packed.write_bytes(content)
        text = refusal(load, small_mnist, False)
        assert says in text and "delete" in text


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
    text = refusal(find_mnist, tmp_path / "data")
    assert "could not be downloaded" in text and "--data-dir" in text
    assert list((tmp_path / "data").rglob("*")) == []  # nothing half done
    assert socket.getdefaulttimeout() == patience
    assert capsys.readouterr().out == ""  # what torchvision prints is no result


def test_a_missing_file_and_a_folder_that_cannot_be_made(small_mnist, raw, offline):
    text = refusal(find_mnist, raw / TEST_LABELS / "data")
    assert "could not be downloaded" in text
    (raw / TEST_LABELS).unlink()
    _, _, advice = refusal(find_mnist, small_mnist).partition("--data-dir ")
    assert f"lacks {TEST_LABELS}" in advice


def test_auto_goes_on_with_drawn_digits_and_says_so_loudly(tmp_path, offline, capsys):
    assert find_some(tmp_path) == "drawn digits"
    assert "DRAWN" in capsys.readouterr().err
    assert datasets.find_dataset("drawn", tmp_path) == "drawn digits"


def test_auto_takes_mnist_where_it_is_even_broken(small_mnist, raw, offline):
    assert find_some(small_mnist) == "MNIST"
    (raw / TRAIN_IMAGES).write_bytes(b"broken")
    assert find_some(small_mnist) == "MNIST"
    assert "no idx file" in refusal(load, small_mnist, True)


def test_the_first_drawn_digits_are_the_first_of_all():
    few, more = (datasets.load("drawn digits", None, train=False, count=n) for n in (9, 30))
    assert torch.equal(few.images, more.images[:9]) and torch.equal(few.labels, more.labels[:9])


def test_pictures_of_something_else_are_not_taken_for_mnist(tmp_path):
    for part in ("train", "test"):
        (tmp_path / part / "cats").mkdir(parents=True)
        (tmp_path / part / "cats" / "1.png").write_bytes(b"a cat")
    assert mnist.find("MNIST", tmp_path) is None
