"""experiment.py as a user runs it: trials, their results, what they are made to say."""

import collections
import importlib.util
import itertools
import json
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace

import cv2
import numpy as np
import pytest
import torch
from conftest import HOME
from test_figures import assert_readable, texts

from network import datasets, pen
from network.experiment import figures, hypotheses, trials
from network.experiment.hypotheses import Part, contrast, mean_interval, t_quantile, weigh
from network.experiment.trials import Processes, Results, Trial, run_all, run_trial
from network.files import Problem
from network.training import evaluate
from network.weights import load_network

posix = pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor groups")


@pytest.fixture
def options(small_mnist, tmp_path):
    """Command-line options that name the small data set and folders in tmp_path."""
    folders = ["--data-dir", small_mnist, "--models-dir", tmp_path / "models"]
    return [*folders, "--figures-dir", tmp_path / "figures", "--dataset", "mnist", "--epochs", "1"]


@pytest.fixture
def experiment(script, options):
    """Runs experiment.py on the small data set, its results in tmp_path."""
    return lambda *arguments: script("experiment.py", *options, *arguments)


@pytest.fixture
def at_once(monkeypatch):
    """Trials run in this process: starting others would take most of a test's time."""

    class Here:
        width, losses = 1, ()

        def __init__(self, workers, data, epochs):
            self.data, self.epochs = data, epochs
            self.pool = ThreadPoolExecutor(1)

        def submit(self, setting):
            return self.pool.submit(run_trial, setting, self.data, self.epochs)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.pool.shutdown()

    monkeypatch.setattr(trials, "Processes", Here)


@pytest.fixture
def data(small_mnist):
    """The small data set as trials take it."""
    parts = [datasets.load("MNIST", small_mnist, train) for train in (True, False)]
    return trials.split(*parts)


@pytest.fixture
def path(tmp_path):
    """Where the results are."""
    return tmp_path / "models" / "experiment.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def trials_of(path):
    """How often each trial is in a results file."""
    return collections.Counter(Trial(**line["trial"]) for line in lines_of(path))


def error_line(done, status=2):
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if "error: " in line]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("experiment.py: error: ")
    return lines[0]


# A run


def test_runs_prints_draws_and_saves_then_has_nothing_left_to_do(experiment, options, path):
    done = experiment("--seeds", 2, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "MNIST: 500 images to learn from, 100 held out to validate on, 200 to test; 1 epoch\n"
        "9 settings, 2 seeds each"
    )
    assert len(done.stderr.splitlines()) == 19  # a line for each trial, no bar
    assert all(count == 1 for count in trials_of(path).values()) and len(trials_of(path)) == 19
    rows = re.findall(r"^ +\d+ +0\.\d+ +\d+ +0\.01 +(\S+)%.*% +\S+ ", done.stdout, re.M)
    assert len(rows) == 9
    lines = lines_of(path)
    baseline = [
        line["result"]["validation_accuracy"]
        for line in lines
        if line["trial"] == asdict(Trial(seed=line["trial"]["seed"]))
    ]
    assert len(baseline) == 2 and float(rows[0]) == pytest.approx(50 * sum(baseline), abs=0.01)
    for number in (1, 2, 3):
        assert f"\nhypothesis {number}: " in done.stdout
    verdicts = re.findall(r"^  verdict: (\w+) at 2 seeds$", done.stdout, re.M)
    assert len(verdicts) == 3 and set(verdicts) <= {"supported", "refuted", "undecided"}
    for name in ("4_filters", "4_dropout", "4_batch_size", "4_summary"):
        assert cv2.imread(str(path.parent.parent / "figures" / f"{name}.png")).shape[1] > 900
        assert f"{name}.png" in done.stdout
    # The best setting is the one of the best mean on the validation images.
    means = collections.defaultdict(float)
    for line in lines:
        if not line["trial"]["final"]:
            means[replace(Trial(**line["trial"]), seed=0)] += line["result"]["validation_accuracy"]
    best = Trial(**lines[-1]["trial"])
    assert best.final and means[replace(best, final=False)] == max(means.values())
    # The network that is kept is the one that was tested.
    network, facts = load_network(path.parent / "experiment_network.pth")
    assert network.sizes["filters"] == [best.filters, 2 * best.filters]
    test = datasets.load("MNIST", options[1], train=False)
    _, accuracy = evaluate(network, test.images, test.labels)
    right = round(200 * accuracy)
    assert f"\ntest accuracy: {right}/200 = {accuracy:.2%} (" in done.stdout
    assert facts["test_accuracy"] == accuracy and facts["dataset"] == "MNIST"

    again = experiment("--seeds", 2, "--workers", 2)
    assert again.returncode == 0 and again.stderr == ""
    assert "18 of 18 trials have run before\n" in again.stdout
    assert lines_of(path) == lines
    results = slice(again.stdout.index("\nfilters"), again.stdout.index("\nbest"))
    assert again.stdout[results] in done.stdout


