"""Strangers' handwriting: python -m benchmarks.strangers FOLDER …

Of each folder of pictures, as mnist_eval.py reads them: how many are read right, whether the
probabilities mean what they say (expected calibration error: Guo et al. 2017, "On Calibration of
Modern Neural Networks"), and how many are said to be perhaps no digit. A picture's digit is the
name of its folder, as in usps/7/0001.png; pictures in other folders count as no digits. Leaves a
reliability diagram.
"""

import torch
from matplotlib.ticker import PercentFormatter

from network import cli, plots
from network.digits.doubt import entropy, with_doubts
from network.model import network_input
from network.photos import NoInk, read_character
from network.pictures import image_files
from network.weights import DIGITS, load_network

BINS = 10  # of the probability, each as wide as the others


def main():
    parser = cli.Parser(__doc__)
    parser.add_shared("models-dir", "figures-dir", "weights")
    parser.add_argument("folders", nargs="+", type=cli.path_name, metavar="FOLDER")
    options = parser.parse_args()
    network, facts = load_network(cli.weights_path(options))
    network, limit = with_doubts(network, facts)
    print(f"{'folder':24} pictures    right  calibration error  perhaps no digit")
    of_all = []
    for folder in options.folders:
        labels, outputs = read_folder(network, folder)
        doubted = (entropy(outputs) > limit).float().mean().item() if limit else float("nan")
        print(f"{folder.name:24} {len(labels):8}", end="")
        known = labels >= 0
        if known.any():
            sure, right = answers(labels[known], outputs[known])
            of_all.append((sure, right))
            print(f" {right.mean():8.2%} {calibration_error(sure, right):18.2%}", end="")
        else:
            print(" " * 28, end="")
        print(f" {doubted:17.1%}", flush=True)
    if of_all:
        sure, right = map(torch.cat, zip(*of_all, strict=True))
        error = calibration_error(sure, right)
        print(f"{'all digits':24} {len(sure):8} {right.mean():8.2%} {error:18.2%}")
        drawn = {"1f_reliability": reliability_diagram(sure, right, error)}
        cli.print_files(plots.save(drawn, options.figures_dir))


def read_folder(network, folder):
    """The labels (N,), -1 for no digit, and log-probabilities (N, 10) of a folder's pictures.

    A picture without ink gets no answer: all digits are equally probable.
    """
    labels, outputs = [], []
    for path in image_files([folder]):
        labels.append(DIGITS.index(path.parent.name) if path.parent.name in DIGITS else -1)
        try:
            _, image, _ = read_character(path)
            with torch.inference_mode():
                outputs.append(network(network_input(torch.from_numpy(image)[None]))[0])
        except NoInk:
            outputs.append(torch.full((10,), 0.1).log())
    return torch.tensor(labels), torch.stack(outputs)


def answers(labels, outputs):
    """The probabilities of the answers, (N,), and which of these are right, (N,) 0 or 1."""
    probabilities, found = outputs.exp().max(1)
    return probabilities, (found == labels).float()


def in_bins(sure, right):
    """Of each bin that has answers: their share, mean probability, and the share that is right."""
    number = (sure * BINS).long().clamp(max=BINS - 1)
    for k in range(BINS):
        inside = number == k
        if inside.any():
            share = inside.float().mean().item()
            yield share, sure[inside].mean().item(), right[inside].mean().item()


def calibration_error(sure, right):
    """How far the share of right answers is from their probability, on average over answers."""
    return sum(share * abs(p - accuracy) for share, p, accuracy in in_bins(sure, right))


def reliability_diagram(sure, right, error):
    """The share of right answers against their probability: on the diagonal they are the same."""
    figure = plots.titled(6, 6, "Do probabilities mean what they say?")
    axis = figure.subplots()
    axis.plot([0, 1], [0, 1], "--", color=plots.GREY, label="as sure as right")
    shares, sureness, accuracies = zip(*in_bins(sure, right), strict=True)
    axis.plot(sureness, accuracies, "o-", color=plots.BLUE, label="answers, in tenths")
    for share, x, y in zip(shares, sureness, accuracies, strict=True):
        count = round(share * len(sure))
        axis.annotate(f"{count:,}", (x, y), (8, -14), textcoords="offset points", fontsize=10)
    axis.set_title(f"{len(sure):,} pictures, expected calibration error {error:.2%}")
    axis.set_xlabel("mean probability of the answers")
    axis.set_ylabel("answers that are right")
    for one in (axis.xaxis, axis.yaxis):
        one.set_major_formatter(PercentFormatter(1))
    axis.set_xlim(0, 1.02)
    axis.set_ylim(0, 1.02)
    axis.legend(loc="upper left")
    return figure


if __name__ == "__main__":
    main()
