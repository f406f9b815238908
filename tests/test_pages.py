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

ACCURACY = re.compile(r"accuracy: (\d+)/(\d+) = ")
FONT = cv2.FONT_HERSHEY_SIMPLEX
DARK = (40, 40, 60)


@pytest.fixture
def read(script, tmp_path):
    """Reads pages with the shipped network: read(*pictures and options) → the program's result."""
    return lambda *arguments: script(
        "mnist_eval.py", "--page", "--figures-dir", tmp_path / "figures", *arguments
    )


@pytest.fixture
def read_rows(read, tmp_path):
    """Reads pictures (H, W, 3) uint8 RGB → their rows, without the gaps between numbers."""
    return lambda *pictures: rows_of(read(*save_all(pictures, tmp_path)))


def save(picture, path):
    assert cv2.imwrite(str(path), np.ascontiguousarray(picture[..., ::-1]))
    return path


def save_all(pictures, folder):
    return [save(picture, folder / f"{n}.png") for n, picture in enumerate(pictures)]


def without_gaps(rows):
    return [row.replace(" ", "") for row in rows]


def rows_of(result):
    return without_gaps(re.findall(r"^  [\d ?]+$", result.stdout, re.MULTILINE))


def careful(digit, rng):
    """A digit as a careful writer's: (h, w) uint8 ink."""
    hand = pen.Hand(taste=0, slant=0.1, aspect=1, wobble=0.01, pen=0.1)
    ink = pen.draw(pen.DIGITS[digit], rng, 96, hand)
    x, y, w, h = cv2.boundingRect(ink)
    return ink[y : y + h, x : x + w]


def careful_page(seed, kind="plain", size=(700, 950)):
    """A drawn page that anyone would read."""
    rng = np.random.default_rng(seed)
    return drawn.draw_page(rng, kind, size=size, digit=careful, easy=True, rows=3)


def put(sheet, ink, x, y, tone=235):
    """Darkens a sheet (H, W, 3) of this tone where there is ink (h, w)."""
    part = sheet[y : y + ink.shape[0], x : x + ink.shape[1]]
    part[:] = np.minimum(part, tone - np.uint8(0.8 * ink)[..., None])


def write(sheet, *lines, gap=20):
    """Writes lines, (text, x, y), `gap` pixels between digits, a space for a wider one."""
    for text, x, y in lines:
        rng = np.random.default_rng(3)
        for number in text.split():
            for digit in number:
                ink = careful(int(digit), rng)
                put(sheet, ink, x, y)
                x += ink.shape[1] + gap
            x += 90
    return sheet


def sheet_of(height, width, tone=235):
    return np.full((height, width, 3), tone, np.uint8)


@pytest.mark.parametrize("kind", drawn.KINDS)
def test_each_kind_of_paper(read, tmp_path, kind):
    pages = {f"{seed}.jpg": careful_page([31, seed], kind) for seed in range(4)}
    paths = [save(page.picture, tmp_path / name) for name, page in pages.items()]
    table = [f"{name}\t{' / '.join(page.rows)}\n" for name, page in pages.items()]
    (tmp_path / "readings.tsv").write_text("".join(table))
    result = read(*paths)
    assert result.returncode == 0, result.stderr
    right, total = map(int, ACCURACY.search(result.stdout).groups())
    assert total == sum(len(re.findall(r"\d", row)) for page in pages.values() for row in page.rows)
    least = 0.9 if kind == "words" else 0.95  # words are doubted too rarely
    assert right >= least * total, result.stdout


def test_shipped_pages_are_read_by_default(read, tmp_path):
    result = read()
    assert result.returncode == 0
    right, total = map(int, ACCURACY.search(result.stdout).groups())
    assert right >= 0.95 * total
    for path in (HOME / "data" / "pages").glob("*.jpg"):
        assert path.stat().st_size < 300_000
        assert (tmp_path / "figures" / f"1g_{path.stem}.png").stat().st_size < 400_000


