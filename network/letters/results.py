"""What greek_network.py prints of letters: how they are learned and how they are read."""

import sys

import torch
from tqdm import tqdm

from network.cli import count_of, short
from network.training import count_answers, evaluate, measures


def print_counts(part, letters, where):
    """Prints how many pictures of which letters there are, and where they come from."""
    counts = zip(letters.names, letters.counts, strict=True)
    listed = ", ".join(f"{name} {count}" for name, count in counts if count)
    print(f"{count_of(len(letters.labels), f'{part} letter')}, {where}: {listed}", flush=True)


def print_neighbours(points, labels, where):
    """Prints how many points (N, F) have one of their own label (N,) next to them."""
    nearest = []
    for some in torch.arange(len(points)).split(2000):  # all at once may fill the memory
        distances = torch.cdist(points[some], points)
        distances[torch.arange(len(some)), some] = float("inf")
        nearest.append(distances.argmin(1))
    alike = labels[torch.cat(nearest)] == labels
    share = f"{alike.sum()} of {len(alike)}"
    print(f"in {where}, the nearest other letter is of the same kind for {share}")


def follow(training, network, letters, test, before=0):
    """Runs a training of a network, a generator such as `train` returns, and prints accuracy by
    epoch, counted from `before` on; returns the `measures` of each epoch on `letters` and `test`.
    """
    device = network.fc1.weight.device
    history = []
    for epoch in training:
        parts = ((part.images.to(device), part.labels.to(device)) for part in (letters, test))
        known = measures(epoch, *(evaluate(network, *part) for part in parts))
        known["epoch"] += before
        line = (
            f"epoch {known['epoch']:2}: training accuracy {known['train_accuracy']:7.2%}, "
            f"loss {known['train_loss']:.3f}; test accuracy {known['test_accuracy']:7.2%}, "
            f"loss {known['test_loss']:.3f}"
        )
        tqdm.write(line, file=sys.stdout)  # goes above the progress bar
        history.append(known)
    return history


def print_first_right(epochs):
    """Prints from which epoch on all training letters are read right."""
    wrong = [epoch["epoch"] for epoch in epochs if epoch["train_accuracy"] < 1]
    first = 1 + max(wrong, default=0)
    if first <= len(epochs):
        print(f"all training letters stay right from epoch {first} on")
    else:
        print(f"not all training letters are right after {len(epochs)} epochs")


def print_accuracy(letters, probabilities):
    """Prints the share of right answers to `Letters` by their probabilities (N, classes), in all
    and by letter, and which letters are misread.

    Returns:
        The share, 0 to 1, and how often each letter (row) was read as each (column): (classes,
        classes) int64.
    """
    names, answers = letters.names, probabilities.argmax(1)
    counts = count_answers(letters.labels, answers, len(names))
    totals = letters.counts + letters.no_ink  # no answer is not right
    right, total = int(counts.trace()), int(totals.sum())
    print(f"accuracy: {right}/{total} = {right / total:.2%}")
    for name, correct, of in zip(names, counts.diagonal(), totals, strict=True):
        if of:
            print(f"  {name}: {correct}/{of} = {correct / of:.2%}")
    mistakes = (answers != letters.labels).nonzero().flatten().tolist()
    if mistakes:
        print("misread:")
    for index in mistakes:
        answer, label = int(answers[index]), int(letters.labels[index])
        print(
            f"  {short(letters.files[index])}: {names[answer]} "
            f"({probabilities[index, answer]:.1%}), true {names[label]}"
        )
    return right / total, counts
