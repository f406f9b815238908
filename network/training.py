"""The one training loop and the one evaluation: for digits, letters, experiments and ResNets.

The images lie in one uint8 tensor on the device, batches are taken by index and augmented as a
whole: no worker processes, no work image by image.
"""

import copy
import ctypes
import math
import time
from contextlib import suppress
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR
from torch.optim.swa_utils import get_ema_multi_avg_fn
from tqdm import tqdm

from network.model import network_input


@dataclass(frozen=True)
class Recipe:
    """How a network is trained."""

    epochs: int = 32
    batch_size: int = 256
    optimizer: str = "sgd"  # or "adamw"
    learning_rate: float | None = None  # the peak, where it follows a cycle; None: see RATES
    momentum: float = 0.9  # of SGD; AdamW keeps its usual betas
    weight_decay: float = 5e-4
    one_cycle: bool = True  # Smith and Topin 2018, "Super-Convergence"; else a constant rate
    warm_up: float = 0.05  # share of the cycle in which the learning rate rises
    augment: bool = True  # images are distorted at random, see `random_affine`
    curriculum: bool = True  # dropout and augmentation come and go (see `curriculum`)
    average: bool = True  # the result is a moving average of the weights

    def __post_init__(self):
        if self.learning_rate is None:
            # Small batches go in many more steps; at the rate of large ones they may learn nothing.
            rate = RATES[self.optimizer] * min(1, self.batch_size / 256)
            object.__setattr__(self, "learning_rate", rate)  # it is frozen


RATES = {"sgd": 0.15, "adamw": 0.004}  # each optimizer's own learning rate, of batches of 256

# What the report did.
REPORT = Recipe(
    epochs=5,
    batch_size=64,
    learning_rate=0.01,
    momentum=0.5,
    weight_decay=0,
    one_cycle=False,
    warm_up=0.15,
    augment=False,
    curriculum=False,
    average=False,
)
SAVE_EVERY = 120  # seconds after which a training saves itself within an epoch


@dataclass(frozen=True)
class Epoch:
    """What one epoch of training was like."""

    number: int  # 1 for the first
    losses: list  # mean loss of each training batch, in nats
    running_accuracy: float  # share of right answers, with dropout and augmentation
    seconds: float  # spent on learning, evaluations not counted
    cpu_seconds: float  # the same as CPU time of the calling thread


def random_affine(images, strength=1.0):
    """Turns, scales, shears and shifts every image of a batch by its own random amount.

    (B, 28, 28) uint8 or float on a background of 0 become float32 of the same range, bilinear.
    At a `strength` of 1 it is up to 0.2 radians, 12 % of the size, a slant of 0.2 and 6 % of the
    width and height, either way; else that share of it.
    """
    device = images.device

    def amount(limit):
        return (torch.rand(len(images), device=device) * 2 - 1) * (limit * strength)

    angle, zoom, slant = amount(0.2), 1 + amount(0.12), amount(0.2)
    # Coordinates run from -1 to 1: a share of the width is twice as much.
    right, down = amount(0.12), amount(0.12)
    return affine(images.unsqueeze(1).float(), angle, zoom, slant, right, down).squeeze(1)


def affine(images, angle, zoom, slant, right, down, border=False):
    """Images (B, 1, 28, 28) float32, each turned (radians), zoomed, slanted and shifted (in halves
    of the width) by its own amount (B,), bilinear. Beyond the frame is 0, or what its `border` has.
    """
    cos, sin = angle.cos() * zoom, angle.sin() * zoom
    rows = torch.stack([cos, slant - sin, right, sin, cos, down], dim=1)  # (B, 6)
    h, w = images.shape[2:]
    y, x = ((2 * torch.arange(n, device=images.device) + 1) / n - 1 for n in (h, w))
    pixels = torch.stack([x.repeat(h), y.repeat_interleave(w), torch.ones_like(x).repeat(h)])
    # One product for the whole batch: affine_grid multiplies image by image, 20 times as long.
    grid = (rows.view(-1, 3) @ pixels).view(-1, 2, h, w).permute(0, 2, 3, 1)  # (B, h, w, 2)
    if border:  # a padding_mode of grid_sample that MPS lacks before torch 2.11
        most = grid.new_tensor([1 - 1 / w, 1 - 1 / h])  # the middle of the outermost pixels
        grid = grid.clamp(-most, most)
    return F.grid_sample(images, grid, align_corners=False)


