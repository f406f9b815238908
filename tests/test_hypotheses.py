"""Task 4's statistics: intervals hold the truth, verdicts are seldom wrong, figures show both."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from test_figures import assert_readable, texts

from network.experiment import figures, report, statistics
from network.experiment.hypotheses import Hypothesis, Part, evaluate_hypotheses
from network.experiment.settings import Settings, in_order
from network.experiment.statistics import mean_interval
from network.experiment.trial import Trial

SETTINGS = {
    "filters": (5, 10, 15, 20),
    "dropout": (0.1, 0.25, 0.5),
    "batch_size": (32, 64, 128, 256),
}


def made_up(seeds, truth, noise=lambda *_: (0, 0, 0)):
    """Results as `evaluate_hypotheses` takes them.

    `truth` gives validation accuracy, training accuracy and CPU time by dimension and value;
    `noise(dimension, value, seed)` what is added to each, to the time as a share of it.
    """
    results = {name: {value: {} for value in values} for name, values in SETTINGS.items()}
    for name, values in SETTINGS.items():
        for value, seed in itertools.product(values, range(seeds)):
            validation, training, seconds = truth[name](value)
            more = noise(name, value, seed)
            results[name][value][seed] = {
                "validation_accuracy": validation + more[0],
                "train_accuracy": training + more[1],
                "cpu_seconds": [seconds * (1 + more[2])],
            }
    return results


TRUE = {
    "filters": lambda f: (0.98 - 0.1 / f, 0.98, 1 + f / 5),
    "dropout": lambda d: (0.98 - abs(d - 0.25) / 10, 0.99 - d / 10, 3),
    "batch_size": lambda b: (0.98 - abs(math.log2(b) - 6.4) / 200, 0.98, 1 + 64 / b),
}
FALSE = {
    "filters": lambda f: (0.9 + 0.004 * f, 0.98, f**2 / 25),
    "dropout": lambda d: (0.98 - d / 10, 0.98 - d / 10, 3 + d),
    "batch_size": lambda b: (0.98 - b / 1000, 0.98, 1 + 64 / b),
}


@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("unequal", [False, True])
@pytest.mark.parametrize("correlated", [False, True])
def test_every_interval_that_is_printed_holds_the_truth_as_often_as_it_says(
    seeds, unequal, correlated
):
    rng, draws = np.random.default_rng(0), 10_000
    luck = rng.normal(0, 2 if correlated else 0, (seeds, draws))  # of a seed, in all settings

    def noise(name, value, seed):
        scale = 15**0.5 if unequal and value == SETTINGS[name][0] else 1
        return 0.01 * (luck[seed] + scale * rng.normal(0, 1, (3, draws)))

    results = made_up(seeds, TRUE, noise)
    truth, found = evaluate_hypotheses(made_up(seeds, TRUE)), evaluate_hypotheses(results)
    intervals = [
        (part.text, part.interval, true.interval[0])
        for hypothesis, real in zip(found, truth, strict=True)
        for part, true in zip(hypothesis.parts, real.parts, strict=True)
    ]
    for value, by_seed in results["filters"].items():  # the table's
        values = [result["validation_accuracy"] for result in by_seed.values()]
        intervals.append((f"{value} filters", mean_interval(values), TRUE["filters"](value)[0]))
    assert len(intervals) == 16 + 4
    for text, (mean, half), true in intervals:
        assert 0.935 <= np.mean(np.abs(mean - true) <= half) <= 0.97, text


@pytest.mark.parametrize("share", [0.86, 0.9, 0.98, 0.99])
def test_the_interval_of_a_share(share):
    rights = np.random.default_rng(0).binomial(10_000, share, 10_000)
    intervals = {right: statistics.binomial_interval(right, 10_000) for right in set(rights)}
    held = np.mean([intervals[right][0] <= share <= intervals[right][1] for right in rights])
    assert 0.935 <= held <= 0.97
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
    assert statistics.binomial_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert statistics.binomial_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)


def test_students_t():
    table = {1: 12.706, 2: 4.303, 4: 2.776, 18: 2.101, 120: 1.980}
    for freedom, quantile in table.items():
        assert statistics.t_quantile(freedom) == pytest.approx(quantile, abs=0.0006)
        assert statistics.t_outside(-quantile, freedom) == pytest.approx(0.05, abs=5e-5)
    assert statistics.t_outside(4.604, 4) == pytest.approx(0.01, abs=1e-5)
    assert math.isinf(mean_interval([0.5, 0.6])[1])


def test_holm():
    # Tested from the least on: 0.01 times 4, 0.013 times 3, 0.04 times 2 …
    assert statistics.holm([0.04, 0.01, 0.3, 0.013]) == pytest.approx([0.08, 0.04, 0.3, 0.04])
    assert statistics.holm([0.6, 0.9]) == [1, 1] and statistics.holm([]) == []


def test_wrong_verdicts_are_as_rare_as_they_say():
    """Seven quantities whose truth lies upon their limit: whatever is decided there is wrong."""
    rng = np.random.default_rng(0)
    wrong = alone = 0
    for _ in range(1500):
        parts = [Part("", low=0, values=tuple(rng.normal(0, 1, 5))) for _ in range(7)]
        wrong += any(verdict != "undecided" for *_, verdict in Hypothesis("", parts).judged)
        alone += any(statistics.p_value(part.margin) < 0.05 for part in parts)
    assert 0.035 < wrong / 1500 < 0.065
    assert alone / 1500 > 0.25  # what it would be without the correction


def test_verdicts():
    def verdict(estimate, half, **limits):
        step = 3**0.5 * half / statistics.t_quantile(2)  # three values with this interval
        part = Part("", values=(estimate - step, estimate, estimate + step), **limits)
        assert part.interval == pytest.approx((estimate, half))
        return part.verdict(statistics.p_value(part.margin))

    positive = {0.2: "supported", 0.101: "supported", 0.099: "undecided", 0.05: "undecided"}
    positive |= {-0.2: "refuted"}
    assert {n: verdict(n, 0.1, low=0) for n in positive} == positive
    small = {0.02: "supported", 0.05: "undecided", 0.07: "refuted"}
    assert {n: verdict(n, 0.01, low=-0.05, high=0.05) for n in small} == small


def test_verdicts_together():
    kinds = {"s": (2, 2.1, 2.2), "u": (-1, 0, 1.1), "r": (-2, -2.1, -2.2), "n": ()}
    parts = {name: Part(name, low=0, values=values) for name, values in kinds.items()}
    wanted = {"ss": "supported", "su": "undecided", "sur": "refuted", "sn": "undecided"}
    for chosen, verdict in wanted.items():
        assert Hypothesis("", [parts[name] for name in chosen]).verdict == verdict


@pytest.mark.parametrize(("truth", "verdict"), [(TRUE, "supported"), (FALSE, "refuted")])
def test_hypotheses(truth, verdict):
    rng = np.random.default_rng(0)
    noise = 1e-4, 1e-4, 1e-3
    found = evaluate_hypotheses(made_up(5, truth, lambda *_: rng.normal(0, noise)))
    assert [hypothesis.verdict for hypothesis in found] == [verdict] * 3
    first, second, third = ([verdict for *_, verdict in h.judged] for h in found)
    if truth is TRUE:
        gain = found[0].parts[0]
        assert gain.interval[0] == pytest.approx(0.015, abs=3e-4) and 0 < gain.interval[1] < 1e-3
        assert str(gain).startswith("accuracy, 20 minus 5 filters, above 0: +1.")
        return
    assert first[:2] == ["supported", "undecided"]
    # 4 and 9 against 6 and 11 on the line from 1 to 16.
    times = [part.interval[0] for part in found[0].parts[2:]]
    assert times == pytest.approx([-1 / 3, -2 / 11], abs=0.01)
    assert second[:2] == ["refuted", "supported"]
    # 3.1 and 3.5 seconds against 3.25: one is within 5 %, the other is not.
    assert second[5:] == ["supported", "refuted"]
    assert third == ["supported", "supported", "refuted", "refuted", "supported"]


def test_a_seed_that_failed_somewhere_is_left_out_where_it_is_needed():
    results = made_up(4, TRUE)
    del results["filters"][10][1]
    results["filters"][5][1]["validation_accuracy"] = 0
    ends, returns, *_ = evaluate_hypotheses(results)[0].parts
    assert len(ends.values) == 4 and len(returns.values) == 3
    assert returns.interval[0] > 0
    results["filters"][10].clear()
    assert "needs a seed that" in str(evaluate_hypotheses(results)[0].parts[1])


def test_hypotheses_of_nothing():
    for hypothesis in evaluate_hypotheses({name: {} for name in SETTINGS}):
        assert {verdict for *_, verdict in hypothesis.judged} == {"not tested"}
        assert hypothesis.verdict == "undecided"


def test_settings_take_turns():
    """Each round has all settings once, in another order; what is slow starts the last round."""
    settings = Settings(*SETTINGS.values()).choose()
    order = in_order(settings, range(4))
    rounds = np.array(order, dtype=object).reshape(4, -1).tolist()
    for seed, turn in enumerate(rounds):
        assert {replace(trial, seed=0) for trial in turn} == set(settings)
        assert {trial.seed for trial in turn} == {seed}
    assert len({tuple(replace(trial, seed=0) for trial in turn) for turn in rounds}) == 4
    assert order == in_order(settings, range(4))
    assert rounds[-1][0].batch_size == 32 and rounds[-1][-1].batch_size == 256


@pytest.mark.parametrize("seeds", [1, 10])
@pytest.mark.parametrize("values", [(5, 10, 15, 20), (10,), (32, 64, 128, 256)])
def test_setting_curves(values, seeds):
    rng = np.random.default_rng(seeds)
    results = {value: {} for value in values}
    for value, seed in itertools.product(values, range(seeds)):
        accuracy, *seconds = np.array([0.95, 3, 3]) * rng.normal(1, 0.01, 3)
        results[value][seed] = {"validation_accuracy": accuracy, "cpu_seconds": seconds}
    log = values[0] == 32
    series = {"learning rate 0.01": results, "in proportion to the batch": results}
    figure = figures.setting_curves(
        series if log else {"mean and 95 % interval": results},
        values[0],
        "batch size",
        "Accuracy and training time by batch size: MNIST, 50,000 images, 5 seeds, 5 epochs",
        log=log,
        straight=values[0] == 5,
    )
    assert_readable(figure)
    accuracy, seconds = figure.axes
    assert seconds.get_ylim()[0] == 0
    shown = [line for line in accuracy.get_lines() if len(line.get_xdata()) == len(values)]
    means = [report.mean_accuracy(results[value]) for value in values]
    assert any(np.allclose(line.get_ydata(), means) for line in shown)
    # A seed far from the others is shown, too.
    results[values[0]][0] = {"validation_accuracy": 0.5, "cpu_seconds": [9, 9.5]}
    figure = figures.setting_curves({"mean": results}, values[0], "filters", "By filters")
    assert figure.axes[0].get_ylim()[0] < 0.5 and figure.axes[1].get_ylim()[1] > 9


@pytest.mark.parametrize("count", [1, 11, 50])
@pytest.mark.parametrize("close", [False, True])
def test_cost_and_accuracy(count, close):
    rng = np.random.default_rng(count)
    spread = 0.001 if close else 1
    points = [
        (f"dropout 0.25, batch {n}", 5 + spread * rng.random(), 0.9 + 0.05 * rng.random(), 0.004)
        for n in range(count)
    ]
    points += [("the best", 1.0, 0.99, math.inf), ("baseline", 5, 0.92, 0.002)]
    figure = figures.cost_and_accuracy(points, "What accuracy costs: MNIST, 2 seeds, 5 epochs")
    assert_readable(figure)
    shown = {text for text, *_ in texts(figure)}
    # Numbered in the order of time; each number is beside its point, and named in the legend.
    assert {"1", "2", "1  the best"} <= shown
    named = {text.partition("  ")[2] for text in shown if "  " in text}
    if count < 20:
        assert named == {name for name, *_ in points}
    else:  # nothing beats the best: it is as fast as any and more accurate
        assert named == {"the best", "baseline"} and f"{count} others" in shown


def test_the_grid():
    found = {
        Trial(*values): {0: {"validation_accuracy": 0.9 + n / 1000}}
        for n, values in enumerate(itertools.product(*SETTINGS.values()))
    }
    del found[Trial(5, 0.25, 64)]
    title = "MNIST, 50,000 images, 3 seeds, 5 epochs"
    figure = figures.grid(found, Settings(*SETTINGS.values()), title)
    assert_readable(figure)
    assert [len(axis.texts) for axis in figure.axes[:3]] == [16, 15, 16]
    assert figure.axes[2].texts[-1].get_text() == "94.7"


def test_what_a_scaled_rate_wins_back_is_counted_at_the_large_batch(capsys):
    def at(*shares):
        each = zip((32, 256), shares, strict=True)
        return {size: {0: {"validation_accuracy": share}} for size, share in each}

    # It loses at the small batch as well: that is no gain.
    report.print_scaled(at(0.9, 0.8), at(0.85, 0.84))
    assert (
        "at batch 256 the scaled rate wins back 40% of the accuracy drop" in capsys.readouterr().out
    )
    report.print_scaled(at(0.8, 0.9), at(0.8, 0.9))
    assert "wins back" not in capsys.readouterr().out
