"""One trial: a setting of the network and its training, learned and measured by itself.

A trial runs on one thread, so that its CPU time says what it costs whatever else runs beside it.
What is in this file, model.py and training.py decides what a trial finds: edit one of them, and
earlier results no longer count (see `results.identity`).
"""

import math
import threading
from dataclasses import dataclass, replace

import torch

from network.model import MyNetwork
from network.training import REPORT, evaluate, train


@dataclass(frozen=True)
class Trial:
    """What one trial tries; the defaults are the report's baseline."""

    filters: int = 10  # of the first convolution; the second has twice as many
    dropout: float = 0.25
    batch_size: int = REPORT.batch_size
    learning_rate: float = REPORT.learning_rate
    seed: int = 0
    final: bool = False  # learns from the validation images as well and hands its weights back

    def __str__(self):
        text = f"{self.filters} filters, dropout {self.dropout:g}, batch {self.batch_size}"
        if self.learning_rate != REPORT.learning_rate:
            text += f", rate {self.learning_rate:g}"
        return f"{text}, seed {self.seed}" + (", all training images" if self.final else "")


def run_trial(setting, data, epochs):
    """Trains one network on one thread of the CPU and measures it.

    Plain values in and out, so that it runs wherever it is sent.

    Args:
        setting: the fields of a `Trial`, as a dict.
        data: as from `split`.
        epochs: passes over the training images.

    Returns:
        A dict: "train_accuracy" (0 to 1; on as many training images as there are to validate on)
        and "train_loss" (nats), the same for "validation" (None for a final trial, which has
        learned these) and "test", all in eval mode; "cpu_seconds" and "wall_seconds", the time
        that the training took in each epoch, as lists. A final trial adds "weights", a dict of
        arrays.
    """
    # A worker of a cluster may run several threads, but torch's random numbers are the process's:
    # one trial at a time. The lock belongs to torch, since code that was sent as such has no
    # module of its own that all threads share.
    with vars(torch).setdefault("_one_trial_at_a_time", threading.Lock()):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _run(Trial(**setting), data, epochs)
        finally:
            torch.set_num_threads(threads)


def _run(trial, data, epochs):
    # Copies: torch wants arrays that it may write to, which those from a cluster are not.
    parts = {name: torch.tensor(values) for name, values in data.items()}
    images, labels = parts["train"], parts["train labels"]
    if trial.final:
        images = torch.cat([images, parts["validation"]])
        labels = torch.cat([labels, parts["validation labels"]])
    torch.manual_seed(trial.seed)
    network = MyNetwork(filters=(trial.filters, 2 * trial.filters), dropout=trial.dropout)
    recipe = replace(
        REPORT, epochs=epochs, batch_size=trial.batch_size, learning_rate=trial.learning_rate
    )
    ran = list(train(network, images, labels, recipe, progress=False))
    # On the CPU the backward pass runs in this thread, too: its time is all there is.
    result = {
        "cpu_seconds": [epoch.cpu_seconds for epoch in ran],
        "wall_seconds": [epoch.seconds for epoch in ran],
    }
    for name in ("train", "validation", "test"):
        some = slice(0, len(data["validation"]) if name == "train" else None)
        loss, accuracy = evaluate(network, parts[name][some], parts[f"{name} labels"][some])
        known = not (trial.final and name == "validation")
        # A training that went astray has a loss of nan, which JSON has no word for.
        result[f"{name}_loss"] = loss if known and math.isfinite(loss) else None
        result[f"{name}_accuracy"] = accuracy if known else None
    if trial.final:
        result["weights"] = {name: value.numpy() for name, value in network.state_dict().items()}
    return result
