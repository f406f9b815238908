"""Many trials at a time, in processes of this machine or on a Dask cluster."""

import logging
import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from concurrent.futures import BrokenExecutor, CancelledError, ProcessPoolExecutor, as_completed
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

import network
from network.experiment.trial import run_trial
from network.files import Problem

PATIENCE = 10  # seconds to wait for a cluster


def run_all(trials, place):
    """Runs trials in a place, `Processes` or `Cluster`, many at a time; yields each as it ends,
    with its result or with the exception that it ended in: one that fails does not stop the others.

    Raises:
        Problem: the place broke down, or is out of reach.
    """
    try:
        running = place.submit_all(trials)
        for future in as_completed(running):
            trial = running.pop(future)  # nor is its result kept in memory
            outcome = future.exception() or future.result()
            if isinstance(outcome, place.breakdown):
                raise outcome
            yield trial, outcome
    except place.breakdown as error:
        raise Problem(f"{place.broke_down} ({type(error).__name__})") from None


class Processes(AbstractContextManager):
    """Processes of this machine, one thread each; they start with the first trials.

    Used in a `with` statement: at its end they end, too, whatever they are doing. Each process
    reads the data, as from `results.split`, once.
    """

    breakdown = (BrokenExecutor,)
    broke_down = (
        "a process that ran a trial was killed, perhaps since memory ran out; "
        "if it happens again, choose fewer --workers"
    )

    def __init__(self, workers, data, epochs):
        # By a file: what a process gets when it starts is sent by and by, one after the other.
        self.folder = tempfile.TemporaryDirectory(prefix="experiment-", ignore_cleanup_errors=True)
        np.savez(Path(self.folder.name) / "data.npz", **data)
        context = multiprocessing.get_context("spawn")  # the only one that all systems have
        # Nothing is ever sent: when this end is closed, with this process or before, workers end.
        workers_end, self.lifeline = context.Pipe(duplex=False)
        width = min(workers, 61) if os.name == "nt" else workers  # Windows' limit
        first = (self.folder.name, workers_end, epochs)
        self.pool = ProcessPoolExecutor(width, context, _start_worker, first)

    def __exit__(self, *_):
        self.lifeline.close()
        self.pool.shutdown(cancel_futures=True)
        self.folder.cleanup()

    def submit_all(self, trials):
        """Has trials run; returns a dict of them by their futures."""
        # Processes that start here ignore Ctrl-C, which a terminal sends to all, from the first:
        # it is for this one to say what becomes of it.
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            return {self.pool.submit(_run_in_worker, asdict(trial)): trial for trial in trials}
        finally:
            signal.signal(signal.SIGINT, before)


def _start_worker(folder, lifeline, epochs):
    """What a worker process does first."""
    global _data, _epochs
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Windows does not hand that down
    threading.Thread(target=_end_with_parent, args=(lifeline, folder), daemon=True).start()
    # Its own lock is for all processes, and Python complains when one that has it is ended.
    tqdm.set_lock(threading.RLock())
    with np.load(Path(folder) / "data.npz") as data:
        _data = dict(data)
    _epochs = epochs


def _end_with_parent(lifeline, folder):
    """Ends this process when the other end is closed; tidies up if that was by a kill."""
    with suppress(EOFError, OSError):
        lifeline.recv()
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _run_in_worker(setting):
    return run_trial(setting, _data, _epochs)


class Cluster(AbstractContextManager):
    """A Dask cluster. Its workers need torch and tqdm, nothing else of this project.

    The address is its scheduler's, such as "tcp://192.168.0.7:8786"; each worker gets the data, as
    from `results.split`, once. A trial whose worker is lost is run again by the cluster itself.

    Raises:
        Problem: Dask is not installed, or there is no cluster.
    """

    breakdown = (CancelledError, OSError)

    def __init__(self, address, data, epochs):
        try:
            import cloudpickle
            import distributed
        except ImportError:
            raise Problem(
                "--cluster needs Dask, which is not installed; "
                'pip install "dask[distributed]", or leave --cluster out'
            ) from None
        for name in ("distributed", "distributed.client"):  # what goes wrong becomes one line
            logging.getLogger(name).setLevel(logging.CRITICAL)
        self.address = address
        self.broke_down = f"the Dask cluster at {address} lost its scheduler or all its workers"
        # The code travels as such, like a function typed in at a prompt. `upload_file` would leave
        # modules behind that a later run, of newer code, would find already imported.
        cloudpickle.register_pickle_by_value(network)
        try:
            self.cargo = {"code": cloudpickle.dumps(run_trial), "data": data, "epochs": epochs}
        finally:
            cloudpickle.unregister_pickle_by_value(network)
        with self._reachable():
            self.client = distributed.Client(address, timeout=PATIENCE, set_as_default=False)

    def __exit__(self, *_):
        self.client.close()

    def submit_all(self, trials):
        """Has trials run; returns a dict of them by their futures."""

        def run(setting, cargo):  # defined here, so that it is sent as such, too
            import pickle

            return pickle.loads(cargo["code"])(setting, cargo["data"], cargo["epochs"])

        with self._reachable():
            self.client.wait_for_workers(1, timeout=PATIENCE)
            self.sent = self.client.scatter([self.cargo], broadcast=True, hash=False)[0]
        # Each trial is a task of its own, even where another run has the same.
        pool = self.client.get_executor(pure=False)
        return {pool.submit(run, asdict(trial), self.sent): trial for trial in trials}

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
