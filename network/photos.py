"""Any picture of one character → the 28×28 that MNIST would have made of it.

    picture = read_image("my_seven.jpg")  # (H, W, 3)
    digit = normalise(picture)  # (28, 28), white ink on black, as in MNIST

The steps are those by which the NIST scans became MNIST (LeCun et al., "Gradient-based learning
applied to document recognition", 1998, section III.A): the ink's bounding box is scaled into 20×20,
keeping its aspect, and its centre of mass is put at the centre of 28×28. What comes before them
finds the ink, which NIST's scans, black and white as they were, did not need.
"""

import os
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from network import MAX_PIXELS
from network.files import Problem

MAX_PACKED = 10_000  # pixels in a byte of a file: more than PNG or GIF can pack there
LARGE = 8_000_000  # pixels; larger pictures are shrunk to it before work that takes much memory
SHRINK_TO = 480  # longest side, in pixels, at which ink is looked for
FACE = 20  # longest side of the ink's bounding box in MNIST, in pixels
THINNEST = 2.0  # stroke width in the 28×28, in pixels, to which thinner strokes are widened
NO_INK = "there is no ink in the picture; write with a darker pen or in better light"

cv2.utils.logging.setLogLevel(0)  # a damaged file is one line, our Problem, not OpenCV's too


# Kinds of image files that are looked for in folders; a file named singly may be of any kind.
IMAGE_SUFFIXES = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
}


class NoInk(Problem):
    """The picture has nothing in it that could be ink."""

    status = 1


def image_files(paths):
    """The files named, and in place of a folder all image files in it and below it, sorted.

    Raises:
        Problem: a folder has no image file, or cannot be read.
    """
    found = []
    for path in map(Path, paths):
        # Unlike path.is_dir(), this is false, no error, of what cannot be looked at.
        if not os.path.isdir(path):
            found.append(path)  # whether it is there is found out when it is read
            continue
        inside = sorted(
            file
            for file in path.rglob("*")
            if file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".")
        )
        if not inside:
            raise Problem(f"no image files in the folder {path}; put some there or name others")
        found += inside
    return found


def read_image(path):
    """Reads an image file of any kind and depth that OpenCV knows, as (H, W, 3) uint8 RGB.

    Sixteen-bit and float pictures are scaled so that their brightest value is 255; transparent ones
    are laid on white or black.

    Raises:
        Problem: the file is missing, a folder, empty, no image, cut off, or absurdly large.
    """
    path = Path(path)
    if os.path.isdir(path):
        raise Problem(f"{path} is a folder; name an image file in it")
    try:
        data = np.fromfile(path, np.uint8)
    except FileNotFoundError:
        raise Problem(f"{path} does not exist; check the name") from None
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror or error}; check the file") from None
    if not data.size:
        raise Problem(f"{path} is empty; copy or save it again")
    raw = data.tobytes()
    pixels, whole = look_at_header(raw)
    if pixels > MAX_PIXELS:
        raise Problem(f"{path} has {pixels / 1e6:.0f} million pixels; scale it down")
    if not whole or pixels > MAX_PACKED * len(raw):
        raise Problem(f"{path} is cut off; copy or save it again")
    try:
        # UNCHANGED keeps transparency; COLOR turns a photograph the way its camera was held.
        photograph = raw.startswith(b"\xff\xd8")
        with _quiet_libraries():
            picture = cv2.imdecode(data, cv2.IMREAD_COLOR if photograph else cv2.IMREAD_UNCHANGED)
    except (cv2.error, MemoryError):
        picture = None
    if picture is None:
        raise Problem(f"{path} is no image, or a damaged one; save it as PNG or JPEG")
    plain = picture.dtype == np.uint8 and picture.shape[2:] != (4,)
    scale = (LARGE / (picture.shape[0] * picture.shape[1])) ** 0.5
    if not plain and scale < 1:
        size = [max(1, int(side * scale)) for side in picture.shape[1::-1]]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    if picture.dtype != np.uint8:
        picture = np.nan_to_num(picture, posinf=0, neginf=0)  # floats may be anything
        brightest = max(picture.max(), 1e-6)
        picture = np.uint8(np.clip(picture, 0, brightest) * (255 / brightest))
    if picture.ndim == 2:
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)
    if picture.shape[2] == 4:
        picture = composite(picture)
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)