def test_a_trial_is_the_same_in_any_process_and_uses_one_thread(data):
    threads = torch.get_num_threads()
    trial = Trial(filters=5, seed=3)
    with Processes(1, data, 2) as place:
        ((ran, there),) = run_all([trial], place)
    assert not multiprocessing.active_children()
    here = run_trial(asdict(trial), data, 2)
    assert ran == trial and torch.get_num_threads() == threads
    assert all(here[name] == there[name] for name in trials.NUMBERS)
    assert len(there["cpu_seconds"]) == len(there["wall_seconds"]) == 2
    # More threads than one would take more CPU time than there is wall time.
    for cpu, wall in zip(there["cpu_seconds"], there["wall_seconds"], strict=True):
        assert 0 < cpu < 1.1 * wall + 0.02
    other = run_trial(asdict(replace(trial, seed=4)), data, 2)
    assert other["train_loss"] != here["train_loss"]


def test_the_last_sixth_is_held_out(small_mnist):
    training, test = (datasets.load("MNIST", small_mnist, train) for train in (True, False))
    data = trials.split(training, test)
    assert torch.equal(torch.tensor(data["train"]), training.images[:500])
    assert torch.equal(torch.tensor(data["validation"]), training.images[500:])
    assert torch.equal(torch.tensor(data["test labels"]), test.labels)
    some = trials.split(training, test, 200)
    assert len(some["train"]) == 200 and np.array_equal(some["validation"], data["validation"])
    identities = [trials.run_identity("MNIST", d, e) for d, e in ((data, 1), (data, 2), (some, 1))]
    assert all(a != b for a, b in itertools.combinations(identities, 2))
    swapped = data | {"train labels": data["train labels"][::-1]}
    assert trials.run_identity("MNIST", swapped, 1) != identities[0]


def test_all_combinations_and_scaled_rates(experiment, at_once, path, tmp_path):
    lists = ["--filters", "2,10", "--dropout", "0.25,0", "--batch-size", "50,100"]
    done = experiment(*lists, "--seeds", 1, "--grid", "--scale-lr")
    assert done.returncode == 0, done.stderr
    ran = set(trials_of(path))
    wanted = {Trial(*values) for values in itertools.product((2, 10), (0, 0.25), (50, 100))}
    wanted |= {Trial(), Trial(filters=2), Trial(dropout=0.0)}
    wanted |= {Trial(batch_size=b, learning_rate=0.01 * b / 64) for b in (50, 100)}
    assert {trial for trial in ran if not trial.final} == wanted
    ranking = done.stdout[done.stdout.index("ranked by") :]
    accuracies = re.findall(r"^ +\d+ +\S+ +\d+ +0\.01 +(\S+)%", ranking, re.M)
    accuracies = [float(accuracy) for accuracy in accuracies]
    assert len(accuracies) == 11 and accuracies == sorted(accuracies, reverse=True)
    assert re.search(r"from batch 50 to 100 accuracy changes by [+-]", done.stdout)
    assert (tmp_path / "figures" / "4_grid.png").is_file()


