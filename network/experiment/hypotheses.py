"""The report's three hypotheses as measured quantities, with intervals and verdicts.

Each hypothesis is in parts, each part a quantity and the range where it should lie.

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
from dataclasses import dataclass, field

import numpy as np

ERROR = 0.05  # the share of wrong verdicts; of intervals that miss the truth
LEAST_SEEDS = 3
STRAIGHT = 0.10  # how far time may be off a straight line and still be called linear
UNAFFECTED = 0.05  # a difference of time that nobody would notice
SLIGHT = 0.02  # of accuracy; a loss of more is no longer slight


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


def holm(shares):
    """Probabilities of an error, corrected for that many tests being made at once.

    Holm 1979, "A simple sequentially rejective multiple test procedure": who takes those below 5 %
    for decided is wrong about any of them in 5 % of cases at most.
    """
    order = np.argsort(shares)
    corrected = np.empty(len(shares))
    steps = (len(shares) - np.arange(len(shares))) * np.asarray(shares)[order]
    corrected[order] = np.minimum(1, np.maximum.accumulate(steps))
    return corrected.tolist()


@dataclass(frozen=True)
class Part:
    """One quantity of a hypothesis: a share that should lie between `low` and `high`.

    `values` are what single seeds say of it. Empty if it was not measured, and then `needs` says
    what that would take.
    """

    text: str
    low: float = -math.inf
    high: float = math.inf
    values: tuple = ()
    unit: str = "%"  # or "points", hundredths of accuracy
    needs: str = ""

    @property
    def interval(self):
        """Mean and half width, from the seeds."""
        return mean_interval(self.values)

    @property
    def margin(self):
        """How far inside of the range the mean lies; below 0 outside."""
        return min(self.interval[0] - self.low, self.high - self.interval[0])

    @property
    def error(self):
        """The probability of values so far from the limit, or farther, were the truth upon it.

        Below 5 % if the interval is wholly within the range or wholly outside.
        """
        count = len(self.values)
        if count < LEAST_SEEDS:
            return 1.0
        spread = np.std(self.values, ddof=1) / math.sqrt(count)
        return t_outside(self.margin / spread, count - 1) if spread else 0.0

    def verdict(self, error):
        """What is to be said of it, given its probability of an error, corrected."""
        if not self.values:
            return "not tested"
        if error >= ERROR:
            return "undecided"
        return "supported" if self.margin > 0 else "refuted"

    def __str__(self):
        if not self.values:
            return f"{self.text}: not tested, needs {self.needs}"
        limits = [f"{100 * limit:+g}" for limit in (self.low, self.high) if 0 < abs(limit) < 9]
        if self.low == 0:
            claim = "above 0"
        elif math.isinf(self.low):
            claim = "below 0"
        else:
            claim = f"between {limits[0]} and {limits[-1]}" if limits[1:] else f"above {limits[0]}"
        mean, half = self.interval
        spread = f" ± {100 * half:.2f}" if math.isfinite(half) else ""
        few = "" if spread else f" (an interval needs {LEAST_SEEDS} seeds)"
        return f"{self.text}, {claim}: {100 * mean:+.2f}{spread} {self.unit}{few}"


@dataclass(frozen=True)
class Hypothesis:
    """A claim of the report and its parts."""

    text: str
    parts: list = field(default_factory=list)

    @property
    def judged(self):
        """Each part with its probability of an error, corrected by Holm, and its verdict."""
        tested = [part for part in self.parts if part.values]
        errors = dict(zip(map(id, tested), holm([part.error for part in tested]), strict=True))
        judged = [(part, errors.get(id(part), 1.0)) for part in self.parts]
        return [(part, error, part.verdict(error)) for part, error in judged]

    @property
    def verdict(self):
        """Refuted if a part is, supported if all parts are, else undecided."""
        verdicts = {verdict for _, _, verdict in self.judged}
        if "refuted" in verdicts:
            return "refuted"
        return "supported" if verdicts == {"supported"} else "undecided"


def contrast(results, quantity, weights, relative_to=None):
    """What each seed says of a weighted sum over settings.

    Args:
        results: for each value of a dimension a dict: for each seed its result.
        quantity: a function of a result.
        weights: for some of these values its weight.
        relative_to: weights of another sum, by which it is divided.

    Returns:
        A tuple: a number for each seed that has all that it takes.
    """
    settings = [results[value] for value in {**weights, **(relative_to or {})}]
    seeds = sorted(set.intersection(*map(set, settings)))

    def total(weights, seed):
        return sum(weight * quantity(results[value][seed]) for value, weight in weights.items())

    return tuple(
        total(weights, seed) / (total(relative_to, seed) if relative_to else 1) for seed in seeds
    )


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
    """CPU time of an epoch: the least, since whatever disturbs only adds to it."""
    return np.min(result["cpu_seconds"], axis=0)


def wall_seconds(result):
    """Wall time of an epoch, the least."""
    return np.min(result["wall_seconds"], axis=0)


def evaluate_hypotheses(results):
    """The three hypotheses and what was measured of them.

    Args:
        results: for "filters", "dropout" and "batch_size" a dict: for each value that was tried a
            dict: for each seed its result, as from `run_trial`; the other two as in the baseline.

    Returns:
        A list of three `Hypothesis`. A part whose settings were not tried is not tested.
    """
    return [
        _about_filters(results["filters"]),
        _about_dropout(results["dropout"]),
        _about_batch_size(results["batch_size"]),
    ]


def _part(results, text, quantity, weights, low=-math.inf, high=math.inf, relative_to=None):
    """A part, if all that it needs was measured; relative to something it is in per cent."""
    missing = sorted(value for value in {**weights, **(relative_to or {})} if value not in results)
    if missing:
        needs = f"results at {' and '.join(f'{value:g}' for value in missing)}"
        return Part(text, low, high, needs=needs)
    values = contrast(results, quantity, weights, relative_to)
    needs = "" if values else "a seed that all its settings have"
    return Part(text, low, high, values, "%" if relative_to else "points", needs)


def _about_filters(results):
    text = "more filters, more accuracy with diminishing returns; time about linear in filters"
    part, values = functools.partial(_part, results), sorted(results)
    parts = []
    if len(values) > 1:
        least, most = values[0], values[-1]
        what = f"accuracy, {most} minus {least} filters"
        parts.append(part(what, accuracy, {most: 1, least: -1}, low=0))
    if len(values) < 3:
        needs = "three numbers of filters or more"
        return Hypothesis(text, [*parts, Part("diminishing returns, straight time", needs=needs)])
    # The gain of accuracy per filter from the first value to the second, less that of the last.
    (a, b), (c, d) = values[:2], values[-2:]
    returns = {a: -1 / (b - a), d: -1 / (d - c)}
    returns[b] = 1 / (b - a)
    returns[c] = returns.get(c, 0) + 1 / (d - c)
    what = f"accuracy gained per filter, from {a} to {b} minus from {c} to {d}"
    parts.append(part(what, accuracy, returns, low=0))
    for value in values[1:-1]:
        share = (value - least) / (most - least)
        line = {least: 1 - share, most: share}
        off = {value: 1, least: share - 1, most: -share}
        what = f"CPU time at {value} filters, off the line from {least} to {most}"
        parts.append(part(what, cpu_seconds, off, -STRAIGHT, STRAIGHT, relative_to=line))
    return Hypothesis(text, parts)


def _about_dropout(results):
    text = "dropout of about 0.25 is best, 0.1 overfits, 0.5 learns too little; time unaffected"
    part, little, much = functools.partial(_part, results), {0.1: 1, 0.25: -1}, {0.5: 1, 0.25: -1}
    same = functools.partial(part, low=-UNAFFECTED, high=UNAFFECTED, relative_to={0.25: 1})
    parts = [
        part("accuracy, dropout 0.25 minus 0.1", accuracy, {0.25: 1, 0.1: -1}, low=0),
        part("accuracy, dropout 0.25 minus 0.5", accuracy, {0.25: 1, 0.5: -1}, low=0),
        part("training minus validation accuracy at dropout 0.1", gap, {0.1: 1}, low=0),
        part("the same gap, dropout 0.1 minus 0.25", gap, little, low=0),
        part("training accuracy, dropout 0.5 minus 0.25", train_accuracy, much, high=0),
        same("CPU time, dropout 0.1 against 0.25", cpu_seconds, little),
        same("CPU time, dropout 0.5 against 0.25", cpu_seconds, much),
    ]
    return Hypothesis(text, parts)


def _about_batch_size(results):
    text = "larger batches are faster and slightly less accurate; best at 64 to 128"
    part, values = functools.partial(_part, results), sorted(results)
    if len(values) < 2:
        parts = [Part("time and accuracy by batch size", needs="two batch sizes or more")]
    else:
        least, most = values[0], values[-1]
        ends, names = {most: 1, least: -1}, f"batch {most} minus {least}"
        against = f"CPU time, batch {most} against {least}"
        parts = [
            part(against, cpu_seconds, ends, high=0, relative_to={least: 1}),
            part(f"accuracy, {names}", accuracy, ends, high=0),
            part(f"the same, {names}", accuracy, ends, low=-SLIGHT),
        ]
    # Best in between: the curve rises up to 64 and falls from 128 on. "The better of 64 and 128
    # minus the better of 32 and 256" would choose by the same results that it then measures.
    parts += [
        part("accuracy, batch 64 minus 32", accuracy, {64: 1, 32: -1}, low=0),
        part("accuracy, batch 128 minus 256", accuracy, {128: 1, 256: -1}, low=0),
    ]
    return Hypothesis(text, parts)
