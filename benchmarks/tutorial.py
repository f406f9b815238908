"""What the usual tutorial reaches, to stand beside this project: python -m benchmarks.tutorial

The same network, trained by the usual DataLoader loop with the report's recipe; pictures squeezed
into 28×28 and inverted; Greek letters by a new last layer on frozen features. Tested on MNIST, and
on the digits and letters that ship with this project, which are drawn, not written.
"""

import cv2
import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.sides import mnist, parse_options, seconds
from benchmarks.usual import usual_epoch, usual_loader, usual_optimizer
from network.cli import HOME
from network.letters.folders import find_letters, read_letters
from network.model import MyNetwork, network_input
from network.photos import read_character
from network.pictures import image_files
from network.training import REPORT, evaluate


def squeeze(picture):
    """(H, W) or (H, W, 3) uint8, dark on light → (28, 28) uint8, light on dark."""
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return 255 - cv2.resize(grey, (28, 28), interpolation=cv2.INTER_AREA)


def read_digits(network):
    """How many of the shipped digits are read right, and how many there are."""
    paths = image_files([HOME / "data" / "digits"])
    images = torch.stack([torch.from_numpy(read_character(path, squeeze)[1]) for path in paths])
    labels = torch.tensor([int(path.stem) for path in paths])
    return round(evaluate(network, images, labels)[1] * len(paths)), len(paths)


def read_greek(network, train_dir, epochs=100):
    """How many of the shipped test letters are read right, and how many there are."""
    files = find_letters(HOME / "data" / train_dir)
    letters, test = (
        read_letters(part, list(files), squeeze)
        for part in (files, find_letters(HOME / "data" / "greek_test"))
    )
    with torch.no_grad():
        x, unseen = (network.features(network_input(part.images)) for part in (letters, test))
    last = nn.Linear(x.shape[1], len(files))
    optimizer = torch.optim.SGD(last.parameters(), REPORT.learning_rate, REPORT.momentum)
    for _ in range(epochs):
        for batch in torch.randperm(len(x)).split(5):
            optimizer.zero_grad()
            F.cross_entropy(last(x[batch]), letters.labels[batch]).backward()
            optimizer.step()
    return (last(unseen).argmax(1) == test.labels).sum().item(), len(test.labels)


def main():
    options = parse_options(__doc__, runs=3)
    test = mnist(options, train=False)
    loader = usual_loader(options.data_dir)
    for seed in range(options.runs):
        torch.manual_seed(seed)
        network = MyNetwork()
        optimizer = usual_optimizer(network)
        times = [seconds(usual_epoch, network, loader, optimizer) for _ in range(REPORT.epochs)]
        _, accuracy = evaluate(network, test.images, test.labels)
        counts = (
            read_digits(network),
            read_greek(network, "greek_train"),
            read_greek(network, "greek_extended"),
        )
        digits, three, eight = (f"{right}/{total}" for right, total in counts)
        print(
            f"seed {seed}: test accuracy {accuracy:.2%} after {sum(times):.0f} s, drawn digits "
            f"{digits}, three drawn letters {three}, eight {eight}",
            flush=True,
        )


if __name__ == "__main__":
    main()