def test_with_one_seed_all_is_undecided_and_drawn_all_the_same(experiment, at_once, tmp_path):
    done = experiment("--seeds", 1, "--filters", "8,16", "--dropout", "0.3")
    assert done.returncode == 0, done.stderr
    assert (
        done.stdout.count("verdict: undecided at 1 seed\n") == 3
        and "±" not in done.stdout[300:].split("accuracies below")[0]
    )
    assert "minus 8 filters, above 0" in done.stdout
    assert "straight line: not tested, needs three" in done.stdout
    assert "not tested, needs results at 0.25 and 0.1" in done.stdout
    for name in ("filters", "dropout", "batch_size"):
        assert (tmp_path / "figures" / f"4_{name}.png").is_file()


def test_data_sets_in_their_order(script, at_once, small_mnist, tmp_path, offline, monkeypatch):
    few = ["--seeds", 1, "--epochs", 1, "--filters", "2", "--dropout", "0.25", "--batch-size", "64"]
    folders = ["--models-dir", tmp_path, "--figures-dir", tmp_path, *few]
    done = script("experiment.py", *folders, "--data-dir", small_mnist)
    assert done.stdout.startswith("MNIST: 500 images")
    assert "NOTICE: FashionMNIST is not in" in done.stderr and "with MNIST" in done.stderr
    (small_mnist / "MNIST").rename(small_mnist / "FashionMNIST")
    done = script("experiment.py", *folders, "--data-dir", small_mnist)
    assert done.stdout.startswith("FashionMNIST: 500 images") and "NOTICE" not in done.stderr
    some = pen.drawn_digits(600, seed=3)  # 60,000 would take a minute
    monkeypatch.setattr(pen, "drawn_digits", lambda *_, **__: some)
    done = script("experiment.py", *folders, "--data-dir", tmp_path / "none")
    assert done.stdout.startswith("drawn digits: 500 images") and "DRAWN" in done.stderr
    done = script("experiment.py", *folders, "--data-dir", tmp_path / "none", "--dataset=fashion")
    assert "could not be downloaded" in error_line(done)
    # Results of all three lie in one file and are not mixed in.
    assert len(lines_of(tmp_path / "experiment.jsonl")) == 3 * 3


# What becomes of trials that fail and processes that die


def test_a_trial_that_fails_does_not_stop_the_others(experiment, at_once, path):
    size = 10**12  # filters, more than any memory holds
    done = experiment("--filters", f"10,{size}", "--seeds", 1)
    line = error_line(done, status=1)
    assert f"a trial failed: {size} filters, dropout 0.25, batch 64, seed 0: RuntimeError" in line
    assert len(trials_of(path)) == 6 + 1
    assert "not tested, needs" in done.stdout and "4_summary.png" in done.stdout
    assert "test accuracy: " in done.stdout


def dies_at_half(setting):
    """Stands in for a trial whose process is killed, as when memory runs out."""
    if setting["dropout"] == 0.5:
        time.sleep(0.3)
        os._exit(9)
    time.sleep(0.05)
    return setting


def test_a_trial_that_kills_its_process_is_given_up_and_the_others_are_not(data, monkeypatch):
    monkeypatch.setattr(trials, "_run_in_worker", dies_at_half)
    deadly = Trial(dropout=0.5)
    wanted = [Trial(seed=1), deadly, *(Trial(seed=seed) for seed in range(2, 8))]
    with Processes(2, data, 1) as place:
        outcomes = dict(run_all(wanted, place))
    assert not multiprocessing.active_children()
    assert isinstance(outcomes.pop(deadly), trials.Lost)
    assert outcomes == {trial: asdict(trial) for trial in wanted if trial != deadly}


