"""The report's digit network: two convolutions, two fully connected layers, 21,840 parameters.

What `save_network` writes comes back by `torch.load` and `MyNetwork.from_state_dict`; see
`weights.py` for files of other people and for clear words about bad ones.
"""

import torch
import torch.nn.functional as F
from torch import nn

from network.files import ctrl_c_afterwards, whole_file

# Mean and standard deviation of MNIST's training pixels, on a scale of 0 to 1.
MEAN, STD = 0.1307, 0.3081


class MyNetwork(nn.Module):
    """Classifies 28×28 grey images.

    Args:
        filters: how many 5×5 filters the first and the second convolution have.
        hidden: outputs of the first fully connected layer.
        classes: outputs of the last layer.
        dropout: the probability with which a whole feature map of the second convolution is
            left out of a training step (Tompson et al. 2015, "Efficient Object Localization
            Using Convolutional Networks").
    """

    def __init__(self, filters=(10, 20), hidden=50, classes=10, dropout=0.25):
        super().__init__()
        first, second = filters
        self.conv1 = nn.Conv2d(1, first, kernel_size=5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(first, second, kernel_size=5)
        self.dropout = nn.Dropout2d(dropout)
        self.fc1 = nn.Linear(second * 4 * 4, hidden)
        self.fc2 = nn.Linear(hidden, classes)

    def maps(self, x):
        """The feature maps of the second convolution, pooled, as a row (B, 320); not negative."""
        # Shapes are those of the default sizes. A maximum and a ReLU can change places; pooling
        # first leaves the ReLU a quarter of the work.
        x = F.relu(self.pool1(self.conv1(x)))  # (B, 1, 28, 28) -> (B, 10, 12, 12)
        x = F.relu(self.pool1(self.dropout(self.conv2(x))))  # -> (B, 20, 4, 4)
        return x.flatten(1)

    def features(self, x):
        """The `hidden` features (B, hidden), not negative, from which the last layer decides."""
        return F.relu(self.fc1(self.maps(x)))

    def forward(self, x):
        """Log-probabilities (B, classes) of images (B, 1, 28, 28) made by `network_input`."""
        return F.log_softmax(self.fc2(self.features(x)), dim=1)

    @classmethod
    def from_state_dict(cls, state, dropout=0.25):
        """A network in eval mode with these weights, of the sizes that their shapes imply.

        Raises:
            KeyError, RuntimeError, TypeError or ValueError: they are another network's.
        """
        with torch.device("meta"):  # shapes without memory, which the weights bring
            network = cls(
                filters=(len(state["conv1.weight"]), len(state["conv2.weight"])),
                hidden=len(state["fc1.weight"]),
                classes=len(state["fc2.weight"]),
                dropout=dropout,
            )
        network.load_state_dict(state, assign=True)
        return network.eval()

    @property
    def sizes(self):
        """The arguments that make a network of this shape again."""
        return {
            "filters": [self.conv1.out_channels, self.conv2.out_channels],
            "hidden": self.fc1.out_features,
            "classes": self.fc2.out_features,
            "dropout": self.dropout.p,
        }


def network_input(images):
    """Images (B, 28, 28), grey values 0 to 255, uint8 or float, ink light on dark, as the network
    takes them: (B, 1, 28, 28) float32 of about zero mean and unit variance."""
    return images.unsqueeze(1).float().sub(255 * MEAN).div_(255 * STD)


def parameter_count(network):
    """The number of single weights that a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def save_network(path, network, **facts):
    """Writes a checkpoint: the weights, the sizes that fit them, and what is known of them.

    The `facts` (class names, data set, seed, training history, …) are numbers, texts, lists and
    dicts only, so that they can be read back without running anything.

    Raises:
        Problem: the file cannot be written.
    """
    # Contiguous copies on the CPU: the file reads the same wherever it was trained.
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write(path, {"network": network.sizes, "state_dict": state, **facts})


def write(path, content):
    """Writes a file for `torch.load`, whole or not at all.

    Within `torch.save` Ctrl-C would end the program in torch's words, or kill it: it has to wait.

    Raises:
        Problem: the file cannot be written.
    """
    with ctrl_c_afterwards(), whole_file(path) as file:
        torch.save(content, file)
