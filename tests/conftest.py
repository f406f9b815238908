"""What the tests share: the real MNIST where it is at hand, and scripts run as users run them."""

import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import urllib.request
from contextlib import contextmanager
from pathlib import Path

# Tests run side by side (pytest -n auto): with more threads than cores, all wait for each other.
# It has to be said before torch is imported, and goes for the programs that tests start, too.
os.environ["OMP_NUM_THREADS"] = "1"

import cv2
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from network import pen
from network.files import Problem
from network.filters import gratings, operators
from network.letters import learning

HOME = Path(__file__).resolve().parent.parent
SHIPPED = HOME / "models" / "mnist_network.pth"
# Under nohup, Ctrl-C is ignored, by the programs that tests start, too.
signal.signal(signal.SIGINT, signal.default_int_handler)


def contents(folder):
    """What every file in a folder and below it holds, by path."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def put(path, content):
    """Makes a file, and folders for it, of a picture, of bytes, or of what torch saves.

    A function makes what it likes at the path; None is nothing at all.
    """
    if content is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, np.ndarray):
        content = cv2.imencode(".png", content)[1].tobytes()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif callable(content) and not isinstance(content, torch.nn.Module):
        content(path)
    else:
        torch.save(content, path)


def error_line(done, status=2):
    """The one line in which a program says what the user can mend; notices may stand beside it."""
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if ": error: " in line]
    assert line.startswith(f"{done.args}: error: ")
    return line


def output(done):
    """What a program printed that ended well and told nothing beside it."""
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def no_figures(figures, folder, suffix=""):
    """In place of `plots.save`: returns the paths, and writes nothing."""
    return [folder / f"{name}{suffix}.png" for name in figures]


def refusal(read, path, *arguments):
    """The one line, with the file's name, in which a file is refused."""
    with pytest.raises(Problem) as caught:
        read(path, *arguments)
    text = str(caught.value)
    assert str(path) in text and "\n" not in text
    return text


@contextmanager
def started(program, *arguments):
    """A program as a process in a group of its own, as in a terminal."""
    command = [sys.executable, HOME / program, *map(str, arguments)]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, stdout=pipe, stderr=pipe, text=True, start_new_session=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()  # if it has not ended


@pytest.fixture(scope="session", autouse=True)
def the_projects_own_files():
    """No test writes into the project's own folders."""
    folders = [HOME / name for name in ("data", "models", "figures")]

    def state():
        files = [path for folder in folders for path in folder.rglob("*")]
        return {path: (path.stat().st_size, path.stat().st_mtime_ns) for path in files}

    before = state()
    yield
    after = state()
    assert after == before, {
        path for path in {*before, *after} if after.get(path) != before.get(path)
    }


@pytest.fixture(scope="session")
def mnist_dir():
    """The folder that holds MNIST/raw, named by the environment variable MNIST_DIR."""
    folder = os.environ.get("MNIST_DIR")
    if not folder or not (Path(folder) / "MNIST" / "raw").is_dir():
        pytest.skip("MNIST_DIR does not name a folder with MNIST/raw: real data not at hand")
    return Path(folder)


@pytest.fixture
def script(monkeypatch, capfd):
    """Runs one of the programs and returns its exit status and output.

    script("mnist_eval.py", "--help").stdout. It is run in this process, as Python runs a script:
    importing torch anew for every run would take most of the tests' time. Where the process itself
    matters (signals, pipes, start-up) tests start a real one.
    """

    def run(name, *arguments):
        monkeypatch.setattr(sys, "argv", [str(HOME / name), *map(str, arguments)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(str(HOME / name), run_name="__main__")
        output = capfd.readouterr()
        return subprocess.CompletedProcess(name, ended.value.code or 0, output.out, output.err)

    return run


@pytest.fixture
def quick_figures(monkeypatch, request):
    """Figures are made but not painted, which takes most of a program's time.

    Tests that look at them are marked by `pytest.mark.painted`.
    """
    if request.node.get_closest_marker("painted"):
        return
    blank = cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes()
    monkeypatch.setattr(Figure, "savefig", lambda self, file, **options: file.write(blank))


@pytest.fixture
def quick_runs(monkeypatch, quick_figures):
    """Besides, chance is told from fewer random filters, letters are learned from fewer examples.

    So both are less exact, where a test is of something else.
    """
    monkeypatch.setattr(operators, "POOL", 100)
    monkeypatch.setattr(gratings, "POOL", 20)
    monkeypatch.setattr(learning, "EXAMPLES", 200)
    monkeypatch.setattr(learning, "DRAWN", 10)


@pytest.fixture
def offline(monkeypatch):
    """No download gets anywhere: every connection goes to a port where nobody listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        # urllib keeps what it found at its first use, in the whole process.
        monkeypatch.setattr(urllib.request, "_opener", None)
        monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed.getsockname()[1]}")
        yield


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
