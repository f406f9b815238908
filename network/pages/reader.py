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
from network.training import predict

LIKELY = 0.5  # below this probability a mark is perhaps no digit


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


def read_page(picture, network, device, turn=None, doubt_limit=None):
    """Reads all digits in a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        network: the digit network, on `device`.
        turn: degrees clockwise by which the picture is turned first; as reads best, by default.
        doubt_limit: the entropy, in nats, above which a mark is perhaps no digit, as weights of
            mnist_train.py have it; without, a digit's probability below `LIKELY` says so.

    Returns:
        A `Reading`; its rows are empty where there is nothing that could be a digit.
    """
    height, width = picture.shape[:2]
    scale = min(1, (inks.WORK / (height * width)) ** 0.5)
    if scale < 1:
        size = round(width * scale), round(height * scale)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    ink, least, sheet = inks.page_ink(picture)
    mask = np.uint8(ink > least)
    lines = inks.long_parts(mask)
    angle = inks.lean(lines) if lines.any() else 0
    move = np.eye(3)  # from the picture to where it is read
    if angle:
        move[:2] = inks.rotation(ink.shape, angle)
        ink, lines = inks.rotate(ink, angle), inks.rotate(lines, angle)
        mask = np.uint8(ink > least)
    if lines.any():
        lines = inks.lines_of(lines)
        ink = ink * (1 - lines)
        mask = np.uint8(ink > least)
    pieces = find_pieces(ink, mask, lines)
    if not len(pieces.box):
        return Reading([], [], turn or 0)
    tall = usual_size(pieces)

    def classify(images):
        return predict(network, torch.from_numpy(images).to(device)).exp().cpu().numpy()

    if turn is None:
        turn = best_turn(pieces, tall, classify)
    pieces = pieces.turned(turn)
    groups = join(pieces, tall, classify)
    if not groups:
        return Reading([], [], turn)
    whole = np.stack([hull(pieces.box[group]) for group in groups])
    boxes, probability = part([own_ink(pieces, g) for g in groups], whole, tall, classify)
    rows = find_rows(boxes, tall)
    # Back to the picture as given.
    given = turn_boxes(boxes, pieces.ink.shape, (360 - turn) % 360)
    left, top, right, bottom = given.T
    corners = np.stack([left, top, right, top, right, bottom, left, bottom], 1).reshape(-1, 4, 2)
    corners = (corners @ np.linalg.inv(move)[:2, :2].T + np.linalg.inv(move)[:2, 2]) / scale
    low = corners.min(1).round().astype(int).clip(0)
    high = corners.max(1).round().astype(int).clip(None, (width, height))
    given = np.concatenate([low, high - low], 1)
    best = probability.max(1)
    doubt = best < LIKELY
    if doubt_limit:
        doubt = -(probability * np.log(probability.clip(1e-9))).sum(1) > doubt_limit
    answers = np.where(doubt, "?", probability.argmax(1).astype(str))
    marks = [
        Character(str(answer), float(p), tuple(map(int, box)))
        for answer, p, box in zip(answers, best, given, strict=True)
    ]
    texts = [spaced(answers[row].tolist(), boxes[row], tall) for row in rows]
    return Reading([[marks[k] for k in row] for row in rows], texts, turn)


def best_turn(pieces, tall, classify):
    """The clockwise turn, 0, 90, 180 or 270, with which characters read best."""
    side = longer_side(pieces.box)
    bodies = np.flatnonzero((side > 0.6 * tall) & (side < 1.7 * tall))
    bodies = np.random.default_rng(0).permutation(bodies)[:80]
    own = [own_ink(pieces, [k]) for k in bodies]
    images = [photos.fit(np.rot90(x, -quarter)) for quarter in range(4) for x in own]
    best = np.log(classify(np.stack(images)).max(1).clip(0.1)).reshape(4, -1).sum(1)
    # As given, unless another way is clearly better.
    if best.max() - best[0] < 2 + 0.05 * len(bodies):
        return 0
    return 90 * int(best.argmax())


def find_rows(boxes, tall):
    """Rows of indices, from top to bottom, each from left to right."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    slope = row_slope(x, y, tall)
    y = y - slope * x
    rows, last = [], np.empty(0)
    for k in np.argsort(x):
        if len(rows):
            far = np.abs(last - y[k])
            n = far.argmin()
            if far[n] < 0.55 * tall:
                rows[n].append(k)
                last[n] = np.mean(y[rows[n][-3:]])
                continue
        rows.append([k])
        last = np.append(last, y[k])
    return joined_rows([np.array(row) for row in rows], boxes, y, tall)


def joined_rows(rows, boxes, y, tall):
    """Rows at the same height become one, unless their characters are in each other's way."""
    rows = sorted(rows, key=lambda row: y[row].mean())
    joined = []
    for row in rows:
        if joined and y[row].mean() - y[joined[-1]].mean() < 0.6 * tall:
            a, b = boxes[joined[-1]][:, None], boxes[row]
            shared = np.minimum(a[..., 2], b[:, 2]) - np.maximum(a[..., 0], b[:, 0])
            narrow = np.minimum(a[..., 2] - a[..., 0], b[:, 2] - b[:, 0])
            if not (shared > 0.5 * narrow).any():
                both = np.concatenate([joined[-1], row])
                joined[-1] = both[np.argsort(boxes[both, 0] + boxes[both, 2])]
                continue
        joined.append(row)
    return joined


def row_slope(x, y, tall):
    """How much rows fall from left to right, per pixel: the median between close neighbours."""
    if len(x) < 3:
        return 0
    x, y = x[:1500], y[:1500]
    dx, dy = x - x[:, None], y - y[:, None]
    near = (dx > 0.3 * tall) & (np.abs(dy) < 0.35 * dx) & (np.abs(dy) < 0.6 * tall)
    dx[~near] = np.inf
    best = dx.argmin(1)
    has = np.isfinite(dx.min(1))
    if has.sum() < 2:
        return 0
    i = np.flatnonzero(has)
    return float(np.median(dy[i, best[i]] / dx[i, best[i]]))


def spaced(answers, boxes, tall):
    """A row's answers as text, with a space where a gap parts numbers."""
    gaps = boxes[1:, 0] - boxes[:-1, 2]
    usual = np.median(gaps) if len(gaps) else 0
    text = answers[0]
    for gap, answer in zip(gaps, answers[1:], strict=True):
        text += " " * int(gap > max(1.7 * usual, 0) + 0.4 * tall) + answer
    return text
