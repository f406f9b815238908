"""Digits and Greek letters drawn stroke by stroke, like a hand with a pen.

Nothing here was written by a person: a character is a table of control points, bent by random
numbers. It serves where MNIST cannot be had (`drawn_digits`), and it made every picture that ships
under `data/`; `python -m network.pen data` draws those again.

The way from table to picture:

    SKELETONS   how people write each character, as strokes of a few control points
    Hand        how one writer does it: slant, proportions, pen, the ways preferred
    draw        one character by one hand: white ink on black
    photograph  the same as pen on paper before a camera
"""

import os
from bisect import bisect
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate, pairwise
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from network import cli, photos
from network.files import whole_file

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
LETTERS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")


def _read_strokes(name):
    """The ways of writing in a file beside this one: {character: [(weight, strokes), …]}."""
    ways = {}
    for line in Path(__file__).with_name(name).read_text("utf-8").splitlines():
        line = line.split("#")[0].strip()
        if line.startswith("["):
            character = line.strip("[]")
            ways[character] = []
        elif line:
            weight, strokes = line.split(":")
            ways[character].append((float(weight), tuple(s.strip() for s in strokes.split("|"))))
    return ways


# See these files for what they mean.
_OF_LETTERS = _read_strokes("strokes_letters.txt")
SKELETONS = _read_strokes("strokes_digits.txt") | _OF_LETTERS | _read_strokes("strokes_others.txt")
ALPHABET = tuple(_OF_LETTERS)  # alpha to omega

# The colours of pens, RGB: black, two blues, red, pencil.
PENS = ((30, 30, 35), (35, 45, 120), (20, 60, 90), (120, 30, 40), (90, 90, 95))

BLOCK = 1000  # images that are drawn in one go
SAMPLES = 8  # points of the curve for each step between two control points
FRACTION = 4  # bits of a pixel's coordinate behind the point


@lru_cache(2000)
def _curve(strokes):
    """The curve through a skeleton's control points, as a matrix: it is linear in them.

    Catmull-Rom splines (Catmull and Rom, 1974): between two points the curve is a cubic of these
    two and their two neighbours, so that only weights are needed, the same at every drawing.

    Returns:
        points (N, 2) in 0..1; weights (M, N), curve = weights @ points; owner (N,), the stroke of
        each point; tips (2 · strokes, 2), each stroke's first and last point with its neighbour;
        ends, where each stroke begins and ends in the curve.
    """
    t = np.linspace(0, 1, SAMPLES, endpoint=False)[:, None]  # (SAMPLES, 1)
    cubic = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    blend = t ** np.arange(4) @ cubic  # (SAMPLES, 4): the weights of four neighbouring points

    marks = [mark for stroke in strokes for mark in stroke.split()]
    points = np.array([[float(n) for n in mark.strip("!").split(",")] for mark in marks]) / 100
    owner = np.repeat(np.arange(len(strokes)), [len(stroke.split()) for stroke in strokes])
    tips, rows, ends = [], [], []
    for number in range(len(strokes)):
        inside = np.flatnonzero(owner == number)
        tips += [inside[:2], inside[:-3:-1]]
        begin = len(rows)
        corners = [k for k in range(1, len(inside) - 1) if marks[inside[k]].endswith("!")]
        for a, b in pairwise([0, *corners, len(inside) - 1]):  # the curve between two corners
            for k in range(a, b):
                part = np.zeros((SAMPLES, len(points)))
                # Where there is no neighbour, at an end or a corner, the point is its own.
                for column, neighbour in enumerate(np.clip(range(k - 1, k + 3), a, b)):
                    part[:, inside[neighbour]] += blend[:, column]
                rows.extend(part)
        rows.append(np.eye(len(points))[inside[-1]])
        ends.append((begin, len(rows)))
    return points, np.array(rows), owner, np.array(tips), ends


@dataclass(frozen=True)
class Hand:
    """How one writer writes."""

    taste: float  # 0..1: which of a character's ways of writing, along their weights
    slant: float  # how far a stem leans to the right, as a share of its height
    aspect: float  # how much wider than the skeleton, as a factor
    wobble: float  # standard deviation of control points, as a share of the character's height
    pen: float  # width of the pen's tip, in the same measure
    swing: float = 1.0  # how far the whole character is bent, as a factor

    @classmethod
    def any(cls, rng, swing=1.0):
        """A random writer. They differ more than MNIST's, so that MNIST's lie among them.

        With less `swing` they write more like the skeletons.
        """
        return cls(
            taste=rng.random(),
            slant=rng.normal(0.12, 0.22),
            aspect=np.exp(min(max(rng.normal(0, 0.28), -0.5), 0.6)),
            wobble=0.025 * swing * np.exp(rng.normal(0, 0.4)),
            pen=min(max(0.125 * np.exp(rng.normal(0, 0.5)), 0.03), 0.34),
            swing=swing,
        )


def way_of(character, taste):
    """The strokes in which a writer of this taste (0..1) writes a character."""
    ways = SKELETONS[character]
    weights = list(accumulate(weight for weight, _ in ways))
    return ways[bisect(weights, taste * weights[-1])][1]


