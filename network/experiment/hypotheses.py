"""The report's three hypotheses as measured quantities, with intervals and verdicts.

Each hypothesis is in parts, each part a quantity and the range where it should lie. Parts and
limits were fixed before any result was looked at.

All intervals are at 95 % and speak of other seeds: of other random starts, orders of the images
and dropped feature maps. They do not speak of other images, which all settings share.
"""

import functools
import math
from dataclasses import dataclass, field

import numpy as np

STRAIGHT = 0.10  # how far time may be off a straight line and still be called linear
UNAFFECTED = 0.05  # a difference of time that nobody would notice
SLIGHT = 0.02  # of accuracy; a loss of more is no longer slight


@functools.cache
def t_quantile(freedom):
    """Student's t that lies within ±t in 95 % of cases, for so many degrees of freedom.

    With x = √ν tan θ the density of t is as cos(θ) to the power of ν - 1, which is summed up on a
    fine grid. Infinite for none.
    """
    if freedom < 1:
        return math.inf
    theta, step = np.linspace(0, np.pi / 2, 200_001, retstep=True)
    density = np.cos(theta) ** (freedom - 1)
    inside = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) * step / 2)])
    return math.sqrt(freedom) * math.tan(np.interp(0.95, inside / inside[-1], theta))


def mean_interval(values):
    """Mean and half width of its interval, from these values alone; infinite for a single one."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return values.mean(), math.inf
    error = values.std(ddof=1) / math.sqrt(len(values))
    return values.mean(), t_quantile(len(values) - 1) * error


def binomial_interval(right, total):
    """Wilson's interval for a share, as (low, high), 0 to 1.

    Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    z, share = 1.96, right / total
    centre = (share + z**2 / (2 * total)) / (1 + z**2 / total)
    half = z / (1 + z**2 / total)
    half *= math.sqrt(share * (1 - share) / total + z**2 / (4 * total**2))
    return centre - half, centre + half


def contrast(groups, weights):
    """A weighted sum of the means of groups, and the half width of its interval.

    The groups have their seeds in common, and seeds go together: with the same start and order of
    the images one is lucky at any dropout, and what disturbs the machine while one seed is run
    disturbs all settings. So in a difference (weights that sum to 0) what a seed does to all groups
    is taken out, and the rest is pooled over all groups: an analysis of variance in randomised
    blocks (Fisher 1935, "The Design of Experiments"). The seeds' differences between two groups
    alone would leave two degrees of freedom at three seeds, and t = 4.3; four groups leave six, and
    t = 2.4. It takes for granted that all groups scatter alike.

    Args:
        groups: a dict of lists, all settings of one dimension: a value for each seed, in order.
        weights: a dict of numbers, for some of these groups.
    """
    values = np.array(list(groups.values()), float)  # (groups, seeds)
    count, seeds = values.shape
    estimate = sum(weight * np.mean(groups[name]) for name, weight in weights.items())
    rest = values - values.mean(axis=1, keepdims=True)
    freedom = count * (seeds - 1)
    if abs(sum(weights.values())) < 1e-9:
        rest -= rest.mean(axis=0)
        freedom -= seeds - 1
    if freedom < 1:
        return estimate, math.inf
    error = math.sqrt((rest**2).sum() / freedom * sum(w**2 for w in weights.values()) / seeds)
    return estimate, t_quantile(freedom) * error


