"""Test-time augmentation: a picture is read as it is and a little distorted, and the mean counts.

As many crops of one photograph are averaged in Krizhevsky et al. 2012, "ImageNet Classification
with Deep Convolutional Neural Networks".
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

# Angle (radians), zoom, slant and shifts to the right and down (shares of half the width) of each.
VIEWS = (
    (0.0, 1.0, 0.0, 0.0, 0.0),
    (0.06, 1.05, 0.06, 0.04, 0.04),
    (0.06, 0.95, -0.06, 0.04, -0.04),
    (-0.06, 1.05, -0.06, -0.04, 0.04),
    (-0.06, 0.95, 0.06, -0.04, -0.04),
)


class Views(nn.Module):
    """Answers with the mean of the log-probabilities that a network gives to an image's `VIEWS`.

    Args:
        network: returns log-probabilities (B, classes) of images (B, 1, 28, 28).
    """

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        """Log-probabilities (B, classes) of images made by `network_input`."""
        outputs = self.network(views(x).flatten(0, 1))  # (V · B, classes)
        return F.log_softmax(outputs.unflatten(0, (len(VIEWS), -1)).mean(0), dim=1)


def views(x):
    """The `VIEWS` of images (B, 1, 28, 28): (V, B, 1, 28, 28), the first as they are."""
    seen = [x]
    for angle, zoom, slant, right, down in VIEWS[1:]:
        cos, sin = zoom * math.cos(angle), zoom * math.sin(angle)
        matrix = torch.tensor([[cos, slant - sin, right], [sin, cos, down]], device=x.device)
        grid = F.affine_grid(matrix.expand(len(x), 2, 3), x.shape, align_corners=False)
        # Beyond the frame there is more of the same: paper.
        seen.append(F.grid_sample(x, grid, padding_mode="border", align_corners=False))
    return torch.stack(seen)
