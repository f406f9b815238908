"""A picture of many digits → rows of characters, in reading order.

    pieces      connected ink, each judged by its own darkness
    characters  pieces that belong together joined, digits that touch parted
    rows        characters that follow each other

Every character goes through `photos.fit` to the 28×28 of MNIST and is read by the digit network,
all of a page at once.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import torch

from network import photos
from network.pages import ink as inks
from network.pages.characters import (
    find_pieces,
    hull,
    join,
    longer_side,
    own_ink,
    part,
    turn_boxes,
    usual_size,
)
from network.pages.rows import find_rows, first_of_numbers, words_doubted
from network.pictures import shrunk, thumbnail
from network.training import predict

GLANCE = 1000  # pixels, the longer side at which `count_at_a_glance` looks
LARGE = 0.25  # of the picture's longer side: characters of that size have wide strokes
LIKELY = 0.4  # below this probability a mark in a row of digits is perhaps no digit
SURER = 1.2  # doubts of such a mark have to be greater than of a picture by itself, by this factor


@dataclass
class Character:
    """One mark on a page."""

    answer: str  # a digit, or ? for what is perhaps none
    probability: float  # of the most likely digit
    box: tuple  # x, y, width, height in pixels of the picture as given


@dataclass
class Reading:
    """What a page says."""

    rows: list  # of lists of Character, in reading order
    texts: list  # each row as text, numbers parted by a space
    turn: int  # degrees, clockwise, by which the picture was turned to be read

    def count_digits(self):
        """How many characters are digits."""
        return sum(character.answer != "?" for row in self.rows for character in row)


def read_page(picture, network, device, turn=None, doubt_limit=None):
    """Reads all digits in a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        network: the digit network, on `device`.
        turn: degrees clockwise by which the picture is turned first; as reads best, by default.
        doubt_limit: the entropy, in nats, above which a character by itself is perhaps no digit,
            as weights of mnist_train.py have it. In a row of digits more is taken for a digit.

    Returns:
        A `Reading`; its rows are empty where there is nothing that could be a digit.
    """

    def classify(images):
        return predict(network, torch.from_numpy(images).to(device)).exp().cpu().numpy()

    dark = read_dark_ink(picture, classify, turn, doubt_limit)
    digits = dark.count_digits()
    if digits > sum(map(len, dark.rows)) / 2 or (dark.rows and not strokes_are_light(picture)):
        return dark
    light = read_dark_ink(255 - picture, classify, turn, doubt_limit)
    return light if light.count_digits() > max(digits, sum(map(len, light.rows)) / 2) else dark


def strokes_are_light(picture):
    """Whether strokes in (H, W, 3) uint8 are brighter than what they are written on.

    By the sign of the third moment of the difference from a median over 61 of 500 pixels; of
    strokes wider than half of that it may be wrong.
    """
    grey = cv2.cvtColor(thumbnail(picture, 500), cv2.COLOR_RGB2GRAY)
    return ((np.float32(grey) - cv2.medianBlur(grey, 61)) ** 3).sum() > 0


def read_dark_ink(picture, classify, turn, doubt_limit):
    """Reads digits that are darker than the paper.

    `classify` makes (n, 28, 28) uint8 → (n, 10) probabilities; all else is as in `read_page`.
    """
    pieces, back = pieces_of(picture)
    if not len(pieces.box):
        return Reading([], [], turn or 0)
    tall = usual_size(pieces)
    if turn is None:
        turn = best_turn(pieces, tall, classify)
    pieces = pieces.turned(turn)
    groups = join(pieces, tall, classify)
    whole = np.array([hull(pieces.box[group]) for group in groups])
    boxes, probability = part([own_ink(pieces, g) for g in groups], whole, tall, classify)
    # Dots, dashes and commas are passed over.
    kept = (probability.max(1) >= LIKELY) | (boxes[:, 3] - boxes[:, 1] > 0.4 * tall)
    boxes, probability = boxes[kept], probability[kept]
    answers = np.where(probability.max(1) < LIKELY, "?", probability.argmax(1).astype(str))
    doubt = answers == "?"
    if doubt_limit:
        doubt |= -(probability * np.log(probability.clip(1e-9))).sum(1) > SURER * doubt_limit

    turned_back = turn_boxes(boxes, pieces.ink.shape, (360 - turn) % 360)
    given = boxes_in_picture(turned_back, back, picture.shape[:2])
    rows, texts = [], []
    for row in find_rows(boxes, tall):
        first = first_of_numbers(boxes[row], tall)
        high = (boxes[row, 3] - boxes[row, 1]) / tall
        marks = words_doubted(answers[row], doubt[row], first, high)
        sure = probability[row].max(1)
        texts.append("".join(np.where(first, " ", "").astype(object) + marks))
        values = zip(marks.tolist(), sure.tolist(), given[row].tolist(), strict=True)
        rows.append([Character(mark, round(p, 4), tuple(box)) for mark, p, box in values])
    return Reading(rows, texts, turn)


def pieces_of(picture):
    """A page's pieces, its lines laid flat, and the affine matrix (2, 3) back to the picture."""
    height, width = picture.shape[:2]
    scale = min(1, (inks.WORK / (height * width)) ** 0.5)
    picture = shrunk(picture, scale)
    for reach in (inks.THIN, inks.WIDE):
        ink, least = inks.page_ink(picture, reach)
        lines = inks.long_parts(np.uint8(ink > least))
        move = np.eye(2, 3)
        if lines.any():
            leans = inks.lean(lines)
            if leans.any():
                move, size = inks.laid_flat(ink.shape, *leans)
                ink, lines = (cv2.warpAffine(image, move, size) for image in (ink, lines))
            lines = inks.lines_of(lines)
            ink = ink * (1 - lines)
        pieces = find_pieces(ink, np.uint8(ink > least), lines)
        # Large characters have wide strokes, of which only the rims are found at first.
        if len(pieces.box) and usual_size(pieces) < LARGE * max(ink.shape):
            break
    return pieces, cv2.invertAffineTransform(move) / scale


