"""Pages of digits drawn by network/pen.py, photographed askew, with the truth beside.

Nobody wrote them: numbers of several hands on plain, ruled, squared and boxed paper, under uneven
light, with shadows, specks, words, touching and crossed-out digits. They are what the reader of
pages is developed on and tested with; `python -m network.pages.drawn` draws those that ship in
data/pages.

    page = draw_page(np.random.default_rng(1), "ruled")
    page.picture, page.rows, page.boxes
"""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from network import cli, pen
from network.files import whole_file

KINDS = ("plain", "ruled", "squared", "boxed", "table", "words")
FONTS = (cv2.FONT_HERSHEY_SCRIPT_SIMPLEX, cv2.FONT_HERSHEY_SCRIPT_COMPLEX, cv2.FONT_HERSHEY_SIMPLEX)
WORDS = ("Number", "phone", "Total", "Datum", "name", "Telefon", "Summe", "Kontonr", "dear", "page")


@dataclass
class Page:
    """A drawn page and what is on it."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB
    rows: list  # of texts: digits, ? for a crossed-out one, a space between numbers
    boxes: list  # a row's are (n, 4) int: x, y, width, height of each character in the picture


def draw_page(rng, kind="plain", digit=None, size=(1000, 1400), rows=None, easy=False):
    """Draws a page.

    Args:
        rng: np.random.Generator, the source of all variation.
        kind: one of `KINDS`.
        digit: draws a digit, (digit, rng) → (h, w) uint8 ink of any size; several hands of
            network/pen.py by default.
        size: the picture's height and width, in pixels.
        rows: how many rows; any number that fits by default.
        easy: no crossed-out and touching digits.

    Returns:
        A `Page`.
    """
    height, width = size
    paper = np.float32(rng.uniform(185, 245) * rng.uniform(0.93, 1, 3))
    sheet = np.full((height, width, 3), paper)
    reach = height * rng.uniform(0.06, 0.14)  # a digit's height
    pitch = reach * rng.uniform(1.45, 2.2)  # from row to row
    if kind == "boxed":
        pitch = reach * rng.uniform(1.4, 1.8)
    margin = height * rng.uniform(0.09, 0.15)
    room = int((height - 2 * margin) / pitch)
    rows = min(rows or int(rng.integers(1, 8)), room)
    _rule(sheet, kind, rng, pitch, margin, reach)

    pencil = rng.random() < 0.15
    hands = [digit or _hand(rng) for _ in range(rng.integers(1, 3))]
    pens = [_pen_colour(rng, paper, pencil) for _ in hands]
    top = margin + rng.uniform(0, height - 2 * margin - rows * pitch) * (kind in ("plain", "words"))
    if kind == "words":
        top = max(top, margin + pitch)
        rows = max(1, min(rows, room - 1))
        _word(sheet, rng, (margin, top - 0.5 * pitch), reach, pens[0])
    lines = []
    for number in range(rows):
        which = rng.integers(len(hands))
        middle = top + (number + 0.5) * pitch
        line = _Line(sheet, rng, hands[which], pens[which], reach, easy)
        if kind in ("boxed", "table"):
            line.in_cells(middle, pitch, margin, one=kind == "boxed")
        else:
            line.free(middle, margin, width - margin)
        lines.append(line)
    _specks(sheet, rng, reach)
    picture, move = _photograph(sheet, rng)
    texts = [" ".join(line.text.split()) for line in lines]
    return Page(picture, texts, [_moved(np.reshape(line.boxes, (-1, 4)), move) for line in lines])


def _hand(rng):
    """One writer who takes some care: a function that draws a digit.

    Some ways of writing cannot be told apart without knowing the hand: a bent 4 is another hand's
    9. They stand last, and are left out.
    """
    hand = pen.Hand.any(rng)
    hand = replace(
        hand,
        taste=0.6 * hand.taste,
        slant=float(np.clip(hand.slant, -0.1, 0.35)),
        aspect=hand.aspect**0.6,
        wobble=0.5 * hand.wobble,
        pen=rng.uniform(0.06, 0.15),
    )

    def digit(value, rng):
        ink = pen.draw(pen.DIGITS[value], rng, 128, hand)
        x, y, w, h = cv2.boundingRect(ink)
        return ink[y : y + h, x : x + w]

    return digit


def _pen_colour(rng, paper, pencil):
    """A pen's RGB; a pencil is nearer to the paper."""
    colour = np.float32(pen.PENS[rng.integers(len(pen.PENS))])
    return colour + (paper - colour) * rng.uniform(0.45, 0.65) if pencil else colour


