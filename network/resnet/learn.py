"""How the ResNet filters that ship were learned: a ResNet with its 7×7 first layer, on CIFAR-10.

The images are enlarged, since that layer was made for 224 pixels: at 32 the network would be down
to a single pixel halfway. Training goes on where it was stopped or killed.
"""

import math
import time

import torch
import torch.nn.functional as F
import torchvision
from tqdm import tqdm

from network.cli import notice, short
from network.datasets import load_cifar10
from network.files import Problem, whole_file
from network.model import parameter_count
from network.resnet.layers import MEAN, SHIPPED, STD
from network.weights import set_aside_better

SIZE = 64  # pixels along each side of the enlarged images
BATCH_SIZE = 128
PEAK_RATE = 0.1
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
# The first layer starts small and decays faster, so that nothing of its random start remains to be
# seen. Batch normalisation follows it: the scale of its weights changes nothing of what it can do.
FIRST_SCALE = 0.1
FIRST_WEIGHT_DECAY = 2e-3
LABEL_SMOOTHING = 0.1
SAVE_EVERY = 120  # seconds
CHECKED = 10_000  # training images whose accuracy is told beside the test images'


def learn_first_layer(model, epochs, device, options):
    """Trains a ResNet on CIFAR-10, tells how good it is, and saves it and its first layer.

    Args:
        model: the name of a ResNet in torchvision.
        epochs: how often the images are seen.
        device: of torch.
        options: of the program: folders and seed.

    Returns:
        The paths of the first layer's weights and of the whole network's.

    Raises:
        Problem: CIFAR-10 is not to be had, or a file cannot be written.
    """
    training = load_cifar10(options.data_dir, train=True).to(device)
    test = load_cifar10(options.data_dir, train=False).to(device)
    torch.manual_seed(options.seed)
    network = torchvision.models.get_model(model, num_classes=len(training.class_names))
    network.to(device)
    print(
        f"{model}, {parameter_count(network):,} parameters, learns {len(training.images):,} images "
        f"of CIFAR-10 enlarged to {SIZE}×{SIZE}, {epochs} epochs, on {device.type}",
        flush=True,
    )
    unfinished = options.models_dir / f"{model}_cifar10_unfinished.pth"
    train(network, training.images, training.labels, epochs, options.seed, unfinished)
    parts = (training.images[:CHECKED], training.labels[:CHECKED]), (test.images, test.labels)
    of_training, of_test = (accuracy(network, *part) for part in parts)
    print(
        f"test accuracy {of_test:.2%} of {len(test.labels):,} images; the first "
        f"{min(CHECKED, len(training.labels)):,} training images {of_training:.2%}"
    )
    state = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    facts = {
        **{"model": model, "dataset": "CIFAR-10", "image_size": SIZE, "mean": list(MEAN)},
        **{"std": list(STD), "epochs": epochs, "seed": options.seed},
        **{"train_accuracy": of_training, "test_accuracy": of_test},
    }
    first, whole = options.models_dir / SHIPPED, options.models_dir / f"{model}_cifar10.pth"
    for path, content in (
        (first, {"conv1.weight": state["conv1.weight"], **facts}),
        (whole, {"state_dict": state, **facts}),
    ):
        notice(set_aside_better(path, of_test, facts["dataset"]))
        with whole_file(path) as file:
            torch.save(content, file)
    unfinished.unlink(missing_ok=True)
    return [first, whole]


def enlarge(images, rows=None):
    """Batches of CIFAR-10 as the network takes them.

    Args:
        images: (B, 3, 32, 32) uint8 RGB.
        rows: (B, 2, 3), an affine map of each, in coordinates from -1 to 1; none if left out.

    Returns:
        (B, 3, 64, 64) float32 of about zero mean and unit variance, bilinear, mirrored beyond
        the border.
    """
    mean, std = (torch.tensor(s, device=images.device).view(3, 1, 1) * 255 for s in (MEAN, STD))
    if rows is None:
        rows = torch.eye(2, 3).expand(len(images), 2, 3)
    shape = len(images), 3, SIZE, SIZE
    grid = F.affine_grid(rows.to(images.device), shape, align_corners=False)
    x = (images.float() - mean) / std
    x = F.grid_sample(x, grid, padding_mode="reflection", align_corners=False)
    return x.contiguous(memory_format=torch.channels_last)


def random_views(count, generator):
    """Affine maps (count, 2, 3): mirrored or not, up to 10 % larger or smaller, 12.5 % aside."""
    rows = torch.zeros(count, 2, 3)
    zoom = 1 + 0.1 * _either_way(count, generator)
    rows[:, 0, 0] = zoom * _either_way(count, generator).sign()
    rows[:, 1, 1] = zoom
    # Coordinates run from -1 to 1: a share of the width is twice as much.
    rows[:, 0, 2], rows[:, 1, 2] = (0.25 * _either_way(count, generator) for _ in range(2))
    return rows


def _either_way(count, generator):
    return torch.rand(count, generator=generator) * 2 - 1


