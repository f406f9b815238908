"""mnist_eval.py as a user runs it."""

import re
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import HOME, error_line, started

from network.digits import nodigits


@pytest.fixture
def evaluate(script, small_mnist, tmp_path, quick_figures):
    """Runs mnist_eval.py on the small data set, its figures in tmp_path."""
    folders = ["--data-dir", small_mnist, "--figures-dir", tmp_path / "figures"]
    return lambda *arguments: script("mnist_eval.py", *folders, *arguments)


@pytest.fixture
def pictures(tmp_path):
    """Ten pictures 0.png to 9.png in a folder of their own: a copy of those that ship."""
    return Path(shutil.copytree(HOME / "data" / "digits", tmp_path / "pictures"))


@pytest.mark.painted
def test_test_set_and_new_digits(evaluate, tmp_path):
    done = evaluate()
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^ *-?\d+\.\d\d.*$", done.stdout, re.M)
    assert len(rows) == 10
    for row in rows:
        numbers = row.split()
        outputs = [float(number) for number in numbers[:10]]
        assert len(numbers) == 12 and int(numbers[10]) == outputs.index(max(outputs))
        assert sum(np.exp(outputs)) == pytest.approx(1, abs=0.05)  # log-probabilities
    ours, new = re.findall(r"^accuracy: (\d+)/(\d+) = (\S+)%$", done.stdout, re.M)
    assert int(ours[1]) == 200 and float(ours[2]) == int(ours[0]) / 2
    assert int(ours[0]) > 150  # learned from people's digits, tested on drawn ones
    by_digit = re.findall(r"^  digit (\d): (\d+)/20 = ", done.stdout, re.M)
    assert sum(int(right) for _, right in by_digit) == int(ours[0])
    assert new[:2] == ("10", "10")  # the shipped digits
    for name in ("1e_predictions", "1e_confusion", "1e_mistakes", "1f_new_digits"):
        assert cv2.imread(str(tmp_path / "figures" / f"{name}.png")).shape[1] > 300
        assert f"{name}.png" in done.stdout


def test_the_real_test_set(script, mnist_dir, tmp_path, quick_figures):
    done = script("mnist_eval.py", "--data-dir", mnist_dir, "--figures-dir", tmp_path)
    first = re.findall(r"^ *-?\d+\.\d\d.*$", done.stdout, re.M)
    assert [int(row.split()[-1]) for row in first] == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    right = int(re.search(r"^accuracy: (\d+)/10000 = ", done.stdout, re.M)[1])
    assert right >= 9900


def test_pictures_alone_need_no_data_set(script, pictures, tmp_path, offline, quick_figures):
    folders = ["--data-dir", tmp_path / "none", "--figures-dir", tmp_path]
    done = script("mnist_eval.py", pictures / "7.png", *folders)
    assert done.returncode == 0 and done.stderr == ""
    assert re.match(r"\S*7\.png: 7 \(\d+\.\d%\), true 7\naccuracy: 1/1 = 100.00%\n", done.stdout)
    assert "1f_new_digits_7.png" in done.stdout


def test_a_folder(evaluate, pictures):
    (pictures / "notes.txt").write_text("no picture")
    (pictures / ".hidden.png").write_text("no picture either")
    done = evaluate(pictures)
    assert done.returncode == 0
    assert len(re.findall(r"\.png: \d \(\d+\.\d%\), true \d$", done.stdout, re.M)) == 10
    assert re.search(r"^accuracy: 10/10 = ", done.stdout, re.M)


def test_many_pictures_are_read_by_processes(pictures, tmp_path):
    ten = sorted(pictures.iterdir())
    for number in range(20):
        for path in ten:
            shutil.copy(path, pictures / f"{path.stem}_{number}.png")
    cut = pictures / "cut.png"
    cut.write_bytes(ten[0].read_bytes()[:999])
    # In a process of its own, as those that it starts begin with the program's file.
    with started("mnist_eval.py", pictures, "--figures-dir", tmp_path) as process:
        output, errors = process.communicate()
    assert process.returncode == 2
    assert errors.splitlines() == [f"mnist_eval.py: error: {cut} is cut off; copy or save it again"]
    assert "accuracy: 210/210 = 100.00%" in output
    answers = dict(re.findall(r"^.*/(.*)\.png: (.*%\)), true ", output, re.M))
    assert len(answers) == 210
    assert all(answer == answers[name[0]] for name, answer in answers.items())


def test_what_is_no_digit_is_marked(evaluate, tmp_path):
    rng = np.random.default_rng(3)
    for draw in (nodigits.number, nodigits.scribble):
        folder = tmp_path / draw.__name__
        folder.mkdir()
        for i in range(20):
            picture = np.pad(255 - draw(rng), 10, constant_values=255)
            cv2.imwrite(str(folder / f"{i}.png"), picture)
    letters = [HOME / "data" / "greek_test" / name for name in ("alpha", "beta", "gamma", "eta")]
    done = evaluate("--no-labels", tmp_path / "number", tmp_path / "scribble", *letters)
    assert done.returncode == 0, done.stderr
    kinds = r"(number|scribble|greek_test)"
    marked = re.findall(rf"{kinds}\S*: \d \(.*perhaps no digit$", done.stdout, re.M)
    for kind, count in (("number", 20), ("scribble", 20), ("greek_test", 24)):
        assert marked.count(kind) >= 0.75 * count, (kind, marked.count(kind))


def test_without_a_label_there_is_no_accuracy(evaluate, pictures):
    path = pictures / "IMG_2041.png"
    (pictures / "4.png").rename(path)
    done = evaluate(path)
    assert re.match(rf"{re.escape(str(path))}: 4 \(\d+\.\d%\)\n\nwritten:", done.stdout)


def test_a_flat_picture_has_no_ink_and_the_others_are_answered(evaluate, pictures):
    cv2.imwrite(str(pictures / "3.png"), np.full((50, 50, 3), 128, np.uint8))
    done = evaluate(pictures)
    line = error_line(done, status=1)
    assert done.stderr == f"{line}\n" and "3.png" in line and "no ink" in line
    assert len(re.findall(r"\.png: \d \(", done.stdout)) == 9
    assert re.search(r"^accuracy: 9/10 = ", done.stdout, re.M)  # no answer is not right


def test_bad_pictures_are_named_and_the_others_answered(evaluate, pictures):
    whole = (pictures / "0.png").read_bytes()
    for name, content in (
        ("0", whole[: len(whole) // 2]),
        ("1", b"this is no picture"),
        ("2", b""),
    ):
        (pictures / f"{name}.png").write_bytes(content)
    done = evaluate(pictures, pictures / "none.png")
    assert done.returncode == 2
    named = re.findall(r"^mnist_eval.py: error: .*?(\w+)\.png.*\n", done.stderr, re.M)
    assert named == ["0", "1", "2", "none"] and done.stderr.count("\n") == 4
    assert len(re.findall(r"\.png: \d \(", done.stdout)) == 7


def test_weights_that_are_not_there(evaluate, pictures, tmp_path):
    done = evaluate("--models-dir", tmp_path / "none", pictures / "7.png")
    assert "mnist_network.pth" in error_line(done)
