"""How the digit network learns letters: a new last layer on frozen features."""

import dataclasses

import torch
from torch import nn

from network.model import network_input
from network.training import REPORT, random_affine, train

# The report's plain SGD: AdamW gives features that are seldom active as much weight as others, and
# read letters of other hands worse. Few epochs, for the same reason.
FROZEN = dataclasses.replace(
    REPORT, epochs=10, batch_size=64, learning_rate=2, momentum=0.9, one_cycle=True
)
UNFROZEN = dataclasses.replace(
    FROZEN, epochs=5, optimizer="adamw", learning_rate=1e-3, augment=True
)
DRAWN = 600  # of each letter, drawn at each run beside those that ship
EXAMPLES = 8000  # letters with distorted copies of them, at least, from which the layer learns
COPIES = 3  # of each letter at least
DISTORTION = 1.3  # of the copies, in the measure of `random_affine`


def replace_last_layer(network, classes):
    """Freezes a network and gives it a fresh last layer, the only one that learns."""
    network.requires_grad_(False)
    fresh = nn.Linear(network.fc2.in_features, classes)
    # From so few pictures a random start would not be unlearned: it stays in the answers.
    nn.init.zeros_(fresh.weight)
    nn.init.zeros_(fresh.bias)
    network.fc2 = fresh.to(network.fc1.weight.device)


@torch.no_grad()
def features(network, images):
    """What the last layer sees of images (N, 28, 28): (N, 50), on the network's device."""
    images = images.to(network.fc1.weight.device)
    return torch.cat([network.features(network_input(batch)) for batch in images.split(2000)])


def whiten(points, labels):
    """Makes features vary alike in all directions among pictures of one letter.

    Then a last layer that starts from zero first takes the directions in which letters differ by
    more than hands do: Fisher's linear discriminant (1936). Half of the covariance is taken to be
    the same in all directions, since few pictures measure it badly (Friedman 1989, "Regularized
    Discriminant Analysis").

    Args:
        points: (N, F), the features of letters.
        labels: (N,), every label from 0 on at least once.

    Returns:
        The features' centre (F,) and a symmetric matrix (F, F): use `(points - centre) @ matrix`.
    """
    device, points, labels = points.device, points.cpu(), labels.cpu()  # MPS has no eigh
    means = torch.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
    within = points - means[labels]
    covariance = within.T @ within / len(points)
    even = covariance.trace() / len(covariance) * torch.eye(len(covariance))
    values, axes = torch.linalg.eigh((covariance + even) / 2)
    matrix = axes * values.clamp(min=1e-9).rsqrt() @ axes.T
    return points.mean(0).to(device), matrix.to(device)


def train_last_layer(network, images, labels):
    """Trains the last layer on images and distorted copies of them; a generator like `train`.

    Args:
        network: as `replace_last_layer` leaves it.
        images: (N, 28, 28) uint8, on the network's device.
        labels: (N,) int64, there too.

    Yields:
        An `Epoch` after each one, with the network ready to answer.
    """
    # Frozen layers make the same of an image in every epoch: once is enough.
    copies = max(COPIES, EXAMPLES // len(images) - 1)
    distorted = [features(network, random_affine(images, DISTORTION)) for _ in range(copies)]
    points = torch.cat([features(network, images), *distorted])  # (N · (1 + copies), 50)
    labels = labels.repeat(1 + copies)
    centre, matrix = whiten(points, labels)
    points = (points - centre) @ matrix
    # The longer the features are as vectors, the smaller a step the layer bears: of length 1.
    scale = points.square().sum(1).mean().clamp(min=1e-9).rsqrt()
    head = nn.Sequential(nn.Linear(*network.fc2.weight.T.shape), nn.LogSoftmax(dim=1))
    head.to(points.device).load_state_dict(
        {"0.weight": network.fc2.weight, "0.bias": network.fc2.bias}
    )
    for epoch in train(head, points * scale, labels, FROZEN, prepare=nn.Identity()):
        with torch.no_grad():  # what was done to the features goes into the weights
            network.fc2.weight.copy_(head[0].weight @ (matrix * scale))
            network.fc2.bias.copy_(head[0].bias - network.fc2.weight @ centre)
        yield epoch