def test_shipped_pages_are_those_that_are_drawn():
    for name, picture, rows in drawn.shipped():
        path = HOME / "data" / "pages" / name
        shipped = read_image(path).astype(int)
        assert (
            shipped.shape == picture.shape and np.abs(shipped - picture).mean() < 3
        )  # JPEG's loss
        assert true_reading(path) == re.sub(r"\D", "", "".join(rows))


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_a_page_on_its_side(read, tmp_path, turn):
    page = careful_page(32)
    path = save(np.rot90(page.picture, turn // 90), tmp_path / "page.png")
    found, told, wrong = read(path), read(path, "--turn", turn), read(path, "--turn", "0")
    assert f"turned clockwise by {turn} degrees" in found.stdout
    assert rows_of(found) == rows_of(told) == without_gaps(page.rows) != rows_of(wrong)


def test_rows_gaps_and_the_truth_beside(read, tmp_path):
    sheet = write(sheet_of(300, 700), ("1859 22", 60, 40), ("60 74", 90, 170))
    path = save(sheet, tmp_path / "page.png")
    (tmp_path / "readings.tsv").write_text("page.png\t1859 22 / 60 74\n")
    result = read(path)
    assert f"{path}: 2 rows, 10 digits\n  1859 22\n  60 74\n" in result.stdout
    assert "accuracy: 10/10 = 100.00%" in result.stdout


def test_digits_that_touch_are_parted(read_rows):
    sheet = sheet_of(620, 900)
    write(sheet, ("27 405 67", 60, 40), ("35 9862", 60, 170), ("80 235", 60, 300), gap=-5)
    write(sheet, ("123456", 60, 430))  # so that it is known how wide digits are
    assert read_rows(sheet) == ["2740567", "359862", "80235", "123456"]


def test_a_large_zero_of_two_strokes(read_rows):
    sheet = write(sheet_of(500, 900), ("1234567", 60, 20), ("23456", 60, 380))
    cv2.ellipse(sheet, (200, 240), (55, 85), 0, 0, 360, DARK, 7, cv2.LINE_AA)
    cv2.line(sheet, (195, 180), (175, 230), DARK, 7, cv2.LINE_AA)
    assert read_rows(sheet) == ["1234567", "0", "23456"]


def test_chalk_on_a_board(read_rows):
    page = careful_page(33)
    assert read_rows(255 - page.picture) == without_gaps(page.rows)


def test_thick_lines_seen_from_aside(read_rows):
    sheet = sheet_of(700, 950)
    for n in range(1, 950, 130):
        cv2.line(sheet, (n, 0), (n, 700), (90, 90, 90), 8)
        cv2.line(sheet, (0, n), (950, n), (90, 90, 90), 8)
    write(sheet, ("1 3 5", 160, 22), ("2 4 6 8", 160, 152), ("7 0 9", 160, 282))
    move = np.array([[0.9, 0.06, 30], [-0.08, 0.9, 90]])  # lines lean by 5 and by 4 degrees
    seen = cv2.warpAffine(sheet, move, (950, 700), borderValue=(235, 235, 235))
    assert read_rows(seen) == ["135", "2468", "709"]


def test_large_light_digits(read_rows):
    boards = [sheet_of(1000, 1000, 0) for _ in "0358"]
    for board, text in zip(boards, "0358", strict=True):
        cv2.putText(board, text, (250, 800), FONT, 25, (255, 255, 255), 60, cv2.LINE_AA)
    assert read_rows(*boards) == ["0", "3", "5", "8"]


def test_edits():
    pairs = ("", ""), ("12", "12"), ("123", "13"), ("13", "123"), ("kitten", "sitting")
    assert [edits(a, b) for a, b in pairs] == [0, 0, 1, 1, 3]


def test_no_digits(read, tmp_path):
    paper = np.random.default_rng(0).normal(205, 3, (600, 800, 3))
    words = sheet_of(600, 800, 230)
    for y, text in ((150, "Meadow"), (300, "Kwm xyz"), (450, "Haven ok")):
        cv2.putText(words, text, (60, y), FONT, 3, DARK, 6, cv2.LINE_AA)
    y, x = np.mgrid[0:1:600j, 0:1:800j]
    hills = np.stack([150 + 80 * y, 170 + 60 * y, 220 - 30 * y], -1)  # below a sky
    for height, colour in ((0.55, (90, 120, 70)), (0.75, (50, 90, 40))):
        hills[y > height + 0.08 * np.sin(7 * x + 9 * height)] = colour
    hills = cv2.GaussianBlur(hills, (0, 0), 2)
    paths = save_all(map(np.uint8, (paper, words, hills)), tmp_path)
    result = read(*paths)
    assert (result.returncode, result.stdout) == (1, "")
    for path, line in zip(paths, result.stderr.splitlines(), strict=True):
        assert f"mnist_eval.py: error: {path}: there are no digits in the picture" in line


def test_one_digit_alone_on_a_large_page(read, tmp_path):
    sheet = sheet_of(2400, 3200, 225)
    put(sheet, careful(3, np.random.default_rng(4)), 2100, 900, 225)
    result = read(save(sheet, tmp_path / "page.jpg"))
    assert "page.jpg: 1 row, 1 digit\n  3\n" in result.stdout


def test_two_thousand_digits(read_rows, tmp_path):
    rng = np.random.default_rng(5)
    glyphs = [[cv2.resize(careful(n, rng), (26, 36)) for _ in range(4)] for n in range(10)]
    sheet = sheet_of(50 * 54, 40 * 44, 240)
    truth = rng.integers(0, 10, (50, 40))
    for (row, column), digit in np.ndenumerate(truth):
        put(sheet, glyphs[digit][rng.integers(4)], column * 44 + 9, row * 54 + 9, 240)
    found = np.array([list(row) for row in read_rows(sheet)])
    assert found.shape == (50, 40) and (found == truth.astype(str)).mean() >= 0.97
    assert (tmp_path / "figures" / "1g_0.png").stat().st_size < 400_000


def test_a_cut_off_file_among_good_ones(read, tmp_path):
    page = careful_page(33)
    good, cut, missing = (tmp_path / f"{name}.jpg" for name in ("good", "cut", "missing"))
    save(page.picture, good)
    cut.write_bytes(good.read_bytes()[:20_000])
    result = read(cut, good, missing)
    assert result.returncode == 2
    assert rows_of(result) == without_gaps(page.rows)
    of_cut, of_missing = result.stderr.splitlines()
    assert str(cut) in of_cut and str(missing) in of_missing


def shape_of(value):
    """What a JSON value is made of: lists by their first item, numbers and texts by their kind."""
    if isinstance(value, dict):
        return {key: shape_of(part) for key, part in value.items()}
    if isinstance(value, list):
        return [shape_of(value[0])]
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def test_json_figure_truth_and_readme_agree(read, tmp_path):
    page = careful_page(36, "boxed", size=(900, 1200))
    picture = np.rot90(page.picture)
    height, width = picture.shape[:2]
    path = save(picture, tmp_path / "page.png")
    read(path, "--json", tmp_path / "found.json")
    (found,) = json.loads((tmp_path / "found.json").read_text())
    blocks = re.findall(r"```json\n(.*?)```", (HOME / "README.md").read_text("utf-8"), re.DOTALL)
    described = next(block for block in blocks if '"characters"' in block)
    assert shape_of([found]) == shape_of(json.loads(described))
    facts = {"file": str(path), "width": width, "height": height, "turn": 90}
    assert found | facts == found
    characters = [character for row in found["rows"] for character in row["characters"]]
    assert all(0 <= character["probability"] <= 1 for character in characters)
    assert without_gaps(row["text"] for row in found["rows"]) == [
        "".join(character["answer"] for character in row["characters"]) for row in found["rows"]
    ]
    # The boxes lie where the digits were drawn, in the picture as given.
    boxes = np.array([character["box"] for character in characters])
    x, y, w, h = np.concatenate(page.boxes).T
    given = np.stack([y, height - x - w, h, w], 1)
    assert boxes.shape == given.shape and np.abs(boxes - given).max() < 12
    # The figure has each box in blue or red, in the picture as it was read.
    shown = np.asarray(read_image(tmp_path / "figures" / "1g_page.png")).astype(int)
    scale = shown.shape[1] / height
    wanted = np.array([figures.BLUE, figures.RED])
    for x, y, w, h in figures.turned(boxes, scale, shown.shape[1::-1], 90).tolist():
        for a, b in ((x, y + h // 2), (x + w, y + h // 2), (x + w // 2, y + h)):
            around = shown[b - 1 : b + 2, a - 1 : a + 2].reshape(-1, 3)
            assert np.abs(around[:, None] - wanted).max(2).min() < 60


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


def test_answers_above_the_top_row_have_room(read, tmp_path):
    sheet = write(sheet_of(300, 700), ("1859 22", 60, 2), ("60 74", 90, 170))
    assert "2 rows" in read(save(sheet, tmp_path / "page.png")).stdout
    shown = read_image(tmp_path / "figures" / "1g_page.png")
    assert shown.shape[0] > 310 and shown.shape[1] == 700
