"""greek_network.py as a user runs it, and the folders of letters that it reads."""

import re
import shutil

import cv2
import numpy as np
import pytest
import torch
from conftest import HOME
from test_figures import assert_readable, texts

from greek_network import whiten
from network import plots
from network.files import Problem
from network.letters import figures, folders
from network.model import MyNetwork, network_input, save_network
from network.photos import normalise, read_image, report_transform
from network.weights import load_network

FIGURES = ("training", "letters", "confusion", "features")
LAYERS = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias")


@pytest.fixture
def weights(tmp_path):
    """The shipped digit network, among a user's own weights."""
    path = tmp_path / "models" / "mnist_network.pth"
    path.parent.mkdir()
    return shutil.copy(HOME / "models" / "mnist_network.pth", path)


@pytest.fixture
def no_figures(monkeypatch):
    """Figures are made but not painted, which takes most of a run's time."""
    monkeypatch.setattr(plots, "save", lambda figure, path: None)


@pytest.fixture
def greek(script, weights, tmp_path):
    """Runs greek_network.py, its results in tmp_path."""

    def run(*arguments):
        folders = ["--models-dir", weights.parent, "--figures-dir", tmp_path / "figures"]
        return script("greek_network.py", *folders, *arguments)

    return run


@pytest.fixture
def some(tmp_path):
    """A few of the shipped letters, as somebody's own: three alphas, three gammas, three betas."""
    for name in ("gamma", "alpha", "beta"):
        folder = tmp_path / "some" / name
        folder.mkdir(parents=True)
        for number in (1, 3, 5):
            shutil.copy(HOME / "data" / "greek_train" / name / f"{name}_{number:02}.png", folder)
    return tmp_path / "some"


def error_line(done, status=2):
    assert done.returncode == status, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("left out")]
    assert line.startswith("greek_network.py: error: ")
    return line


def accuracy(done):
    assert done.returncode == 0, done.stderr
    right, total, share = re.search(r"^accuracy: (\d+)/(\d+) = (\S+)%$", done.stdout, re.M).groups()
    assert float(share) == pytest.approx(100 * int(right) / int(total), abs=0.006)
    return int(right), int(total)


def test_three_letters(greek, weights, tmp_path):
    done = greek()
    right, total = accuracy(done)
    assert total == 18 and right >= 17
    assert "27 training letters, " in done.stdout and done.stdout.count("drawn by network") == 2
    assert done.stderr.startswith("left out of ")
    assert done.stderr.endswith("not learned: delta, epsilon, zeta, eta, theta\n")
    assert "(fc2): Linear(in_features=50, out_features=3, bias=True)" in done.stdout
    assert "153 of 21,483 parameters learn" in done.stdout
    epochs = re.findall(r"^epoch +(\d+): training accuracy +(\S+)%, ", done.stdout, re.M)
    wrong = [int(number) for number, share in epochs if share != "100.00"]
    if wrong and wrong[-1] == len(epochs):
        assert "not all training letters are right after 10 epochs" in done.stdout
    else:
        first = max(wrong, default=0) + 1
        assert f"all training letters stay right from epoch {first} on" in done.stdout
    by_letter = re.findall(r"^  (\w+): (\d)/6 = ", done.stdout, re.M)
    assert [name for name, _ in by_letter] == ["alpha", "beta", "gamma"]
    assert sum(int(count) for _, count in by_letter) == right
    for name in FIGURES:
        path = tmp_path / "figures" / f"3_{name}.png"
        assert cv2.imread(str(path)).shape[1] > 500 and path.stat().st_size < 400_000
        assert path.name in done.stdout

    network, facts = load_network(weights.with_name("greek_network.pth"))
    assert facts["class_names"] == ["alpha", "beta", "gamma"]
    assert facts["test_accuracy"] == right / total and len(facts["history"]["epochs"]) == len(
        epochs
    )
    # Frozen means frozen: bit for bit what they were; and the saved network answers as printed.
    before, after = load_network(weights)[0].state_dict(), network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in LAYERS)
    assert before["fc2.weight"].shape == (10, 50) and after["fc2.weight"].abs().max() > 0
    test = folders.read_letters(HOME / "data" / "greek_test", facts["class_names"])
    with torch.no_grad():
        answers = network(network_input(test.images)).argmax(1)
    assert (answers == test.labels).sum() == right


def test_eight_letters(greek, weights, tmp_path):
    done = greek("--extended")
    right, total = accuracy(done)
    assert total == 48 and right >= 38 and done.stderr == ""
    by_letter = re.findall(r"^  (\w+): \d/6 = ", done.stdout, re.M)
    assert by_letter == list(folders.ALPHABET[:8])
    for name in FIGURES:
        path = tmp_path / "figures" / f"ext2_{name}.png"
        assert path.stat().st_size < 400_000
    facts = load_network(weights.with_name("greek_extended_network.pth"))[1]
    assert facts["class_names"] == by_letter
    assert not weights.with_name("greek_network.pth").exists()


