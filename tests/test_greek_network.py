"""greek_network.py as a user runs it, and the folders of letters that it reads."""

import re
import shutil
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from conftest import HOME, SHIPPED, error_line, put
from test_figures import assert_readable, texts

from network.files import Problem
from network.letters import figures, folders, learning, results
from network.model import MyNetwork, network_input, save_network
from network.photos import normalise, read_image, report_transform
from network.weights import load_network

FIGURES = ("training", "letters", "confusion", "features")
LAYERS = ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias", "fc1.weight", "fc1.bias")
THREE = ["alpha", "beta", "gamma"]
GREEK_TRAIN, GREEK_TEST = (HOME / "data" / name for name in ("greek_train", "greek_test"))
STROKE = np.pad(np.zeros((12, 4), np.uint8), 8, constant_values=255)
BLANK = np.full((50, 50), 200, np.uint8)


@pytest.fixture
def weights(tmp_path):
    """The shipped digit network, among a user's own weights."""
    path = tmp_path / "models" / SHIPPED.name
    put(path, SHIPPED.read_bytes())
    return path


@pytest.fixture
def greek_in_full(script, weights, tmp_path):
    """Runs greek_network.py, its results in tmp_path."""
    folders = ["--models-dir", weights.parent, "--figures-dir", tmp_path / "figures"]
    return partial(script, "greek_network.py", *folders)


@pytest.fixture
def greek(greek_in_full, quick_runs):
    return greek_in_full


@pytest.fixture
def some(tmp_path):
    """A few of the shipped letters, as somebody's own: three alphas, three gammas, three betas."""
    for name in THREE:
        for number in (1, 3, 5):
            path = Path(name) / f"{name}_{number:02}.png"
            put(tmp_path / "some" / path, (GREEK_TRAIN / path).read_bytes())
    return tmp_path / "some"


def accuracy(done):
    assert done.returncode == 0, done.stderr
    right, total, share = re.search(r"^accuracy: (\d+)/(\d+) = (\S+)%$", done.stdout, re.M).groups()
    assert float(share) == pytest.approx(100 * int(right) / int(total), abs=0.006)
    return int(right), int(total)


def test_three_letters(greek_in_full, weights, tmp_path):
    done = greek_in_full()
    right, total = accuracy(done)
    assert total == 18 and right >= 17
    assert "27 training letters, " in done.stdout and "18 test letters, " in done.stdout
    assert done.stdout.count("(drawn by network/pen.py)") == 2
    assert "600 more of each letter are drawn by network/pen.py" in done.stdout
    assert "(fc2): Linear(in_features=50, out_features=3, bias=True)" in done.stdout
    assert "153 of 21,483 parameters learn" in done.stdout
    assert done.stderr.startswith("left out of ")
    assert done.stderr.endswith("not learned: delta, epsilon, zeta, eta, theta\n")
    epochs = re.findall(r"^epoch +(\d+): training accuracy +(\S+)%, ", done.stdout, re.M)
    wrong = [int(number) for number, share in epochs if share != "100.00"]
    if wrong and wrong[-1] == len(epochs):
        assert "not all training letters are right after 10 epochs" in done.stdout
    else:
        first = max(wrong, default=0) + 1
        assert f"all training letters stay right from epoch {first} on" in done.stdout
    by_letter = dict(re.findall(r"^  (\w+): (\d)/6 = ", done.stdout, re.M))
    assert list(by_letter) == THREE and sum(map(int, by_letter.values())) == right
    for name in FIGURES:
        path = tmp_path / "figures" / f"3_{name}.png"
        assert cv2.imread(str(path)).shape[1] > 500 and path.stat().st_size < 400_000
        assert path.name in done.stdout

    network, facts = load_network(weights.with_name("greek_network.pth"))
    assert facts["class_names"] == THREE and facts["test_accuracy"] == right / total
    assert len(facts["history"]["epochs"]) == len(epochs)
    # Frozen means frozen: bit for bit what they were; and the saved network answers as printed.
    before, after = load_network(weights)[0].state_dict(), network.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in LAYERS)
    assert before["fc2.weight"].shape == (10, 50) and after["fc2.weight"].abs().max() > 0
    test = folders.read_letters(folders.find_letters(GREEK_TEST), THREE)
    with torch.no_grad():
        answers = network(network_input(test.images)).argmax(1)
    assert (answers == test.labels).sum() == right