@contextmanager
def _quiet_libraries():
    """Keeps what libpng and libjpeg print of damaged files off standard error."""
    with open(os.devnull, "wb") as nowhere:
        stderr = os.dup(2)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def look_at_header(raw):
    """How many pixels a PNG's, GIF's or JPEG's header promises, and if the file has its end.

    Decoders may fill what is missing with grey and say nothing. Other kinds are left to OpenCV,
    which refuses halves of them: (0, True).
    """
    if raw.startswith(b"\x89PNG"):
        width, height = (int.from_bytes(raw[i : i + 4], "big") for i in (16, 20))
        return width * height, b"IEND\xaeB`\x82" in raw
    if raw.startswith(b"GIF8"):
        width, height = (int.from_bytes(raw[i : i + 2], "little") for i in (6, 8))
        return width * height, True
    if not raw.startswith(b"\xff\xd8"):
        return 0, True
    pixels, at = 0, 2
    # Step over the segments to the scan: a thumbnail among them has an end of its own.
    while at + 4 <= len(raw) and raw[at + 1] != 0xDA:
        if 0xC0 <= raw[at + 1] <= 0xCF and raw[at + 1] not in (0xC4, 0xC8, 0xCC):
            height, width = (int.from_bytes(raw[at + i : at + i + 2], "big") for i in (5, 7))
            pixels = width * height
        at += 2 + int.from_bytes(raw[at + 2 : at + 4], "big")
    return pixels, raw.find(b"\xff\xd9", at) > 0


