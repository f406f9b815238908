"""Trials of task 4, where they run, and the file of their results."""

import importlib.util
import itertools
import json
import multiprocessing
import os
import subprocess
import sys
import time
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
def data(small_mnist):
    """The small data set as trials take it."""
    return split(*(datasets.load("MNIST", small_mnist, train) for train in (True, False)))


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


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="cores can be chosen on Linux only"
)
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


def test_the_last_sixth_is_held_out(small_mnist):
    training, test = (datasets.load("MNIST", small_mnist, train) for train in (True, False))
    data = split(training, test)
    assert torch.equal(torch.tensor(data["train"]), training.images[:500])
    assert torch.equal(torch.tensor(data["validation"]), training.images[500:])
    assert torch.equal(torch.tensor(data["test labels"]), test.labels)
    some = split(training, test, 200)
    assert len(some["train"]) == 200 and np.array_equal(some["validation"], data["validation"])
    identities = [identity("MNIST", d, e) for d, e in ((data, 1), (data, 2), (some, 1))]
    assert all(a != b for a, b in itertools.combinations(identities, 2))
    swapped = data | {"train labels": data["train labels"][::-1]}
    assert identity("MNIST", swapped, 1) != identities[0]


# The results file

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
    other = Results(filled, RUN | {"dataset": "FashionMNIST"})
    assert other.finished == {} and other.of_other_code == 0
    other.add(Trial(), RESULT | {"test_accuracy": 0.1})
    assert filled.read_bytes().startswith(before)
    assert Results(filled, RUN).finished[Trial()] == RESULT
    for change in ("code", "torch"):
        other = Results(filled, RUN | {change: "other"})
        assert other.finished == {} and other.of_other_code == 2
    filled.write_bytes(filled.read_bytes() * 2)  # what is there twice counts once
    assert len(Results(filled, RUN).finished) == 2


def test_the_checksum_of_code(tmp_path):
    """It changes with what the code does, not with comments and how lines are broken."""
    sums = []
    for number, code in enumerate(("a = f(1, 2)\n", "# why\na = f(\n  1,\n  2)\n", "a = f(1, 3)")):
        file = tmp_path / f"{number}.py"
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
    content = filled.read_text()
    lacks_one = content.replace(f'"{broken}"', '"other"', 1)
    filled.write_text(content + broken if lacks_one == content else lacks_one)
    before = filled.read_bytes()
    with pytest.raises(Problem, match=says):
        Results(filled, RUN)
    assert filled.read_bytes() == before


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
def test_a_cluster_gives_the_same_and_a_killed_worker_loses_nothing(cluster, data, monkeypatch):
    wanted = [Trial(filters=filters, seed=seed) for seed in range(6) for filters in (10, 20)]
    found = {}
    with trials.Cluster(cluster.address, data, 1) as place:
        monkeypatch.setattr(trials, "PATIENCE", 1)
        with pytest.raises(Problem, match="no Dask cluster with a worker answers"):
            list(run_all(wanted, place))  # a scheduler without workers
        monkeypatch.undo()
        workers = [cluster.worker(), cluster.worker()]
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
                cluster.processes[0].kill()  # the scheduler