def test_eight_letters(greek_in_full, weights, tmp_path, monkeypatch):
    monkeypatch.setattr(learning, "EXAMPLES", 2000)  # a quarter: right are 44, of all 46
    monkeypatch.setattr(learning, "DRAWN", 150)
    done = greek_in_full("--extended")
    right, total = accuracy(done)
    assert total == 48 and right >= 38 and done.stderr == ""
    by_letter = re.findall(r"^  (\w+): \d/6 = ", done.stdout, re.M)
    assert by_letter == list(folders.ALPHABET[:8])
    for name in FIGURES:
        assert (tmp_path / "figures" / f"ext2_{name}.png").stat().st_size < 400_000
    facts = load_network(weights.with_name("greek_extended_network.pth"))[1]
    assert facts["class_names"] == by_letter
    assert not weights.with_name("greek_network.pth").exists()


def test_a_seed_repeats_a_run(greek, weights, some):
    def learned(*arguments):
        assert greek("--train-dir", some, *arguments).returncode == 0
        return load_network(weights.with_name("greek_some_network.pth"))[0].fc2.weight

    first = learned()
    assert torch.equal(first, learned("--seed", 0))
    assert not torch.equal(first, learned("--seed", 1))


def test_any_letters_and_pictures_to_recognise(greek, weights, some):
    (some / "gamma").rename(some / "ж")
    (some / "beta").rename(some / "ψ")
    (some / ".hidden").mkdir()
    put(some / "readme.txt", b"not a letter")
    pictures = [some / "ж", some / "ψ" / "beta_03.png"]
    done = greek("--train-dir", some, "--test-dir", some, *pictures)
    assert accuracy(done)[1] == 9 and done.stderr == ""
    facts = load_network(weights.with_name("greek_some_and_1_more_network.pth"))[1]
    assert facts["class_names"] == ["alpha", "psi", "ж"]  # the alphabet first, then others
    found = re.findall(r"^(.*\.png): (?:alpha|psi|ж) \(\d+\.\d%\)$", done.stdout, re.M)
    assert found == [str(path) for path in (*sorted(pictures[0].iterdir()), pictures[1])]
    # Somebody's own letters are not called drawn.
    assert "drawn by" not in done.stdout and ", some/" not in done.stdout


def test_the_reports_transform(greek, weights):
    assert accuracy(greek("--transform", "report"))[1] == 18
    facts = load_network(weights.with_name("greek_report_network.pth"))[1]
    assert facts["transform"] == "report"
    path = GREEK_TEST / "alpha" / "alpha_01.png"
    read = folders.read_letters({"alpha": [path]}, ("alpha",), report_transform)
    assert np.array_equal(read.images[0], report_transform(read_image(path)))
    assert not np.array_equal(read.images[0], normalise(read_image(path)))


def test_whitening_evens_out_what_varies_within_letters():
    torch.manual_seed(0)
    labels = torch.arange(3).repeat(400)
    wide = torch.tensor([9.0, 1.0, 1.0])  # pictures of one letter differ most in the first feature
    points = 5 + torch.randn(1200, 3) * wide + 4 * torch.eye(3)[labels]
    centre, matrix = learning.whiten(points, labels)
    torch.testing.assert_close(centre, points.mean(0))
    torch.testing.assert_close(matrix, matrix.T, atol=1e-5, rtol=0)
    spread = torch.stack([((points - centre) @ matrix)[labels == n].std(0) for n in range(3)])
    # The covariance is drawn towards a sphere, by 0.8: 81 to 0.2 · 81 + 0.8 · 27.7, 1 likewise.
    expected = (torch.tensor([81, 1, 1]) / torch.tensor([38.3, 22.3, 22.3])) ** 0.5
    torch.testing.assert_close(spread.mean(0), expected, rtol=0.1, atol=0)


def test_strokes_of_a_third_of_the_letters_are_broken():
    torch.manual_seed(0)
    lost = (learning.broken(torch.ones(1000, 28, 28)) == 0).sum((1, 2))
    assert 600 < (lost == 0).sum() < 750  # a few lines lie beyond the frame
    assert lost.max() < 28 * 3