def boxes_in_picture(boxes, back, shape):
    """Boxes (N, 4), left, top, right, bottom, as x, y, width, height in the picture as given.

    Args:
        boxes: where the page was read.
        back: the affine matrix (2, 3) from there to the picture.
        shape: the picture's height and width.
    """
    left, top, right, bottom = boxes.T
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], 1).reshape(-1, 4, 2)
    corners = corners @ back[:, :2].T + back[:, 2]
    low = corners.min(1).round().astype(int).clip(0)
    high = corners.max(1).round().astype(int).clip(None, shape[::-1])
    return np.concatenate([low, high - low], 1)


def best_turn(pieces, tall, classify):
    """The clockwise turn, 0, 90, 180 or 270, with which characters read best."""
    side = longer_side(pieces.box)
    left, top, right, bottom = pieces.box.T
    straight = np.minimum(right - left, bottom - top) < 0.3 * side  # a 1, or a dash on its side
    bodies = np.flatnonzero((side > 0.6 * tall) & (side < 1.7 * tall) & ~straight)
    if len(bodies) < 3:  # too few to tell
        return 0
    bodies = np.random.default_rng(0).permutation(bodies)[:80]
    own = [photos.thin(own_ink(pieces, [k])) for k in bodies]
    images = [photos.fit(np.rot90(x, -quarter)) for quarter in range(4) for x in own]
    sure = classify(np.stack(images)).max(1).reshape(4, -1)
    score = np.log(sure.clip(0.2)).sum(1)
    best = int(score.argmax())
    # As given, unless another way is clearly better, and makes sense.
    clear = score[best] - score[0] > 1.5 + 0.03 * len(bodies) and np.quantile(sure[best], 0.3) > 0.8
    return 90 * best if clear else 0


def count_at_a_glance(picture, network, device):
    """How many digits there seem to be in a picture that is taken to show one: 0 if at most one.

    Cheap where there is but one: the network is asked only about several marks of about one size.
    The arguments are as in `read_page`.
    """
    small = thumbnail(picture, GLANCE)
    pieces, _ = pieces_of(small)
    if not len(pieces.box):
        return 0
    several = (longer_side(pieces.box) > 0.6 * usual_size(pieces)).sum()
    if several < 2:
        return 0
    if several > 10:  # no single digit: it is worth a closer look
        small = picture
    reading = read_page(small, network, device)
    marks = [character for row in reading.rows for character in row]
    boxes = np.array([character.box for character in marks]).reshape(-1, 4)
    sure = np.array([character.probability > 0.9 for character in marks], bool)
    # Remains of a printed box lie along the frame, or are smaller than the digit in it; parts of
    # one digit lie in each other's box.
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    slim = boxes[:, 2:] < 0.2 * boxes[:, :1:-1]
    rim = np.where(slim, 0.06, 0.02) * max(small.shape)
    sure &= (low > rim).all(1) & (high < np.array(small.shape[1::-1]) - rim).all(1)
    side = boxes[:, 2:].max(1)
    sure &= side > 0.6 * (np.median(side) if len(side) > 2 else side.max(initial=0))
    low, high = low[sure], high[sure]
    middle = (low + high)[:, None] / 2
    inside = ((low < middle) & (middle < high)).all(2)
    if inside.sum() > 1.2 * len(low):
        return 0
    return len(low) if len(low) > max(1, len(marks) / 2) else 0