def draw(character, rng, size=64, hand=None):
    """Draws one of `SKELETONS` by a `Hand`, a new one by default, with a np.random.Generator.

    Returns (size, size) uint8, ink 255, paper 0; all ink lies inside the frame, and from 28 pixels
    on it can be read.
    """
    hand = hand or Hand.any(rng)
    return draw_strokes(way_of(character, hand.taste), rng, size, hand)


def draw_strokes(strokes, rng, size, hand):
    """Draws any strokes, given as in the files of ways of writing; else as `draw`."""
    curve, ends = _written(strokes, hand, rng)

    # Room on the paper: the longer side takes part of the frame, anywhere in it.
    low, high = curve.min(0), curve.max(0)
    extent = (high - low).max()
    reach = size * rng.uniform(0.65, 0.9)  # of the ink's longer side, pen included
    scale = reach / (extent + hand.pen)
    width = hand.pen * scale
    room = size - (high - low) * scale - width
    start = width / 2 + rng.uniform(0.25, 0.75, 2) * room
    curve = (curve - low) * scale + start

    # Painted at twice the size, then shrunk, for smooth edges.
    canvas = np.zeros((2 * size, 2 * size), np.uint8)
    pixels = np.int32(np.round(curve * 2 * 2**FRACTION))  # fixed point numbers, as OpenCV wants
    for begin, end in ends:
        # The pen presses harder here than there; OpenCV draws runs of the same width at once.
        press = np.interp(np.linspace(0, 3, end - begin - 1), np.arange(4), rng.normal(0, 0.35, 4))
        widths = np.maximum(1, np.int32(2 * width * np.clip(1 + press, 0.6, 1) + 0.5))
        cuts = np.flatnonzero(np.diff(widths)) + 1
        for a, b in zip([0, *cuts], [*cuts, len(widths)], strict=True):
            run = pixels[begin + a : begin + b + 1]
            cv2.polylines(canvas, [run], False, 255, int(widths[a]), cv2.LINE_8, FRACTION)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def cross_out(ink, rng):
    """Goes over ink (h, w), paper 0, to and fro with the pen: a digit that its writer took back."""
    turns = rng.integers(6, 11)
    points = np.stack([np.arange(turns) % 2, np.linspace(0, 1, turns)], 1)  # x, y
    points = (points + rng.normal(0, 0.06, points.shape)) * ink.shape[::-1]
    wide = max(1, int(0.06 * max(ink.shape)))
    cv2.polylines(ink, [np.int32(points)], False, float(ink.max()), wide, cv2.LINE_AA)