def _paint(sheet, ink, x, y, colour):
    """Lays ink (h, w) of 0 to 1 on the sheet, its upper left corner at x, y."""
    h, w = ink.shape
    part = sheet[y : y + h, x : x + w]
    part += (colour - part) * ink[: part.shape[0], : part.shape[1], None]


def _rule(sheet, kind, rng, pitch, margin, reach):
    """Prints the lines of a kind of paper."""
    height, width = sheet.shape[:2]
    colour = np.float32(rng.uniform(0.35, 0.8) * sheet[0, 0] * rng.uniform(0.85, 1, 3))
    thick = int(rng.integers(1, 4))

    left, top, right, bottom = 0, 0, width, height  # how far lines reach
    level, upright = [], []  # where they lie, where they stand
    if kind == "ruled":
        level = np.arange(margin, height, pitch)
        upright = [margin] if rng.random() < 0.5 else []
    elif kind == "squared":
        step = pitch * rng.choice([0.5, 1, 1])
        level, upright = (np.arange(margin % step, side, step) for side in (height, width))
    elif kind in ("boxed", "table"):
        colour = np.float32(rng.uniform(0.1, 0.6) * sheet[0, 0])
        step = pitch if kind == "boxed" else 4 * pitch
        left = top = margin
        right = margin + (width - 2 * margin) // step * step
        bottom = margin + int((height - 2 * margin) / pitch) * pitch
        level, upright = np.arange(top, bottom + 1, pitch), np.arange(left, right + 1, step)
    lines = [(left, y, right, y) for y in level] + [(x, top, x, bottom) for x in upright]
    for x0, y0, x1, y1 in np.int32(lines).reshape(-1, 4).tolist():
        cv2.line(sheet, (x0, y0), (x1, y1), colour.tolist(), thick, cv2.LINE_AA)


