"""Probabilities that mean what they say, and whether what was read is a digit at all."""

import copy
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from network.training import Recipe, exposure_loss, features, predict, train

LAST = Recipe(  # how `learn_doubt` trains
    epochs=8,
    optimizer="adamw",
    learning_rate=3e-3,
    weight_decay=1e-4,
    augment=False,
    curriculum=False,
)
WEIGHT = 0.1  # of what is no digit; with more of it the last layer reads digits worse
KEPT = 0.997  # share of MNIST's digits that are not doubted
SCALES = torch.linspace(0.5, 2, 151).tolist()


def entropy(log_probabilities):
    """How undecided log-probabilities (B, classes) are: (B,), 0 to log(classes) nats."""
    return -(log_probabilities.exp() * log_probabilities).sum(1)


def learn_doubt(network, images, labels):
    """Teaches the last layer alone to be undecided where there is no digit.

    Args:
        network: a `MyNetwork` trained as a part of `WithOthers`.
        images: (N, 28, 28) uint8, digits and others.
        labels: (N,) int64, -1 for what is no digit.
    """
    head = nn.Sequential(copy.deepcopy(network.fc2), nn.LogSoftmax(dim=1))
    # Frozen layers make the same of an image in every epoch: once is enough.
    points = features(network, images)
    loss = partial(exposure_loss, weight=WEIGHT)
    for _ in train(head, points, labels, LAST, nn.Identity(), loss_function=loss):
        pass
    network.fc2.load_state_dict(head[0].state_dict())


@torch.no_grad()
def calibrate(network, images, labels):
    """Makes a network as sure of its answers as it is right, by a factor of its last layer.

    That is temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"); no
    answer changes.

    Args:
        network: a `MyNetwork`.
        images: (N, 28, 28) uint8, such as it was not trained on.
        labels: (N,) int64.
    """
    log_probabilities = predict(network, images)

    def loss(scale):
        return F.cross_entropy(scale * log_probabilities, labels).item()

    scale = min(SCALES, key=loss)
    network.fc2.weight *= scale
    network.fc2.bias *= scale


def doubt_limit(network, images):
    """The entropy in nats that the share `KEPT` of images of digits (N, 28, 28) stays below.

    After `learn_doubt` a network answers what is no digit with more.
    """
    return torch.quantile(entropy(predict(network, images)), KEPT).item()
