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
from network.training import predict

SURE = 0.5  # below this probability a mark is perhaps no digit


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


@dataclass
class Pieces:
    """The parts of a page's ink, N of them."""

    ink: np.ndarray  # (H, W) uint8
    label: np.ndarray  # (H, W) int32, 0 for paper
    number: np.ndarray  # (N,) each one's label
    box: np.ndarray  # (N, 4) left, top, right, bottom
    area: np.ndarray  # (N,) pixels
    peak: np.ndarray  # (N,) how dark it is


def read_page(picture, network, device, turn=None):
    """Reads all digits in a picture.

    Args:
        picture: (H, W, 3) uint8 RGB.
        network: the digit network, on `device`.
        turn: degrees clockwise by which the picture is turned first; as reads best, by default.

    Returns:
        A `Reading`; its rows are empty where there is nothing that could be a digit.
    """
    height, width = picture.shape[:2]
    scale = min(1, (inks.WORK / (height * width)) ** 0.5)
    if scale < 1:
        size = round(width * scale), round(height * scale)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    ink, least = inks.page_ink(picture)
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
    pieces = find_pieces(ink, mask)
    if not len(pieces.number):
        return Reading([], [], turn or 0)
    tall = usual_size(pieces)
    groups = join(pieces, tall)
    def classify(images):
        log = predict(network, torch.from_numpy(np.stack(images)).to(device))
        return log.exp().cpu().numpy()

    inks_, boxes = cut_out(pieces, groups)
    images = [photos.fit(x) for x in inks_]
    if turn is None:
        turn = best_turn(images, classify)
    if turn:
        images = [np.rot90(x, -turn // 90) for x in images]
        images = [photos.fit(x / np.float32(255)) for x in images]
    probability = classify(images)
    # centre positions in the turned frame
    rows = find_rows(turned(boxes, turn), tall)
    inverse = np.linalg.inv(move)
    out, texts = [], []
    for row in rows:
        chars = []
        for k in row:
            l, t, r, b = boxes[k]
            corners = np.array([[l, t, 1], [r, t, 1], [r, b, 1], [l, b, 1]]) @ inverse.T / scale
            x, y = corners[:, 0].min(), corners[:, 1].min()
            w, h = corners[:, 0].max() - x, corners[:, 1].max() - y
            p = probability[k]
            answer = str(p.argmax()) if p.max() >= SURE else "?"
            chars.append(Character(answer, float(p.max()), (round(x), round(y), round(w), round(h))))
        out.append(chars)
        texts.append(spaced(chars, turned(boxes[row], turn), tall))
    return Reading(out, texts, turn)


def find_pieces(ink, mask):
    """Connected ink; what is faint beside the darkest of its own piece is left out."""
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask)
    # The darkness of each: its 90th percentile, from a histogram.
    flat = label.ravel()
    inside = np.flatnonzero(flat)
    histogram = np.bincount(flat[inside] * 64 + (ink.ravel()[inside] >> 2), minlength=64 * count)
    histogram = histogram.reshape(count, 64).cumsum(1)
    peak = 4 * (histogram < 0.9 * histogram[:, -1:]).sum(1) + 2
    limit = np.uint8(0.4 * peak)
    limit[0] = 255
    mask = np.uint8(ink > limit[label])
    count, label, stats, _ = cv2.connectedComponentsWithStats(mask)
    left, top, w, h, area = stats.T
    flat = label.ravel()
    inside = np.flatnonzero(flat)
    histogram = np.bincount(flat[inside] * 64 + (ink.ravel()[inside] >> 2), minlength=64 * count)
    histogram = histogram.reshape(count, 64).cumsum(1)
    peak = 4 * (histogram < 0.8 * histogram[:, -1:]).sum(1) + 2
    good = (np.maximum(w, h) >= 6) & (area >= 8)
    good[0] = False
    number = np.flatnonzero(good)
    if len(number) > 6000:
        number = np.sort(number[np.argsort(-area[number])[:6000]])
    box = np.stack([left, top, left + w, top + h], 1)
    return Pieces(ink, label, number, box[number], area[number], peak[number])


def usual_size(pieces):
    """The usual height of a character, in pixels: the median, longer strokes counting more."""
    left, top, right, bottom = pieces.box.T
    side = np.maximum(right - left, bottom - top)
    h, w = pieces.ink.shape
    weight = np.where(side < 0.5 * max(h, w), np.minimum(pieces.area, side**2 / 4), 0) * pieces.peak
    order = np.argsort(side)
    total = weight[order].cumsum()
    return float(side[order][np.searchsorted(total, total[-1] / 2)])


def join(pieces, tall):
    """Groups of pieces that make a character each: lists of indices."""
    left, top, right, bottom = np.float32(pieces.box.T)
    side = np.maximum(right - left, bottom - top)
    body = side > 0.45 * tall
    body &= side < 4 * tall
    strength = np.median(pieces.peak[body]) if body.any() else 0
    body &= pieces.peak > 0.3 * strength
    groups = {k: [k] for k in np.flatnonzero(body)}
    bodies = np.flatnonzero(body)
    small = np.flatnonzero(~body & (side < 0.6 * tall) & (side > 0.12 * tall))
    if len(small) and len(bodies):
        dx = np.maximum(left[small][:, None] - right[bodies], left[bodies] - right[small][:, None])
        dy = np.maximum(top[small][:, None] - bottom[bodies], top[bodies] - bottom[small][:, None])
        far = np.hypot(np.maximum(dx, 0), np.maximum(dy, 0))
        nearest = far.argmin(1)
        for s, n in enumerate(nearest):
            if far[s, n] < 0.12 * tall and pieces.peak[small[s]] > 0.3 * pieces.peak[bodies[n]]:
                groups[bodies[n]].append(small[s])
    # Bodies over each other: a 5 and its bar, halves of a broken digit.
    overlap_x = np.minimum(right[bodies][:, None], right[bodies]) - np.maximum(left[bodies][:, None], left[bodies])
    narrow = np.minimum((right - left)[bodies][:, None], (right - left)[bodies])
    dy = np.maximum(top[bodies][:, None], top[bodies]) - np.minimum(bottom[bodies][:, None], bottom[bodies])
    whole = np.maximum(bottom[bodies][:, None], bottom[bodies]) - np.minimum(top[bodies][:, None], top[bodies])
    pair = (overlap_x > 0.5 * narrow) & (dy < 0.12 * tall) & (whole < 1.35 * tall)
    for a, b in np.argwhere(np.triu(pair, 1)):
        a, b = bodies[a], bodies[b]
        if a in groups and b in groups:
            groups[a] += groups.pop(b)
    return list(groups.values())


def cut_out(pieces, groups):
    """Each group's own ink, (h, w) float32 of 0 to 1, and its box (left, top, right, bottom)."""
    found, boxes = [], []
    for group in groups:
        left, top = pieces.box[group, :2].min(0)
        right, bottom = pieces.box[group, 2:].max(0)
        part = np.s_[top:bottom, left:right]
        own = np.isin(pieces.label[part], pieces.number[group])
        around = cv2.dilate(np.uint8(own), np.ones((3, 3), np.uint8))
        around &= (pieces.label[part] == 0) | own
        found.append(np.minimum(pieces.ink[part] * around / np.float32(pieces.peak[group[0]]), 1))
        boxes.append((left, top, right, bottom))
    return found, np.array(boxes)


def best_turn(images, classify):
    """The clockwise turn, 0, 90, 180 or 270, with which characters read best."""
    chosen = np.random.default_rng(0).permutation(len(images))[:80]
    scores = []
    for quarter in range(4):
        turned = [photos.fit(np.rot90(images[k], -quarter) / np.float32(255)) for k in chosen]
        p = classify(turned).max(1)
        scores.append(np.log(np.maximum(p, 0.1)).sum())
    best = int(np.argmax(scores))
    # As given, unless another way is clearly better.
    if scores[best] - scores[0] < 2 + 0.05 * len(chosen):
        best = 0
    return 90 * best


def turned(boxes, turn):
    """Boxes (N, 4) in the picture turned clockwise; the frame's size is left out: order remains."""
    left, top, right, bottom = boxes.T
    if turn == 90:
        left, top, right, bottom = -bottom, left, -top, right
    elif turn == 180:
        left, top, right, bottom = -right, -bottom, -left, -top
    elif turn == 270:
        left, top, right, bottom = top, -right, bottom, -left
    return np.stack([left, top, right, bottom], 1)


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
    rows = [np.array(row) for row in rows]
    return sorted(rows, key=lambda row: y[row].mean())


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


def spaced(chars, boxes, tall):
    """A row as text, with a space where a gap parts numbers."""
    gaps = boxes[1:, 0] - boxes[:-1, 2]
    usual = np.median(gaps) if len(gaps) else 0
    text = chars[0].answer
    for gap, char in zip(gaps, chars[1:], strict=True):
        text += " " * int(gap > max(1.7 * usual, 0) + 0.4 * tall) + char.answer
    return text
