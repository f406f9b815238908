"""Test-time augmentation: a picture is read as it is and a little distorted, and the mean counts.

As many crops of one photograph are averaged in Krizhevsky et al. 2012, "ImageNet Classification
with Deep Convolutional Neural Networks".
"""

import torch
import torch.nn.functional as F
from torch import nn

from network.training import affine

# Angle (radians), zoom, slant and shifts to the right and down (shares of half the width) of each.
VIEWS = (
    (0.0, 1.0, 0.0, 0.0, 0.0),
    (0.06, 1.05, 0.06, 0.04, 0.04),
    (0.06, 0.95, -0.06, 0.04, -0.04),
    (-0.06, 1.05, -0.06, -0.04, 0.04),
    (-0.06, 0.95, 0.06, -0.04, -0.04),
)


class Views(nn.Module):
    """Answers with the mean of the log-probabilities that a network gives to an image's `VIEWS`."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Log-probabilities (B, classes) of images (B, 1, 28, 28) made by `network_input`."""
        outputs = self.network(views(x))  # (V · B, classes)
        return F.log_softmax(outputs.unflatten(0, (len(VIEWS), -1)).mean(0), dim=1)


def views(x):
    """The `VIEWS` of images (B, 1, 28, 28): (V · B, 1, 28, 28), first all as they are."""
    amounts = torch.tensor(VIEWS[1:], device=x.device).repeat_interleave(len(x), dim=0)
    # Beyond the frame there is more of the same: paper.
    others = affine(x.repeat(len(VIEWS) - 1, 1, 1, 1), *amounts.T, border=True)
    return torch.cat([x, others])