class _Line:
    """A row of digits being written."""

    def __init__(self, sheet, rng, digit, colour, reach, easy):
        self.sheet, self.rng, self.digit, self.colour = sheet, rng, digit, colour
        self.reach, self.easy = reach, easy
        self.text, self.boxes = "", []

    def free(self, middle, left, right):
        """Numbers from the left to the right margin, the row rising, falling or waving a little."""
        rng, reach = self.rng, self.reach
        slope, wave, phase = rng.normal(0, 0.01), reach * rng.uniform(0, 0.12), rng.uniform(0, 6)
        gap = step = reach * rng.uniform(0.2, 0.7)
        x = left + rng.uniform(0, 0.2) * (right - left)
        while True:
            for _ in range(rng.integers(1, 7)):
                dy = slope * (x - left) + wave * np.sin(phase + x / reach / 3)
                dy += rng.normal(0, 0.04) * reach
                ink = self._glyph()
                if x + ink.shape[1] > right:
                    return
                touching = not self.easy and self.boxes and rng.random() < 0.03
                if touching and not self.text.endswith(" "):
                    x -= step + 0.06 * reach
                self._write(ink, x, middle + dy)
                step = gap * rng.uniform(0.75, 1.25)
                x += ink.shape[1] + step
            x += reach * rng.uniform(1, 1.6) + gap
            self.text += " "

    def in_cells(self, middle, pitch, left, one):
        """A digit in each box, or a number in each cell of a table; some stay empty."""
        rng = self.rng
        step = pitch if one else 4 * pitch
        for n in range(int((self.sheet.shape[1] - 2 * left) / step)):
            if rng.random() < 0.1:
                if one:
                    self.text += " "
                continue
            x = left + n * step
            if one:
                ink = self._glyph(0.9)
                self._write(ink, x + (step - ink.shape[1]) / 2 + rng.normal(0, 0.05) * step, middle)
                continue
            x += rng.uniform(0.2, 0.5) * pitch
            for _ in range(rng.integers(1, 5)):
                ink = self._glyph(0.9)
                if x + ink.shape[1] > left + (n + 1) * step - 0.1 * pitch:
                    break
                self._write(ink, x, middle + rng.normal(0, 0.04) * self.reach)
                x += ink.shape[1] + self.reach * rng.uniform(0.2, 0.35)
            self.text += " "

    def _glyph(self, factor=1):
        """The next digit's ink, (h, w) of 0 to 1, at the size in which it is written."""
        self.value = int(self.rng.integers(10))
        ink = self.digit(self.value, self.rng)
        scale = factor * self.reach * self.rng.uniform(0.9, 1.08) / max(ink.shape)
        ink = cv2.resize(ink, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        ink = np.float32(ink) / 255
        if self.rng.random() < 0.03:  # a dry pen: the stroke is broken
            y = int(ink.shape[0] * self.rng.uniform(0.3, 0.7))
            ink[y : y + max(1, int(0.03 * self.reach))] *= 0.1
        return ink

    def _write(self, ink, x, middle):
        """Puts the digit on the sheet, crossed out now and then."""
        rng = self.rng
        h, w = ink.shape
        x, y = max(0, int(x)), max(0, int(middle - h / 2))
        mark = str(self.value)
        if not self.easy and rng.random() < 0.01 and not self.text.endswith("?"):
            mark = "?"
            pen.cross_out(ink, rng)
        _paint(self.sheet, 0.95 * ink, x, y, self.colour)
        self.text += mark
        self.boxes.append((x, y, w, h))


def _word(sheet, rng, place, reach, colour):
    """A word in a script font, as a heading."""
    ink = np.zeros(sheet.shape[:2], np.uint8)
    font, text = FONTS[rng.integers(len(FONTS))], str(rng.choice(WORDS))
    x, y = map(int, place)
    scale, thick = reach / 30 * rng.uniform(0.7, 1), max(2, int(reach / 14))
    cv2.putText(ink, text, (x, y), font, scale, 255, thick, cv2.LINE_AA)
    _paint(sheet, np.float32(ink) / 255, 0, 0, colour)


def _specks(sheet, rng, reach):
    """Dirt and fibres."""
    h, w = sheet.shape[:2]
    for _ in range(rng.integers(0, 12)):
        x, y = int(rng.uniform(0, w)), int(rng.uniform(0, h))
        dark = (sheet[y, x] * rng.uniform(0.3, 0.8)).tolist()
        cv2.circle(sheet, (x, y), int(rng.uniform(0.5, 0.04 * reach)), dark, -1, cv2.LINE_AA)


def _photograph(sheet, rng):
    """The sheet as a camera sees it, askew and in uneven light: the picture, and the homography."""
    h, w = sheet.shape[:2]
    grain = cv2.GaussianBlur(np.float32(rng.normal(0, 1, (h, w))), (0, 0), 1.2) * 3
    sheet = sheet + grain[..., None]
    # Around the middle: turned up to 10 degrees, seen from aside, on a table or filling the view.
    edges = rng.random() < 0.35
    shrink = rng.uniform(0.8, 0.92) if edges else rng.uniform(0.98, 1.05)
    turn = np.deg2rad(np.clip(rng.normal(0, 3.5), -10, 10))
    corners = np.float32([[-w, -h], [w, -h], [w, h], [-w, h]]) / 2
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seen = corners @ turned.T * shrink + rng.normal(0, 0.012 * h, (4, 2)) + (w / 2, h / 2)
    frame = corners + np.float32([w / 2, h / 2])
    move = cv2.getPerspectiveTransform(frame, np.float32(seen))
    if edges:
        table = np.float32(rng.uniform(20, 150) * rng.uniform(0.6, 1, 3))
        wood = cv2.resize(np.float32(rng.normal(1, 0.08, (h // 8, 1))), (w, h))
        back = table * wood[..., None]
        picture = cv2.warpPerspective(sheet, move, (w, h), flags=cv2.INTER_AREA)
        whole = cv2.warpPerspective(np.ones((h, w), np.float32), move, (w, h))[..., None]
        picture = picture * whole + back * (1 - whole)
    else:  # what lies beyond is paper as well
        picture = cv2.warpPerspective(sheet, move, (w, h), borderMode=cv2.BORDER_REPLICATE)
    light = cv2.resize(np.float32(rng.uniform(0.65, 1.05, (3, 3))), (w, h))
    if rng.random() < 0.35:  # the phone's shadow, from one side
        shadow = np.zeros((h, w), np.float32)
        points = rng.uniform((0.3 * w, 0.5 * h), (0.8 * w, 0.8 * h), (1, 2))
        points = np.concatenate([points, [[w, points[0, 1]], [w, h], [points[0, 0] - 0.1 * w, h]]])
        cv2.fillPoly(shadow, [np.int32(points)], 1.0)
        if rng.random() < 0.5:
            shadow = shadow[:, ::-1]
        shadow = cv2.GaussianBlur(shadow, (0, 0), rng.uniform(0.005, 0.04) * w)
        light = light * (1 - rng.uniform(0.25, 0.6) * shadow)
    picture = picture * light[..., None]
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.2) * h / 1000)
    picture += np.float32(rng.normal(0, rng.uniform(0.5, 3), (h, w, 1)))
    return np.uint8(np.clip(picture, 0, 255) + 0.5), move


def _moved(boxes, move):
    """Boxes (n, 4) after a homography: those that hold their moved corners."""
    if not len(boxes):
        return boxes
    x, y, w, h = boxes.T
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], 1).reshape(-1, 1, 2)
    corners = cv2.perspectiveTransform(np.float32(corners), move).reshape(-1, 4, 2)
    low, high = corners.min(1), corners.max(1)
    return np.int32(np.round(np.concatenate([low, high - low], 1)))


def shipped():
    """Draws the pages that ship in data/pages, the same at each call.

    Yields:
        The file's name, the picture (H, W, 3) uint8 RGB, and its rows as texts.
    """
    for seed, kind in enumerate(KINDS):
        page = draw_page(np.random.default_rng([28, seed]), kind, size=(720, 960), rows=4)
        if kind == "table":  # held wrongly
            page.picture = np.rot90(page.picture)
        yield f"{kind}.jpg", page.picture, page.rows


def main(options):
    """Draws the shipped pages again, with their readings beside."""
    folder = options.folder
    table = "file\treading, row by row\n"
    for name, picture, rows in shipped():
        bgr = np.ascontiguousarray(picture[..., ::-1])
        _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, 85])
        with whole_file(folder / name) as file:
            file.write(jpeg.tobytes())
        table += f"{name}\t{' / '.join(rows)}\n"
    with whole_file(folder / "readings.tsv") as file:
        file.write(table.encode())
    print(f"pages written: {cli.short(folder)}")


if __name__ == "__main__":
    parser = cli.Parser("Draws the pages of digits that ship in data/pages.")
    parser.add_argument(
        "folder", type=cli.path_name, help="where they go; data/pages replaces them"
    )
    cli.run(main, parser.parse_args())
