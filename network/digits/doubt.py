"""Probabilities that mean what they say, and whether what was read is a digit at all."""

import math
from functools import partial

import torch
import torch.nn.functional as F
from torch import nn

from network.training import Recipe, predict, random_affine, train
from network.views import Views

KEPT = 0.9975  # share of MNIST's digits that are not doubted: of other people's, 99 in 100
SCALES = torch.linspace(0.5, 2, 151).tolist()
EXPECTED = 0.05  # share of pictures that are no digit; there are more among the lessons
HIDDEN = 128  # units of the layer that tells what is no digit
RECIPE = Recipe(
    epochs=4,
    batch_size=512,
    optimizer="adamw",
    learning_rate=0.006,
    weight_decay=1e-4,
    augment=False,
    curriculum=False,
    average=False,
)


def entropy(log_probabilities):
    """How undecided log-probabilities (B, classes) are: (B,), 0 to log(classes) nats."""
    return -(log_probabilities.exp() * log_probabilities).sum(1)


class WithOthers(nn.Module):
    """A `MyNetwork` that, while it learns, also tells `others` classes of what is no digit apart.

    Letters, scribbles and the like get classes of their own, so that its features stay of use for
    other signs. Outlier exposure, which asks for undecided answers in their place, leaves the
    features near zero for all that is no digit.
    """

    def __init__(self, network, others):
        super().__init__()
        self.network = network
        self.others = nn.Linear(network.fc2.in_features, others)

    def forward(self, x):
        """Log-probabilities (B, classes + others) of images made by `network_input`."""
        features = self.network.features(x)
        return torch.cat([self.network.fc2(features), self.others(features)], 1).log_softmax(1)


class Doubts(nn.Module):
    """Two layers beside a digit network's last one, which give what is no digit `others` classes of
    its own. They see all that the network makes of an image (`insight`); nothing of it changes."""

    def __init__(self, network, others):
        super().__init__()
        self.classes = network.fc2.out_features
        inputs = self.classes + network.fc2.in_features + network.fc1.in_features
        self.layers = nn.Sequential(
            nn.BatchNorm1d(inputs),
            nn.Linear(inputs, HIDDEN),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(HIDDEN, others),
        )

    def forward(self, insight):
        """Log-probabilities (B, classes + others) of images by their `insight`."""
        return torch.cat([insight[:, : self.classes], self.layers(insight)], 1).log_softmax(1)


def insight(network, x):
    """A network's logits, features and feature maps (B, 10 + 50 + 320) of x (B, 1, 28, 28)."""
    maps = network.maps(x)
    features = F.relu(network.fc1(maps))
    return torch.cat([network.fc2(features), features, maps], dim=1)


class Doubtful(nn.Module):
    """Reads digits like its `MyNetwork`, and is undecided before what looks like no digit.

    The probability that an image is none, by the network's `Doubts`, is shared out evenly among the
    digits: so undecided outlier exposure would make the answer (Hendrycks et al. 2019, "Deep
    Anomaly Detection with Outlier Exposure").
    """

    def __init__(self, network, doubts):
        super().__init__()
        self.network, self.doubts = network, doubts

    def forward(self, x):
        """Log-probabilities (B, classes) of images (B, 1, 28, 28) made by `network_input`."""
        joint, classes = self.doubts(insight(self.network, x)), self.doubts.classes
        others = joint[:, classes:].logsumexp(1, keepdim=True)
        return torch.logaddexp(joint[:, :classes], others - math.log(classes))


def with_doubts(network, facts):
    """A network to read with, which doubts what is no digit if its checkpoint can.

    Takes what `load_network` returns. Returns a module that answers like the network, and the
    entropy (nats) of its answer above which an image is perhaps no digit: `Views` of a `Doubtful`,
    or the network itself and None.
    """
    if "doubts" not in facts:
        return network, None
    limit, weights = facts["doubts"]["limit"], facts["doubts"]["weights"]
    doubts = Doubts(network, len(weights["layers.4.bias"]))
    doubts.load_state_dict(weights)
    return Views(Doubtful(network, doubts.to(network.fc1.weight.device))).eval(), limit


def learn_doubts(network, images, labels):
    """Learns to tell what is no digit: `Doubts`, in eval mode; the `MyNetwork` stays as it is.

    Images are (N, 28, 28) uint8, digits and others, and labels (N,) int64, digits and, after them,
    classes of what is none; both on the network's device.
    """
    both = torch.cat([images, random_affine(images)])
    seen = predict(network, both, see=partial(insight, network))  # (2 · N, 380)
    classes = network.fc2.out_features
    doubts = Doubts(network, labels.max().item() + 1 - classes).to(seen.device)
    list(train(doubts, seen, labels.repeat(2), RECIPE, prepare=nn.Identity()))
    share = (labels >= classes).float().mean().item()
    with torch.no_grad():
        doubts.layers[-1].bias += odds(EXPECTED) - odds(share)
    return doubts


def odds(share):
    """The logarithm of the odds of a share, as logits are."""
    return math.log(share / (1 - share))


@torch.no_grad()
def calibrate(network, images, labels):
    """Makes a `MyNetwork` as sure of its answers as it is right, by a factor of its last layer.

    That is temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"); no
    answer changes. Images (N, 28, 28) uint8 are such as it was not trained on, labels (N,) int64.
    """
    logits = network.fc2(predict(network, images, see=network.features))

    def loss(scale):
        return F.cross_entropy(scale * logits, labels).item()

    scale = min(SCALES, key=loss)
    for parameter in network.fc2.parameters():
        parameter *= scale


def doubt_limit(reader, images):
    """The entropy in nats that the share `KEPT` of images of digits (N, 28, 28) stays below.

    What is no digit is answered with more by a `Doubtful`, seen in `Views`. These take five times
    as long, so that the tenth that is doubted most at one look is looked at again.
    """
    doubts = entropy(predict(reader, images))
    most = images[doubts.topk(math.ceil(len(images) / 10)).indices]
    beyond = max(1, round((1 - KEPT) * len(images)))
    return entropy(predict(Views(reader), most)).topk(beyond).values[-1].item()
