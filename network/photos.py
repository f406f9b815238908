"""Any picture of one character → the 28×28 that MNIST would have made of it.

    picture = read_image("my_seven.jpg")  # (H, W, 3)
    digit = normalise(picture)  # (28, 28), white ink on black, as in MNIST

The steps are those by which the NIST scans became MNIST (LeCun et al., "Gradient-based learning
applied to document recognition", 1998, section III.A): the ink's bounding box is scaled into 20×20,
keeping its aspect, and its centre of mass is put at the centre of 28×28. What comes before them
finds the ink, which NIST's scans, black and white as they were, did not need.
"""

import cv2
import numpy as np

from network.files import Problem
from network.ink import NO_INK, NoInk, find_ink, stroke_width
from network.pictures import read_image

FACE = 20  # longest side of the ink's bounding box in MNIST, in pixels
# Stroke width in the 28×28, in pixels: one in six of MNIST is thinner, one in 160 thicker.
THINNEST, THICKEST = 2.0, 5.0


def normalise(picture):
    """Makes of a picture of one character what MNIST would have made of it.

    The picture is (H, W) or (H, W, 3) uint8, ink and paper of any two colours, the character
    anywhere in it; the result is (28, 28) uint8, ink 255 on black 0.

    Raises:
        NoInk: nothing in the picture stands out.
    """
    ink, _ = find_ink(picture)
    return fit(thin(ink))


def read_character(path, transform=normalise):
    """Reads a file with a picture of one character and makes 28×28 of it by a transform.

    Returns the picture, (H, W, 3) uint8 RGB; (28, 28) uint8; and how many marks of that character's
    size `normalise` saw in the picture, 1 with another transform.

    Raises:
        NoInk: nothing in the picture stands out.
        Problem: the file cannot be read; see `read_image`.
    """
    picture = read_image(path)
    try:
        if transform is normalise:
            ink, marks = find_ink(picture)
            return picture, fit(thin(ink)), marks
        return picture, transform(picture), 1
    except NoInk as problem:
        raise NoInk(f"{path}: {problem}") from None


def try_to_read(path, transform):
    """As `read_character`, or the `Problem` that there was: for pools of threads or processes."""
    try:
        return read_character(path, transform)
    except Problem as problem:
        return problem


def fit(ink):
    """Fits clean ink, (H, W) with 0 for paper and 1 for ink, into (28, 28) uint8 as MNIST did.

    A real MNIST image, divided by 255, comes out as it went in, but for strokes thinner than
    `THINNEST`.

    Raises:
        NoInk: there is none.
    """
    ink = thicken(without_margin(ink))
    h, w = ink.shape
    scale = FACE / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))  # OpenCV's order: width, height
    face = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # Like MNIST's, a quarter of the ink is fully white.
    full = np.sort(face, None)[-max(1, np.count_nonzero(face > 0.25 * face.max()) // 4)]
    face = np.minimum(face / full, 1)
    # The centre of mass goes to pixel 14, counted from 0, as in MNIST, yet no ink out of frame.
    left, top = (
        min(max(round(14 - face.sum(axis) @ np.arange(n) / face.sum()), 0), 28 - n)
        for axis, n in enumerate(size)
    )
    digit = np.zeros((28, 28), np.uint8)
    digit[top : top + size[1], left : left + size[0]] = np.uint8(face * 255 + 0.5)
    return digit


def without_margin(ink):
    """Ink (H, W), 0 for paper and 1 for ink, in its bounding box: (h, w) float32; else NoInk."""
    x, y, w, h = cv2.boundingRect(np.uint8(ink > 0.25))
    if not w:
        raise NoInk(NO_INK)
    return np.float32(ink[y : y + h, x : x + w])


def thicken(ink):
    """Widens the strokes of (h, w) float32 to `THINNEST`, lest hairlines vanish when shrunk."""
    fine, pixel, width = magnified(ink)
    more = round((THINNEST * pixel - width) / 2)
    if more <= 0:
        return ink
    fine = cv2.copyMakeBorder(fine, more, more, more, more, cv2.BORDER_CONSTANT)
    return cv2.dilate(fine, disc(more))


def thin(ink):
    """Narrows the strokes of ink (H, W) in a picture to `THICKEST`: a 1 by a fat pen is a block,
    which MNIST does not know. NoInk where there is none."""
    ink = without_margin(ink)
    fine, pixel, width = magnified(ink)
    less = int((width - THICKEST * pixel) / 2)
    thinner = cv2.erode(fine, disc(less)) if less > 0 else ink
    return thinner if thinner.max() > 0.25 else ink


def magnified(ink):
    """Ink (h, w) enlarged by a whole number, with a margin, since a stroke's width of a pixel or
    two must be measured finer than that; the size there of a pixel of the 28×28; the width."""
    zoom = -(-80 // max(ink.shape))
    fine = cv2.resize(ink, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    fine = cv2.copyMakeBorder(fine, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    return fine, max(fine.shape) / FACE, stroke_width(np.uint8(fine > 0.5))


def disc(radius):
    """Its pixels, (2 · radius + 1, 2 · radius + 1)."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)


def report_transform(picture):
    """The report's own transform, to compare with: (H, W) or (H, W, 3) uint8 → (28, 28) uint8.

    Grey, scaled by 36/128 about the centre, the middle 28×28 cut out, inverted. It takes the
    picture to be dark on light, 128×128, with the character in the middle.
    """
    grey = picture if picture.ndim == 2 else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    lines = []
    for n in grey.shape:  # torchvision's affine takes the nearest pixel
        out = np.arange(28) + round(max(0, n - 28) / 2) - max(0, 28 - n) // 2
        line = np.floor((out + 0.5 - n / 2) * (128 / 36) + n / 2).astype(int)
        lines.append(np.where(line >= 0, line, n))
    # What lies outside the picture is black, until inverted; one row and column stand for it.
    return 255 - np.pad(grey, (0, 1)).take(lines[0], 0, mode="clip").take(lines[1], 1, mode="clip")


def whole_picture(picture):
    """The whole of a picture, as Fashion-MNIST's are: (H, W, 3) uint8 → (28, 28), light on dark."""
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    if np.median(np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])) > 127:
        grey = 255 - grey
    spare = max(grey.shape) - np.array(grey.shape)
    square = np.pad(grey, np.stack([spare // 2, spare - spare // 2], 1))
    return cv2.resize(square, (28, 28), interpolation=cv2.INTER_AREA)


def transform_of(names, facts):
    """How a picture becomes the 28×28 that a network learned to read, by the names of its classes
    and the facts in its checkpoint."""
    if "T-shirt" in names:  # clothes are no ink on paper
        return whole_picture
    return report_transform if facts.get("transform") == "report" else normalise