def test_distorted_letters_differ_and_stay_letters():
    torch.manual_seed(0)
    image = torch.zeros(28, 28, dtype=torch.uint8)
    image[6:22, 12:16] = 255
    images = learning.distort(image.repeat(200, 1, 1), noise=0)
    assert images.shape == (200, 28, 28) and images.min() >= 0 and images.max() <= 255
    ink = (images > 127).sum((1, 2)).float()
    assert ink.min() > 10 and ink.max() < 180 and ink.std() > 10  # thinner and thicker than 64
    noisy = learning.distort(image.repeat(200, 1, 1), noise=0.2)
    assert noisy[:, 0].std() > 10 > images[:, 0].std()


def test_unfreeze_lets_all_layers_learn(greek, weights, some):
    done = greek("--train-dir", some, "--unfreeze")
    assert accuracy(done)[1] == 2
    network, facts = load_network(weights.with_name("greek_unfrozen_some_network.pth"))
    before, after = load_network(weights)[0].state_dict(), network.state_dict()
    assert not any(torch.equal(before[name], after[name]) for name in LAYERS)
    history = facts["history"]["epochs"]
    assert [epoch["epoch"] for epoch in history] == list(range(1, len(history) + 1))
    frozen = history[9]["test_accuracy"]
    added = re.search(r"^that adds (\S+) percentage points", done.stdout, re.M)[1]
    assert float(added) == pytest.approx(100 * (facts["test_accuracy"] - frozen), abs=0.01)


def test_better_or_other_weights_are_kept_with_a_word(greek, weights, some):
    path = weights.with_name("greek_some_network.pth")
    save_network(path, MyNetwork(classes=3), test_accuracy=1.01, dataset="some")
    done = greek("--train-dir", some)
    assert "kept as greek_some_network_best.pth: they tested better" in done.stderr
    assert "kept as" not in greek("--train-dir", some).stderr  # as good, of the same letters
    save_network(path, MyNetwork(classes=3), test_accuracy=0.5, dataset="others")
    done = greek("--train-dir", some)
    assert "kept as greek_some_network_before1.pth: they learned others" in done.stderr
    names = ["aleph", "beth", "gimel"]
    save_network(path, MyNetwork(), test_accuracy=0.5, dataset="some", class_names=names)
    done = greek("--train-dir", some)
    assert "kept as greek_some_network_before2.pth: they tell other classes" in done.stderr
    assert not weights.with_name("greek_network.pth").exists()  # of the shipped letters only


@pytest.mark.parametrize(("content", "says"), [(None, "no image files"), (b"", "no picture in")])
def test_a_letter_without_pictures_of_use(greek, some, content, says):
    for path in list((some / "beta").iterdir()):
        path.unlink()
        put(path, content)
    line = error_line(greek("--train-dir", some))
    assert says in line and str(some / "beta") in line


def test_no_letters_to_tell_apart_or_to_test_on(greek, some):
    for name in THREE:
        (some / name).rename(some / name.upper().join("__"))
    line = error_line(greek("--train-dir", some, "--test-dir", GREEK_TEST))
    assert "no letter that is learned (_ALPHA_, _BETA_, _GAMMA_)" in line
    for name in ("_ALPHA_", "_GAMMA_"):
        shutil.rmtree(some / name)
    assert "one letter only, _BETA_" in error_line(greek("--train-dir", some))


def test_one_picture_of_each_letter(greek, some):
    for path in some.glob("*/*_0[35].png"):
        path.unlink()
    done = greek("--train-dir", some)
    assert accuracy(done)[1] == 18  # none is left to test on: the shipped ones are
    for name in THREE:
        assert f"there is one picture of {name} only" in done.stderr


@pytest.mark.parametrize(
    ("option", "counts"),
    [
        # Every fourth is held out, the bad one among them.
        ("--train-dir", "6 training letters, .*: alpha 3, beta 1, gamma 2"),
        ("--test-dir", "8 test letters, .*: alpha 3, beta 2, gamma 3"),
    ],
)
def test_a_bad_picture_is_named_and_the_others_are_used(greek, some, option, counts):
    put(some / "beta" / "beta_03.png", b"no picture")
    done = greek(option, some)
    assert done.returncode == 0
    assert re.search(r"^left out: .*beta_03\.png is no image", done.stderr, re.M)
    assert re.search(rf"^{counts}$", done.stdout, re.M)


