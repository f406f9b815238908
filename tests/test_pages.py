"""mnist_eval.py --page: pages of digits on all kinds of paper, drawn and photographed askew."""

import json
import re

import cv2
import numpy as np
import pytest
from conftest import HOME

from network import cli, pen
from network.pages import drawn, figures
from network.pages.report import edits, true_reading
from network.pictures import read_image


@pytest.fixture
def read(script, tmp_path):
    """Reads pages with the shipped network: read(*pictures and options) → the program's result."""

    def run(*arguments):
        return script("mnist_eval.py", "--page", "--figures-dir", tmp_path / "figures", *arguments)

    return run


def save(picture, path):
    """Writes (H, W, 3) uint8 RGB."""
    assert cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))
    return path


def rows_of(output):
    """The rows that were printed, without the gaps between numbers."""
    return [
        line.replace(" ", "") for line in output.splitlines() if re.fullmatch(r"  [\d ?]+", line)
    ]


def careful(digit, rng):
    """A digit as a careful writer's: (h, w) uint8 ink."""
    hand = pen.Hand(taste=0, slant=0.1, aspect=1, wobble=0.01, pen=0.1)
    ink = pen.draw(pen.DIGITS[digit], rng, 96, hand)
    x, y, w, h = cv2.boundingRect(ink)
    return ink[y : y + h, x : x + w]


def careful_page(seed, kind="plain", **options):
    """A drawn page that anyone would read."""
    rng = np.random.default_rng(seed)
    options = {"size": (700, 950), "digit": careful, "easy": True, "rows": 3} | options
    return drawn.draw_page(rng, kind, **options)


@pytest.mark.parametrize("kind", drawn.KINDS)
def test_each_kind_of_paper(read, tmp_path, kind):
    table, digits = "", 0
    for seed in range(4):
        page = careful_page([31, seed], kind)
        save(page.picture, tmp_path / f"{seed}.jpg")
        table += f"{seed}.jpg\t{' / '.join(page.rows)}\n"
        digits += len(re.sub(r"\D", "", "".join(page.rows)))
    (tmp_path / "readings.tsv").write_text(table)
    result = read(*(tmp_path / f"{seed}.jpg" for seed in range(4)))
    assert result.returncode == 0, result.stderr
    right, total = map(int, re.search(r"accuracy: (\d+)/(\d+) = ", result.stdout).groups())
    assert total == digits
    least = 0.9 if kind == "words" else 0.95  # words are doubted too rarely
    assert right >= least * total, result.stdout


def test_shipped_pages_are_read_by_default(read, tmp_path):
    result = read()
    assert result.returncode == 0
    right, total = map(int, re.search(r"accuracy: (\d+)/(\d+) = ", result.stdout).groups())
    assert right >= 0.95 * total
    for path in (HOME / "data" / "pages").glob("*.jpg"):
        assert path.stat().st_size < 300_000
        assert (tmp_path / "figures" / f"1g_{path.stem}.png").stat().st_size < 400_000


