"""How well drawn pages are read: python -m benchmarks.drawn_pages --seed 1

Pages of all kinds that nobody wrote (see network/pages/drawn.py), by kind: digits less edits, of
all digits. Each seed is a set of its own; results are worth something for seeds that the reader of
pages was not developed on.
"""

import re

import numpy as np
from tqdm import tqdm

from network import cli
from network.digits.doubt import with_doubts
from network.pages.drawn import KINDS, draw_page
from network.pages.reader import read_page
from network.pages.report import edits
from network.weights import load_network


def main():
    parser = cli.Parser(__doc__)
    parser.add_shared("models-dir", "weights", "seed")
    parser.add_argument("--pages", type=cli.number(int, 1), default=200, help="of each seed")
    options = parser.parse_args()
    network, limit = with_doubts(*load_network(cli.weights_path(options)))
    totals = {kind: np.zeros(2, int) for kind in KINDS}  # digits right, digits in all
    for number in tqdm(range(options.pages), leave=False, disable=None):
        kind = KINDS[number % len(KINDS)]
        page = draw_page(np.random.default_rng([options.seed, number]), kind)
        reading = read_page(page.picture, network, "cpu", doubt_limit=limit)
        truth, found = (re.sub(r"\D", "", "".join(rows)) for rows in (page.rows, reading.texts))
        totals[kind] += max(0, len(truth) - edits(truth, found)), len(truth)
    for name, (right, total) in [*totals.items(), ("all", sum(totals.values()))]:
        if total:
            print(f"{name:8} {right:6,} of {total:6,} = {right / total:.2%}")


if __name__ == "__main__":
    main()