@contextmanager
def started(options, *arguments):
    """A run of experiment.py in a group of its own, as in a terminal."""
    command = [sys.executable, HOME / "experiment.py", *options, *arguments]
    with subprocess.Popen(
        [str(word) for word in command],
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def wait_for_end_of_group(process):
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("processes outlive the run")


@posix
def test_stopped_killed_and_started_again(options, path):
    with started(options, "--seeds", 3, "--workers", 2) as process:
        process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        _, errors = process.communicate(timeout=30)
    wait_for_end_of_group(process)
    assert process.returncode == 130
    seen = trials_of(path)
    *others, last = errors.splitlines()
    done = sum(seen.values())
    assert last.startswith(f"experiment.py: stopped: {done} of 27 trials are done and kept in ")
    assert last.endswith("the same command goes on from there")
    assert all("validation accuracy" in line for line in others)

    with started(options, "--seeds", 3, "--workers", 2) as process:
        for _ in range(4):
            assert process.stderr.readline()
        process.kill()
    wait_for_end_of_group(process)
    assert trials_of(path) >= seen
    seen = trials_of(path)
    assert sum(seen.values()) >= done + 4

    # Two at once, to the end.
    with (
        started(options, "--seeds", 3, "--workers", 1) as one,
        started(options, "--seeds", 3, "--workers", 1) as two,
    ):
        for process in (one, two):
            output, errors = process.communicate(timeout=100)
            assert process.returncode == 0, errors
            assert re.search(r"^\d+ of 27 trials have run before$", output, re.M)
    assert len(trials_of(path)) == 28
    assert all(trials_of(path)[trial] == 1 for trial in seen)


# The results file

RUN = {"dataset": "MNIST"}
RESULT = dict.fromkeys(trials.NUMBERS, 0.5) | {name: [1.0, 2.0] for name in trials.TIMES}


@pytest.fixture
def filled(tmp_path):
    """The path of a results file with two trials."""
    results = Results(tmp_path / "experiment.jsonl", RUN)
    results.add(Trial(), RESULT)
    results.add(Trial(seed=1), RESULT)
    return results.path


@pytest.mark.parametrize("kept", [1, 5, 40, -1])
def test_half_a_line_is_cut_off(filled, capsys, kept):
    whole = filled.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    filled.write_bytes(whole + last[:kept])
    results = Results(filled, RUN)
    assert set(results.finished) == {Trial(), Trial(seed=1)}
    assert filled.read_bytes() == whole
    assert "half a line" in capsys.readouterr().err
    results.add(Trial(seed=2), RESULT)
    assert len(Results(filled, RUN).finished) == 3


def test_other_runs_stay_and_are_not_mixed_in(filled):
    before = filled.read_bytes()
    other = Results(filled, {"dataset": "FashionMNIST"})
    assert other.finished == {}
    other.add(Trial(), RESULT | {"test_accuracy": 0.1})
    assert filled.read_bytes().startswith(before)
    assert Results(filled, RUN).finished[Trial()] == RESULT


@pytest.mark.parametrize("lost", ["filters", "test_accuracy", "cpu_seconds"])
def test_a_result_that_lacks_something(filled, lost):
    filled.write_text(filled.read_text().replace(lost, "other", 1))
    with pytest.raises(Problem, match=r"line 1 of .* is no result of a trial; .* --fresh"):
        Results(filled, RUN)


def test_what_is_there_twice_counts_once(filled):
    filled.write_bytes(filled.read_bytes() * 2)
    assert len(Results(filled, RUN).finished) == 2


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{half\n", "line 2 of"),
        ("[]\n", "line 2"),
        ("\n", "line 2"),
        ('{"format": 2}\n', "of version 2, and this program knows version 1"),
        ("somebody's own", "line 2"),
    ],
)
def test_a_broken_file_is_refused_and_fresh_keeps_it(experiment, at_once, filled, broken, says):
    first, _ = filled.read_text().splitlines(keepends=True)
    filled.write_text(first + broken)
    before = filled.read_bytes()
    few = ["--seeds", 1, "--filters", 2, "--dropout", 0.25, "--batch-size", 64]
    here = ["--models-dir", filled.parent, *few]
    line = error_line(experiment(*here))
    assert says in line and "--fresh" in line
    assert filled.read_bytes() == before
    aside = filled.with_name("experiment_before2.jsonl")
    filled.with_name("experiment_before1.jsonl").write_text("an older one")
    done = experiment(*here, "--fresh")
    assert done.returncode == 0 and aside.name in done.stderr
    assert aside.read_bytes() == before and len(lines_of(filled)) == 3
    assert filled.with_name("experiment_before1.jsonl").read_text() == "an older one"


