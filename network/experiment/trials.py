"""Trials: settings of the network and its training, each learned and measured by itself.

A trial runs on one thread, so that its CPU time says what it costs whatever else runs beside it.
Where it runs, in processes of this machine or on a Dask cluster, is behind the interface of
`concurrent.futures`; what it found is a line of a results file, from which a run goes on.
"""

import hashlib
import json
import math
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import Counter, deque
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, ProcessPoolExecutor, wait
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from network.cli import notice, short
from network.files import Problem, name_beside
from network.model import MyNetwork
from network.training import REPORT, evaluate, train

FORMAT = 1  # of the lines in a results file
TRIES = 3  # how often a trial may be lost with the process that ran it
PATIENCE = 10  # seconds to wait for a cluster


@dataclass(frozen=True)
class Trial:
    """What one trial tries; the defaults are the report's baseline."""

    filters: int = 10  # of the first convolution; the second has twice as many
    dropout: float = 0.25
    batch_size: int = REPORT.batch_size
    learning_rate: float = REPORT.learning_rate
    seed: int = 0
    final: bool = False  # learns from the validation images as well and hands its weights back

    def __str__(self):
        text = f"{self.filters} filters, dropout {self.dropout:g}, batch {self.batch_size}"
        if self.learning_rate != REPORT.learning_rate:
            text += f", rate {self.learning_rate:g}"
        return f"{text}, seed {self.seed}" + (", all training images" if self.final else "")


class Lost(Exception):
    """A trial did not end because the process that ran it, or its data, was lost."""


def split(training, test, train_size=None):
    """The images of all trials.

    Args:
        training: a `Labelled`; its last sixth (MNIST's last 10,000) is held out to validate on.
        test: a `Labelled`.
        train_size: how many of the other training images to learn from; all when left out.

    Returns:
        A dict of numpy arrays: for "train", "validation" and "test" the images, (N, 28, 28) uint8,
        and as "train labels" and so on their labels, (N,) int64.

    Raises:
        Problem: there are not that many images.
    """
    held_out = len(training.labels) // 6
    most = len(training.labels) - held_out
    if (train_size or 1) > most or not held_out:
        raise Problem(
            f"{training.dataset} has {len(training.labels):,} training images, of which {most:,} "
            f"are left to learn from when {held_out:,} are held out to validate on; "
            "choose a smaller --train-size or another --dataset"
        )
    parts = {
        "train": (training, slice(0, train_size or most)),
        "validation": (training, slice(most, None)),
        "test": (test, slice(None)),
    }
    data = {}
    for name, (labelled, part) in parts.items():
        data[name] = labelled.images[part].numpy()
        data[f"{name} labels"] = labelled.labels[part].numpy()
    return data


def run_identity(dataset, data, epochs):
    """What trials must have in common to be compared: a dict for the results file.

    Args:
        dataset: its name.
        data: as from `split`.
        epochs: passes over the training images.
    """
    checksum = hashlib.sha256()
    for name in sorted(data):
        checksum.update(np.ascontiguousarray(data[name]))
    recipe = asdict(replace(REPORT, epochs=epochs))
    for name in ("batch_size", "learning_rate"):  # every trial has its own
        del recipe[name]
    counts = {f"{name}_images": len(data[name]) for name in ("train", "validation", "test")}
    return {"dataset": dataset, "sha256": checksum.hexdigest()[:16], **counts, **recipe}


def run_trial(setting, data, epochs):
    """Trains one network on one thread of the CPU and measures it.

    Plain values in and out, so that it runs wherever it is sent.

    Args:
        setting: the fields of a `Trial`, as a dict.
        data: as from `split`.
        epochs: passes over the training images.

    Returns:
        A dict: "train_accuracy" (0 to 1; on as many training images as there are to validate on)
        and "train_loss" (nats), the same for "validation" (None for a final trial, which has
        learned these) and "test", all in eval mode; "cpu_seconds" and "wall_seconds", the time
        that the training took in each epoch, as lists. A final trial adds "weights", a dict of
        arrays.
    """
    # A worker of a cluster may run several threads, but torch's random numbers are the process's:
    # one trial at a time. The lock belongs to torch, since code that was sent as such has no
    # module of its own that all threads share.
    with vars(torch).setdefault("_one_trial_at_a_time", threading.Lock()):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            return _run(Trial(**setting), data, epochs)
        finally:
            torch.set_num_threads(threads)