@pytest.mark.usefixtures("no_figures")
def test_a_seed_repeats_a_run(greek, weights, some):
    def learned(*arguments):
        assert greek("--train-dir", some, *arguments).returncode == 0
        return load_network(weights.with_name("greek_network.pth"))[0].fc2.weight

    first = learned()
    assert torch.equal(first, learned("--seed", 0))
    assert not torch.equal(first, learned("--seed", 1))


@pytest.mark.usefixtures("no_figures")
def test_any_letters_and_pictures_to_recognise(greek, weights, some, tmp_path):
    (some / "gamma").rename(some / "ψ")
    (some / "beta").rename(some / "psi")
    (some / ".hidden").mkdir()
    (some / "readme.txt").write_text("not a letter")
    done = greek("--train-dir", some, "--test-dir", some, some / "ψ", some / "psi" / "beta_03.png")
    assert accuracy(done)[1] == 9 and done.stderr == ""
    facts = load_network(weights.with_name("greek_network.pth"))[1]
    assert facts["class_names"] == ["alpha", "psi", "ψ"]  # the alphabet first, then others
    found = re.findall(r"^(.*\.png): (alpha|psi|ψ) \(\d+\.\d%\)$", done.stdout, re.M)
    files = [*sorted((some / "ψ").iterdir()), some / "psi" / "beta_03.png"]
    assert [path for path, _ in found] == [str(path) for path in files]
    # Somebody's own letters are not called drawn.
    assert "drawn by" not in done.stdout and ", some/" not in done.stdout


@pytest.mark.usefixtures("no_figures")
def test_the_reports_transform(greek, weights):
    done = greek("--transform", "report")
    assert accuracy(done)[1] == 18
    facts = load_network(weights.with_name("greek_report_network.pth"))[1]
    assert facts["transform"] == "report"
    path = HOME / "data" / "greek_test" / "alpha" / "alpha_01.png"
    read = folders.read_letters(path.parent.parent, ("alpha",), report_transform)
    assert np.array_equal(read.images[0], report_transform(read_image(path)))
    assert not np.array_equal(read.images[0], normalise(read_image(path)))


@pytest.mark.usefixtures("no_figures")
def test_whitening_evens_out_what_varies_within_letters():
    torch.manual_seed(0)
    labels = torch.arange(3).repeat(400)
    wide = torch.tensor([9.0, 1.0, 1.0])  # pictures of one letter differ most in the first feature
    points = 5 + torch.randn(1200, 3) * wide + 4 * torch.eye(3)[labels]
    centre, matrix = whiten(points, labels)
    torch.testing.assert_close(centre, points.mean(0))
    torch.testing.assert_close(matrix, matrix.T, atol=1e-5, rtol=0)
    spread = torch.stack([((points - centre) @ matrix)[labels == n].std(0) for n in range(3)])
    # The covariance is drawn half-way to a sphere: 81 to (81 + 27.7) / 2, 1 to (1 + 27.7) / 2.
    expected = (torch.tensor([81, 1, 1]) / torch.tensor([54.3, 14.3, 14.3])) ** 0.5
    torch.testing.assert_close(spread.mean(0), expected, rtol=0.1, atol=0)


def test_unfreeze_lets_all_layers_learn(greek, weights, some):
    done = greek("--train-dir", some, "--unfreeze")
    assert accuracy(done)[1] == 18
    network, facts = load_network(weights.with_name("greek_unfrozen_network.pth"))
    before, after = load_network(weights)[0].state_dict(), network.state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in LAYERS)
    history = facts["history"]["epochs"]
    assert [epoch["epoch"] for epoch in history] == list(range(1, len(history) + 1))
    frozen = history[9]["test_accuracy"]
    added = re.search(r"^that adds (\S+) percentage points", done.stdout, re.M)[1]
    assert float(added) == pytest.approx(100 * (facts["test_accuracy"] - frozen), abs=0.01)


@pytest.mark.usefixtures("no_figures")
def test_better_or_other_weights_are_kept_with_a_word(greek, weights, some):
    path = weights.with_name("greek_network.pth")
    save_network(path, MyNetwork(classes=3), test_accuracy=1.01, dataset="some")
    done = greek("--train-dir", some)
    assert "kept as greek_network_best.pth: they tested better" in done.stderr
    assert "kept as" not in greek("--train-dir", some).stderr  # as good, of the same letters
    done = greek()
    assert "kept as greek_network_before1.pth: they learned some" in done.stderr


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda folder: shutil.rmtree(folder), "no folder"),
        (lambda folder: [shutil.rmtree(path) for path in folder.iterdir()], "has no folders"),
        (lambda folder: [path.unlink() for path in (folder / "beta").iterdir()], "no image files"),
        (
            lambda folder: [path.write_bytes(b"") for path in (folder / "beta").iterdir()],
            "no picture in",
        ),
    ],
)
@pytest.mark.parametrize("option", ["--train-dir", "--test-dir"])
def test_folders_that_cannot_be_used(greek, some, option, spoil, says):
    spoil(some)
    line = error_line(greek(option, some))
    assert says in line and str(some) in line