def test_shipped_pages_are_those_that_are_drawn():
    for name, picture, rows in drawn.shipped():
        path = HOME / "data" / "pages" / name
        shipped = read_image(path)
        assert shipped.shape == picture.shape
        assert np.abs(shipped.astype(int) - picture).mean() < 3  # JPEG's loss
        assert true_reading(path) == re.sub(r"\D", "", "".join(rows))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_on_its_side(read, tmp_path, turn):
    page = careful_page(32)
    path = save(np.rot90(page.picture, turn // 90), tmp_path / "page.png")
    truth = [row.replace(" ", "") for row in page.rows]
    found = read(path)
    assert f"turned clockwise by {turn} degrees" in found.stdout
    assert rows_of(found.stdout) == truth
    told = read(path, "--turn", turn)
    assert rows_of(told.stdout) == truth
    assert rows_of(read(path, "--turn", "0").stdout) != truth


def write(sheet, text, x, y, gap=20):
    """Writes digits on a sheet (H, W, 3), `gap` pixels between them, a space for a wider one."""
    rng = np.random.default_rng(3)
    for mark in text:
        if mark == " ":
            x += 90
            continue
        ink = careful(int(mark), rng)[..., None]
        part = sheet[y : y + len(ink), x : x + ink.shape[1]]
        part[:] = np.minimum(part, 235 - np.uint8(0.8 * ink))
        x += ink.shape[1] + gap


def test_rows_gaps_and_the_truth_beside(read, tmp_path):
    sheet = np.full((300, 700, 3), 235, np.uint8)
    write(sheet, "1859 22", 60, 40)
    write(sheet, "60 74", 90, 170)
    path = save(sheet, tmp_path / "page.png")
    (tmp_path / "readings.tsv").write_text("page.png\t1859 22 / 60 74\n")
    result = read(path)
    assert f"{path}: 2 rows, 10 digits\n  1859 22\n  60 74\n" in result.stdout
    assert "accuracy: 10/10 = 100.00%" in result.stdout


def test_digits_that_touch_are_parted(read, tmp_path):
    sheet = np.full((620, 900, 3), 235, np.uint8)
    for y, text in ((40, "27 405 67"), (170, "35 9862"), (300, "80 235")):
        write(sheet, text, 60, y, gap=-5)
    write(sheet, "123456", 60, 430)  # so that it is known how wide digits are
    path = save(sheet, tmp_path / "page.png")
    assert rows_of(read(path).stdout) == ["2740567", "359862", "80235", "123456"]


def test_a_large_zero_of_two_strokes(read, tmp_path):
    sheet = np.full((500, 900, 3), 235, np.uint8)
    write(sheet, "1234567", 60, 20)
    write(sheet, "23456", 60, 380)
    cv2.ellipse(sheet, (200, 240), (55, 85), 0, 0, 360, (40, 40, 60), 7, cv2.LINE_AA)
    cv2.line(sheet, (195, 180), (175, 230), (40, 40, 60), 7, cv2.LINE_AA)
    assert rows_of(read(save(sheet, tmp_path / "page.png")).stdout) == ["1234567", "0", "23456"]


def test_chalk_on_a_board(read, tmp_path):
    page = careful_page(33)
    path = save(255 - page.picture, tmp_path / "page.png")
    assert rows_of(read(path).stdout) == [row.replace(" ", "") for row in page.rows]


def test_thick_lines_seen_from_aside(read, tmp_path):
    sheet = np.full((700, 950, 3), 235, np.uint8)
    for n in range(1, 950, 130):
        cv2.line(sheet, (n, 0), (n, 700), (90, 90, 90), 8)
        cv2.line(sheet, (0, n), (950, n), (90, 90, 90), 8)
    for row, text in enumerate(("135", "2468", "709")):
        write(sheet, text.replace("", " ")[1:-1], 160, 22 + 130 * row)
    move = np.array([[0.9, 0.06, 30], [-0.08, 0.9, 90]])  # lines lean by 5 and by 4 degrees
    seen = cv2.warpAffine(sheet, move, (950, 700), borderValue=(235, 235, 235))
    assert rows_of(read(save(seen, tmp_path / "page.png")).stdout) == ["135", "2468", "709"]


@pytest.mark.parametrize("digit", "0358")
def test_a_large_light_digit(read, tmp_path, digit):
    board = np.zeros((1000, 1000, 3), np.uint8)
    white = (255, 255, 255)
    cv2.putText(board, digit, (250, 800), cv2.FONT_HERSHEY_SIMPLEX, 25, white, 60, cv2.LINE_AA)
    assert rows_of(read(save(board, tmp_path / "page.png")).stdout) == [digit]


@pytest.mark.parametrize(
    "a, b, count",
    [("", "", 0), ("12", "12", 0), ("123", "13", 1), ("13", "123", 1), ("kitten", "sitting", 3)],
)
def test_edits(a, b, count):
    assert edits(a, b) == count


def blank():
    rng = np.random.default_rng(0)
    return np.uint8(np.clip(rng.normal(205, 3, (600, 800, 3)), 0, 255))


def words():
    sheet = np.full((600, 800, 3), 230, np.uint8)
    for number, text in enumerate(("Meadow", "Kwm xyz", "Haven ok")):
        place = 60, 150 + 150 * number
        cv2.putText(sheet, text, place, cv2.FONT_HERSHEY_SIMPLEX, 3, (40, 40, 60), 6, cv2.LINE_AA)
    return sheet


def landscape():
    """Hills and a sky: nothing in it is written."""
    y, x = np.mgrid[0:1:600j, 0:1:800j]
    picture = np.stack([150 + 80 * y, 170 + 60 * y, 220 - 30 * y], -1)
    for height, colour in ((0.55, (90, 120, 70)), (0.75, (50, 90, 40))):
        picture[y > height + 0.08 * np.sin(7 * x + 9 * height)] = colour
    return np.uint8(cv2.GaussianBlur(picture, (0, 0), 2))


@pytest.mark.parametrize("draw", [blank, words, landscape])
def test_no_digits(read, tmp_path, draw):
    path = save(draw(), tmp_path / "picture.png")
    result = read(path)
    assert result.returncode == 1
    assert len(result.stderr.splitlines()) == 1
    assert f"mnist_eval.py: error: {path}: there are no digits in the picture" in result.stderr
    assert result.stdout == ""


def test_one_digit_alone_on_a_large_page(read, tmp_path):
    sheet = np.full((2400, 3200, 3), 225, np.uint8)
    ink = careful(3, np.random.default_rng(4))[..., None]
    part = sheet[900 : 900 + len(ink), 2100 : 2100 + ink.shape[1]]
    part[:] = np.minimum(part, 225 - np.uint8(0.8 * ink))
    result = read(save(sheet, tmp_path / "page.jpg"))
    assert "page.jpg: 1 row, 1 digit\n  3\n" in result.stdout


def test_two_thousand_digits(read, tmp_path):
    rng = np.random.default_rng(5)
    glyphs = [[cv2.resize(careful(n, rng), (26, 36)) for _ in range(4)] for n in range(10)]
    sheet = np.full((50 * 54, 40 * 44, 3), 240, np.uint8)
    truth = rng.integers(0, 10, (50, 40))
    for row, line in enumerate(truth):
        for column, digit in enumerate(line):
            part = sheet[row * 54 + 9 :, column * 44 + 9 :][:36, :26]
            part[:] = 240 - np.uint8(0.8 * glyphs[digit][rng.integers(4)])[..., None]
    result = read(save(sheet, tmp_path / "page.png"))
    rows = rows_of(result.stdout)
    assert [len(row) for row in rows] == [40] * 50
    found = "".join(rows)
    assert sum(a == str(b) for a, b in zip(found, truth.ravel(), strict=True)) >= 0.97 * 2000
    assert (tmp_path / "figures" / "1g_page.png").stat().st_size < 400_000


def test_a_cut_off_file_among_good_ones(read, tmp_path):
    page = careful_page(33)
    good = save(page.picture, tmp_path / "good.jpg")
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(good.read_bytes()[:20_000])
    missing = tmp_path / "missing.jpg"
    result = read(cut, good, missing)
    assert result.returncode == 2
    assert rows_of(result.stdout) == [row.replace(" ", "") for row in page.rows]
    assert [str(cut) in line or str(missing) in line for line in result.stderr.splitlines()] == [
        True,
        True,
    ]


def shape_of(value):
    """What a JSON value is made of: lists by their first item, numbers and texts by their kind."""
    if isinstance(value, dict):
        return {key: shape_of(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_json_figure_and_truth_agree(read, tmp_path):
    page = careful_page(36, "boxed", size=(900, 1200))
    picture = np.rot90(page.picture)
    path = save(picture, tmp_path / "page.png")
    read(path, "--json", tmp_path / "found.json")
    (found,) = json.loads((tmp_path / "found.json").read_text())
    assert found["file"] == str(path)
    assert (found["height"], found["width"]) == picture.shape[:2]
    assert found["turn"] == 90
    characters = [character for row in found["rows"] for character in row["characters"]]
    assert all(0 <= character["probability"] <= 1 for character in characters)
    assert [row["text"].replace(" ", "") for row in found["rows"]] == [
        "".join(character["answer"] for character in row["characters"]) for row in found["rows"]
    ]
    # The boxes lie where the digits were drawn, in the picture as given.
    boxes = np.array([character["box"] for character in characters])
    x, y, w, h = np.concatenate(page.boxes).T
    given = np.stack([y, picture.shape[0] - x - w, h, w], 1)
    assert len(boxes) == len(given)
    assert np.abs(boxes - given).max() < 12
    # The figure has each box in blue or red, in the picture as it was read.
    shown = np.asarray(read_image(tmp_path / "figures" / "1g_page.png")).astype(int)
    scale = shown.shape[1] / picture.shape[0]
    for x, y, w, h in figures.turned(boxes, scale, shown.shape[1::-1], 90).tolist():
        for a, b in ((x, y + h // 2), (x + w, y + h // 2), (x + w // 2, y + h)):
            around = shown[b - 1 : b + 2, a - 1 : a + 2].reshape(-1, 3)
            wanted = np.array([figures.BLUE, figures.RED])
            assert np.abs(around[:, None] - wanted).max(2).min() < 60


def test_json_is_as_readme_describes_it(read, tmp_path):
    page = careful_page(35)
    read(save(page.picture, tmp_path / "page.png"), "--json", tmp_path / "found.json")
    found = json.loads((tmp_path / "found.json").read_text())
    readme = (HOME / "README.md").read_text("utf-8")
    described = next(
        block
        for block in re.findall(r"```json\n(.*?)```", readme, re.DOTALL)
        if '"characters"' in block
    )
    assert shape_of(found) == shape_of(json.loads(described))


def test_several_digits_without_page(script, tmp_path, quick_figures):
    path = save(careful_page(36).picture, tmp_path / "several.png")
    result = script("mnist_eval.py", "--figures-dir", tmp_path, path)
    assert result.returncode == 0
    assert re.search(rf"{path} seems to hold \d+ digits; --page reads them", result.stderr)
    singles = script("mnist_eval.py", "--figures-dir", tmp_path, HOME / "data" / "digits")
    assert "seems to hold" not in singles.stderr


def test_own_pages_take_the_place_of_no_shipped_figure_and_tell_no_truth_by_their_names(
    read, tmp_path, monkeypatch
):
    shipped = tmp_path / "data" / "pages"
    monkeypatch.setattr(cli, "HOME", tmp_path)
    page = careful_page(35)
    for path in (shipped / "4711.jpg", tmp_path / "mine" / "4711.jpg"):
        path.parent.mkdir(parents=True)
        save(page.picture, path)
    found = read(tmp_path / "mine" / "4711.jpg")
    assert "1g_4711_2.png" in found.stdout and "accuracy" not in found.stdout
    assert "1g_4711.png" in read(shipped / "4711.jpg").stdout
    (shipped / "readings.tsv").write_text(f"4711.jpg\t{' / '.join(page.rows)}\n")
    assert "accuracy" in read(shipped / "4711.jpg").stdout
    assert "accuracy" not in read("--no-labels", shipped / "4711.jpg").stdout
