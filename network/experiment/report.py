"""What task 4 prints: settings with what was measured of them, and what that says."""

import math
from dataclasses import replace

import numpy as np

from network.cli import count_of
from network.experiment.hypotheses import accuracy, cpu_seconds, evaluate_hypotheses
from network.experiment.settings import BASELINE, describe
from network.experiment.statistics import ERROR, contrast, mean_interval

# In all of these `results` of a setting are a dict: for each seed its result; `seeds` is how many
# there should be; `dimensions` has for each dimension a dict: for each value its results.


def mean_accuracy(results):
    """Mean over seeds of the accuracy on the validation images."""
    return np.mean([accuracy(result) for result in results.values()])


def print_table(rows, seeds):
    """Settings with what was measured, one line each; `rows` has the results of each setting."""
    print(
        "\nfilters  dropout  batch    rate    validation accuracy      test  CPU s/epoch      "
        "wall s/epoch  seeds"
    )
    for setting, results in rows.items():
        found = results.values()
        share, half = mean_interval([accuracy(result) for result in found])
        test = np.mean([result["test_accuracy"] for result in found])
        seconds, seconds_half = mean_interval([cpu_seconds(result) for result in found])
        wall = np.mean([min(result["wall_seconds"]) for result in found])
        few = "" if len(found) == seeds else f" of {seeds}"
        print(
            f"{setting.filters:7}  {setting.dropout:7g}  {setting.batch_size:5}  "
            f"{setting.learning_rate:6g}    {share:7.2%} {plus_minus(100 * half):9}  {test:9.2%}  "
            f"{seconds:6.2f} {plus_minus(seconds_half):9}  {wall:9.2f}  {len(found):5}{few}"
            + ("  baseline" if setting == BASELINE else "")
        )


def plus_minus(half):
    """Half the width of an interval as text; nothing where there is none."""
    return f"± {half:.2f}" if math.isfinite(half) else ""


def print_hypotheses(dimensions, seeds):
    """The hypotheses, the quantities that were measured for them, and their verdicts."""
    print(
        "\naccuracies below are on the validation images; ± is a 95 % interval over seeds; p is "
        "corrected for the\nnumber of quantities of a hypothesis (Holm); below "
        f"{ERROR:g} a quantity is decided"
    )
    for number, hypothesis in enumerate(evaluate_hypotheses(dimensions), 1):
        print(f"\nhypothesis {number}: {hypothesis.text}")
        for part, p, verdict in hypothesis.judged:
            if not part.values:
                print(f"  {part}")
            elif math.isinf(part.interval[1]):
                print(f"  {part}: {verdict}")
            else:
                shown = "p < 0.0001" if p < 1e-4 else f"p = {p:.4f}"
                print(f"  {part}, {shown}: {verdict}")
        print(f"  verdict: {hypothesis.verdict} at {count_of(seeds, 'seed')}")


def print_scaled(fixed, scaled):
    """How much of what large batches lose comes back with a learning rate in proportion.

    `fixed` and `scaled` have the results of each batch size, at the baseline's rate and at one in
    proportion to the batch.
    """
    print("\nbatch size with the learning rate in proportion to it:")
    both = sorted(set(fixed) & set(scaled))
    for size in both:
        at_fixed, at_scaled = mean_accuracy(fixed[size]), mean_accuracy(scaled[size])
        print(
            f"  batch {size:4}: validation accuracy {at_fixed:.2%} at the fixed rate, "
            f"{at_scaled:.2%} at the scaled one ({100 * (at_scaled - at_fixed):+.2f} points)"
        )
    if len(both) < 2:
        return
    least, most = both[0], both[-1]
    changes = [contrast(side, accuracy, {most: 1, least: -1}) for side in (fixed, scaled)]
    (drop, _), _ = intervals = [mean_interval(change) for change in changes]
    texts = [f"{100 * mean:+.2f} {plus_minus(100 * half)}".strip() for mean, half in intervals]
    print(
        f"  from batch {least} to {most} accuracy changes by {texts[0]} points at the fixed rate, "
        f"by {texts[1]} at the scaled one"
    )
    # Not 1 - left / drop: the scaled rate may lose as much at the small batch.
    gain = mean_accuracy(scaled[most]) - mean_accuracy(fixed[most])
    if drop < 0:
        print(
            f"  at batch {most} the scaled rate wins back {-gain / drop:.0%} of the accuracy drop"
        )


def print_grid(combined, dimensions, seeds):
    """All combinations, ranked, and where that of the best single choices comes; `combined` has
    the results of each."""
    print("\nall combinations, ranked by validation accuracy:")
    means = {setting: mean_accuracy(results) for setting, results in combined.items()}
    ranked = sorted(means, key=means.get, reverse=True)
    print_table({setting: combined[setting] for setting in ranked}, seeds)
    listed = {name: {getattr(setting, name) for setting in means} for name in dimensions}
    chosen = {}  # for each dimension the best of the listed values; None where none was measured
    for name, along in dimensions.items():
        values = sorted(along.keys() & listed[name])
        chosen[name] = max(values, key=lambda v: mean_accuracy(along[v]), default=None)
    singles = replace(BASELINE, **chosen)
    if singles in combined:
        best = ranked[0]
        print(
            f"\nbest single choices together: {describe(singles)}: rank "
            f"{ranked.index(singles) + 1} of {len(ranked)}, "
            f"{100 * (means[best] - means[singles]):.2f} points below the best combination "
            f"({describe(best)})"
        )
    if seeds > 1:
        spread = [np.std([accuracy(r) for r in found.values()]) for found in combined.values()]
        spread = 100 * np.sqrt(np.mean(np.square(spread)) * seeds / (seeds - 1))
        print(f"between seeds: a standard deviation of {spread:.2f} points, over all combinations")
    for name, values in listed.items():
        shares = {
            value: np.mean([means[setting] for setting in means if getattr(setting, name) == value])
            for value in sorted(values)
        }
        texts = ", ".join(f"{value:g}: {share:.2%}" for value, share in shares.items())
        print(f"mean over all else by {name.replace('_', ' ')}: {texts}")


def print_confused(counts, names):
    """Which of the classes (C,) are taken for which, the six most frequent mistakes; `counts` is
    (C, C), row: true class, column: answer."""
    print("most often confused:")
    mistakes = counts - np.diag(np.diag(counts))
    for place in np.argsort(-mistakes, axis=None, kind="stable")[:6]:
        true, answer = np.unravel_index(place, counts.shape)
        if mistakes[true, answer]:
            of = f"{mistakes[true, answer]} of {counts[true].sum():,}"
            print(f"  {names[true]} read as {names[answer]}: {of}")
