"""experiment.py as a user runs it: trials, their results, what they are made to say."""

import collections
import itertools
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, replace
from types import SimpleNamespace

import cv2
import pytest
import torch
from conftest import error_line, started

from network import datasets, pen, plots
from network.experiment import figures, trial, trials
from network.experiment.trial import Trial, run_trial
from network.training import evaluate
from network.weights import load_network

FEW = ["--seeds", 1, "--filters", 2, "--dropout", 0.25, "--batch-size", 64]  # two settings


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

    @contextmanager
    def here(workers, data, epochs):
        with ThreadPoolExecutor(1) as pool:
            yield SimpleNamespace(
                breakdown=(),
                submit_all=lambda all: {
                    pool.submit(run_trial, asdict(t), data, epochs): t for t in all
                },
            )

    monkeypatch.setattr(trials, "Processes", here)


@pytest.fixture
def quick(at_once, monkeypatch):
    """Nor are figures drawn, which takes most of such a run's time."""
    monkeypatch.setattr(figures, "draw_all", lambda *_: {})
    monkeypatch.setattr(plots, "confusion", lambda *_: None)
    monkeypatch.setattr(plots, "save", lambda *_: [])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "models" / "experiment.jsonl"


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def trials_of(path):
    """How often each trial is in a results file."""
    return collections.Counter(Trial(**line["trial"]) for line in lines_of(path))


def test_runs_draws_and_saves_then_has_nothing_left_to_do(experiment, at_once, options, path):
    done = experiment("--seeds", 2)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(
        "MNIST: 500 images to learn from, 100 held out to validate on, 200 to test; 1 epoch\n"
        "9 settings, 2 seeds each"
    )
    assert len(done.stderr.splitlines()) == 19  # a line for each trial, no bar
    lines = lines_of(path)
    assert len(lines) == len(trials_of(path)) == 19
    rows = re.findall(r"^ +\d+ +0\.\d+ +\d+ +0\.01 +(\S+)% +\S+% ", done.stdout, re.M)
    assert len(rows) == 9
    shares = collections.Counter()  # of each setting, its seeds' sum
    for line in lines[:-1]:
        setting = replace(Trial(**line["trial"]), seed=0)
        shares[setting] += line["result"]["validation_accuracy"]
    assert float(rows[0]) == pytest.approx(50 * shares[Trial()], abs=0.01)
    # Two seeds: no interval of a hundred points, but what is missing.
    assert "±" not in done.stdout.replace("± is a 95 %", "")
    assert done.stdout.count(" (an interval needs 3 seeds): undecided\n") == 16
    assert re.findall(r"^  verdict: (.*)$", done.stdout, re.M) == ["undecided at 2 seeds"] * 3
    for name in ("4_filters", "4_dropout", "4_batch_size", "4_summary", "4_confusion"):
        assert cv2.imread(str(path.parent.parent / "figures" / f"{name}.png")).shape[1] > 900
        assert f"{name}.png" in done.stdout
    # The best setting is the one of the best mean on the validation images.
    best = Trial(**lines[-1]["trial"])
    assert best.final and shares[replace(best, final=False)] == max(shares.values())
    # The network that is kept is the one that was tested.
    network, facts = load_network(path.parent / "experiment_network.pth")
    assert network.sizes["filters"] == [best.filters, 2 * best.filters]
    test = datasets.load("MNIST", options[1], train=False)
    _, accuracy = evaluate(network, test.images, test.labels)
    assert f"\ntest accuracy: {200 * accuracy:.0f}/200 = {accuracy:.2%} (" in done.stdout
    assert facts["test_accuracy"] == accuracy and facts["dataset"] == "MNIST"

    again = experiment("--seeds", 2)
    assert (again.returncode, again.stderr, lines_of(path)) == (0, "", lines)
    assert "18 of 18 trials have run before\n" in again.stdout
    about_settings = again.stdout[again.stdout.index("\nfilters") : again.stdout.index("\nbest")]
    assert about_settings in done.stdout