def test_a_network_of_another_run_is_trained_again(experiment, at_once, path):
    few = ["--seeds", 1, "--filters", 2, "--dropout", 0.25, "--batch-size", 64]
    weights = path.parent / "experiment_network.pth"
    assert experiment(*few).returncode == 0
    before = load_network(weights)[0].state_dict()
    weights.unlink()
    assert experiment(*few).returncode == 0
    after = load_network(weights)[0].state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert len(trials_of(path)) == 3
    weights.write_bytes(b"somebody's own")
    assert "kept as experiment_network_best.pth" in experiment(*few).stdout


# Statistics


def test_students_t():
    for freedom, table in ((1, 12.706), (2, 4.303), (4, 2.776), (18, 2.101), (120, 1.980)):
        assert t_quantile(freedom) == pytest.approx(table, abs=0.0006)
    assert t_quantile(0) == math.inf


def test_intervals_hold_the_truth_as_often_as_they_say():
    rng = np.random.default_rng(0)
    alone = together = difference = 0
    for _ in range(4000):
        values = rng.normal([1, 2, 3, 4], 0.5, (3, 4))  # a row for each seed
        mean, half = mean_interval(values[:, 0])
        alone += abs(mean - 1) <= half
        estimate, half = contrast(dict(zip("abcd", values.T, strict=True)), {"d": 1, "a": 0.5})
        together += abs(estimate - 4.5) <= half
        # What a seed does to all groups neither shifts a difference nor widens its interval.
        values += rng.normal(0, 100, (3, 1))
        groups = dict(zip("abcd", values.T, strict=True))
        estimate, half = contrast(groups, {"d": 1, "a": -1.5, "b": 0.5})
        difference += abs(estimate - 3.5) <= half < 10
    assert all(0.94 < count / 4000 < 0.96 for count in (alone, together, difference))
    assert mean_interval([0.5]) == (0.5, math.inf)
    assert contrast({1: [0.5], 2: [0.75]}, {2: 1, 1: -1}) == (0.25, math.inf)
    # Two groups leave the paired t-test.
    a, b = np.array([1, 2.5, 3]), np.array([2, 3, 5])
    assert contrast({1: a, 2: b}, {2: 1, 1: -1}) == pytest.approx(mean_interval(b - a))


def test_the_interval_of_a_share():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I.
    assert hypotheses.binomial_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=1e-4)
    assert hypotheses.binomial_interval(0, 20) == pytest.approx((0, 0.1611), abs=1e-4)


def test_verdicts():
    def verdict(estimate, half, **limits):
        return Part("", estimate=estimate, half=half, **limits).verdict

    assert verdict(0.2, 0.1, low=0) == "supported"
    assert verdict(0.05, 0.1, low=0) == "undecided"
    assert verdict(-0.2, 0.1, low=0) == "refuted"
    assert verdict(0.2, math.inf, low=0) == "undecided"
    assert verdict(0.02, 0.01, low=-0.05, high=0.05) == "supported"
    assert verdict(0.07, 0.01, low=-0.05, high=0.05) == "refuted"
    assert verdict(0.05, 0.01, low=-0.05, high=0.05) == "undecided"
    parts = {
        name: Part(name, low=0, estimate=e, half=1)
        for name, e in zip("sur", (2, 0, -2), strict=True)
    }
    for chosen, expected in (("ss", "supported"), ("su", "undecided"), ("sur", "refuted")):
        found = hypotheses.Hypothesis("", [parts[name] for name in chosen]).verdict
        assert found == expected
    untested = hypotheses.Hypothesis("", [parts["s"], Part("", needs="more")])
    assert untested.verdict == "undecided"