def train(
    network,
    images,
    labels,
    recipe,
    prepare=network_input,
    augment=random_affine,
    loss_function=F.nll_loss,
    optimizer=None,
    progress=True,
    save=None,
    saved=None,
):
    """Trains a network in place; yields an `Epoch` after each one, the network in eval mode.

    With `recipe.average` a copy learns and the network follows it as a moving average: so it holds
    the best weights so far at any moment, at an interruption too. Random numbers come from torch's
    global generators: after `torch.manual_seed` a run is repeatable on one machine, and one that
    was stopped and gone on with takes the same steps as one that was not.

    Args:
        network: returns log-probabilities (B, classes), or what `loss_function` takes.
        images: (N, 28, 28) uint8, or whatever `prepare` takes; on the network's device.
        labels: (N,) int64, there too.
        prepare: makes a batch of images the network's input.
        augment: distorts a batch of images, given how much of it the curriculum wants (0 to 1).
        loss_function: of the network's outputs and the labels.
        optimizer: of the network's parameters, in place of the recipe's; not with its average.
        progress: whether a terminal sees a progress bar.
        save: is given the state of the training after each epoch, every two minutes, and at Ctrl-C.
        saved: such a state, to go on from.
    """
    device = labels.device
    if device.type == "cpu":
        keep_freed_memory()
        network.to(memory_format=torch.channels_last)  # convolutions are faster so, on a CPU
    learner = copy.deepcopy(network) if recipe.average else network
    optimizer = optimizer or make_optimizer(learner, recipe)
    batches = math.ceil(len(images) / recipe.batch_size)  # in an epoch
    steps = recipe.epochs * batches
    parts = {"network": network, "learner": learner, "optimizer": optimizer}
    # Of random numbers; a training may go on with a device that has one more, or one less.
    sources = [torch] if device.type == "cpu" else [torch, getattr(torch, device.type)]
    done, order, losses, correct = 0, None, None, None
    if saved:
        for name, part in parts.items():
            part.load_state_dict(saved[name])
        done = saved["done"]
        for source, known in zip(sources, saved["random"], strict=False):
            source.set_rng_state(known)
    random = [source.get_rng_state() for source in sources]  # when `done` steps were done
    schedule = make_schedule(optimizer, recipe, steps, done)

    def state():
        known = {"done": done, "order": order, "losses": losses, "correct": correct}
        return known | {"random": random} | {name: parts[name].state_dict() for name in parts}

    dropouts = {layer: layer.p for layer in learner.modules() if isinstance(layer, nn.Dropout2d)}
    bar = tqdm(
        total=recipe.epochs * len(images),
        initial=min(done * recipe.batch_size, recipe.epochs * len(images)),
        desc="training",
        unit=" images",
        unit_scale=True,
        leave=False,
        disable=None if progress else True,  # None: shown on a terminal only
    )
    last_save = time.monotonic()
    try:
        for number in range(done // batches + 1, recipe.epochs + 1):
            learner.train()
            start, cpu_start = time.perf_counter(), time.thread_time()
            first = done % batches  # more than 0 where a stopped training goes on
            if first:
                order, losses, correct = (
                    saved[name].to(device) for name in ("order", "losses", "correct")
                )
            else:
                order = torch.randperm(len(images), device=device)
                # Sums stay on the device: reading them at each step would stop a GPU each time.
                losses = torch.zeros(batches, device=device)
                correct = torch.zeros((), dtype=torch.int64, device=device)
            for step, batch in enumerate(order.split(recipe.batch_size)[first:], first):
                noise, distortion = curriculum(done / steps) if recipe.curriculum else (1, 1)
                for layer, p in dropouts.items():
                    layer.p = p * noise
                x, y = images[batch], labels[batch]
                if recipe.augment:
                    x = augment(x, distortion)
                outputs = learner(prepare(x))
                loss = loss_function(outputs, y)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                if recipe.average:
                    # Early averages are over fewer weights, or the start would weigh in for long.
                    decay = min(0.995, (1 + done) / (10 + done))
                    weights = list(network.parameters()), list(learner.parameters())
                    get_ema_multi_avg_fn(decay)(*weights, done)
                losses[step] = loss.detach()
                correct += (outputs.argmax(1) == y).sum()
                done += 1
                bar.update(len(batch))
                if step % 20 == 0 and not bar.disable:
                    share = correct.item() / ((step + 1) * recipe.batch_size)
                    bar.set_postfix_str(f"loss {losses[step]:.3f}, accuracy {share:.1%}", False)
                if save:
                    random = [source.get_rng_state() for source in sources]
                    if time.monotonic() - last_save > SAVE_EVERY:
                        save(state())
                        last_save = time.monotonic()
            of_batches = losses.tolist()  # waits for a GPU to finish, so that the time is right
            seconds, cpu_seconds = time.perf_counter() - start, time.thread_time() - cpu_start
            network.eval()
            share = correct.item() / len(images)
            yield Epoch(number, of_batches, share, seconds, cpu_seconds)
            if save:  # by now the caller has taken note of this epoch
                save(state())
                last_save = time.monotonic()
    except KeyboardInterrupt:
        if save:
            save(state())
        raise
    finally:
        bar.close()
        for layer, p in dropouts.items():
            layer.p = p


def keep_freed_memory():
    """Has this process keep the memory that tensors leave, for the next ones.

    The C library of Linux gives large blocks back and asks for them again, every step, and each
    page of them is a trap into the kernel: with batches of 256 a step takes 1.3 times as long
    (median of 40 steps, twice), with batches of 64 now and then 1.2 times.
    """
    trim_threshold, mmap_threshold = -1, -3  # names and values as in glibc's malloc.h
    with suppress(AttributeError, OSError, TypeError):  # no glibc: Windows, macOS, musl
        glibc = ctypes.CDLL(None)
        glibc.mallopt(trim_threshold, 2**30)
        glibc.mallopt(mmap_threshold, 2**25)  # bytes; the most that it takes


def curriculum(progress):
    """How much of dropout and of augmentation to use when `progress` (0 to 1) is done.

    Easy images first, so that a good network is there soon; then as hard as they get; and at the
    end, since so small a network cannot learn all that they ask for, images nearly as they are.
    Dropout fades evenly all along, augmentation over the last third, to a third.
    """
    growing = min(1, progress / 0.2)
    return growing * (1 - progress), growing * min(1, 0.3 + 2.3 * (1 - progress))


def make_optimizer(network, recipe):
    """The recipe's optimizer; frozen parameters, which get no gradients, it passes over."""
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(network.parameters(), rate, recipe.momentum, weight_decay=decay)
    return torch.optim.AdamW(network.parameters(), rate, weight_decay=decay)


def make_schedule(optimizer, recipe, steps, done):
    """The recipe's learning rate over so many steps, of which some are done."""
    if not recipe.one_cycle:
        return LambdaLR(optimizer, lambda step: 1)
    return OneCycleLR(
        optimizer,
        recipe.learning_rate,
        total_steps=steps,
        # Where the rate rises for exactly one step, torch divides by zero.
        pct_start=recipe.warm_up if recipe.warm_up * steps != 1 else 2 / steps,
        cycle_momentum=False,
        last_epoch=done - 1,  # which means steps
    )


@torch.no_grad()
def predict(network, images, prepare=network_input, see=None):
    """A network's outputs (N, classes), here log-probabilities, of images (N, 28, 28); or what else
    `see`, such as its method `features`, makes of its input.

    Images are on the network's device; it is left in eval mode.
    """
    network.eval()
    see = see or network
    return torch.cat([see(prepare(batch)) for batch in images.split(1000)])


def count_answers(labels, answers, classes):
    """How often each class (row) was taken for each (column): (classes, classes) int64."""
    return torch.bincount(classes * labels + answers, minlength=classes**2).view(classes, -1)


def evaluate(network, images, labels, prepare=network_input, loss_function=F.nll_loss):
    """Mean loss (nats) and accuracy (0 to 1), in eval mode."""
    outputs = predict(network, images, prepare)
    loss = loss_function(outputs, labels).item()
    return loss, (outputs.argmax(1) == labels).sum().item() / len(labels)


def measures(epoch, training, test):
    """What is known after an `Epoch`, as plain values for curves and checkpoints; `training` and
    `test` are what `evaluate` says of the two parts."""
    return {
        "epoch": epoch.number,
        "seconds": epoch.seconds,
        "running_accuracy": epoch.running_accuracy,
        "train_loss": training[0],
        "train_accuracy": training[1],
        "test_loss": test[0],
        "test_accuracy": test[1],
    }