def thumbnail(picture, side=200):
    """A picture made to fit into side×side pixels; smaller ones stay as they are."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return picture
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def composite(picture):
    """Lays a transparent (H, W, 4) uint8 picture on what leaves its ink visible: (H, W, 3).

    If all that is visible has about one brightness, it is ink, and the paper is what contrasts with
    it, white or black. Else ink and paper are both visible, and what is transparent becomes paper.
    """
    colour, alpha = picture[..., :3], picture[..., 3:] / 255
    grey, weights = colour.mean(2), alpha[..., 0] + 1e-6
    mean = np.average(grey, weights=weights)
    one_colour = np.average(np.abs(grey - mean), weights=weights) < 30
    paper = 255 if (mean < 128) == one_colour else 0
    return np.uint8(colour * alpha + paper * (1 - alpha) + 0.5)


def normalise(picture):
    """Makes of a picture of one character what MNIST would have made of it.

    The picture is (H, W) or (H, W, 3) uint8, ink and paper of any two colours, the character
    anywhere in it; the result is (28, 28) uint8, ink 255 on black 0.

    Raises:
        NoInk: nothing in the picture stands out.
    """
    return fit(find_ink(picture))


def read_character(path, transform=normalise):
    """Reads a picture of one character and makes 28×28 of it.

    Args:
        path: an image file.
        transform: makes the 28×28.

    Returns:
        The picture, (H, W, 3) uint8 RGB, and (28, 28) uint8.

    Raises:
        NoInk: nothing in the picture stands out.
        Problem: the file cannot be read; see `read_image`.
    """
    picture = read_image(path)
    try:
        return picture, transform(picture)
    except NoInk as problem:
        raise NoInk(f"{path}: {problem}") from None


def find_ink(picture):
    """Finds the ink: (H, W) or (H, W, 3) uint8 → (h, w) float32, 0 for paper and 1 for ink.

    Raises:
        NoInk: nothing in the picture stands out.
    """
    h, w = picture.shape[:2]
    scale = SHRINK_TO / max(h, w)
    if scale < 1:
        size = max(1, round(w * scale)), max(1, round(h * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    tone = one_tone(even_light(np.float32(np.atleast_3d(picture))))  # (h, w)
    # Ink may be darker or lighter than its paper: look for both, take what is more like ink.
    ink, likeness = max(strokes(tone), strokes(255 - tone), key=lambda found: found[1])
    if not likeness:
        raise NoInk(NO_INK)
    return ink


def even_light(picture):
    """Divides (h, w, c) float32 by the slope of its light, a plane fitted to its brightness."""
    h, w = picture.shape[:2]
    bright = cv2.resize(picture.mean(2), (32, 32), interpolation=cv2.INTER_AREA).ravel()
    y, x = np.mgrid[-1:1:32j, -1:1:32j].reshape(2, -1)
    terms = np.stack([np.ones_like(x), x, y], 1)
    weight = np.ones_like(bright)
    for _ in range(8):  # reweighted to least absolute deviations, so that ink hardly counts
        tilted = (terms * weight[:, None]).T
        plane = terms @ np.linalg.solve(tilted @ terms, tilted @ bright)
        weight = 1 / np.maximum(1, np.abs(bright - plane))
    plane = np.clip(plane, *np.percentile(bright, (2, 98)))
    light = cv2.resize(np.float32(plane.reshape(32, 32)), (w, h))
    return picture / (light[..., None] + 16)  # 16 keeps black paper from being blown up


def one_tone(picture):
    """Turns (h, w, c) float32 into (h, w) uint8 along the colours in which ink and paper differ.

    That is the main axis of each pixel's difference from its surroundings, strong differences
    counting more: red ink shows on green paper though both be equally bright.
    """
    if picture.shape[2] == 3:
        small = cv2.resize(picture, (64, 64), interpolation=cv2.INTER_AREA)
        around = cv2.resize(cv2.blur(small, (17, 17)), picture.shape[1::-1])
        change = (picture - around).reshape(-1, 3)
        strength = (change**2).sum(1, keepdims=True)
        _, axes = np.linalg.eigh((change * strength).T @ change)
        picture = picture @ axes[:, -1]
    else:
        picture = picture[..., 0]
    low, high = picture.min(), picture.max()
    if high - low < 0.02:
        raise NoInk(NO_INK)
    return np.uint8((picture - low) * (255 / (high - low)))


def strokes(tone):
    """Finds the character in (h, w) uint8, were it darker than its paper.

    Returns its ink, (h, w) float32 from 0 to 1, and how much it is like ink, 0 for not at all:
    ink has sharp edges all around, and many for its area. The gaps between strokes, a sheet on
    a table and a shadow have fewer.
    """
    h, w = tone.shape
    box = np.ones((3, 3), np.uint8)
    calm = cv2.medianBlur(tone, 3)
    # Closing fills what is darker and narrower than k and leaves the edges of all wider things.
    k = (h + w) // 8 + 4 | 1
    ink = np.float32(cv2.subtract(cv2.morphologyEx(calm, cv2.MORPH_CLOSE, np.ones((k, k))), tone))
    base = np.median(ink)
    noise = 1.48 * np.median(np.abs(ink - base))
    ink -= base
    peak = np.percentile(ink, 99.95)
    if peak < max(8, 5 * noise):
        return ink, 0
    mask = without_specks(np.uint8(ink > 0.35 * peak))

    # Group what lies close together: strokes may be broken.
    r = max(1, (h + w) // 100)
    _, label, boxes, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(mask, np.ones((2 * r + 1, 2 * r + 1), np.uint8))
    )
    label *= mask
    left, top, right, bottom = corners(boxes)
    edge = np.float32(cv2.morphologyEx(calm, cv2.MORPH_GRADIENT, box)) ** 2

    def per_group(values, part=np.s_[:]):
        return np.bincount(label[part].ravel(), values[part].ravel(), minlength=len(boxes))

    area = np.maximum(1, per_group(mask))
    edges = per_group(edge)
    edges[0] = 0  # the paper
    # A group that touches the frame counts as far as it reaches inside: borders do not.
    m = max(1, min(h, w) // 8)
    inside = per_group(mask, np.s_[m : h - m, m : w - m]) / area
    touches = per_group(mask, np.s_[2 : h - 2, 2 : w - 2]) < area
    score = edges * np.where(touches, inside, 1)
    main = score.argmax()
    if not score[main]:
        return ink, 0

    reach = max(right[main] - left[main], bottom[main] - top[main]) / 2
    beside = np.maximum(left - right[main], left[main] - right) < reach
    beside &= np.maximum(top - bottom[main], top[main] - bottom) < reach
    keep = np.uint8(beside & (score >= 0.08 * score[main]))

    body = np.uint8(label == main)
    rim = edge[body > cv2.erode(body, box)]
    sharp_all_around = np.sqrt(rim).mean() ** 2 / rim.mean()  # 1 if equally sharp everywhere
    likeness = (edges[main] * sharp_all_around) ** 2 / area[main]
    ink = np.clip(ink / np.percentile(ink[body > 0], 80), 0, 1)
    return ink * cv2.dilate(keep[label], box), likeness


def without_specks(mask):
    """Drops flat specks along the sides of (h, w) uint8, which scanned forms leave there."""
    h, w = mask.shape
    _, label, boxes, _ = cv2.connectedComponentsWithStats(mask)
    left, top, right, bottom = corners(boxes)
    wide, high = right - left, bottom - top
    flat = (high <= 3) & (wide < w / 4) & ((bottom <= h / 6) | (top >= h - h / 6))
    flat |= (wide <= 3) & (high < h / 4) & ((right <= w / 6) | (left >= w - w / 6))
    return np.where(flat[label], np.uint8(0), mask)


def corners(boxes):
    """The left, top, right and bottom of OpenCV's component statistics, (n,) each."""
    left, top, width, height = boxes[:, :4].T
    return left, top, left + width, top + height


