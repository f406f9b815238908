"""The digit network, and its weights on disk.

`MyNetwork` is the report's: two convolutions, two fully connected layers, 21,840 parameters.
"""

import os
import warnings
import zipfile
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from network.files import Problem, name_beside, whole_file

IMAGE_SIZE = 28  # pixels along each side of an input image
# Mean and standard deviation of MNIST's training pixels, on a scale of 0 to 1.
MEAN, STD = 0.1307, 0.3081

# Names and numbers of dimensions that make a state_dict one of MyNetwork's.
LAYERS = {
    "conv1.weight": 4,
    "conv1.bias": 1,
    "conv2.weight": 4,
    "conv2.bias": 1,
    "fc1.weight": 2,
    "fc1.bias": 1,
    "fc2.weight": 2,
    "fc2.bias": 1,
}


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

    def features(self, x):
        """The `hidden` features (B, hidden), not negative, from which the last layer decides."""
        # Shapes are those of the default sizes. A maximum and a ReLU can change places; pooling
        # first leaves the ReLU a quarter of the work.
        x = F.relu(self.pool1(self.conv1(x)))  # (B, 1, 28, 28) -> (B, 10, 12, 12)
        x = F.relu(self.pool1(self.dropout(self.conv2(x))))  # -> (B, 20, 4, 4)
        return F.relu(self.fc1(x.flatten(1)))  # -> (B, 320) -> (B, 50)

    def forward(self, x):
        """Log-probabilities (B, classes) of images (B, 1, 28, 28) made by `network_input`."""
        return F.log_softmax(self.fc2(self.features(x)), dim=1)

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
    """Images as the network takes them.

    Args:
        images: (B, 28, 28), grey values 0 to 255, uint8 or float, ink light on dark.

    Returns:
        (B, 1, 28, 28) float32 of about zero mean and unit variance.
    """
    return images.unsqueeze(1).float().sub(255 * MEAN).div_(255 * STD)


def parameter_count(network):
    """The number of single weights that a network has."""
    return sum(parameter.numel() for parameter in network.parameters())


def save_network(path, network, **facts):
    """Writes a checkpoint: the weights, the sizes that fit them, and what is known of them.

    Args:
        path: the file, made anew or replaced whole.
        network: a `MyNetwork` on any device.
        facts: whatever says how the weights came about (class names, data set, seed, training
            history, …); numbers, texts, lists and dicts only, so that it can be read back
            without running anything.

    Raises:
        Problem: the file cannot be written.
    """
    # Contiguous copies on the CPU: the file reads the same wherever it was trained.
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    with whole_file(path) as file:
        torch.save({"network": network.sizes, "state_dict": state, **facts}, file)


def set_aside_better(path, accuracy, dataset):
    """Copies a checkpoint to another name if what is about to take its place may be worse.

    That is if it tested better, or nobody knows how it tested, or it learned other data.

    Args:
        path: the checkpoint; it may be missing.
        accuracy: what the new one tested, 0 to 1.
        dataset: the name of what the new one learned.

    Returns:
        A line that says what was kept and why, or None.

    Raises:
        Problem: the copy cannot be written.
    """
    if not path.is_file():
        return None
    try:
        facts = read_weights(path)
        before, learned = facts["test_accuracy"], facts.get("dataset", dataset)
        if before <= accuracy and learned == dataset:
            return None
        reason = f"they tested better ({before:.2%}, now {accuracy:.2%})"
        if learned != dataset:
            reason = f"they learned {learned}"
    except (Problem, LookupError, TypeError, ValueError, RuntimeError):  # it may hold anything
        reason = "they do not say how well they tested"
    # Read before a name is chosen: were this another run's by then, that run has taken the name.
    content = path.read_bytes()
    aside = name_beside(path)
    with whole_file(aside) as file:
        file.write(content)
    return f"the weights that were in {path} are kept as {aside.name}: {reason}"


