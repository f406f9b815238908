"""torchvision's ResNets, of which the first layer is looked at, and where its weights come from.

The five sizes of He et al. 2016, "Deep Residual Learning for Image Recognition", all begin with
the same convolution: 64 filters of 3×7×7.
"""

import re
import sys
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from textwrap import indent

import numpy as np
import torch
import torchvision
from torch import nn

from network.cli import notice, short
from network.datasets import downloading
from network.files import Problem
from network.model import parameter_count
from network.weights import find_state, read_weights

MODELS = "resnet18", "resnet34", "resnet50", "resnet101", "resnet152"
REPORTS = "resnet50"  # the report's choice
SHIPPED = "resnet_cifar10_conv1.pth"  # in the folder of models; see network/resnet/learn.py
SHAPE = (64, 3, 7, 7)  # of conv1
TRACKED = "num_batches_tracked"  # a number that batch normalisation keeps beside its weights
# Mean and standard deviation of ImageNet's red, green and blue, on a scale of 0 to 1.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class FirstLayer:
    """The filters of a ResNet's first convolution, and what is known of them."""

    network: nn.Module  # whose first layer it is; shapes only, without weights
    model: str  # one of MODELS
    words: str  # which network it is of and what that learned, for titles
    suffix: str  # what names of figures get to tell it from the report's ResNet-50 of ImageNet
    details: str  # the file, and what it says of the training
    filters: np.ndarray  # (64, 3, 7, 7) float32; they act on normalised red, green and blue
    mean: np.ndarray  # (3,) float32, which normalises RGB values from 0 to 1
    std: np.ndarray  # (3,)

    def normalise(self, picture):
        """A picture (H, W, 3) uint8 RGB as the network takes it: (3, H, W) float32."""
        values = np.float32(picture) / 255
        return np.ascontiguousarray(((values - self.mean) / self.std).transpose(2, 0, 1))

    @property
    def filters_on_rgb(self):
        """The filters as they act on RGB values from 0 to 1: (64, 3, 7, 7)."""
        return self.filters / self.std[:, None, None]


def first_layer(choice, model, models_dir):
    """The first layer of a ResNet.

    Args:
        choice: "imagenet" (torchvision's weights, from its cache, else downloaded), "cifar10"
            (what ships with the project), "auto" (ImageNet, else what ships), or a file: a
            state_dict of the model, or one like what ships.
        model: one of MODELS, or None for what the weights are of (ImageNet: the report's).
        models_dir: the folder of what ships.

    Raises:
        Problem: the weights are not to be had, broken, or of another model.
    """
    shipped = models_dir / SHIPPED
    choice = str(choice)
    if choice not in ("auto", "imagenet"):
        return read_first_layer(shipped if choice == "cifar10" else Path(choice), model)
    name = model or REPORTS
    try:
        return read_first_layer(find_or_download(name), name, "ImageNet")
    except Problem as problem:
        if choice == "imagenet":
            raise
        layer = read_first_layer(shipped, None)
        notice(
            f"NOTICE: {problem}\nNOTICE: going on with what ships: the first layer of "
            f"{layer.words} ({layer.details})."
        )
        return layer


def find_or_download(model):
    """The file of torchvision's ImageNet weights for a model; downloaded if need be.

    These are the first that torchvision had for each model (IMAGENET1K_V1). The file lies where
    torchvision itself keeps it, and only whole: its checksum is part of its name.

    Raises:
        Problem: it is not there and can not be downloaded.
    """
    weights = torchvision.models.get_model_weights(model).IMAGENET1K_V1
    path = Path(torch.hub.get_dir()) / "checkpoints" / weights.url.rsplit("/", 1)[1]
    start_of_hash = path.stem.split("-")[1]
    otherwise = f"put {path.name} there, or use --weights cifar10"
    with downloading(f"ImageNet weights of {model} are", path.parent, otherwise):
        if path.is_file() and sha256(path.read_bytes()).hexdigest().startswith(start_of_hash):
            return path
        size = weights.meta["_file_size"]
        notice(f"downloading ImageNet weights of {model}, {size:.0f} MB, to {path} …")
        path.parent.mkdir(parents=True, exist_ok=True)
        bar = sys.stderr.isatty()
        torch.hub.download_url_to_file(weights.url, str(path), start_of_hash, progress=bar)
    return path


