"""Trials of task 4, where they run, and the file of their results."""

import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch

from network import datasets
from network.experiment import trials
from network.experiment.results import NUMBERS, TIMES, Results, code_checksum, identity, split
from network.experiment.trial import Trial, run_trial
from network.experiment.trials import Processes, run_all
from network.files import Problem


@pytest.fixture
def parts(small_mnist):
    return [datasets.load("MNIST", small_mnist, train) for train in (True, False)]


@pytest.fixture
def data(parts):
    """The small data set as trials take it."""
    return split(*parts)


def test_a_trial_is_the_same_in_any_process_and_uses_one_thread(data):
    other = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(60,))
    other.start()
    threads = torch.get_num_threads()
    wanted = Trial(filters=5, seed=3)
    with Processes(1, data, 2) as place:
        ((ran, there),) = run_all([wanted], place)
    # Its own processes have ended, and nobody else's.
    assert multiprocessing.active_children() == [other] and other.is_alive()
    other.kill()
    here = run_trial(asdict(wanted), data, 2)
    assert ran == wanted and torch.get_num_threads() == threads
    assert all(here[name] == there[name] for name in NUMBERS)
    assert len(there["cpu_seconds"]) == len(there["wall_seconds"]) == 2
    # More threads than one would take more CPU time than there is wall time.
    for cpu, wall in zip(there["cpu_seconds"], there["wall_seconds"], strict=True):
        assert 0 < cpu < 1.1 * wall + 0.02
    assert run_trial(asdict(replace(wanted, seed=4)), data, 2)["train_loss"] != here["train_loss"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_a_busy_neighbour_on_the_same_core_adds_little_to_the_least_cpu_time(data):
    data = {name: np.concatenate([values] * 2) for name, values in data.items()}
    busy = "import numpy as np\na = np.ones((700, 700))\nwhile True: a @ a"
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(cores)})
    try:
        ratios = []
        for _ in range(3):
            alone = run_trial(asdict(Trial()), data, 3)
            with subprocess.Popen([sys.executable, "-c", busy], env=quiet) as neighbour:
                time.sleep(0.3)
                beside = run_trial(asdict(Trial()), data, 3)
                neighbour.kill()
            ratios.append([min(beside[name]) / min(alone[name]) for name in TIMES])
    finally:
        os.sched_setaffinity(0, cores)
    cpu, wall = np.median(ratios, axis=0)
    assert cpu < 1.4 and cpu < wall  # measured: 1.15 and 1.8


def test_the_last_sixth_is_held_out(parts, data):
    training, test = parts
    assert torch.equal(torch.tensor(data["train"]), training.images[:500])
    assert torch.equal(torch.tensor(data["validation"]), training.images[500:])
    assert torch.equal(torch.tensor(data["test labels"]), test.labels)
    some = split(training, test, 200)
    assert len(some["train"]) == 200 and np.array_equal(some["validation"], data["validation"])
    identities = [identity("MNIST", d, e) for d, e in ((data, 1), (data, 2), (some, 1))]
    assert all(a != b for a, b in itertools.combinations(identities, 2))
    swapped = data | {"train labels": data["train labels"][::-1]}
    assert identity("MNIST", swapped, 1) != identities[0]


RUN = {"dataset": "MNIST", "code": "1", "torch": "2"}
RESULT = dict.fromkeys(NUMBERS, 0.5) | {name: [1.0, 2.0] for name in TIMES}


@pytest.fixture
def filled(tmp_path):
    """The path of a results file with two trials."""
    results = Results(tmp_path / "experiment.jsonl", RUN)
    results.add(Trial(), RESULT)
    results.add(Trial(seed=1), RESULT)
    return results.path


@pytest.mark.parametrize("kept", [1, 40, -1])
def test_half_a_line_is_cut_off(filled, capsys, kept):
    whole = filled.read_bytes()
    filled.write_bytes(whole + whole.splitlines(keepends=True)[-1][:kept])
    results = Results(filled, RUN)
    assert set(results.finished) == {Trial(), Trial(seed=1)}
    assert filled.read_bytes() == whole
    assert "half a line" in capsys.readouterr().err
    results.add(Trial(seed=2), RESULT)
    assert len(Results(filled, RUN).finished) == 3