def _written(strokes, hand, rng):
    """The pen's path: (M, 2) points, about 1 high, and where each stroke begins and ends in it."""
    points, weights, owner, tips, ends = _curve(strokes)
    # The hand misses its aim: each point a little, each stroke as a whole.
    noise = rng.normal(0, hand.wobble, (2, *points.shape))
    points = points + noise[0] + noise[1][owner]
    # Strokes begin and end early or late: their outermost points move along the stroke.
    reach = rng.normal(0, 0.12 * hand.swing, (len(tips), 1))
    points[tips[:, 0]] += reach * (points[tips[:, 0]] - points[tips[:, 1]])
    curve = weights @ points  # (M, 2)

    # The upper part is smaller or larger than the lower, the left than the right.
    curve = np.maximum(curve, 0) ** np.exp(rng.normal(0, 0.2 * hand.swing, 2))
    # Two slow waves bend the whole.
    waves, phases = rng.normal(0, 0.55, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
    bend = rng.normal(0, 0.05 * hand.swing, (2, 2))
    curve = curve + np.sin(2 * np.pi * curve @ waves + phases) @ bend
    # Proportions, slant, and the angle at which the paper lies.
    turn = rng.normal(0, 0.12)
    shape = np.array([[hand.aspect, -hand.slant], [0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return curve @ (turned @ shape).T, ends


def photograph(ink, rng):
    """Ink (H, W) uint8 from `draw` as a camera sees it on paper, by a np.random.Generator: uneven
    light, tinted grainy paper, blur and noise. Returns (H, W, 3) uint8 RGB, dark on light."""
    h, w = ink.shape
    share = cv2.GaussianBlur(np.float32(ink) / 255, (0, 0), rng.uniform(0.4, 0.9) * h / 128)
    corners = rng.uniform(0.7, 1.05, 4)  # light at the four corners, even between them
    light = np.linspace(np.linspace(*corners[:2], w), np.linspace(*corners[2:], w), h)  # (H, W)
    grain = cv2.GaussianBlur(np.float32(rng.normal(0, 1, (h, w))), (0, 0), 1.5) * 4
    paper = rng.uniform(170, 235) * rng.uniform(0.95, 1, 3)
    pen = np.array(PENS[rng.integers(len(PENS))]) + rng.uniform(-15, 15)
    share = share * np.clip(rng.uniform(0.8, 1) + 0.05 * grain, 0, 1)  # ink skips on rough paper
    picture = paper + (pen - paper) * share[..., None]  # (H, W, 3)
    picture = (picture + grain[..., None]) * light[..., None]
    picture += rng.normal(0, rng.uniform(0.2, 0.6), (h, w, 1))
    return np.uint8(np.clip(picture, 0, 255) + 0.5)


def drawn_digits(count, seed, swing=1.0, first=None):
    """Draws a training set like MNIST's, every class as often as the others, the same by the same
    seed: images (count, 28, 28) uint8, white on black, and labels (count,) int64; `swing` as in
    `Hand.any`. If given, only so many of the first are drawn.
    """
    labels = np.random.default_rng(seed).permutation(np.arange(count) % 10)[:first]
    return draw_many(partial(_digits, swing), labels, seed), labels


def _digits(swing, labels, rng):
    """Draws digits with these labels (N,): (N, 28, 28) uint8."""
    inks = (draw(DIGITS[label], rng, 64, Hand.any(rng, swing)) for label in labels)
    return np.stack([photos.fit(scanned(ink, rng)) for ink in inks])


def draw_many(draw_some, items, seed):
    """Draws images in blocks of 1,000, on all cores if there are many; a terminal sees a bar.

    `draw_some` makes (N, 28, 28) uint8 of an array of N items and a np.random.Generator. The same
    seed draws the same images, on however many cores.
    """
    starts = range(0, len(items), BLOCK)
    blocks = [items[start : start + BLOCK] for start in starts]
    rngs = [np.random.default_rng([seed, start]) for start in starts]
    bar = partial(tqdm, desc="drawing", total=len(blocks), leave=False, disable=None)
    if len(blocks) < 10 or os.cpu_count() == 1:  # a process takes a second or two to start
        images = list(bar(map(draw_some, blocks, rngs)))
    else:
        with cli.processes(len(blocks) // 5) as pool:
            images = list(bar(pool.map(draw_some, blocks, rngs)))
    return np.concatenate(images or [np.empty((0, 28, 28), np.uint8)])


def scanned(ink, rng):
    """Ink (H, W) uint8 as it comes out of a form reader: (h, w) float32 from 0 to 1.

    They stretch digits to their field, and store them in few pixels, often black and white.
    """
    ink = np.float32(ink) / 255
    side = 64 if rng.random() < 0.5 else rng.integers(18, 40)
    width = np.exp(rng.normal(0, 0.16))
    x, y, w, h = cv2.boundingRect(np.uint8(ink > 0))
    if rng.random() < (0.5 if w < 0.4 * h else 0.25):
        ink = ink[y : y + h, x : x + w]
        width = (h / w) ** rng.uniform(0, 1)
    h, w = ink.shape
    scale = side / max(h, w)
    size = max(8, round(w * scale * width)), max(8, round(h * scale))
    ink = cv2.resize(ink, size, interpolation=cv2.INTER_AREA)
    if rng.random() < 0.3:
        ink = np.float32(ink > ink.max() * rng.uniform(0.15, 0.6))
    return cv2.copyMakeBorder(ink, 2, 2, 2, 2, cv2.BORDER_CONSTANT)


def shipped():
    """Draws every picture that ships under data/, the same at each call: yields the file's path
    below data/ and the picture, (H, W, 3) uint8 RGB."""
    for digit in DIGITS:  # seed 34 draws ten that anyone would read
        yield f"digits/{digit}.png", _page(digit, np.random.default_rng([34, int(digit)]))
    sets = (
        (11, "greek_train", LETTERS[:3], 9),
        (12, "greek_extended", LETTERS, 30),
        (13, "greek_test", LETTERS, 6),
    )
    for seed, folder, letters, count in sets:
        for letter in letters:
            for i in range(count):
                # Each set has its own writers; one writer writes a page of all its letters. Their
                # tastes are spread evenly, so that every way of writing gets its share.
                writer = Hand.any(np.random.default_rng([seed, i]))
                # They lean less than others may: letters that anyone would read.
                writer = replace(writer, taste=(i + 0.5) / count, slant=0.6 * writer.slant)
                rng = np.random.default_rng([seed, i, LETTERS.index(letter)])
                yield f"{folder}/{letter}/{letter}_{i + 1:02}.png", _page(letter, rng, writer)


def _page(character, rng, hand=None):
    """A photograph, (128, 128, 3) uint8 RGB, of a character written with care and a usual pen."""
    hand = hand or Hand.any(rng)
    hand = replace(hand, aspect=hand.aspect**0.6, wobble=0.8 * hand.wobble, pen=min(hand.pen, 0.16))
    # The lowest two bits are noise, and would double the files.
    return photograph(draw(character, rng, 128, hand), rng) // 4 * 4


def main(options):
    """Draws the pictures that ship."""
    for name, picture in shipped():
        _, png = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        with whole_file(options.folder / name) as file:
            file.write(png.tobytes())
    print(f"pictures written: {cli.short(options.folder)}")


if __name__ == "__main__":
    parser = cli.Parser("Draws the pictures of digits and letters that ship in data.")
    parser.add_argument("folder", type=cli.path_name, help="where they go; data replaces them")
    cli.run(main, parser.parse_args())
