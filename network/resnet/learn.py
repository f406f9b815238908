"""How the ResNet filters that ship were learned: a ResNet with its 7×7 first layer, on CIFAR-10.

Or on a folder of one's own pictures. CIFAR-10's are enlarged, since that layer was made for 224
pixels: at 32 the network would be down to a single pixel halfway. Training goes on where it was
stopped or killed.
"""

import contextlib
import dataclasses
import statistics

import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from network.cli import count_of, notice, short
from network.files import require_writable
from network.model import parameter_count, write
from network.resnet.layers import MEAN, STD, file_word
from network.resnet.pictures import SIDE, load_cifar10, load_folder
from network.training import Recipe, evaluate, train
from network.weights import set_aside_better, unfinished_training

RECIPE = Recipe(
    epochs=12,
    batch_size=128,
    learning_rate=0.1,
    warm_up=0.15,
    curriculum=False,
    average=False,
)
# The first layer starts small and decays faster, so that nothing of its random start remains to be
# seen. Batch normalisation follows it: the scale of its weights changes nothing of what it can do.
FIRST_SCALE = 0.1
FIRST_WEIGHT_DECAY = 2e-3
LABEL_SMOOTHING = 0.1
CHECKED = 10_000  # training images whose accuracy is told beside the test images'


def learn_first_layer(options, device):
    """Trains a ResNet on CIFAR-10 or a folder of pictures, tells how good it is, and saves it.

    The options are the program's: `train` is the folder, or True for CIFAR-10.

    Returns:
        The paths of the first layer's weights and of the whole network's.

    Raises:
        Problem: the pictures are not to be had, or a file cannot be written.
        KeyboardInterrupt: saying where what was learned so far is kept.
    """
    require_writable(options.models_dir)
    model = options.model or "resnet18"
    recipe = dataclasses.replace(RECIPE, epochs=options.epochs or RECIPE.epochs)
    if options.train is True:
        dataset = "CIFAR-10"
        training, test = (load_cifar10(options.data_dir, train) for train in (True, False))
        names = None  # everybody's
    else:
        dataset = options.train.resolve().name
        training, test, names = load_folder(options.train)
    training, test = training.to(device), test.to(device)

    torch.manual_seed(options.seed)
    network = torchvision.models.get_model(model, num_classes=int(training.labels.max()) + 1)
    network.to(device, memory_format=torch.channels_last)
    print(
        f"{model}, {parameter_count(network):,} parameters, learns {len(training.images):,} "
        f"pictures of {dataset} at {SIDE}×{SIDE} pixels, {count_of(recipe.epochs, 'epoch')}, on "
        f"{device.type}",
        flush=True,
    )
    settings = {"model": model, "epochs": recipe.epochs, "seed": options.seed}
    settings |= {"dataset": dataset, "images": len(training.images), "class_names": names}
    whole = options.models_dir / f"{model}_{file_word(dataset)}.pth"
    unfinished = learn(network, training, recipe, whole, settings)

    checked = training.images[:CHECKED], training.labels[:CHECKED]
    of_training, of_test = (
        evaluate(network, images, labels, enlarge, F.cross_entropy)[1]
        for images, labels in (checked, (test.images, test.labels))
    )
    print(
        f"test accuracy {of_test:.2%} of {len(test.labels):,} pictures; the first "
        f"{len(checked[1]):,} training pictures {of_training:.2%}"
    )
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    facts = settings | {"image_size": SIDE, "mean": list(MEAN), "std": list(STD)}
    facts |= {"train_accuracy": of_training, "test_accuracy": of_test}
    first = options.models_dir / f"resnet_{file_word(dataset)}_conv1.pth"  # layers.SHIPPED
    for path, content in (
        (first, {"conv1.weight": state["conv1.weight"], **facts}),
        (whole, {"state_dict": state, **facts}),
    ):
        notice(set_aside_better(path, of_test, dataset, names))
        write(path, content)
    unfinished.unlink(missing_ok=True)
    return [first, whole]


def learn(network, training, recipe, path, settings):
    """Trains a ResNet in place, for weights that go to `path`; one that was stopped goes on.

    What makes a training the same are its `settings`. Raises as `learn_first_layer`.

    Returns:
        The path of the file that kept what was learned so far, for the caller to remove.
    """
    device = training.labels.device
    first = network.conv1.weight
    with torch.no_grad():
        first.mul_(FIRST_SCALE)
    rest = [parameter for parameter in network.parameters() if parameter is not first]
    optimizer = torch.optim.SGD(
        [{"params": rest}, {"params": [first], "weight_decay": FIRST_WEIGHT_DECAY}],
        recipe.learning_rate,
        recipe.momentum,
        weight_decay=recipe.weight_decay,
        nesterov=True,
    )

    unfinished, saved = unfinished_training(path, settings)

    def save(state):
        write(unfinished, {"settings": settings, **state})

    epochs = train(
        network,
        training.images,
        training.labels,
        recipe,
        prepare=enlarge,
        augment=random_views,
        loss_function=nn.CrossEntropyLoss(label_smoothing=LABEL_SMOOTHING),
        optimizer=optimizer,
        save=save,
        saved=saved,
    )
    try:
        with faster(device):
            for epoch in epochs:
                print(
                    f"epoch {epoch.number}/{recipe.epochs}: loss "
                    f"{statistics.mean(epoch.losses):.3f}, accuracy while learning "
                    f"{epoch.running_accuracy:.2%}, {epoch.seconds:.0f} s",
                    flush=True,
                )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"what was learned is in {short(unfinished)}, the same command goes on"
        ) from None
    return unfinished


def enlarge(images):
    """Images (B, 3, H, W) of RGB values 0 to 255, uint8 or float, as the network takes them:
    (B, 3, 64, 64) float32 of about zero mean and unit variance, bilinear."""
    mean, std = (torch.tensor(s, device=images.device).view(3, 1, 1) * 255 for s in (MEAN, STD))
    x = (images.float() - mean) / std
    x = F.interpolate(x, (SIDE, SIDE), mode="bilinear", antialias=False)
    return x.contiguous(memory_format=torch.channels_last)


def random_views(images, strength=1.0):
    """Images (B, 3, H, W) of RGB values 0 to 255, mirrored or not, up to 10 % larger or smaller and
    12.5 % aside, or `strength` times that: (B, 3, 64, 64) float32 of the same range, bilinear,
    mirrored beyond the border."""
    count, device = len(images), images.device

    def amount(limit):
        return (torch.rand(count, device=device) * 2 - 1) * limit

    zoom = 1 + amount(0.1) * strength
    rows = torch.zeros(count, 2, 3, device=device)  # an affine map of each
    rows[:, 0, 0] = zoom * amount(1).sign()
    rows[:, 1, 1] = zoom
    # Coordinates run from -1 to 1: a share of the width is twice as much.
    rows[:, 0, 2], rows[:, 1, 2] = amount(0.25) * strength, amount(0.25) * strength
    grid = F.affine_grid(rows, (count, 3, SIDE, SIDE), align_corners=False)
    return F.grid_sample(images.float(), grid, padding_mode="reflection", align_corners=False)


def faster(device):
    """A context of bfloat16 where the device computes it itself; elsewhere that would be slower."""
    can = getattr(torch.cpu, "get_capabilities", dict)()
    if device.type == "cuda":
        itself = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        itself = device.type == "cpu" and (can.get("avx512_bf16") or can.get("amx_bf16"))
    if not itself:
        return contextlib.nullcontext()
    # Without its cache: that keeps weights as they were before a step.
    return torch.autocast(device.type, torch.bfloat16, cache_enabled=False)