def made_up(filters, dropout, batch_size, seeds=3):
    """Results as `weigh` takes them, from functions that give validation accuracy, training
    accuracy and CPU time of a value."""
    rng = np.random.default_rng(0)
    results = {}
    for name, (values, function) in {
        "filters": ((5, 10, 15, 20), filters),
        "dropout": ((0.1, 0.25, 0.5), dropout),
        "batch_size": ((32, 64, 128, 256), batch_size),
    }.items():
        results[name] = {
            value: [
                {
                    "validation_accuracy": function(value)[0] + rng.normal(0, 1e-4),
                    "train_accuracy": function(value)[1] + rng.normal(0, 1e-4),
                    "seed": seed,
                    "cpu_seconds": [99, function(value)[2] * rng.normal(1, 1e-3), 0.1],
                }
                for seed in range(seeds)
            ]
            for value in values
        }
    return results


def test_hypotheses_where_they_are_true():
    results = made_up(
        lambda f: (0.98 - 0.1 / f, 0.98, 1 + f / 5),
        lambda d: (0.98 - abs(d - 0.25) / 10, 0.99 - d / 10, 3),
        lambda b: (0.98 - abs(math.log2(b) - 6.4) / 200, 0.98, 1 + 64 / b),
    )
    first, second, third = weigh(results)
    assert first.verdict == second.verdict == third.verdict == "supported"
    gain = first.parts[0]
    assert gain.estimate == pytest.approx(0.015, abs=3e-4) and 0 < gain.half < 1e-3
    assert str(gain).startswith("accuracy, 20 minus 5 filters, above 0: +1.")
    # Off the line 2, 5 at 10 filters: 3 against 3.
    assert first.parts[2].estimate == pytest.approx(0, abs=0.005)


def test_hypotheses_where_they_are_false():
    results = made_up(
        lambda f: (0.9 + 0.004 * f, 0.98, f**2 / 25),
        lambda d: (0.98 - d / 10, 0.98 - d / 10, 3 + d),
        lambda b: (0.98 - b / 1000, 0.98, 1 + 64 / b),
    )
    first, second, third = weigh(results)
    assert first.verdict == second.verdict == third.verdict == "refuted"
    gain, returns, *times = first.parts
    assert gain.verdict == "supported" and returns.verdict == "undecided"
    # 4 and 9 against 6 and 11 on the line from 1 to 16.
    assert [time.estimate for time in times] == pytest.approx([-1 / 3, -2 / 11], abs=0.01)
    assert [part.verdict for part in second.parts[:2]] == ["refuted", "supported"]
    # 3.1 and 3.5 seconds against 3.25: one is within 5 %, the other is not.
    assert [part.verdict for part in second.parts[5:]] == ["supported", "refuted"]
    assert [part.verdict for part in third.parts] == [
        "supported",
        "supported",
        "refuted",
        "refuted",
    ]


def test_a_seed_that_failed_somewhere_is_left_out_of_its_dimension():
    def accuracy(value):
        return 0.9, 0.9, 3

    results = made_up(accuracy, accuracy, accuracy)
    del results["filters"][10][1]
    results["filters"][20][1]["validation_accuracy"] = 0
    gain = weigh(results)[0].parts[0]
    assert gain.estimate == pytest.approx(0, abs=1e-3) and gain.half < 1e-3
    results["filters"][15].clear()
    assert weigh(results)[0].parts[0].verdict == "not tested"


def test_hypotheses_of_other_values():
    results = {"filters": {}, "dropout": {}, "batch_size": {}}
    for hypothesis in weigh(results):
        assert {part.verdict for part in hypothesis.parts} == {"not tested"}
        assert hypothesis.verdict == "undecided"


# Figures


def noisy(count, level):
    return list(level * np.random.default_rng(count).normal(1, 0.01, count))