def test_all_combinations_and_scaled_rates(experiment, at_once, path, tmp_path):
    lists = ["--filters", "2,10", "--dropout", "0.25,0", "--batch-size", "50,100"]
    done = experiment(*lists, "--seeds", 1, "--grid", "--scale-lr")
    assert done.returncode == 0, done.stderr
    wanted = {Trial(*values) for values in itertools.product((2, 10), (0, 0.25), (50, 100))}
    wanted |= {Trial(), Trial(filters=2), Trial(dropout=0.0)}
    wanted |= {Trial(batch_size=b, learning_rate=0.01 * b / 64) for b in (50, 100)}
    assert {trial for trial in trials_of(path) if not trial.final} == wanted
    ranking = done.stdout[done.stdout.index("ranked by") :]
    accuracies = re.findall(r"^ +\d+ +\S+ +\d+ +0\.01 +(\S+)%", ranking, re.M)
    assert len(accuracies) == 8 and accuracies == sorted(accuracies, key=float, reverse=True)
    assert re.search(r"from batch 50 to 100 accuracy changes by [+-]", done.stdout)
    assert re.search(r"best single choices together: .*: rank \d+ of 8, \d", done.stdout)
    # Of batches of 64, which are the baseline's, there is no combination.
    assert re.search(r"mean over all else by batch size: 50: \S+, 100: \S+\n", done.stdout)
    assert (tmp_path / "figures" / "4_grid.png").is_file()
    # Of one seed and of other values than the report's nothing is decided.
    assert done.stdout.count("verdict: undecided at 1 seed\n") == 3
    assert "accuracy, 10 minus 2 filters, above 0" in done.stdout
    assert "straight time: not tested, needs three" in done.stdout
    # The baseline is measured along each dimension, whether its value is listed or not.
    assert "accuracy, batch 64 minus 32: not tested, needs results at 32\n" in done.stdout
    assert "not tested, needs results at 0.1\n" in done.stdout


def test_data_sets_in_their_order(script, quick, small_mnist, tmp_path, offline, monkeypatch):
    def run(data_dir, *arguments):
        folders = ["--data-dir", data_dir, "--models-dir", tmp_path, "--figures-dir", tmp_path]
        return script("experiment.py", *folders, *FEW, "--epochs", 1, *arguments)

    done = run(small_mnist)
    assert done.stdout.startswith("MNIST: 500 images")
    assert "NOTICE: FashionMNIST is not in" in done.stderr and "with MNIST" in done.stderr
    (small_mnist / "MNIST").rename(small_mnist / "FashionMNIST")
    done = run(small_mnist)
    assert done.stdout.startswith("FashionMNIST: 500 images") and "NOTICE" not in done.stderr
    name = "|".join(datasets.CLOTHES)
    assert re.search(rf"\n  ({name}) read as ({name}): \d+ of \d+\n", done.stdout)
    some = pen.drawn_digits(600, seed=3)  # 60,000 would take a minute
    monkeypatch.setattr(pen, "drawn_digits", lambda *_, **__: some)
    done = run(tmp_path / "none")
    assert done.stdout.startswith("drawn digits: 500 images") and "DRAWN" in done.stderr
    assert "could not be downloaded" in error_line(run(tmp_path / "none", "--dataset=fashion"))
    # Results of all three lie in one file and are not mixed in.
    assert len(lines_of(tmp_path / "experiment.jsonl")) == 3 * 3


def test_a_trial_that_fails_does_not_stop_the_others(experiment, quick, path, monkeypatch):
    run = trial._run

    def fails(one, *rest):
        if one.filters == 3:
            raise RuntimeError("not enough\nmemory")
        return run(one, *rest)

    monkeypatch.setattr(trial, "_run", fails)
    done = experiment("--filters", "3,10", "--seeds", 1)
    line = error_line(done, status=1)
    trial_and_reason = "3 filters, dropout 0.25, batch 64, seed 0: RuntimeError: not enough memory"
    assert line.endswith(f"a trial failed: {trial_and_reason}")
    assert len(trials_of(path)) == 6 + 1
    assert "not tested, needs" in done.stdout
    assert "test accuracy: " in done.stdout