def read_weights(path):
    """What torch saved in a file. Nothing in it is run: only tensors and plain values are read.

    Raises:
        Problem: the file is missing, cut off, no weights file, or would run code.
    """
    path = Path(path)
    if not os.path.isfile(path):
        raise Problem(f"no weights file {path}; train the network first or name another file")
    try:
        with open(path, "rb") as file:
            pickled = file.read(1) in (b"P", b"\x80")  # of "PK", for a zip with a pickle in it
        # torch.save packs nothing: what unpacks to more than the file has is made to fill memory.
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(part.file_size for part in archive.infolist()) > path.stat().st_size:
                    raise ValueError
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about files that are refused anyway
            content = torch.load(path, map_location="cpu", weights_only=True)
    # Broken bytes make torch raise almost anything, and all of it means the same to the user.
    except Exception as error:
        # torch says so of any bytes that it does not know, but only pickles can run code.
        if pickled and "weights only" in str(error).lower().replace("_", " "):
            raise Problem(
                f"refused to read {path}: it holds more than weights and could run code; "
                "save a state_dict from where it came"
            ) from None
        raise Problem(
            f"cannot read weights from {path}: cut off, or no weights file; fetch or train it anew"
        ) from None
    return content


def load_network(path, device="cpu"):
    """Reads a checkpoint of `save_network`, or a bare state_dict of the same network.

    Returns:
        The network on `device`, in eval mode, and a dict of what the checkpoint says besides
        (empty for a bare state_dict).

    Raises:
        Problem: as `read_weights`, or the file holds the weights of another network.
    """
    content = read_weights(path)
    if isinstance(content, dict) and "state_dict" in content:
        facts = dict(content)
        state, sizes = facts.pop("state_dict"), facts.pop("network", {})
    else:
        facts, state, sizes = {}, content, {}
    network = _fitting_network(path, state, sizes)
    state = {name: value.float().contiguous() for name, value in state.items()}
    if not all(value.isfinite().all() for value in state.values()):
        raise Problem(f"{path} holds weights that are no finite numbers; train it anew")
    network.load_state_dict(state, assign=True)
    return network.to(device).eval(), facts


def load_digit_network(path, device="cpu"):
    """A network that tells the ten digits apart, read as by `load_network`.

    Raises:
        Problem: also if it was made for another number of classes.
    """
    network, _ = load_network(path, device)
    if network.fc2.out_features != 10:
        raise Problem(
            f"{path} tells {network.fc2.out_features} classes apart, not ten digits; "
            "choose a digit network's weights"
        )
    return network


def _fitting_network(path, state, sizes):
    """A network of the sizes that the shapes in a state_dict imply, not yet with any weights."""
    advice = "choose weights that this project's network was trained to"
    if not (isinstance(state, dict) and all(map(_is_plain, state.values()))):
        raise Problem(f"{path} holds no state_dict of floating-point numbers; {advice}")
    if set(state) != set(LAYERS):
        names = sorted(map(str, set(state) ^ set(LAYERS)))
        listed = ", ".join(names[:4]) + (", …" if len(names) > 4 else "")
        raise Problem(f"{path} holds weights of another network (differing in {listed}); {advice}")
    shapes = {name: list(value.shape) for name, value in state.items()}
    fits = all(len(shapes[name]) == dimensions for name, dimensions in LAYERS.items())
    if fits and all(min(shape) > 0 for shape in shapes.values()):
        dropout = sizes.get("dropout", 0.25) if isinstance(sizes, dict) else 0.25
        if not (isinstance(dropout, (int, float)) and 0 <= dropout <= 1):
            raise Problem(f"{path} names a dropout of {dropout!r}; {advice}")
        with torch.device("meta"):  # shapes without memory: they may not fit, and be of any size
            network = MyNetwork(
                filters=(shapes["conv1.weight"][0], shapes["conv2.weight"][0]),
                hidden=shapes["fc1.weight"][0],
                classes=shapes["fc2.weight"][0],
                dropout=dropout,
            )
        wanted = {name: list(value.shape) for name, value in network.state_dict().items()}
        fits = shapes == wanted
    if not fits:
        found = ", ".join(f"{name} {shapes[name]}" for name in LAYERS if name.endswith("weight"))
        raise Problem(
            f"{path} holds weights of another network ({found}; "
            f"the digit network's are [10, 1, 5, 5], [20, 10, 5, 5], [50, 320], [10, 50]); {advice}"
        )
    return network


def _is_plain(value):
    """Whether it is a tensor of floating-point numbers that are all in memory, as many as it has.

    A file of a few bytes may hold tensors of any size: one number again and again, or none.
    """
    return (
        torch.is_tensor(value)
        and value.layout == torch.strided
        and value.device.type == "cpu"
        and value.is_floating_point()
        and value.numel() * value.element_size() <= value.untyped_storage().nbytes()
    )