def test_a_test_picture_without_ink_is_not_read_right(greek, some):
    put(some / "beta" / "beta_03.png", BLANK)
    done = greek("--test-dir", some)
    assert re.search(r"^left out: .*beta_03\.png: there is no ink", done.stderr, re.M)
    right, total = accuracy(done)
    assert total == 9 and right <= 8
    assert re.search(r"^  beta: [0-2]/3 = ", done.stdout, re.M)


def test_pictures_that_cannot_be_recognised(greek, some, tmp_path):
    put(tmp_path / "blank.png", BLANK)
    good = some / "beta" / "beta_03.png"
    for name, says, status in (
        ("blank.png", "blank.png: there is no ink", 1),
        ("none.png", "does not exist", 2),
    ):
        done = greek("--train-dir", some, tmp_path / name, good)
        assert says in error_line(done, status) and f"\n{good}: " in done.stdout


def test_weights_that_are_no_digit_network(greek, tmp_path):
    path = tmp_path / "other.pth"
    put(path, MyNetwork(classes=3).state_dict())
    line = error_line(greek("--weights", path))
    assert f"{path} tells 3 classes apart (0, 1, 2), not the ten digits" in line


def test_letters_come_in_the_alphabets_order(tmp_path):
    for name in ("omega", "Zz", "beta", "alpha", "lambda", "b"):
        put(tmp_path / name / "1.png", STROKE)
    names = ["alpha", "beta", "lambda", "omega", "Zz", "b"]
    assert list(folders.find_letters(tmp_path)) == names
    assert folders.ALPHABET[:3] == tuple(THREE) and folders.ALPHABET[10] == "lambda"
    with pytest.raises(Problem, match="no folder"):
        folders.find_letters(tmp_path / "none")


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


@pytest.mark.parametrize(
    ("paths", "expected", "said"),  # as many as are given and in their order, if not told
    [
        (["Alpha/1.png", "BETA/2.png"], None, ""),
        (["α/1.png", "Β/2.png"], None, ""),  # a Greek capital, not Latin
        (["α/1.png", "Alpha/2.png", "β/3.png"], ["Alpha/2.png", "α/1.png", "β/3.png"], ""),
        (
            ["alpha/1.png", "beta/2.png", "__MACOSX/alpha/._1.png", "alpha/._1.png"],
            ["alpha/1.png", "beta/2.png"],
            "",
        ),
        (["set/alpha/1.png", "set/beta/2.png"], None, "one level"),
        (
            ["__MACOSX/set/alpha/._1.png", "set/alpha/1.png", "set/beta/2.png"],
            ["set/alpha/1.png", "set/beta/2.png"],
            "one level down",
        ),
        (
            ["alpha_001.png", "Beta (2).PNG", "α3.png", "IMG_0001.png"],
            ["alpha_001.png", "α3.png", "Beta (2).PNG"],
            "no letter's name: IMG_0001.png",
        ),
        (["set/alpha_1.png", "set/beta_2.png"], None, "one level"),
        (["alpha/anna/1.png", "alpha/bob/1.png"], None, ""),
        (["alpha/1.png", "beta/2.png", "me.png"], ["alpha/1.png", "beta/2.png"], "name: me.png"),
    ],
)
def test_letters_as_people_have_them(tmp_path, capsys, paths, expected, said):
    for path in (*paths, "Thumbs.db", ".DS_Store"):
        put(tmp_path / path, STROKE)
    found = folders.find_letters(tmp_path)
    assert set(found) <= {"alpha", "beta"}
    files = [path.relative_to(tmp_path).as_posix() for of in found.values() for path in of]
    assert files == (expected or paths)
    printed = capsys.readouterr().err
    assert said in printed and bool(printed) == bool(said)


def test_several_sets_of_letters(tmp_path):
    for path in ("train/alpha/1.png", "train/beta/1.png", "test/alpha/1.png", "notes/1.png"):
        put(tmp_path / path, STROKE)
    with pytest.raises(Problem, match=r"sets of letters in it \(test, train\); name one"):
        folders.find_letters(tmp_path)