@pytest.mark.parametrize("seeds", [1, 3, 10])
@pytest.mark.parametrize("values", [(5, 10, 15, 20), (10,), (32, 64, 128, 256), (0.1, 0.25, 0.5)])
def test_setting_curves(values, seeds):
    results = {value: (noisy(seeds, 0.95), noisy(seeds, 3)) for value in values}
    log = values[0] == 32
    series = {"learning rate 0.01": results, "in proportion to the batch": results}
    series = series if log else {"mean and 95 % interval": results}
    figure = figures.setting_curves(
        *(series, values[0], "batch size", "Accuracy and training time by batch size: MNIST"),
        log=log,
        straight=values[0] == 5,
    )
    assert_readable(figure)
    accuracy, seconds = figure.axes
    assert seconds.get_ylim()[0] == 0
    shown = [line for line in accuracy.get_lines() if len(line.get_xdata()) == len(values)]
    means = [np.mean(results[value][0]) for value in values]
    assert any(np.allclose(line.get_ydata(), means) for line in shown)


def test_a_seed_far_from_the_others_is_shown_too():
    results = {
        5: ([0.964, 0.977, 0.977, 0.976, 0.975], [4, 4.1, 4, 4, 9]),
        10: ([0.981, 0.982, 0.983, 0.981, 0.982], [5, 5, 5.1, 5, 5]),
    }
    figure = figures.setting_curves({"mean": results}, 10, "filters", "By filters")
    for axis, index in zip(figure.axes, (0, 1), strict=True):
        seeds = [seed for found in results.values() for seed in found[index]]
        low, high = axis.get_ylim()
        assert low < min(seeds) and max(seeds) < high


@pytest.mark.parametrize("count", [1, 9, 15, 60])
@pytest.mark.parametrize("close", [False, True])
def test_cost_and_accuracy(count, close):
    rng = np.random.default_rng(count)
    spread = 0.001 if close else 1
    points = [
        (f"dropout 0.25, batch {n}", 5 + spread * rng.random(), 0.9 + 0.05 * rng.random(), 0.004)
        for n in range(count)
    ]
    points.append(("the best", 1.0, 0.99, math.inf))
    figure = figures.cost_and_accuracy(points, "What accuracy costs")
    assert_readable(figure)
    shown = {text for text, *_ in texts(figure)}
    assert "the best" in shown
    if count < 20:
        assert {name for name, *_ in points} <= shown
    else:  # nothing beats the best: it is as fast as any and more accurate
        assert not {name for name, *_ in points[:-1]} & shown


def test_accuracy_tables():
    accuracies = np.linspace(0.9, 0.99, 48).reshape(3, 4, 4)
    accuracies[0, 1, 2] = math.nan
    figure = figures.accuracy_tables(
        accuracies,
        ["dropout 0.1", "dropout 0.25", "dropout 0.5"],
        ((5, 10, 15, 20), "filters"),
        ((32, 64, 128, 256), "batch size"),
        "Mean validation accuracy of all combinations: MNIST, 5 epochs",
    )
    assert_readable(figure)
    assert [len(axis.texts) for axis in figure.axes[:3]] == [15, 16, 16]
    assert figure.axes[2].texts[-1].get_text() == "99.0"


# What is refused


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--no-such-dimension", "1"], "--no-such-dimension"),
        (["--filters", ""], "--filters"),
        (["--filters", "5,,10"], "'' is no whole number"),
        (["--filters", "0"], "--filters"),
        (["--filters", "x"], "'x' is no whole number"),
        (["--filters", "5,10,5"], "5 is there twice"),
        (["--dropout", "1.5"], "--dropout"),
        (["--dropout", "nan"], "--dropout"),
        (["--batch-size", "0"], "--batch-size"),
        (["--batch-size", "64,-1"], "--batch-size"),
        (["--epochs", "0"], "--epochs"),
        (["--seeds", "0"], "--seeds"),
        (["--workers", "0"], "--workers"),
        (["--train-size", "0"], "--train-size"),
        (["--train-size", "501"], "500 are left to learn from when 100 are held out"),
        (["--dataset", "imagenet"], "--dataset"),
        (["--device", "cuda"], "--device"),
    ],
)
def test_options_that_make_no_sense(experiment, path, arguments, says):
    assert says in error_line(experiment(*arguments))
    assert not path.exists()