def dies(setting):
    os._exit(9)  # as when memory runs out


def test_a_process_that_dies_ends_the_run_in_one_line(experiment, monkeypatch):
    monkeypatch.setattr(trials, "_run_in_worker", dies)
    line = error_line(experiment(*FEW, "--workers", 1))
    assert "a process that ran a trial was killed" in line and "goes on from there" in line
    assert not multiprocessing.active_children()


def wait_for_end_of_group(process):
    for _ in range(100):
        try:
            os.killpg(process.pid, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise AssertionError("processes outlive the run")


@pytest.mark.skipif(os.name == "nt", reason="Windows has neither SIGKILL nor groups")
def test_stopped_killed_and_started_again(options, experiment, quick, path):
    few = [*FEW, "--seeds", 9, "--workers", 1]  # 18 trials
    with started("experiment.py", *options, *few) as process:
        process.stderr.readline()
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does for Ctrl-C
        _, errors = process.communicate(timeout=30)
    wait_for_end_of_group(process)
    assert process.returncode == 130
    seen = trials_of(path)
    *others, last = errors.splitlines()
    stopped = f"experiment.py: stopped: {seen.total()} of 18 trials are done and kept in "
    assert last.startswith(stopped) and last.endswith("the same command goes on from there")
    assert all("validation accuracy" in line for line in others)
    with started("experiment.py", *options, *few) as process:
        assert process.stderr.readline() and process.stderr.readline()
        process.kill()
    wait_for_end_of_group(process)
    assert trials_of(path) >= seen and trials_of(path).total() >= seen.total() + 2
    assert experiment(*few).returncode == 0
    assert len(trials_of(path)) == 19 and set(trials_of(path).values()) == {1}


def test_results_of_other_code_and_those_set_aside_are_kept(experiment, quick, path, monkeypatch):
    assert experiment(*FEW).returncode == 0
    before = path.read_bytes()
    monkeypatch.setattr("network.experiment.results.code_checksum", lambda *_: "other")
    done = experiment(*FEW)
    assert done.returncode == 0 and "trials have run before" not in done.stdout
    assert "NOTICE: 3 trials of other code or another torch" in done.stderr
    both = path.read_bytes()
    assert both.startswith(before) and len(lines_of(path)) == 6

    older, aside = (path.with_name(f"experiment_before{number}.jsonl") for number in (1, 2))
    older.write_text("an older one")
    done = experiment(*FEW, "--fresh")
    assert done.returncode == 0 and aside.name in done.stderr
    assert aside.read_bytes() == both and len(lines_of(path)) == 3
    assert older.read_text() == "an older one"


def test_a_network_of_another_run_is_trained_again(experiment, quick, path):
    weights = path.parent / "experiment_network.pth"
    assert experiment(*FEW).returncode == 0
    before, _ = load_network(weights)
    weights.unlink()
    assert experiment(*FEW).returncode == 0
    after, _ = load_network(weights)
    assert all(map(torch.equal, before.parameters(), after.parameters()))
    assert len(trials_of(path)) == 3
    weights.write_bytes(b"somebody's own")
    assert "kept as experiment_network_before1.pth" in experiment(*FEW).stderr


def test_a_cluster_that_is_not_there(experiment, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is not installed")
    monkeypatch.setattr(trials, "PATIENCE", 0.2)
    for address in ("tcp://127.0.0.1:9", "no address"):
        line = error_line(experiment("--cluster", address))
        assert f"no Dask cluster with a worker answers at {address} " in line


def test_without_dask(experiment, monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    done = experiment("--cluster", "tcp://127.0.0.1:8786")
    assert 'pip install "dask[distributed]"' in error_line(done)