def _run(trial, data, epochs):
    # Copies: torch wants arrays that it may write to, which those from a cluster are not.
    parts = {name: torch.tensor(values) for name, values in data.items()}
    images, labels = parts["train"], parts["train labels"]
    if trial.final:
        images = torch.cat([images, parts["validation"]])
        labels = torch.cat([labels, parts["validation labels"]])
    torch.manual_seed(trial.seed)
    network = MyNetwork(filters=(trial.filters, 2 * trial.filters), dropout=trial.dropout)
    recipe = replace(
        REPORT, epochs=epochs, batch_size=trial.batch_size, learning_rate=trial.learning_rate
    )
    cpu, wall = [], []
    for epoch in train(network, images, labels, recipe, progress=False):
        # On the CPU the backward pass runs in this thread, too: its time is all there is.
        cpu.append(epoch.cpu_seconds)
        wall.append(epoch.seconds)
    result = {"cpu_seconds": cpu, "wall_seconds": wall}
    for name in ("train", "validation", "test"):
        some = slice(0, len(data["validation"]) if name == "train" else None)
        loss, accuracy = evaluate(network, parts[name][some], parts[f"{name} labels"][some])
        known = not (trial.final and name == "validation")
        # A training that went astray has a loss of nan, which JSON has no word for.
        result[f"{name}_loss"] = loss if known and math.isfinite(loss) else None
        result[f"{name}_accuracy"] = accuracy if known else None
    if trial.final:
        result["weights"] = {name: value.numpy() for name, value in network.state_dict().items()}
    return result


NUMBERS = tuple(f"{a}_{b}" for a in ("train", "validation", "test") for b in ("accuracy", "loss"))
TIMES = ("cpu_seconds", "wall_seconds")