def read_first_layer(path, model, learned=None):
    """Reads the first layer from a file.

    Args:
        path: a state_dict of a ResNet, bare or among other things, or what network/resnet/learn.py
            leaves: the first layer alone.
        model: one of MODELS that it must be of, or None for any.
        learned: the name of the data set, if it is known from elsewhere.

    Raises:
        Problem: the file is missing, cut off, no weights file, would run code, or holds weights of
            another model or that are no finite numbers.
    """
    content = read_weights(path)
    facts = content if isinstance(content, dict) else {}
    # The first layer alone, beside what says whose it is; else a whole state_dict.
    alone = "conv1.weight" in facts and isinstance(facts.get("model"), str)
    if alone:
        weights = find_state({"conv1.weight": facts["conv1.weight"]}) or {}
        found = facts["model"]
        if found not in MODELS or _shapes(weights) != {"conv1.weight": SHAPE}:
            found = None
    else:
        weights, found = _named(find_state(content) or {}, path)
    if not found:
        raise Problem(f"{path} holds no weights of a ResNet; choose some of {', '.join(MODELS)}")
    if model not in (None, found):
        raise Problem(f"{path} holds weights of {found}, not of {model}; choose --model {found}")
    try:
        mean = torch.tensor(facts.get("mean", MEAN), dtype=torch.float32).reshape(3)
        std = torch.tensor(facts.get("std", STD), dtype=torch.float32).reshape(3)
        finite = all(value.isfinite().all() for value in (*weights.values(), mean, 1 / std))
    except (TypeError, ValueError, RuntimeError):  # mean and std may be anything
        finite = False
    if not finite:
        raise Problem(f"{path} holds weights that are no finite numbers; fetch or train it anew")
    learned = " ".join(str(learned or facts.get("dataset") or "").split())[:40]
    usual = (found, learned) == (REPORTS, "ImageNet")
    details = str(short(path))
    if isinstance(facts.get("test_accuracy"), float):
        details += f", test accuracy {facts['test_accuracy']:.2%}"
    # The layer alone does not say how many classes its network tells apart.
    classes = {"CIFAR-10": 10}.get(learned, 1000) if alone else len(weights["fc.weight"])
    return FirstLayer(
        network=empty(found, classes),
        model=found,
        words=found.replace("resnet", "ResNet-") + (f" trained on {learned}" if learned else ""),
        suffix="" if usual else f"_{found}_{file_word(learned or path.stem)}",
        details=details,
        filters=weights["conv1.weight"].float().numpy(),
        mean=mean.numpy(),
        std=std.numpy(),
    )


def file_word(name):
    """A name as a part of a file's name: CIFAR-10 becomes cifar10."""
    return re.sub(r"\W", "", name).lower() or "own"


def _named(weights, path):
    """Weights by torchvision's names, and whose they are; {} and None if they are no ResNet's."""
    counted = {name: value for name, value in weights.items() if not name.endswith(TRACKED)}
    for model in MODELS:
        shapes = _shapes(empty(model).state_dict())
        if _shapes(weights) == shapes:
            return weights, model
        # Other names, perhaps, for the same layers.
        named = dict(zip(shapes, counted.values(), strict=False))
        if len(counted) == len(shapes) and _shapes(named) == shapes:
            notice(f"{path}: layers of other names, known by their order and shapes")
            return named, model
    return {}, None


def _shapes(state):
    """The shapes in a state_dict by name, but for the number of classes, which may be any."""
    return {
        name: tuple(value.shape)[1 if name.startswith("fc.") else 0 :]
        for name, value in state.items()
        if not name.endswith(TRACKED)  # which older files lack
    }


def empty(model, classes=1000):
    """A ResNet of torchvision of which only the shapes exist, made in no time."""
    with torch.device("meta"):
        return torchvision.models.get_model(model, weights=None, num_classes=classes)


def describe(network):
    """A ResNet's layers as text: of each stage its first block, and how many more there are."""
    lines = [f"{type(network).__name__}("]
    for name, layer in network.named_children():
        if not isinstance(layer, nn.Sequential):
            lines.append(indent(f"({name}): {layer}", "  "))
            continue
        first, *others = layer
        lines += [f"  ({name}): Sequential(", indent(f"(0): {first}", "    ")]
        if others:
            kind = type(first).__name__ + (" block" if len(others) == 1 else " blocks")
            count = sum(map(parameter_count, others))
            lines.append(f"    … {len(others)} more {kind}, {count:,} parameters")
        lines.append("  )")
    return "\n".join([*lines, ")"])