def fit(ink):
    """Fits clean ink, (H, W) with 0 for paper and 1 for ink, into (28, 28) uint8 as MNIST did.

    A real MNIST image, divided by 255, comes out as it went in, but for strokes thinner than
    `THINNEST`.

    Raises:
        NoInk: there is none.
    """
    ink = np.float32(ink)
    x, y, w, h = cv2.boundingRect(np.uint8(ink > 0.25))
    if not w:
        raise NoInk(NO_INK)
    ink = thicken(ink[y : y + h, x : x + w])
    h, w = ink.shape
    scale = FACE / max(h, w)
    size = max(1, round(w * scale)), max(1, round(h * scale))  # OpenCV's order: width, height
    face = cv2.resize(ink, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    # Like MNIST's, a quarter of the ink is fully white.
    full = np.sort(face, None)[-max(1, np.count_nonzero(face > 0.25 * face.max()) // 4)]
    face = np.minimum(face / full, 1)
    # The centre of mass goes to pixel 14, counted from 0, as in MNIST, yet no ink out of frame.
    left, top = (
        min(max(round(14 - np.average(np.arange(n), weights=face.sum(axis))), 0), 28 - n)
        for axis, n in enumerate(size)
    )
    digit = np.zeros((28, 28), np.uint8)
    digit[top : top + size[1], left : left + size[0]] = np.uint8(face * 255 + 0.5)
    return digit


def thicken(ink):
    """Widens the strokes of (h, w) float32 to `THINNEST`, lest hairlines vanish when shrunk."""
    zoom = -(-80 // max(ink.shape))  # a width of a pixel or two must be measured finer than that
    fine = cv2.resize(ink, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_LINEAR)
    fine = cv2.copyMakeBorder(fine, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
    mask = np.uint8(fine > 0.5)
    # Across a stroke the distance to its edge grows from 0 to half its width: a quarter on average.
    width = 4 * cv2.distanceTransform(mask, cv2.DIST_L2, 3).sum() / max(1, mask.sum()) - 1
    more = round((THINNEST * max(fine.shape) / FACE - width) / 2)
    if more <= 0:
        return ink
    fine = cv2.copyMakeBorder(fine, more, more, more, more, cv2.BORDER_CONSTANT)
    return cv2.dilate(fine, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * more + 1,) * 2))


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
        lines.append(np.where((out >= 0) & (out < n) & (line >= 0), line, n))
    # What lies outside the picture is black, until inverted; one row and column stand for it.
    return 255 - np.pad(grey, (0, 1)).take(lines[0], 0, mode="clip").take(lines[1], 1, mode="clip")
