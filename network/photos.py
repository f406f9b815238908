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
ENLARGE_TO = 160
THIN, WIDE = 0.25, 0.7
PREFER_WIDE = 1.4
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

    Large pictures are shrunk, h and w being at most `SHRINK_TO`.

    Raises:
        NoInk: nothing in the picture stands out.
    """
    h, w = picture.shape[:2]
    scale = SHRINK_TO / max(h, w)
    if scale < 1:
        size = max(1, round(w * scale)), max(1, round(h * scale))
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    tone = one_tone(even_light(np.float32(np.atleast_3d(picture))))  # (h, w)
    # Whatever is measured below is measured in pixels, and a small picture has too few of them.
    zoom = max(1, ENLARGE_TO // max(h, w))
    large = np.repeat(np.repeat(tone, zoom, 0), zoom, 1)
    # Ink may be darker or lighter than its paper, thin or as wide as a third of the picture: look
    # for all of these, take what is most like ink.
    large = 255 - without_lines(255 - without_lines(large))
    found = [strokes(t, reach, zoom) for t in (large, 255 - large) for reach in (THIN, WIDE)]
    ink, likeness = max(found, key=lambda one: one[1])
    if not likeness:
        raise NoInk(NO_INK)
    return cv2.resize(ink, tone.shape[::-1], interpolation=cv2.INTER_AREA)


def even_light(picture):
    """Divides (h, w, c) float32 by the slope of its light, a plane fitted to its brightness.

    Only where that parts ink and paper better: in a tight crop half is ink, and no light to fit.
    """
    h, w = picture.shape[:2]
    bright = cv2.resize(picture.mean(2), (32, 32), interpolation=cv2.INTER_AREA).ravel()
    y, x = np.mgrid[-1:1:32j, -1:1:32j].reshape(2, -1)
    terms = np.stack([np.ones_like(x), x, y], 1)
    weight = np.ones_like(bright)
    for _ in range(8):  # reweighted to least absolute deviations, so that ink hardly counts
        tilted = (terms * weight[:, None]).T
        plane = terms @ np.linalg.solve(tilted @ terms, tilted @ bright)
        weight = 1 / np.maximum(1, np.abs(bright - plane))
    plane = np.clip(plane, *np.percentile(bright, (2, 98))) + 16  # black paper is not blown up
    if two_tones(bright) >= max(0.8, two_tones(bright / plane)):  # a slope alone has 0.75
        return picture / (bright.mean() + 16)
    light = cv2.resize(np.float32(plane.reshape(32, 32)), (w, h))
    return picture / light[..., None]


def two_tones(values):
    """The share of the variance of (n,) values that lies between two groups of them (Otsu 1979)."""
    values = np.sort(values)
    n = np.arange(1, len(values))
    mean = values.mean()
    left = np.cumsum(values)[:-1] / n
    between = n * (left - mean) ** 2 * len(values) / (len(values) - n)
    return between.max() / max(1e-12, ((values - mean) ** 2).sum())


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


def strokes(tone, reach, zoom=1):
    """Finds the character in (h, w) uint8, were it darker than its paper.

    Strokes are looked for that are narrower than `reach` of the picture's side. Each of its pixels
    was enlarged to `zoom` × `zoom`.

    Returns its ink, (h, w) float32 from 0 to 1, and how much it is like ink, 0 for not at all:
    ink has sharp edges all around, and many for its area. The gaps between strokes, a sheet on
    a table and a shadow have fewer.
    """
    h, w = tone.shape
    box = np.ones((3, 3), np.uint8)
    calm, paper, ink, mask = dark_parts(tone, reach)
    mask = without_specks(mask)
    rows, columns = mask.nonzero()
    if not len(rows):
        return ink, 0

    # Group what lies close together: strokes may be broken.
    r = max(1, (h + w) // 100)
    _, label, boxes, _ = cv2.connectedComponentsWithStats(
        cv2.dilate(mask, np.ones((2 * r + 1, 2 * r + 1), np.uint8))
    )
    label *= mask
    left, top, right, bottom = corners(boxes)
    # Beyond the frame there is paper: ink that the frame cuts has an edge there, too.
    around = cv2.copyMakeBorder(paper, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    around[1:-1, 1:-1] = calm
    edge = np.float32(cv2.morphologyEx(around, cv2.MORPH_GRADIENT, box)[1:-1, 1:-1]) ** 2

    group = label[rows, columns]  # (pixels of ink,)

    def per_group(values):
        return np.bincount(group, values, minlength=len(boxes))

    area = np.maximum(1, per_group(None))
    edges = per_group(edge[rows, columns])
    # A group that touches the frame counts as far as it reaches inside: borders do not.
    to_frame = np.minimum(np.minimum(rows, h - 1 - rows), np.minimum(columns, w - 1 - columns))
    inside = per_group(to_frame >= max(1, min(h, w) // 8)) / area
    touches = per_group(to_frame < 2) > 0
    score = edges * np.where(touches, inside, 1)
    main = score.argmax()
    if not score[main]:
        return ink, 0

    near = max(right[main] - left[main], bottom[main] - top[main]) / 2
    beside = np.maximum(left - right[main], left[main] - right) < near
    beside &= np.maximum(top - bottom[main], top[main] - bottom) < near
    keep = np.uint8(beside & (score >= 0.08 * score[main]))

    body = np.uint8(label == main)
    rim = edge[body > cv2.erode(body, box, borderValue=0)]
    contrast = np.percentile(ink[body > 0], 80)
    if np.sqrt(np.median(rim)) < 0.08 * contrast:  # light fades so slowly, ink does not
        return ink, 0
    sharp_all_around = np.sqrt(rim).mean() ** 2 / rim.mean()  # 1 if equally sharp everywhere
    kept = keep[label]
    # Paper, not ink, lies along most of the frame.
    frame = np.concatenate([kept[0], kept[-1], kept[:, 0], kept[:, -1]]).mean()
    likeness = (edges[main] * sharp_all_around * (1 - frame)) ** 2 / area[main]
    if reach == WIDE:
        likeness *= PREFER_WIDE
    ink = np.clip(ink / contrast, 0, 1)
    skirt = np.ones((2 * zoom + 1, 2 * zoom + 1), np.uint8)  # half ink, half paper
    return ink * cv2.dilate(kept, skirt), likeness


def dark_parts(tone, reach):
    """What is darker in (h, w) uint8 than what surrounds it, and narrower than `reach` of its side.

    Returns, each (h, w): the tone without grain; that of the paper; how much darker than paper each
    pixel is, float32; and where that is much, uint8 0 or 1, nowhere if it may be noise.
    """
    calm = cv2.medianBlur(tone, 3)
    # Closing fills what is darker and narrower than k and leaves the edges of all wider things.
    k = int(sum(tone.shape) / 2 * reach) + 4 | 1
    paper = cv2.morphologyEx(calm, cv2.MORPH_CLOSE, np.ones((k, k)))
    ink = cv2.subtract(paper, tone, dtype=cv2.CV_32F)
    # Percentiles by counting: there are few values.
    share = np.cumsum(cv2.calcHist([ink], [0], None, [511], [-255, 256])) / ink.size
    low, high, peak = (np.searchsorted(share, (0.05, 0.15, 0.9995)) - 255).tolist()
    # The noise of the paper, as of a normal distribution whose lower tail has no ink in it: in a
    # tight crop most of the picture is ink.
    noise = (high - low) / 0.609
    base = high + 1.036 * noise
    if peak - base < max(8, 5 * noise):
        return calm, paper, ink, np.zeros_like(tone)
    ink -= np.float32(base)
    return calm, paper, ink, np.uint8(ink > 0.35 * (peak - base))


def without_lines(tone):
    """Paints over dark printed lines in (h, w) uint8 with the tone of the paper."""
    _, paper, _, mask = dark_parts(tone, THIN)
    lines = printed_lines(mask)
    if not lines.any():
        return tone
    skirt = cv2.dilate(lines, np.ones((5, 5), np.uint8))
    kept = cv2.dilate(mask & (1 - lines), np.ones((3, 3), np.uint8))
    return np.where(skirt & (1 - kept), paper, tone)


def printed_lines(mask):
    """The pixels of ruled lines and of a printed box around the character in (h, w) uint8, 0 or 1.

    A line is thin, straight and runs through most of the picture, but so does the top of a 7 in a
    tight crop. Lines are taken to be printed where they make a box, or run from frame to frame
    without touching the character or much thinner than it, with a character left that has room.
    """
    h, w = mask.shape
    thick = max(4, round(0.09 * min(h, w)))  # a printed line is thinner than that
    found = []  # for each direction: the long runs' mask, how many lines, how many frame to frame
    for m in (mask, mask.T):
        m = np.ascontiguousarray(m)
        tall, wide = m.shape
        slack = max(1, wide // 160)  # for lines not quite level
        runs = cv2.dilate(m, np.ones((2 * slack + 1, 1), np.uint8))
        runs = cv2.morphologyEx(runs, cv2.MORPH_OPEN, np.ones((1, max(3, wide // 5)), np.uint8))
        if not runs.any():
            found.append((runs, 0, 0))
            continue
        _, label, boxes, _ = cv2.connectedComponentsWithStats(runs)
        left, top, right, bottom = corners(boxes)
        long = (right - left >= 0.7 * wide) & (bottom - top < 0.15 * tall)
        long[0] = False
        edge = max(2, wide // 50)
        through = long & (left <= edge) & (right >= wide - edge)
        found.append((np.uint8(long)[label] & m, long.sum(), through.sum()))
    (level, levels, through), (upright, uprights, also_through) = found
    if not levels + uprights:
        return np.zeros_like(mask)
    upright = upright.T
    # A stroke that crosses a line goes on to both sides of it.
    crossed = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((thick, 1), np.uint8))
    crossed_upright = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, thick), np.uint8))
    lines = (level & (1 - crossed)) | (upright & (1 - crossed_upright)) | (level & upright)
    rest = cv2.morphologyEx(mask & (1 - lines), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    x, y, wide, tall = cv2.boundingRect(rest)
    none = np.zeros_like(mask)
    if max(wide / w, tall / h) < 0.2:
        return none
    if levels and uprights and levels + uprights > 2:  # a box
        return lines
    if through + also_through < levels + uprights:
        return none
    if x < 2 or y < 2 or x + wide > w - 2 or y + tall > h - 2:
        return none
    _, label = cv2.connectedComponents(rest)
    touching = np.unique(label[cv2.dilate(lines, np.ones((3, 3), np.uint8)) > 0])
    attached = np.isin(label, touching[touching > 0]).sum() / rest.sum()
    thin = lines.sum() / ((levels * w) + (uprights * h)) < 0.6 * stroke_width(rest)
    return lines if attached < 0.3 or thin else none


def stroke_width(mask):
    """How wide strokes are on average in (h, w) uint8, in pixels."""
    # Across a stroke the distance to its edge grows from 0 to half its width: a quarter on average.
    return 4 * cv2.distanceTransform(mask, cv2.DIST_L2, 3).sum() / max(1, mask.sum()) - 1


def without_specks(mask):
    """Drops flat specks along the sides of (h, w) uint8, which scanned forms leave there."""
    h, w = mask.shape
    _, label, boxes, _ = cv2.connectedComponentsWithStats(mask)
    left, top, right, bottom = corners(boxes)
    wide, high = right - left, bottom - top
    low = max(3, min(6, max(h, w) // 22))
    flat = (high <= low) & (wide < w / 4) & ((bottom <= h / 6) | (top >= h - h / 6))
    flat |= (wide <= low) & (high < h / 4) & ((right <= w / 6) | (left >= w - w / 6))
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
    more = round((THINNEST * max(fine.shape) / FACE - stroke_width(mask)) / 2)
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
