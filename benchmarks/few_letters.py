"""From how few real letters the last layer learns: python -m benchmarks.few_letters SOURCE …

Each SOURCE is a folder of one collection of real letters, a folder for each letter in it. Nine of
each letter are drawn by lot, the layer learns from these alone, and reads the others of the same
source and all of the other sources; the mean of several draws is printed. First: the same from
letters drawn by network/pen.py alone, as greek_network.py --extended learns.
"""

import copy

import torch

from network import cli
from network.letters import learning
from network.letters.folders import draw_letters, find_letters, read_letters
from network.training import evaluate
from network.views import Views
from network.weights import load_digit_network


def parse_options():
    parser = cli.Parser(__doc__)
    parser.add_shared("models-dir", "weights")
    parser.add_argument("sources", nargs="+", type=cli.path_name, metavar="SOURCE")
    parser.add_argument("--pictures", type=cli.number(int, 1), default=9, help="of each letter")
    parser.add_argument("--draws", type=cli.number(int, 1), default=5)
    return parser.parse_args()


def choose(labels, count):
    """Which of the letters are learned, `count` of each, by lot: (N,) bool."""
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique():
        places = (labels == label).nonzero().flatten()
        chosen[places[torch.randperm(len(places))[:count]]] = True
    return chosen


def learn(digits, images, labels, classes, noise):
    """A network that has learned these letters."""
    network = copy.deepcopy(digits)
    learning.replace_last_layer(network, classes)
    list(learning.train_last_layer(network, images, labels, noise))
    return network


def percent_right(network, names, letters, left_out=None):
    """How many of `Letters` a network that tells `names` apart reads right, in per cent. Letters
    of other names are not counted, nor those that are `left_out`, (N,) bool."""
    # The network's label of each of the letters' labels, -1 for what it has not learned.
    numbers = [names.index(name) if name in names else -1 for name in letters.names]
    labels = torch.tensor(numbers)[letters.labels]
    counted = labels >= 0 if left_out is None else (labels >= 0) & ~left_out
    if not counted.any():
        return float("nan")
    return 100 * evaluate(Views(network), letters.images[counted], labels[counted])[1]


def main():
    options = parse_options()
    torch.set_num_threads(1)
    digits = load_digit_network(cli.weights_path(options))
    sources = {}
    for folder in options.sources:
        files = find_letters(folder)
        sources[folder.resolve().name] = read_letters(files, list(files))

    wide = [max(10, len(name)) for name in sources]
    names = (f"{name:>{width}}" for name, width in zip(sources, wide, strict=True))
    print(f"{'per cent read right of':36}", *names)

    def show(learned, rows):
        means = torch.tensor(rows).nanmean(0).tolist()
        values = (f"{mean:{width}.1f}" for mean, width in zip(means, wide, strict=True))
        print(f"{learned:36}", *values, flush=True)

    rows = []
    shipped = find_letters(cli.HOME / "data" / "greek_extended")
    letters = read_letters(shipped, list(shipped))
    for draw in range(options.draws):
        torch.manual_seed(draw)
        more = draw_letters(letters.names, learning.DRAWN, draw)
        images = torch.cat([letters.images, more.images])
        labels = torch.cat([letters.labels, more.labels])
        network = learn(digits, images, labels, len(letters.names), noise=0)
        rows.append([percent_right(network, letters.names, part) for part in sources.values()])
    show(f"drawn, {len(letters.names)} letters", rows)

    for name, letters in sources.items():
        rows = []
        for draw in range(options.draws):
            torch.manual_seed(draw)
            chosen = choose(letters.labels, options.pictures)
            images, labels = letters.images[chosen], letters.labels[chosen]
            network = learn(digits, images, labels, len(letters.names), learning.NOISE)
            rows.append(
                [
                    percent_right(network, letters.names, part, chosen if part is letters else None)
                    for part in sources.values()
                ]
            )
        show(f"{options.pictures} each of {name}, {len(letters.names)} letters", rows)


if __name__ == "__main__":
    main()