def learning_rate(progress):
    """The rate when `progress` (0 to 1) is done: up over a fifth, then down along a cosine."""
    if progress < 0.2:
        return PEAK_RATE * max(progress, 1e-3) / 0.2
    return PEAK_RATE * 0.5 * (1 + math.cos(math.pi * (progress - 0.2) / 0.8))


def train(network, images, labels, epochs, seed, unfinished):
    """Trains a ResNet in place, going on from what `unfinished` holds of the same training.

    Random numbers depend on seed, epoch and step alone: a training that was stopped takes the same
    steps as one that was not.

    Args:
        network: of torchvision, fresh; its device and the images' are the same.
        images: (N, 3, 32, 32) uint8 RGB.
        labels: (N,) int64.
        epochs: how often the images are seen.
        seed: of the order and the distortions.
        unfinished: the file that keeps what was learned so far; the caller removes it.

    Raises:
        Problem: that file cannot be written.
        KeyboardInterrupt: saying where what was learned so far is kept.
    """
    device = labels.device
    network.to(memory_format=torch.channels_last)
    first = network.conv1.weight
    with torch.no_grad():
        first.mul_(FIRST_SCALE)
    rest = [parameter for parameter in network.parameters() if parameter is not first]
    groups = [{"params": rest}, {"params": [first], "weight_decay": FIRST_WEIGHT_DECAY}]
    optimizer = torch.optim.SGD(
        groups, PEAK_RATE, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    batch_size = min(BATCH_SIZE, len(images))
    per_epoch = len(images) // batch_size  # steps; an incomplete last batch is left out
    steps = epochs * per_epoch
    # What must be the same for a training to be gone on with.
    settings = {"epochs": epochs, "seed": seed, "images": len(images), "parameters": len(rest)}
    done = _resume(unfinished, settings, network, optimizer)
    if done:
        notice(f"going on from {short(unfinished)}: {done / steps:.0%} of the training is done")

    def keep():
        state = {"network": network.state_dict(), "optimizer": optimizer.state_dict()}
        with whole_file(unfinished) as file:
            torch.save({"settings": settings, "step": done, **state}, file)

    network.train()
    saved = start = time.monotonic()
    total = correct = seen = 0
    bar = tqdm(total=steps, initial=done, desc="training", unit=" steps", leave=False, disable=None)
    try:
        while done < steps:
            epoch, step = divmod(done, per_epoch)
            order = torch.randperm(len(images), generator=_generator(seed, epoch))
            for batch in order.split(batch_size)[step:per_epoch]:
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(done / steps)
                rows = random_views(len(batch), _generator(seed, epochs + done))
                batch = batch.to(device)
                x, y = enlarge(images[batch], rows), labels[batch]
                with torch.autocast(device.type, torch.bfloat16, enabled=has_bfloat16(device)):
                    logits = network(x)
                    loss = F.cross_entropy(logits, y, label_smoothing=LABEL_SMOOTHING)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                done += 1
                # These stay on the device: reading them at each step would stop a GPU each time.
                total += loss.detach()
                correct += (logits.argmax(1) == y).sum()
                seen += 1
                bar.update()
                if time.monotonic() - saved > SAVE_EVERY:
                    keep()
                    saved = time.monotonic()
            print(
                f"epoch {epoch + 1}/{epochs}: loss {total / seen:.3f}, accuracy while learning "
                f"{correct / (seen * batch_size):.2%}, {time.monotonic() - start:.0f} s",
                flush=True,
            )
            start, total, correct, seen = time.monotonic(), 0, 0, 0
        keep()
    except KeyboardInterrupt:
        keep()
        raise KeyboardInterrupt(
            f"{done / steps:.0%} of the training is in {short(unfinished)}, "
            "the same command goes on"
        ) from None
    finally:
        bar.close()
    network.eval()


def _generator(seed, number):
    """A generator of its own for each pair of seed and small number."""
    return torch.Generator().manual_seed(seed * 1_000_003 + number)


def _resume(unfinished, settings, network, optimizer):
    """Reads what `unfinished` holds of this training; returns how many steps that took."""
    try:
        state = torch.load(unfinished, map_location="cpu", weights_only=True)
        if state["settings"] != settings:
            raise ValueError("it is of a training with other settings")
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        return state["step"]
    except FileNotFoundError:
        return 0
    except Exception as error:
        # It is there for going on only; still, hours of work are not to be written over in silence.
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise Problem(
            f"cannot go on from {unfinished} ({reason}); give the same options as then, or move it "
            "away to start anew"
        ) from None


def has_bfloat16(device):
    """Whether the device computes bfloat16 itself; elsewhere that would be slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        can = getattr(torch.cpu, "get_capabilities", dict)()
        return bool(can.get("avx512_bf16") or can.get("amx_bf16"))
    return False


@torch.inference_mode()
def accuracy(network, images, labels, batch_size=500):
    """The share of right answers, 0 to 1, in eval mode and float32."""
    network.eval()
    parts = zip(images.split(batch_size), labels.split(batch_size), strict=True)
    right = sum((network(enlarge(x)).argmax(1) == y).sum().item() for x, y in parts)
    return right / len(labels)
