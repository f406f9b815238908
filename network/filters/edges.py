"""How many of a layer's filters are edge detectors, beside what chance would score."""

import numpy as np

from network.filters import operators


def count_edge_detectors(kernels, what, seed):
    """The verdict: how many filters (F, n, n) are edge detectors, and what chance would score."""
    rng = np.random.default_rng(seed)
    own = operators.score(kernels[None])
    white = operators.chance(kernels, rng)
    smooth = operators.chance(kernels, rng, operators.blur_to_match(kernels, rng))
    count, draws, edges = len(kernels), len(white.edges), own.edges[0]
    alike = operators.smoothness(kernels)
    print(
        f"\nAn edge detector, here: at least {operators.EDGE_SHARE:.0%} in the Sobel pair. "
        f"Random: {draws:,} draws of {count},\nmean and 95 % interval. Random and smooth: "
        f"neighbouring weights correlate as the network's, by {alike:.2f}.\n"
    )
    print(f"{f'means of {count}':17} {'best match':>19}  {'Sobel pair':>17}  edge detectors")
    rows = ("the network", own), ("random", white), ("random and smooth", smooth)
    for name, scores in rows:
        best, share = mean_and_interval(scores.best, ".2f"), mean_and_interval(scores.share, ".0%")
        print(f"{name:17} {best:>19}  {share:>17}  {mean_and_interval(scores.edges, '.3g')}")
    are = "is an edge detector" if edges == 1 else "are edge detectors"
    scored = [
        f"{mean_and_interval(chance.edges, '.3g')}, {edges} or more in "
        f"{share_of_draws(chance.edges >= edges)}"
        for chance in (white, smooth)
    ]
    print(
        f"\nverdict: {edges} of {count} {what} {are}; of {count} random ones {scored[0]}; "
        f"of {count} random and as smooth {scored[1]}"
    )


def share_of_draws(hits):
    """How many of (N,) draws hit, in words where a share would read as none."""
    if not hits.any():
        return f"fewer than 1 of {len(hits):,} draws"
    return f"{hits.mean():.2g} of draws" if hits.mean() < 0.001 else f"{hits.mean():.1%} of draws"


def mean_and_interval(values, form):
    """The mean of many values and the interval that 95 % of them lie in; a single one as it is."""
    if len(values) == 1:
        return f"{values[0]:{form}}"
    low, high = np.percentile(values, (2.5, 97.5))
    return f"{values.mean():{form}} ({low:{form}} to {high:{form}})"
