"""What the numbers say of a first layer, beside chance and beside the digit network's filters."""

import numpy as np

from network.filters import gratings
from network.filters.operators import EDGE_SHARE

LAYER, ALIKE, RANDOM = "this layer", "random,\nas smooth", "random"
DIGITS, DIGITS_ALIKE, DIGITS_RANDOM = "digit network", "5×5 random,\nas smooth", "5×5 random"
INTERESTING = (0, 1, 3)  # of gratings.KINDS: oriented, or colour blobs

LEGEND = """
Weight: the norm of a filter's weights (root of their sum of squares); 1 is the layer's root mean
square.
Energy: sum of squares. Grey: share of the energy that red, green and blue have in common. Colour:
share that one colour times one pattern makes up, and that colour (red green blue). Angle (0° to
the right, 90° down), frequency and bandwidth (in octaves: 1 from a frequency to its double): of
the grating that the filter answers best; across: what it answers to that grating turned by 90°.
Gabor: share of the energy that this colour times the best-fitting Gabor function makes up, and
that Gabor's angle, frequency, σ along and across its wave (up to the filter's size), phase.
"""


def by_family(tuning):
    """The indices of the filters (F,): grey before colour, edges by angle, blobs by colour."""
    family = np.array([0, 2, 1, 3, 4])[tuning.kind]
    # The middle of a blob is bright or dark, red or green: its colour with the pattern's sign.
    middle = tuning.colour * np.sign(tuning.gabors.values.sum((1, 2)))[:, None]
    red, green, blue = np.broadcast_to(middle, (len(middle), 3)).T
    hue = np.rad2deg(np.arctan2(np.sqrt(3) * (green - blue), 2 * red - green - blue)) % 360
    # Within a family: each of the kinds has what tells its filters apart best.
    inner = np.choose(
        tuning.kind, [tuning.angle, tuning.angle, -middle.sum(1), hue, -tuning.weight]
    )
    return np.lexsort((inner, family))


def print_table(tuning):
    """What each filter is tuned to, family by family."""
    print(
        "filter  kind              weight  grey  colour                 angle cycles/px octaves "
        "across  Gabor"
    )
    gabors = tuning.gabors
    for i in by_family(tuning):
        colour = " ".join(f"{value:+.2f}" for value in tuning.colour[i])
        flat = tuning.frequency[i] == 0
        angle = "   –" if flat else f"{round(tuning.angle[i]) % 180:3}°"
        octaves = "  –" if np.isnan(tuning.bandwidth[i]) else f"{tuning.bandwidth[i]:.1f}"
        print(
            f"{i:6}  {gratings.KINDS[tuning.kind[i]]:16}  {tuning.weight[i]:6.2f}  "
            f"{tuning.grey[i]:4.0%}  {tuning.one_colour[i]:4.0%} ({colour:17})  {angle}     "
            f"{tuning.frequency[i]:.3f}     {octaves}   {tuning.crosswise[i]:4.0%}   "
            f"{tuning.form[i]:4.0%}: {round(gabors.angle[i]) % 180:3}° {gabors.frequency[i]:.3f} "
            f"{gabors.along[i]:.1f}×{gabors.across[i]:.1f} {gabors.phase[i]:+4.0f}°"
        )


def measure_all(filters, digits, seed):
    """Measures filters (F, 3, n, n), random ones like them, and the digit network's (10, 1, 5, 5)
    unless None, with random ones like them: a dict of label to `gratings.Tuning`."""
    rng, rows = np.random.default_rng(seed), {}
    for own, (label, alike, white) in (
        (filters, (LAYER, ALIKE, RANDOM)),
        (digits, (DIGITS, DIGITS_ALIKE, DIGITS_RANDOM)),
    ):
        if own is not None:
            rows[label] = gratings.measure(own)
            rows[alike] = gratings.measure(gratings.chance_filters(own, rng, alike=True))
            rows[white] = gratings.measure(gratings.chance_filters(own, rng))
    return rows


def counts(tuning):
    """How many filters are of each of gratings.KINDS: (5,)."""
    return np.bincount(tuning.kind, minlength=len(gratings.KINDS))


def print_counts(rows):
    """How many filters are of which kind, a line for each `gratings.Tuning` in a dict."""
    print(
        f"\nOriented: answers the grating across at most {gratings.CROSSWISE:.0%}. Colour: less "
        f"than {gratings.GREY:.0%} of the energy is grey.\nNothing: colour times Gabor makes up "
        f"less than {gratings.FORM:.0%}, or hardly any weight. As smooth: random, but\n"
        "neighbouring weights and channels correlate as the layer's.\n"
    )
    names = "".join(f"  {name:>16}" for name in gratings.KINDS)
    print(f"{'':24}{'of':>4}{names}  Gabor (median)")
    for label, row in rows.items():
        total = len(row.kind)
        cells = "".join(f"  {f'{number} ({number / total:.0%})':>16}" for number in counts(row))
        name = label.replace("\n", " ")
        print(f"{name:24}{total:4}{cells}  {np.median(row.form):13.0%}")


def print_findings(rows):
    """What the numbers say, a line each."""
    tuning = rows[LAYER]
    share = {label: np.isin(row.kind, INTERESTING).mean() for label, row in rows.items()}
    found = [
        f"{np.isin(tuning.kind, INTERESTING).sum()} of {len(tuning.kind)} filters are oriented or "
        f"colour blobs ({share[LAYER]:.0%}), of random ones as smooth {share[ALIKE]:.0%}, of "
        f"wholly random ones {share[RANDOM]:.0%}"
    ]
    oriented, colour = np.isin(tuning.kind, (0, 1)), np.isin(tuning.kind, (1, 3))
    if oriented.any():
        low, middle, high = np.percentile(tuning.frequency[oriented], (25, 50, 75))
        found.append(
            f"oriented ones prefer {middle:.2f} cycles per pixel (half of them {low:.2f} to "
            f"{high:.2f})"
        )
        if not np.isnan(tuning.bandwidth[oriented]).all():
            found[-1] += f" over {np.nanmedian(tuning.bandwidth[oriented]):.1f} octaves"
    if colour.any():
        flat = np.sum(tuning.frequency[colour] == 0)
        found.append(f"{flat} of the {colour.sum()} in colour prefer flat light")
    found.append(
        f"one colour times one Gabor makes up {np.median(tuning.form):.0%} of a filter, of chance "
        f"as smooth {np.median(rows[ALIKE].form):.0%}"
    )
    edges = {label: (row.sobel >= EDGE_SHARE).mean() for label, row in rows.items()}
    found.append(
        f"{np.sum(tuning.sobel >= EDGE_SHARE)} of {len(tuning.kind)} are edge detectors as in task "
        f"2, {EDGE_SHARE:.0%} Sobel or more ({edges[LAYER]:.0%}), of chance as smooth "
        f"{edges[ALIKE]:.0%}"
    )
    weak = np.sum(tuning.weight < 0.5)
    found.append(f"{weak} filters have less than half of the root mean square weight")
    if DIGITS in rows:
        found.append(
            f"of the digit network's filters {share[DIGITS]:.0%} are oriented, of chance as smooth "
            f"{share[DIGITS_ALIKE]:.0%}"
        )
    print("\nfindings:", *found, sep="\n  ")
