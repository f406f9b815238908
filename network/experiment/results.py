"""What trials learn from, and the file of what they found, from which a stopped run goes on."""

import ast
import hashlib
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from network.cli import notice, short
from network.experiment.trial import Trial
from network.files import Problem, name_beside
from network.training import REPORT

FORMAT = 1  # of the lines
NUMBERS = tuple(f"{a}_{b}" for a in ("train", "validation", "test") for b in ("accuracy", "loss"))
TIMES = ("cpu_seconds", "wall_seconds")
HERE = Path(__file__).parent
CODE = (HERE / "trial.py", HERE.parent / "model.py", HERE.parent / "training.py")


def split(training, test, train_size=None):
    """The images of all trials, out of two `Labelled`.

    The last sixth of the training images (MNIST's last 10,000) is held out to validate on; the
    first `train_size` of the others are to learn from, all when left out.

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
    chosen = train_size or most
    return {
        "train": training.images[:chosen].numpy(),
        "train labels": training.labels[:chosen].numpy(),
        "validation": training.images[most:].numpy(),
        "validation labels": training.labels[most:].numpy(),
        "test": test.images.numpy(),
        "test labels": test.labels.numpy(),
    }


def identity(dataset, data, epochs):
    """What trials must have in common to be compared, a dict for the results file: the name of the
    data set, the data (as from `split`), the epochs, all else of the recipe, code, and torch."""
    checksum = hashlib.sha256()
    for name in sorted(data):
        checksum.update(np.ascontiguousarray(data[name]))
    recipe = asdict(replace(REPORT, epochs=epochs))
    for name in ("batch_size", "learning_rate"):  # every trial has its own
        del recipe[name]
    counts = {f"{name}_images": len(data[name]) for name in ("train", "validation", "test")}
    return {
        "dataset": dataset,
        "sha256": checksum.hexdigest()[:16],
        **counts,
        **recipe,
        "code": code_checksum(*CODE),
        "torch": str(torch.__version__),
    }


def code_checksum(*paths):
    """A checksum of Python files which comments and line breaks do not change."""
    checksum = hashlib.sha256()
    for path in paths:
        checksum.update(ast.unparse(ast.parse(path.read_bytes())).encode())
    return checksum.hexdigest()[:16]


class Results:
    """The results file: a line of JSON for each trial, written when it ends and never again.

    Args:
        path: the file; made if missing.
        run: as from `identity`; lines of other runs stay in the file and are left alone.
        fresh: start a new file and keep the old one beside it under another name.

    Attributes:
        finished: the result of each `Trial` of this run that is in the file.
        of_other_code: how many trials differ from this run in nothing but their code or torch.

    Raises:
        Problem: the file cannot be written, or holds what is no result of this version.
    """

    def __init__(self, path, run, fresh=False):
        self.path, self.run, self.finished, self.of_other_code = path, run, {}, 0
        if fresh and path.exists():
            aside = name_beside(path)
            os.replace(path, aside)
            notice(f"the results so far are kept as {short(aside)}")
        with self._open():  # made, and found out before the trials if that cannot be
            pass
        content = self._without_half_a_line(path.read_bytes())
        for number, line in enumerate(content.splitlines(), 1):
            self._read(number, line)

    def add(self, trial, result):
        """Appends a trial; when this returns, the line is on the disk."""
        line = {"format": FORMAT, "run": self.run, "trial": asdict(trial), "result": result}
        # Opened anew each time: another run may have moved the file away. One write, at the end of
        # the file, so that lines of two runs at a time do not mix.
        with self._open() as file:
            file.write(json.dumps(line).encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
        self.finished[trial] = result

    def of_setting(self, setting, seeds):
        """The results of a setting, a dict by seed, as far as there are any."""
        trials = {seed: replace(setting, seed=seed) for seed in seeds}
        return {seed: self.finished[t] for seed, t in trials.items() if t in self.finished}

    @contextmanager
    def _open(self):
        try:
            with open(self.path, "ab") as file:
                yield file
        except OSError as error:
            raise Problem(
                f"cannot write {self.path}: {error.strerror or error}; free some space there or "
                "choose another folder with --models-dir"
            ) from None

    def _without_half_a_line(self, content):
        """Cuts the file off where a line was begun and not ended; returns what is left."""
        whole = content[: content.rfind(b"\n") + 1]
        half, start = content[len(whole) :], b'{"format": '
        if not half or half[: len(start)] != start[: len(half)]:  # what is not ours is not cut off
            return content
        os.truncate(self.path, len(whole))
        notice(f"NOTICE: {short(self.path)} ended in half a line, which is cut off")
        return whole

    def _read(self, number, line):
        """Takes in a line if it is of this run."""
        what = "is no result of a trial"
        try:
            line = json.loads(line)
            if line["format"] != FORMAT:
                what = f"is of version {line['format']}, and this program knows version {FORMAT}"
                raise ValueError
            trial, result = Trial(**line["trial"]), line["result"]
            sound = all(result[name] is None or result[name] >= 0 for name in NUMBERS)
            if not sound or not all(min(result[name]) >= 0 for name in TIMES):
                raise ValueError
            if line["run"] == self.run:
                # Two runs at a time may both have run it; they found the same.
                self.finished.setdefault(trial, result)
            else:
                code = {name: self.run.get(name) for name in ("code", "torch")}
                self.of_other_code += line["run"] | code == self.run
        except (ValueError, KeyError, TypeError):
            raise Problem(
                f"line {number} of {short(self.path)} {what}; "
                "start over with --fresh, which keeps the old file beside the new one"
            ) from None
