"""What the tests share: the real MNIST where it is at hand, and scripts run as users run them."""

import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from network import pen

HOME = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder that holds MNIST/raw, named by the environment variable MNIST_DIR."""
    folder = os.environ.get("MNIST_DIR")
    if not folder or not (Path(folder) / "MNIST" / "raw").is_dir():
        pytest.skip("MNIST_DIR does not name a folder with MNIST/raw: real data not at hand")
    return Path(folder)


@pytest.fixture
def script(tmp_path):
    """Runs one of the programs in a folder of its own: script("mnist_eval.py", "--help")."""

    def run(name, *arguments, **changes):
        environment = {**os.environ, **changes}
        command = [sys.executable, HOME / name, *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300
        )

    return run


@pytest.fixture(scope="session")
def drawn():
    """800 drawn digits, as (images, labels)."""
    return pen.drawn_digits(800, seed=11)


@pytest.fixture
def small_mnist(tmp_path, drawn):
    """A data folder whose MNIST is 600 drawn digits to train on and 200 to test on."""
    raw = tmp_path / "data" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    # Sorted and dealt out, so that both parts have as many of each digit.
    images, labels = drawn
    order = np.argsort(labels, kind="stable").reshape(10, 80)
    parts = order[:, :60].T.ravel(), order[:, 60:].T.ravel()
    for part, indices in zip(("train", "t10k"), parts, strict=True):
        chosen = images[indices], labels[indices].astype(np.uint8)
        for array, name in zip(chosen, ("images-idx3", "labels-idx1"), strict=True):
            header = struct.pack(f">i{array.ndim}i", 0x800 + array.ndim, *array.shape)
            (raw / f"{part}-{name}-ubyte").write_bytes(header + array.tobytes())
    return tmp_path / "data"