def test_a_folder_that_cannot_be_written(experiment, tmp_path):
    (tmp_path / "file").write_text("no folder")
    done = experiment("--models-dir", tmp_path / "file" / "below")
    assert "cannot write" in error_line(done) and "--models-dir" in done.stderr
    assert "held out" not in done.stdout  # found out before the trials


def test_help_tells_the_defaults(script):
    done = script("experiment.py", "--help")
    assert done.returncode == 0
    assert "5,10,15,20" in done.stdout and "--cluster ADDRESS" in done.stdout


# On a Dask cluster

dask = pytest.mark.skipif(
    importlib.util.find_spec("distributed") is None,
    reason='Dask is not installed (pip install "dask[distributed]")',
)


class Cluster:
    """A scheduler and workers, real processes that share neither code nor data with the tests."""

    def __init__(self, folder):
        self.folder, self.processes = folder, []
        self.environment = {
            **{k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "MNIST_DIR")},
            "OMP_NUM_THREADS": "1",
        }
        file = folder / "scheduler.json"
        self.start("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={file}")
        for _ in range(300):
            if file.exists() and file.read_text().endswith("}"):
                break
            time.sleep(0.1)
        self.address = json.loads(file.read_text())["address"]

    def start(self, what, *arguments):
        """Starts a `dask scheduler` or a `dask worker`."""
        command = [sys.executable, "-m", "dask", what, "--no-dashboard", *arguments]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        process = subprocess.Popen(command, cwd=self.folder, env=self.environment, **quiet)
        self.processes.append(process)
        return process

    def worker(self):
        return self.start("worker", self.address, "--no-nanny", "--nthreads=1")

    def stop(self):
        for process in reversed(self.processes):
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    running = Cluster(folder)
    yield running
    running.stop()


@dask
def test_a_cluster_gives_the_same_and_a_killed_worker_loses_nothing(
    cluster, options, experiment, at_once, path, data, tmp_path
):
    workers = [cluster.worker(), cluster.worker()]
    with started(options, "--seeds", 3, "--cluster", cluster.address) as process:
        for _ in range(3):
            assert "validation accuracy" in process.stderr.readline()
        workers[0].kill()
        output, errors = process.communicate(timeout=100)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors and "test accuracy: " in output
    there = {Trial(**line["trial"]): line["result"] for line in lines_of(path)}
    assert len(there) == 28 and set(trials_of(path).values()) == {1}
    some = [Trial(), Trial(filters=20, seed=1), Trial(batch_size=256, seed=2)]
    for trial in some:
        here = run_trial(asdict(trial), data, 1)
        assert all(here[name] == there[trial][name] for name in trials.NUMBERS)
    # All workers gone, and the data with them: it is sent to new ones.
    wanted = [Trial(filters=2, seed=seed) for seed in range(5)]
    ran = []
    with trials.Cluster(cluster.address, data, 1) as place:
        for trial, outcome in run_all(wanted, place):
            if not ran:
                workers[1].kill()
                workers[1].wait()
                cluster.worker()
            assert outcome["train_loss"] > 0
            ran.append(trial)
    assert sorted(ran, key=wanted.index) == wanted


@dask
def test_a_cluster_that_is_not_there_or_goes_away(experiment, cluster, monkeypatch):
    monkeypatch.setattr(trials, "PATIENCE", 2)
    done = experiment("--cluster", "tcp://127.0.0.1:9")
    assert "no Dask cluster with a worker answers at tcp://127.0.0.1:9" in error_line(done)
    assert "no Dask cluster" in error_line(experiment("--cluster", "no address"))
    done = experiment("--cluster", cluster.address)  # a scheduler without workers
    assert "no Dask cluster with a worker" in error_line(done)
    assert "0 of 27 trials are done" in done.stderr


def test_without_dask(experiment, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = experiment("--cluster", "tcp://127.0.0.1:8786")
    assert 'pip install "dask[distributed]"' in error_line(done)
