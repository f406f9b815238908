"""What is no digit, drawn by the pen: for a network that should say so.

Letters and signs, scribbles, straight lines, digits crossed out or several side by side, blots and
textures: what lies before a reader of digits by mistake. While it learns, the network tells these
from each other as well as from digits (`digits/doubt.py`), so that its features are of use for
other signs.
"""

import contextlib
from functools import partial

import cv2
import numpy as np

from network import photos
from network.pen import (
    ALPHABET,
    DIGITS,
    SKELETONS,
    Hand,
    cross_out,
    draw,
    draw_many,
    draw_strokes,
    scanned,
)

# Letters and signs, each a class of its own. No Greek ones: these are for task 3 to learn.
CHARACTERS = tuple(name for name in SKELETONS if name not in DIGITS + ALPHABET)
SIDE = 64  # pixels


def number(rng):
    """Two or three digits side by side by one hand, apart or touching."""
    hand = Hand.any(rng)
    parts = []
    for digit in rng.integers(0, 10, rng.choice((2, 3), p=(0.8, 0.2))):
        ink = draw(DIGITS[digit], rng, SIDE, hand)
        x, _, width, _ = cv2.boundingRect(ink)
        parts += [ink[:, x : x + width], np.zeros((SIDE, rng.integers(1, 16)), np.uint8)]
    return np.hstack(parts)


def crossed_out(rng):
    """A digit that its writer crossed out."""
    ink = draw(DIGITS[rng.integers(10)], rng, SIDE)
    x, y, width, height = cv2.boundingRect(ink)
    cross_out(ink[y : y + height, x : x + width], rng)
    return ink


def scribble(rng):
    """One to three strokes this way and that."""
    strokes = [rng.integers(0, 101, (rng.integers(4, 12), 2)) for _ in range(rng.integers(1, 4))]
    return _drawn(strokes, rng)


def lines(rng):
    """Three to six straight lines, or a single level one."""
    strokes = rng.integers(0, 101, (rng.integers(3, 7), 2, 2))
    if rng.random() < 0.15:
        strokes = [[(0, 50), (100, rng.integers(40, 60))]]
    return _drawn(strokes, rng)


def _drawn(strokes, rng):
    """Strokes, each a list of points x, y from 0 to 100, drawn by any hand."""
    written = tuple(" ".join(f"{x},{y}" for x, y in stroke) for stroke in strokes)
    return draw_strokes(written, rng, SIDE, Hand.any(rng))


def blot(rng):
    """A shape that lies, filled or not, plain or with a texture."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 12)))
    if rng.random() < 0.3:
        angles = np.pi / 4 + np.pi / 2 * np.arange(4)  # a square
    radius = SIDE * (rng.uniform(0.2, 0.48, len(angles)) if rng.random() < 0.6 else 0.45)
    directions = np.stack([np.cos(angles), np.sin(angles)])  # (2, corners)
    corners = np.int32((SIDE / 2 + radius * directions).T)
    if rng.random() < 0.8:
        cv2.fillPoly(canvas, [corners], 255)
    else:
        cv2.polylines(canvas, [corners], True, 255, int(rng.integers(3, 9)))
    _, _, width, height = cv2.boundingRect(canvas)
    if height > width:  # upright it may be a 1 by a thick pen
        canvas = np.ascontiguousarray(canvas.T)
    return canvas if rng.random() < 0.4 else np.uint8(canvas * _clouds(rng))


def clouds(rng):
    """Dots, spots and shadows, such as are left of a picture without any writing."""
    return np.uint8(255 * _clouds(rng))


def _clouds(rng):
    """Noise (SIDE, SIDE) from 0 to 1, in grains of any size, much or little of it."""
    grains = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)), (0, 0), np.exp(rng.uniform(-1, 2.3)))
    grains = (grains - grains.mean()) / grains.std()
    return np.clip(grains * np.exp(rng.uniform(-0.7, 2)) - rng.uniform(-1, 2), 0, 1)


OTHERS = {number: 0.22, crossed_out: 0.06, scribble: 0.09, lines: 0.08, blot: 0.12, clouds: 0.06}
# What draws each class, with its share.
CLASSES = {partial(draw, name): 0.37 / len(CHARACTERS) for name in CHARACTERS} | OTHERS
# The same classes, and behind them Greek letters, but for those that may be a 0 or a 1.
GREEK = [name for name in ALPHABET if name not in ("iota", "omicron", "sigma")]
WITH_GREEK = {kind: 0.4 * share for kind, share in CLASSES.items()}
WITH_GREEK |= {partial(draw, name): 0.6 / len(GREEK) for name in GREEK}


def drawn(count, seed, classes=CLASSES):
    """Draws what is no digit, the same by the same seed.

    Returns:
        images (count, 28, 28) uint8, white on black; their numbers in `classes` (count,) int64.
    """
    numbers = np.random.default_rng(seed).choice(len(classes), count, p=list(classes.values()))
    return draw_many(partial(_draw_numbers, list(classes)), numbers, seed), numbers


def _draw_numbers(classes, numbers, rng):
    """Draws one image of each of these `classes` (N,): (N, 28, 28) uint8."""
    images = np.zeros((len(numbers), 28, 28), np.uint8)
    for image, number in zip(images, numbers, strict=True):
        while not image.any():
            ink = classes[number](rng)
            with contextlib.suppress(photos.NoInk):  # clouds may be empty
                image[:] = photos.fit(scanned(ink, rng)) if ink.any() else 0
    return images