@dataclass(frozen=True)
class Part:
    """One quantity of a hypothesis.

    `estimate` is a share; it should lie between `low` and `high`. None if it was not measured,
    and then `needs` says what that would take.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    estimate: float | None = None
    half: float = math.inf  # half width of the interval
    unit: str = "%"  # or "points", hundredths of accuracy
    needs: str = ""

    @property
    def verdict(self):
        """Of its interval: wholly within the range, wholly outside, or neither."""
        if self.estimate is None:
            return "not tested"
        least, most = self.estimate - self.half, self.estimate + self.half
        if self.low <= least and most <= self.high:
            return "supported"
        return "refuted" if most < self.low or least > self.high else "undecided"

    def __str__(self):
        if self.estimate is None:
            return f"{self.text}: not tested, needs {self.needs}"
        limits = [f"{100 * limit:+g}" for limit in (self.low, self.high) if 0 < abs(limit) < 9]
        if self.low == 0:
            claim = "above 0"
        elif math.isinf(self.low):
            claim = "below 0"
        else:
            claim = f"between {limits[0]} and {limits[-1]}" if limits[1:] else f"above {limits[0]}"
        spread = f" ± {100 * self.half:.2f}" if math.isfinite(self.half) else ""
        return f"{self.text}, {claim}: {100 * self.estimate:+.2f}{spread} {self.unit}"


@dataclass(frozen=True)
class Hypothesis:
    """A claim of the report and its parts."""

    text: str
    parts: list = field(default_factory=list)

    @property
    def verdict(self):
        """Refuted if a part is, supported if all parts are, else undecided."""
        verdicts = {part.verdict for part in self.parts}
        if "refuted" in verdicts:
            return "refuted"
        return "supported" if verdicts == {"supported"} else "undecided"


class _Dimension:
    """The results along one dimension: for each value those of its seeds, as from `run_trial`."""

    def __init__(self, results):
        # Where a trial failed, its seed is left out of all settings.
        seeds = [{result["seed"] for result in found} for found in results.values()]
        shared = set.intersection(*seeds) if seeds else set()
        self.results = {
            value: sorted((r for r in found if r["seed"] in shared), key=lambda r: r["seed"])
            for value, found in sorted(results.items())
            if shared
        }
        self.values = list(self.results)

    def groups(self, quantity):
        return {value: [quantity(r) for r in found] for value, found in self.results.items()}

    def part(self, text, quantity, weights, unit="points", low=-math.inf, high=math.inf, per=1):
        """A part: a weighted sum of means, divided by `per`, if all that it needs was measured."""
        missing = [value for value in weights if value not in self.results]
        if missing:
            values = " and ".join(f"{value:g}" for value in missing)
            return Part(text, low, high, needs=f"results at {values}")
        groups = self.groups(quantity)
        per = per(groups) if callable(per) else per
        estimate, half = contrast(groups, weights)
        return Part(text, low, high, estimate / per, half / per, unit)


def accuracy(result):
    """On the validation images, 0 to 1."""
    return result["validation_accuracy"]


def train_accuracy(result):
    """On training images, in eval mode, 0 to 1."""
    return result["train_accuracy"]


def gap(result):
    """By how much training images are read better than validation images."""
    return result["train_accuracy"] - result["validation_accuracy"]


def cpu_seconds(result):
    """CPU time of an epoch; the median, since the first one also warms up."""
    return float(np.median(result["cpu_seconds"]))


def wall_seconds(result):
    """Wall time of an epoch, the median."""
    return float(np.median(result["wall_seconds"]))


def weigh(results):
    """The three hypotheses, weighed.

    Args:
        results: for "filters", "dropout" and "batch_size" a dict: for each value that was tried
            the results of its seeds, as from `run_trial`, each with its "seed"; the other two as
            in the baseline.

    Returns:
        A list of three `Hypothesis`. A part whose settings were not tried is not tested.
    """
    return [
        _about_filters(_Dimension(results["filters"])),
        _about_dropout(_Dimension(results["dropout"])),
        _about_batch_size(_Dimension(results["batch_size"])),
    ]


def _about_filters(seen):
    text = "more filters, more accuracy with diminishing returns; time about linear in filters"
    values = seen.values
    if len(values) < 2:
        needs = "two numbers of filters or more"
        return Hypothesis(text, [Part("accuracy and time by filters", needs=needs)])
    least, most = values[0], values[-1]
    weights = {most: 1, least: -1}
    parts = [
        seen.part(f"accuracy, {most} minus {least} filters", accuracy, weights, low=0),
    ]
    if len(values) < 3:
        needs = "three numbers of filters or more"
        parts.append(Part("diminishing returns", needs=needs))
        parts.append(Part("time against a straight line", needs=needs))
        return Hypothesis(text, parts)
    # The gain of accuracy per filter from the first value to the second, less that of the last.
    weights = dict.fromkeys(values, 0)
    for sign, (a, b) in ((1, values[:2]), (-1, values[-2:])):
        weights[b] += sign / (b - a)
        weights[a] -= sign / (b - a)
    first, last = f"{values[0]} to {values[1]}", f"{values[-2]} to {values[-1]}"
    what = f"accuracy gained per filter, from {first} minus from {last}"
    parts.append(seen.part(what, accuracy, weights, low=0))
    for value in values[1:-1]:
        share = (value - least) / (most - least)
        line = {least: 1 - share, most: share}
        parts.append(
            seen.part(
                f"CPU time at {value} filters, off the line from {least} to {most}",
                cpu_seconds,
                {value: 1} | {end: -weight for end, weight in line.items()},
                **{"unit": "%", "low": -STRAIGHT, "high": STRAIGHT},
                per=lambda groups, line=line: sum(w * np.mean(groups[v]) for v, w in line.items()),
            )
        )
    return Hypothesis(text, parts)


def _about_dropout(seen):
    text = "dropout of about 0.25 is best, 0.1 overfits, 0.5 learns too little; time unaffected"
    little, middle, much = 0.1, 0.25, 0.5

    def baseline_time(groups):
        return np.mean(groups[middle])

    same = {"unit": "%", "low": -UNAFFECTED, "high": UNAFFECTED, "per": baseline_time}
    more, less = {middle: 1, little: -1}, {middle: 1, much: -1}
    parts = [
        seen.part("accuracy, dropout 0.25 minus 0.1", accuracy, more, low=0),
        seen.part("accuracy, dropout 0.25 minus 0.5", accuracy, less, low=0),
        seen.part("training minus validation accuracy at dropout 0.1", gap, {little: 1}, low=0),
        seen.part("the same gap, dropout 0.1 minus 0.25", gap, {little: 1, middle: -1}, low=0),
        seen.part(
            "training accuracy, dropout 0.5 minus 0.25",
            train_accuracy,
            {much: 1, middle: -1},
            high=0,
        ),
        seen.part(
            "CPU time, dropout 0.1 against 0.25", cpu_seconds, {little: 1, middle: -1}, **same
        ),
        seen.part("CPU time, dropout 0.5 against 0.25", cpu_seconds, {much: 1, middle: -1}, **same),
    ]
    return Hypothesis(text, parts)


def _about_batch_size(seen):
    text = "larger batches are faster and slightly less accurate; best at 64 to 128"
    values = seen.values
    parts = []
    if len(values) < 2:
        needs = "two batch sizes or more"
        parts.append(Part("time and accuracy by batch size", needs=needs))
    else:
        least, most = values[0], values[-1]
        ends, names = {most: 1, least: -1}, f"batch {most} minus {least}"
        parts = [
            seen.part(
                f"CPU time, batch {most} against {least}",
                *(cpu_seconds, ends, "%"),
                high=0,
                per=lambda groups: np.mean(groups[least]),
            ),
            seen.part(f"accuracy, {names}", accuracy, ends, high=0),
            seen.part(f"the same, {names}", accuracy, ends, low=-SLIGHT),
        ]
    what = "accuracy, the better of batch 64 and 128 minus the better of 32 and 256"
    needed = (32, 64, 128, 256)
    if all(value in values for value in needed):
        means = {value: np.mean(found) for value, found in seen.groups(accuracy).items()}
        inner, outer = max((64, 128), key=means.get), max((32, 256), key=means.get)
        # Which are the better ones is taken from the same trials; a small bias of both sides.
        parts.append(seen.part(what, accuracy, {inner: 1, outer: -1}, low=0))
    else:
        missing = [str(value) for value in needed if value not in values]
        parts.append(Part(what, needs=f"results at batch {' and '.join(missing)}"))
    return Hypothesis(text, parts)