class Results:
    """The results file: a line of JSON for each trial, written when it ends and never again.

    Args:
        path: the file; made if missing.
        run: as from `run_identity`; lines of other runs stay in the file and are left alone.
        fresh: start a new file and keep the old one beside it under another name.

    Attributes:
        finished: the result of each `Trial` of this run that is in the file.

    Raises:
        Problem: the file cannot be written, or holds what is no result of this version.
    """

    def __init__(self, path, run, fresh=False):
        self.path, self.run, self.finished = path, run, {}
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if fresh and path.exists():
                self._set_aside()
            with open(path, "ab"):  # found out before the trials, not after the first
                pass
            content = self._repair()
        except OSError as error:
            raise self._unwritable(error) from None
        for number, line in enumerate(content.splitlines(), 1):
            self._read(number, line)

    def add(self, trial, result):
        """Appends a trial; when this returns, the line is on the disk."""
        line = {"format": FORMAT, "run": self.run, "trial": asdict(trial), "result": result}
        try:
            # Opened anew each time: another run may have moved the file away. One write, at the
            # end of the file, so that lines of two runs at a time do not mix.
            with open(self.path, "ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise self._unwritable(error) from None
        self.finished[trial] = result

    def _repair(self):
        """The file's content, cut off after its last whole line."""
        content = self.path.read_bytes()
        half = content[content.rfind(b"\n") + 1 :]
        if half:
            # Perhaps another run is writing it at this moment.
            time.sleep(0.2)
            content = self.path.read_bytes()
            half = content[content.rfind(b"\n") + 1 :]
        beginning = b'{"format": '
        if half and (half.startswith(beginning) or beginning.startswith(half)):
            content = content[: len(content) - len(half)]
            os.truncate(self.path, len(content))
            notice(f"NOTICE: {short(self.path)} ended in half a line, which is cut off")
        return content

    def _read(self, number, line):
        """Takes in a line if it is of this run."""
        what = "is no result of a trial"
        try:
            line = json.loads(line)
            if line["format"] != FORMAT:
                what = f"is of version {line['format']}, and this program knows version {FORMAT}"
                raise ValueError
            if line["run"] != self.run:
                return
            trial, result = Trial(**line["trial"]), line["result"]
            if not all(result[name] is None or result[name] >= 0 for name in NUMBERS):
                raise ValueError
            if not all(result[name] and min(result[name]) >= 0 for name in TIMES):
                raise ValueError
            # Two runs at a time may both have run it; they found the same.
            self.finished.setdefault(trial, result)
        except (ValueError, KeyError, TypeError):
            raise Problem(
                f"line {number} of {short(self.path)} {what}; "
                "start over with --fresh, which keeps the old file beside the new one"
            ) from None

    def _set_aside(self):
        for aside in name_beside(self.path):
            with suppress(FileExistsError):
                open(aside, "x").close()  # takes the name, so that no other run does
                break
        os.replace(self.path, aside)
        notice(f"the results so far are kept as {short(aside)}")

    def _unwritable(self, error):
        return Problem(
            f"cannot write {self.path}: {error.strerror or error}; "
            "free some space there or choose another folder with --models-dir"
        )


def run_all(trials, place):
    """Runs trials, many at a time.

    Args:
        trials: a list of `Trial`, each at most once.
        place: where they run, `Processes` or `Cluster`; it stays open.

    Yields:
        Each trial as it ends, with its result, or with the exception that it ended in: a trial
        that fails does not stop the others. A trial that is lost, with the process that ran it or
        its data, runs again; one that is lost `TRIES` times fails with `Lost`.

    Raises:
        Problem: the place itself is out of reach.
    """
    waiting, lost = list(trials), Counter()
    while waiting:
        # When a process dies, all that ran beside it are lost, too, and nobody knows which was to
        # blame. So the last try is made alone.
        group = [trial for trial in waiting if lost[trial] < TRIES - 1] or waiting[:1]
        with closing(_attempt(group, place)) as ending:
            for trial, outcome in ending:
                if isinstance(outcome, Lost):
                    lost[trial] += 1
                    if lost[trial] < TRIES:
                        continue
                waiting.remove(trial)
                yield trial, outcome


def _attempt(trials, place):
    """Yields trials as they end, up to where the place breaks down; then all that were running."""
    unsent, running, broken = deque(trials), {}, False
    while running or (unsent and not broken):
        while unsent and not broken and len(running) < place.width:
            trial = unsent.popleft()
            try:
                running[place.submit(asdict(trial))] = trial
            except place.losses as error:
                broken = True
                yield trial, _lost(error)
        for future in wait(running, return_when=FIRST_COMPLETED).done:
            trial = running.pop(future)
            try:
                outcome = future.result()
            except place.losses as error:
                broken = True
                outcome = _lost(error)
            except Exception as error:
                outcome = error
            yield trial, outcome
    if broken:
        place.close()  # the next trial opens it anew


def _lost(error):
    return Lost(f"{TRIES} times with the process that ran it: {error or repr(error)}")


class Processes:
    """Processes of this machine, one thread each; they start with the first trial.

    To be closed, or used in a `with` statement: they end then, whatever they are doing.

    Args:
        workers: how many.
        data: as from `split`; each process reads it once.
        epochs: of each trial.
    """

    losses = (BrokenExecutor,)

    def __init__(self, workers, data, epochs):
        self.width = min(workers, 61) if os.name == "nt" else workers  # Windows' limit
        self.data, self.epochs = data, epochs
        self.pool = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def submit(self, setting):
        """Has a trial run, given as a dict; returns its future."""
        if self.pool is None:
            self._start()
        # This may start a process.
        with _ctrl_c_held_back():
            return self.pool.submit(_run_in_worker, setting)

    def close(self):
        """Ends the processes."""
        if self.pool is None:
            return
        for process in set(multiprocessing.active_children()) - self.others:
            process.terminate()
        self.pool.shutdown(cancel_futures=True)
        self.folder.cleanup()
        self.pool = None

    def _start(self):
        self.others = set(multiprocessing.active_children())
        # By a file: what a process gets when it starts is sent by and by, one after the other.
        self.folder = tempfile.TemporaryDirectory(prefix="experiment-", ignore_cleanup_errors=True)
        np.savez(Path(self.folder.name) / "data.npz", **self.data)
        context = multiprocessing.get_context("spawn")  # the only one that all systems have
        first = (self.folder.name, self.epochs)
        self.pool = ProcessPoolExecutor(self.width, context, _start_worker, first)


@contextmanager
def _ctrl_c_held_back():
    """Processes that are started here never see Ctrl-C, which a terminal sends to all.

    It is for the process that started them to say what becomes of it. Theirs would be a traceback,
    above all while they still import. What comes meanwhile is not lost: it waits.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # else it is started meanwhile, and lets Ctrl-C through again
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker(folder, epochs):
    """What a worker process does first."""
    global _data, _epochs
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(folder,), daemon=True).start()
    # Its own lock is for all processes, and Python complains when one that has it is ended.
    tqdm.set_lock(threading.RLock())
    with np.load(Path(folder) / "data.npz") as data:
        _data = dict(data)
    _epochs = epochs


def _end_with_parent(folder):
    """Ends this process when the one that started it is gone, killed perhaps, and tidies up."""
    multiprocessing.parent_process().join()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _run_in_worker(setting):
    return run_trial(setting, _data, _epochs)


class Cluster:
    """A Dask cluster. Its workers need torch and tqdm, nothing else of this project.

    Args:
        address: of the scheduler, such as "tcp://192.168.0.7:8786".
        data: as from `split`; each worker gets it once.
        epochs: of each trial.

    Raises:
        Problem: Dask is not installed, or there is no cluster.
    """

    width = math.inf  # the scheduler knows how many workers there are

    def __init__(self, address, data, epochs):
        try:
            import cloudpickle
            import distributed
        except ImportError:
            raise Problem(
                "--cluster needs Dask, which is not installed; "
                'pip install "dask[distributed]", or leave --cluster out'
            ) from None
        import logging

        import network

        for name in ("distributed", "distributed.client"):  # what goes wrong becomes one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.address = address
        self.losses = (distributed.CancelledError, distributed.client.FutureCancelledError, OSError)
        self.epochs, self.pool = epochs, None
        # The code travels as such, like a function typed in at a prompt. `upload_file` would leave
        # modules behind that a later run, of newer code, would find already imported.
        cloudpickle.register_pickle_by_value(network)
        try:
            self.cargo = {"code": cloudpickle.dumps(run_trial), "data": data}
        finally:
            cloudpickle.unregister_pickle_by_value(network)
        with self._reachable():
            self.client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.client.close()

    def submit(self, setting):
        """Has a trial run, given as a dict; returns its future."""
        if self.pool is None:
            self._send()
        epochs = self.epochs

        def run(setting, cargo):  # defined here, so that it is sent as such, too
            import pickle

            return pickle.loads(cargo["code"])(setting, cargo["data"], epochs)

        return self.pool.submit(run, setting, self.sent)

    def close(self):
        """Takes back what was sent."""
        if self.pool is not None:
            self.pool.shutdown(wait=False)
        self.pool = self.sent = None

    def _send(self):
        with self._reachable():
            self.client.wait_for_workers(1, timeout=PATIENCE)
            self.sent = self.client.scatter([self.cargo], broadcast=True, hash=False)[0]
        # Each trial is a task of its own, even where another run has the same.
        self.pool = self.client.get_executor(pure=False)

    @contextmanager
    def _reachable(self):
        try:
            yield
        except (OSError, ValueError, RuntimeError) as error:
            raise Problem(
                f"no Dask cluster with a worker answers at {self.address} "
                f"({type(error).__name__}); start `dask scheduler` and `dask worker {self.address}`"
                ", or leave --cluster out"
            ) from None