@pytest.mark.usefixtures("no_figures")
def test_one_letter_only(greek, some):
    for name in ("alpha", "gamma"):
        shutil.rmtree(some / name)
    assert "one letter only, beta" in error_line(greek("--train-dir", some))


@pytest.mark.usefixtures("no_figures")
def test_no_letter_in_common(greek, some):
    for name in ("alpha", "beta", "gamma"):
        (some / name).rename(some / name.upper().join("__"))
    assert "no letter that is learned (_ALPHA_, _BETA_, _GAMMA_)" in error_line(
        greek("--train-dir", some)
    )


@pytest.mark.usefixtures("no_figures")
def test_one_picture_of_each_letter(greek, some):
    for path in some.glob("*/*_0[35].png"):
        path.unlink()
    done = greek("--train-dir", some)
    assert accuracy(done)[1] == 18
    for name in ("alpha", "beta", "gamma"):
        assert f"there is one picture of {name} only" in done.stderr


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("option", ["--train-dir", "--test-dir"])
def test_a_bad_picture_is_named_and_the_others_are_used(greek, some, option):
    (some / "beta" / "beta_03.png").write_bytes(b"no picture")
    done = greek(option, some)
    assert done.returncode == 0
    assert re.search(r"^left out: .*beta_03\.png is no image", done.stderr, re.M)
    kind = option[2:].removesuffix("-dir").replace("train", "training")
    assert re.search(rf"^8 {kind} letters, .*: alpha 3, beta 2, gamma 3$", done.stdout, re.M)


@pytest.mark.usefixtures("no_figures")
def test_a_test_picture_without_ink_is_not_read_right(greek, some):
    cv2.imwrite(str(some / "beta" / "beta_03.png"), np.full((50, 50), 200, np.uint8))
    done = greek("--test-dir", some)
    assert re.search(r"^left out: .*beta_03\.png: there is no ink", done.stderr, re.M)
    right, total = accuracy(done)
    assert total == 9 and right <= 8
    assert re.search(r"^  beta: [0-2]/3 = ", done.stdout, re.M)


@pytest.mark.usefixtures("no_figures")
def test_pictures_that_cannot_be_recognised(greek, some, tmp_path):
    blank = tmp_path / "blank.png"
    cv2.imwrite(str(blank), np.full((50, 50), 200, np.uint8))
    good = some / "beta" / "beta_03.png"
    done = greek("--train-dir", some, blank, good)
    assert "blank.png: there is no ink" in error_line(done, status=1)
    assert f"\n{good}: " in done.stdout
    done = greek("--train-dir", some, tmp_path / "none.png", good)
    assert "does not exist" in error_line(done) and f"\n{good}: " in done.stdout


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no weights file"),
        ((HOME / "models" / "mnist_network.pth").read_bytes()[:9999], "cannot read weights"),
        (MyNetwork(classes=3), "3 classes apart, not ten digits"),
        (torch.nn.Linear(2, 2), "weights of another network"),
    ],
)
def test_weights_that_are_no_digit_network(greek, tmp_path, content, says):
    path = tmp_path / "other.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content:
        torch.save(content.state_dict(), path)
    line = error_line(greek("--weights", path))
    assert says in line and str(path) in line


def test_letters_come_in_the_alphabets_order(tmp_path):
    for name in ("omega", "Zz", "beta", "alpha", "lambda", "b"):
        (tmp_path / name).mkdir()
    assert folders.letter_names(tmp_path) == ("alpha", "beta", "lambda", "omega", "Zz", "b")
    with pytest.raises(Problem, match="no folder"):
        folders.letter_names(tmp_path / "none")


@pytest.mark.parametrize("count", [1, 10, 100])
@pytest.mark.parametrize("unfrozen", [None, 5])
def test_training_curves(count, unfrozen):
    keys = ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "running_accuracy")
    epochs = [{"epoch": n, **dict.fromkeys(keys, 1 / n)} for n in range(1, count + 1)]
    title = "Learning letters of greek_extended, tested on letters drawn by network/pen.py"
    figure = figures.training_curves(epochs, title, unfrozen)
    assert_readable(figure)
    loss, accuracy = figure.axes
    assert [len(line.get_xdata()) for line in loss.get_lines()[:2]] == [count] * 2
    assert accuracy.get_lines()[1].get_ydata()[-1] == 1 / count
    assert any("from here" in text for text, *_ in texts(figure)) == bool(unfrozen)


@pytest.mark.parametrize("classes", [2, 8, 24])
def test_feature_plane(classes):
    rng = np.random.default_rng(0)
    points, labels = rng.normal(size=(240, 2)), np.arange(240) % classes
    names = folders.ALPHABET[:classes]
    title = "The frozen features of letters of greek_train, tested on letters of greek_custom"
    figure = figures.feature_plane(points, labels, labels < 2, names, (0.34, 0.2), title)
    assert_readable(figure)
    shown = [offsets for dots in figure.axes[0].collections for offsets in dots.get_offsets()]
    assert len(shown) == 240
    assert np.allclose(sorted(map(tuple, shown)), sorted(map(tuple, points)))
    assert "34%" in figure.axes[0].get_xlabel()
