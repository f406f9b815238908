"""Probabilities that mean what they say, and whether what was read is a digit at all."""

import math

import torch
import torch.nn.functional as F
from torch import nn

from network.training import features, predict
from network.views import Views

KEPT = 0.9985  # share of MNIST's digits that are not doubted
SCALES = torch.linspace(0.5, 2, 151).tolist()


def entropy(log_probabilities):
    """How undecided log-probabilities (B, classes) are: (B,), 0 to log(classes) nats."""
    return -(log_probabilities.exp() * log_probabilities).sum(1)


class WithOthers(nn.Module):
    """A digit network that, while it learns, tells what is no digit apart as well.

    Letters, scribbles and the like get classes of their own. In eval mode it answers with the
    digits alone: the probability that it is none of them is shared out evenly, so that the answer
    is as undecided as outlier exposure makes it (Hendrycks et al. 2019, "Deep Anomaly Detection
    with Outlier Exposure"). Exposure itself leaves the features near zero for all that is no
    digit, and so useless for letters.

    Args:
        network: a `MyNetwork`; it answers by itself as surely as ever.
        others: how many classes more.
    """

    def __init__(self, network, others):
        super().__init__()
        self.network = network
        self.others = nn.Linear(network.fc2.in_features, others)

    def joint(self, features):
        """Log-probabilities (B, classes + others) of what the network's `features` returned."""
        outputs = torch.cat([self.network.fc2(features), self.others(features)], dim=1)
        return F.log_softmax(outputs, dim=1)

    def forward(self, x):
        """Log-probabilities of images made by `network_input`: in eval mode (B, classes), while
        training (B, classes + others)."""
        joint = self.joint(self.network.features(x))
        return joint if self.training else share_out(joint, self.network.fc2.out_features)


def share_out(joint, classes):
    """Log-probabilities (B, classes) of (B, classes + others): the others' shared out evenly."""
    others = joint[:, classes:].logsumexp(1, keepdim=True)
    return torch.logaddexp(joint[:, :classes], others - math.log(classes))


def with_doubts(network, facts):
    """A network to read with, which doubts what is no digit if its checkpoint can.

    See `Views` and `WithOthers`; a network that learned no such doubts answers as it is.

    Args:
        network, facts: as `load_network` returns them.
    """
    if "others" not in facts:
        return network
    learner = WithOthers(network, len(facts["others"]["bias"]))
    learner.others.load_state_dict(facts["others"])
    return Views(learner.to(network.fc1.weight.device)).eval()


@torch.no_grad()
def calibrate(learner, images, labels):
    """Makes a network as sure of its answers as it is right, by a factor of its last layer.

    That is temperature scaling (Guo et al. 2017, "On Calibration of Modern Neural Networks"); no
    answer changes.

    Args:
        learner: a `WithOthers`.
        images: (N, 28, 28) uint8, such as it was not trained on.
        labels: (N,) int64.
    """
    joint = learner.joint(features(learner.network, images))
    classes = learner.network.fc2.out_features

    def loss(scale):
        return F.nll_loss(share_out((scale * joint).log_softmax(1), classes), labels).item()

    scale = min(SCALES, key=loss)
    for parameter in (*learner.network.fc2.parameters(), *learner.others.parameters()):
        parameter *= scale


def doubt_limit(learner, images):
    """The entropy in nats that the share `KEPT` of images of digits (N, 28, 28) stays below.

    What is no digit is answered with more by a `WithOthers`, seen in `Views`. These take five times
    as long, so that the tenth that is doubted most at one look is looked at again.
    """
    doubts = entropy(predict(learner, images))
    most = images[doubts.topk(math.ceil(len(images) / 10)).indices]
    beyond = max(1, round((1 - KEPT) * len(images)))
    return entropy(predict(Views(learner), most)).topk(beyond).values[-1].item()
