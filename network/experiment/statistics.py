"""Intervals and tests over seeds.

All intervals are at 95 % and speak of other seeds: of other random starts, orders of the images
and dropped feature maps. They do not speak of other images, which all settings share.

Seeds go together: with the same start and order of the images one is lucky at any dropout, and
what disturbs the machine while one seed is run disturbs all settings. So each seed gives a value of
each quantity, a difference between settings for one, and the interval is Student's over these. It
holds however much settings scatter, and however they go together. Fewer seeds than three give none:
with two a 95 % interval is six times as wide as with five.
"""

import functools
import math

import numpy as np

ERROR = 0.05  # the share of intervals that miss the truth, of hypotheses with a wrong verdict
LEAST_SEEDS = 3


@functools.cache
def _student(freedom):
    """Student's t for so many degrees of freedom: angles θ, and the share within ±√ν tan θ.

    With t = √ν tan θ the density is as cos(θ) to the power of ν - 1, summed up on a fine grid.
    """
    theta, step = np.linspace(0, np.pi / 2, 200_001, retstep=True)
    density = np.cos(theta) ** (freedom - 1)
    inside = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) * step / 2)])
    return theta, inside / inside[-1]


def t_quantile(freedom):
    """Student's t that lies within ±t in 95 % of cases, for so many degrees of freedom."""
    theta, inside = _student(freedom)
    return math.sqrt(freedom) * math.tan(np.interp(1 - ERROR, inside, theta))


def t_outside(t, freedom):
    """The share of cases in which Student's t is beyond ±t."""
    theta, inside = _student(freedom)
    return 1 - float(np.interp(math.atan(abs(t) / math.sqrt(freedom)), theta, inside))


def mean_interval(values):
    """Mean of single seeds' values and half width of its interval; infinite for fewer than three.

    Each value may be an array, of many such cases at once.
    """
    values = np.asarray(values, float)
    mean, count = values.mean(axis=0), len(values)
    if count < LEAST_SEEDS:
        return mean, math.inf
    return mean, t_quantile(count - 1) * values.std(axis=0, ddof=1) / math.sqrt(count)


def binomial_interval(right, total):
    """Wilson's interval for a share, as (low, high), 0 to 1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z, share = 1.96, right / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total)
    half *= math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return centre - half, centre + half


def p_value(values):
    """How often Student's t test finds values as far from 0 as these where the truth is 0.

    Below 5 % if their interval leaves 0 out; 1 for fewer than three values.
    """
    mean, half = mean_interval(values)
    if math.isinf(half) or mean == 0:
        return 1.0
    if half == 0:
        return 0.0
    return t_outside(mean / half * t_quantile(len(values) - 1), len(values) - 1)


def holm(p_values):
    """P-values corrected for that many tests being made at once.

    Holm 1979, "A simple sequentially rejective multiple test procedure": who takes those below 5 %
    for decided is wrong about any of them in 5 % of cases at most.
    """
    order = np.argsort(p_values)
    corrected = np.empty(len(p_values))
    steps = (len(p_values) - np.arange(len(p_values))) * np.asarray(p_values)[order]
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected.tolist()


def contrast(results, quantity, weights, relative_to=None):
    """What each seed that has all it takes says of a weighted sum over settings, as a tuple.

    Args:
        results: for each value of a dimension a dict: for each seed its result.
        quantity: a function of a result.
        weights: for some of these values its weight.
        relative_to: weights of another sum, by which it is divided.
    """
    values = {*weights, *(relative_to or {})}
    seeds = sorted(set.intersection(*(set(results[value]) for value in values)))

    def total(weights, seed):
        return sum(weight * quantity(results[value][seed]) for value, weight in weights.items())

    return tuple(
        total(weights, seed) / (total(relative_to, seed) if relative_to else 1) for seed in seeds
    )
