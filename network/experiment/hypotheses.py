"""The report's three hypotheses as measured quantities, with intervals and verdicts.

Each hypothesis is in parts, each part a quantity and the range where it should lie.
"""

import functools
import math
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from network.experiment.statistics import ERROR, LEAST_SEEDS, contrast, holm, mean_interval, p_value

STRAIGHT = 0.10  # how far time may be off a straight line and still be called linear
UNAFFECTED = 0.05  # a difference of time that nobody would notice
SLIGHT = 0.02  # of accuracy; a loss of more is no longer slight


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
        """How far each seed's value lies inside of the nearer limit; below 0 outside."""
        mean = np.mean(self.values)
        values = np.array(self.values)
        return values - self.low if mean - self.low < self.high - mean else self.high - values

    def verdict(self, p):
        """What is to be said of it, given its p-value, corrected."""
        if not self.values:
            return "not tested"
        if p >= ERROR:
            return "undecided"
        return "supported" if np.mean(self.margin) > 0 else "refuted"

    def __str__(self):
        if not self.values:
            return f"{self.text}: not tested, needs {self.needs}"
        low, high = (f"{100 * limit:+g}" if limit else "0" for limit in (self.low, self.high))
        if math.isinf(self.low):
            claim = f"below {high}"
        else:
            claim = f"above {low}" if math.isinf(self.high) else f"between {low} and {high}"
        mean, half = self.interval
        spread = f" ± {100 * half:.2f}" if math.isfinite(half) else ""
        few = "" if spread else f" (an interval needs {LEAST_SEEDS} seeds)"
        return f"{self.text}, {claim}: {100 * mean:+.2f}{spread} {self.unit}{few}"


@dataclass(frozen=True)
class Hypothesis:
    """A claim of the report and its parts."""

    text: str
    parts: list

    @property
    def judged(self):
        """Each part with its p-value, corrected by Holm, and its verdict."""
        corrected = iter(holm([p_value(part.margin) for part in self.parts if part.values]))
        found = [(part, next(corrected) if part.values else 1.0) for part in self.parts]
        return [(part, p, part.verdict(p)) for part, p in found]

    @property
    def verdict(self):
        """Refuted if a part is, supported if all parts are, else undecided."""
        verdicts = {verdict for _, _, verdict in self.judged}
        if "refuted" in verdicts:
            return "refuted"
        return "supported" if verdicts == {"supported"} else "undecided"


accuracy = itemgetter("validation_accuracy")  # 0 to 1
train_accuracy = itemgetter("train_accuracy")  # in eval mode, 0 to 1


def gap(result):
    """By how much training images are read better than validation images."""
    return result["train_accuracy"] - result["validation_accuracy"]


def cpu_seconds(result):
    """CPU time of an epoch: the least, since whatever disturbs only adds to it."""
    return np.min(result["cpu_seconds"], axis=0)


def evaluate_hypotheses(results):
    """The three hypotheses and what was measured of them, as three `Hypothesis`.

    The results are for "filters", "dropout" and "batch_size" a dict: for each value that was tried
    a dict: for each seed its result, as from `run_trial`; the other two as in the baseline. A part
    whose settings were not tried is not tested.
    """
    return [
        _about_filters(results["filters"]),
        _about_dropout(results["dropout"]),
        _about_batch_size(results["batch_size"]),
    ]


def _part(results, text, quantity, weights, low=-math.inf, high=math.inf, relative_to=None):
    """A part, if all that it needs was measured; relative to something it is in per cent."""
    if missing := sorted({*weights, *(relative_to or {})} - results.keys()):
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