def test_every_fourth_is_held_out():
    files = {"alpha": [*range(9)], "beta": ["one"], "gamma": [*"abcdefg"], "delta": [1, 2]}
    learned, tested = folders.hold_out(files)
    assert tested == {"alpha": [3, 7], "gamma": ["c", "g"]}
    assert learned["beta"] == ["one"] and len(learned["alpha"]) == 7
    assert folders.hold_out({"alpha": [1], "beta": [1, 2]})[1] == {}


def test_own_letters_are_held_out_and_misread_ones_named(greek, some):
    done = greek("--train-dir", some, some / "beta" / "beta_03.png")
    assert "7 training letters, " in done.stdout
    assert re.search(r"^2 test letters, every fourth of .*some, not learned: ", done.stdout, re.M)
    assert {Path(path).name for path in done.stdout.split("written:")[1].split()} == {
        *(f"3_{name}_some.png" for name in FIGURES),
        "3_new_letters_some_and_1_more.png",
        "greek_some_network.pth",
    }
    (some / "beta" / "beta_01.png").replace(some / "gamma" / "gamma_09.png")  # certainly misread
    done = greek("--train-dir", GREEK_TRAIN, "--test-dir", some)
    assert re.search(r"^  .*gamma_09.png: beta \(\d+\.\d%\), true gamma$", done.stdout, re.M)
    right, total = accuracy(done)
    assert done.stdout.split("misread:\n")[1].split("\n\n")[0].count("\n") == total - right - 1


def test_letters_that_ship_held_out_in_part_replace_no_default_files(greek, weights):
    done = greek("--train-dir", GREEK_TRAIN)
    assert re.search(r"every fourth of .*greek_train, not learned", done.stdout)
    names = [path.name for path in weights.parent.iterdir()]
    assert sorted(names) == ["greek_greek_train_network.pth", "mnist_network.pth"]


def test_mistakes_of_all_letters_are_shown():
    labels = torch.arange(3).repeat_interleave(40)
    probabilities = torch.eye(3)[(labels + 1) % 3]  # all misread
    probabilities[-30:] = torch.eye(3)[labels[-30:]]
    paths, pictures = (
        [Path(f"{n}.png") for n in range(120)],
        [np.zeros((20, 20, 3), np.uint8)] * 120,
    )
    images, no_ink = torch.zeros(120, 28, 28, dtype=torch.uint8), torch.zeros(3, dtype=torch.int64)
    letters = folders.Letters(tuple(THREE), paths, pictures, images, labels, no_ink)
    figure = figures.read_letters(letters, probabilities, "Letters")
    assert_readable(figure)
    captions = [text for text, *_ in texts(figure)]
    assert "(20 of 120, mistakes chosen first)" in " ".join(captions)
    for name, count in (("alpha", 7), ("beta", 7), ("gamma", 6)):
        assert sum(f"true {name}" in caption for caption in captions) == count


def test_a_held_out_picture_without_ink_is_no_right_answer(greek, some):
    blank = sorted((some / "beta").iterdir())[0]  # the fourth of all
    put(blank, np.full((128, 128), 255, np.uint8))
    done = greek("--train-dir", some)
    assert done.returncode == 0 and "left out: " in done.stderr
    assert re.search(r"^  beta: 0/1 = 0.00%$", done.stdout, re.M)


def test_drawn_letters_are_seen_by_the_transform_that_is_asked_for():
    letters = folders.draw_letters(("alpha", "beta"), 3, 0, report_transform)
    assert [picture.shape for picture in letters.pictures] == 6 * [(128, 128, 3)]
    seen = np.stack([report_transform(picture) for picture in letters.pictures])
    assert np.array_equal(letters.images, seen)


def test_neighbours_among_many_letters(capsys):
    pairs = torch.cartesian_prod(torch.arange(50.0), torch.arange(50.0))
    points = torch.cat([pairs, pairs + 0.3])
    results.print_neighbours(points, torch.arange(2500).repeat(2), "a plane")
    assert "of the same kind for 5000 of 5000" in capsys.readouterr().out