def test_other_runs_stay_and_are_not_mixed_in(filled):
    before = filled.read_bytes()
    for change, of_other_code in (("code", 2), ("torch", 2), ("dataset", 0)):
        other = Results(filled, RUN | {change: "other"})
        assert (other.finished, other.of_other_code) == ({}, of_other_code)
    other.add(Trial(), RESULT | {"test_accuracy": 0.1})
    assert filled.read_bytes().startswith(before)
    assert Results(filled, RUN).finished[Trial()] == RESULT
    filled.write_bytes(filled.read_bytes() * 2)  # what is there twice counts once
    assert len(Results(filled, RUN).finished) == 2


def test_the_checksum_of_code(tmp_path):
    sums = []  # of which comments and how lines are broken change nothing
    for code in ("a = f(1, 2)\n", "# why\na = f(\n  1,\n  2)\n", "a = f(1, 3)"):
        file = tmp_path / f"{len(sums)}.py"
        file.write_text(code)
        sums.append(code_checksum(file))
    assert sums[0] == sums[1] != sums[2]


@pytest.mark.parametrize(
    ("broken", "says"),
    [
        ("{half\n", "line 3 of .* is no result"),
        ("[]\n", "line 3"),
        ("\n", "line 3"),
        ('{"format": 2}\n', "of version 2, and this program knows version 1"),
        ("somebody's own", "line 3"),
        ("filters", "line 1 of .* is no result of a trial; .* --fresh"),
        ("test_accuracy", "line 1"),
        ("cpu_seconds", "line 1"),
    ],
)
def test_a_broken_file_is_refused_and_left_as_it_is(filled, broken, says):
    whole = filled.read_text()
    without = whole.replace(f'"{broken}"', '"other"', 1)
    filled.write_text(without if without != whole else whole + broken)
    before = filled.read_bytes()
    with pytest.raises(Problem, match=says):
        Results(filled, RUN)
    assert filled.read_bytes() == before


@pytest.fixture
def start(tmp_path_factory):
    """Starts a `dask scheduler` or a `dask worker`, which shares neither code nor data with us."""
    options = {"cwd": tmp_path_factory.mktemp("elsewhere"), "env": os.environ.copy()}
    options |= {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    for name in ("PYTHONPATH", "MNIST_DIR"):
        options["env"].pop(name, None)
    with ExitStack() as stack:

        def start(what, *arguments):
            command = [sys.executable, "-m", "dask", what, "--no-dashboard", *arguments]
            process = stack.enter_context(subprocess.Popen(command, **options))
            stack.callback(process.kill)
            return process

        yield start


def test_a_cluster_gives_the_same_and_a_killed_worker_loses_nothing(
    start, data, tmp_path, monkeypatch
):
    pytest.importorskip("distributed", reason="Dask is not installed")
    file = tmp_path / "scheduler.json"
    scheduler = start("scheduler", "--host=127.0.0.1", "--port=0", f"--scheduler-file={file}")
    for _ in range(300):
        if file.exists() and file.read_text().endswith("}"):
            break
        time.sleep(0.1)
    address = json.loads(file.read_text())["address"]
    wanted = [Trial(filters=filters, seed=seed) for seed in range(6) for filters in (10, 20)]
    found = {}
    with trials.Cluster(address, data, 1) as place:
        monkeypatch.setattr(trials, "PATIENCE", 1)
        with pytest.raises(Problem, match="no Dask cluster with a worker answers"):
            list(run_all(wanted, place))  # a scheduler without workers
        monkeypatch.undo()
        workers = [start("worker", address, "--no-nanny", "--nthreads=1") for _ in range(2)]
        for one, outcome in run_all(wanted, place):
            if not found:
                workers[0].kill()
            found[one] = outcome
        assert set(found) == set(wanted)
        for one in wanted[:3]:
            here = run_trial(asdict(one), data, 1)
            assert all(here[name] == found[one][name] for name in NUMBERS)
        with pytest.raises(Problem, match="lost its scheduler or all its workers"):
            for _ in run_all(wanted, place):
                scheduler.kill()
