"""How the digit network learns letters: a new last layer on frozen features."""

import dataclasses

import torch
import torch.nn.functional as F
from torch import nn

from network.training import REPORT, predict, random_affine, train

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
# A few letters by one pen before one camera need noise in their copies, to be of use for others';
# of hundreds drawn by as many pens it makes the answers 0.6 points worse.
NOISE = 0.25
EVEN = 0.8  # share of the covariance in `whiten` that is taken to be alike in all directions


def replace_last_layer(network, classes):
    """Freezes a network and gives it a fresh last layer, the only one that learns."""
    network.requires_grad_(False)
    fresh = nn.Linear(network.fc2.in_features, classes)
    # From so few pictures a random start would not be unlearned: it stays in the answers.
    nn.init.zeros_(fresh.weight)
    nn.init.zeros_(fresh.bias)
    network.fc2 = fresh.to(network.fc1.weight.device)


def distort(images, noise):
    """Letters (N, 28, 28), 0 to 255, light on dark, as other hands, pens and cameras would have
    them, in float32.

    Turned, sheared, scaled and shifted (`random_affine`), their strokes up to a pixel thicker or
    thinner, broken now and then, and noisy: `noise` is its greatest standard deviation, as a share
    of 255.
    """
    images = random_affine(images)
    thick, thin = F.max_pool2d(images, 3, 1, 1), -F.max_pool2d(-images, 3, 1, 1)
    change, strength = torch.rand(2, len(images), 1, 1, device=images.device)
    change = 1.6 * change - 0.8
    images = torch.where(change > 0, images.lerp(thick, change), images.lerp(thin, -change))
    images = broken(images)
    return (images + 255 * noise * strength * torch.randn_like(images)).clamp(0, 255)


def broken(images):
    """Images (N, 28, 28), ink light on dark, with a line of paper across a third of them.

    Pens that run dry and coarse scans break strokes.
    """
    turn, shift, chance = torch.rand(3, len(images), 1, 1, device=images.device)
    middle = torch.arange(28, device=images.device) - 13.5
    line = middle * (torch.pi * turn).cos() + middle[:, None] * (torch.pi * turn).sin()
    apart = (line - 24 * (shift - 0.5)).abs() > 0.75  # pixels
    return images * (apart | (chance < 2 / 3))


def whiten(points, labels):
    """Makes the features (N, F) of letters vary alike in all directions among pictures of one.

    Then a last layer that starts from zero first takes the directions in which letters differ by
    more than hands do: Fisher's linear discriminant (1936). The share `EVEN` of the covariance is
    taken to be the same in all directions, since few pictures measure it badly (Friedman 1989,
    "Regularized Discriminant Analysis"). Every label (N,) from 0 on is there at least once.

    Returns:
        The features' centre (F,) and a symmetric matrix (F, F): use `(points - centre) @ matrix`.
    """
    device, points, labels = points.device, points.cpu(), labels.cpu()  # MPS has no eigh
    means = torch.stack([points[labels == label].mean(0) for label in range(labels.max() + 1)])
    within = points - means[labels]
    covariance = within.T @ within / len(points)
    even = covariance.trace() / len(covariance) * torch.eye(len(covariance))
    values, axes = torch.linalg.eigh((1 - EVEN) * covariance + EVEN * even)
    matrix = axes * values.clamp(min=1e-9).rsqrt() @ axes.T
    return points.mean(0).to(device), matrix.to(device)


def train_last_layer(network, images, labels, noise=NOISE):
    """Trains the last layer, as `replace_last_layer` leaves it, on images (N, 28, 28) uint8 with
    labels (N,) int64 and on distorted copies of them, all on the network's device; a generator like
    `train`: after each `Epoch` the network is ready to answer."""
    # Frozen layers make the same of an image in every epoch: once is enough.
    copies = max(COPIES, EXAMPLES // len(images) - 1)
    copied = (distort(images, noise) if copy else images for copy in range(1 + copies))
    points = [predict(network, letters, see=network.features) for letters in copied]
    points = torch.cat(points)  # (N · (1 + copies), 50)
    labels = labels.repeat(1 + copies)
    centre, matrix = whiten(points, labels)
    points = (points - centre) @ matrix
    # The longer the features are as vectors, the smaller a step the layer bears: of length 1.
    scale = points.square().sum(1).mean().clamp(min=1e-9).rsqrt()
    head = nn.Sequential(nn.Linear(*network.fc2.weight.T.shape), nn.LogSoftmax(dim=1))
    head.to(points.device)[0].load_state_dict(network.fc2.state_dict())
    for epoch in train(head, points * scale, labels, FROZEN, prepare=nn.Identity()):
        with torch.no_grad():  # what was done to the features goes into the weights
            network.fc2.weight.copy_(head[0].weight @ (matrix * scale))
            network.fc2.bias.copy_(head[0].bias - network.fc2.weight @ centre)
        yield epoch
