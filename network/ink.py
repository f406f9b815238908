"""Where the ink is in a picture: of any size, margin and frame, on any paper, in any light.

ink, marks = find_ink(picture)  # (h, w) float32: 0 for paper, 1 for the character's ink
"""

import cv2
import numpy as np

from network.files import Problem
from network.pictures import thumbnail

SHRINK_TO = 360  # longest side, in pixels, at which ink is looked for
ENLARGE_TO = 160  # the same of small pictures, enlarged by whole numbers
THIN, WIDE = 0.25, 0.7  # of the picture's side: how wide strokes may be
PREFER_WIDE = 1.4  # all of a fat stroke is more than its narrow parts
# The terms of a plane, 1, x and y, at 32 × 32 places: (1024, 3).
PLANE = np.stack([np.ones(1024), *np.mgrid[-1:1:32j, -1:1:32j][::-1].reshape(2, -1)], 1)
NO_INK = "there is no ink in the picture; write with a darker pen or in better light"


class NoInk(Problem):
    """The picture has nothing in it that could be ink."""

    status = 1


def find_ink(picture):
    """Finds the ink of one character in a picture, (H, W) or (H, W, 3) uint8.

    Returns (h, w) float32, 0 for paper and 1 for ink, large pictures shrunk to at most `SHRINK_TO`;
    and how many marks of about its size there are, itself among them.

    Raises:
        NoInk: nothing in the picture stands out.
    """
    h, w = picture.shape[:2]
    picture = thumbnail(picture, SHRINK_TO)
    tone = one_tone(even_light(np.float32(np.atleast_3d(picture))))  # (h, w)
    # Whatever is measured below is measured in pixels, and a small picture has too few of them.
    zoom = max(1, ENLARGE_TO // max(h, w))
    large = np.repeat(np.repeat(tone, zoom, 0), zoom, 1)
    dark, dark_thin = without_lines(large)
    light, light_thin = without_lines(255 - dark)
    if (light != 255 - dark).any():  # light lines were painted over, too
        dark = 255 - light
        dark_thin = dark_parts(dark, THIN)
    # Ink may be darker or lighter than its paper, thin or as wide as two thirds of the picture.
    candidates = []
    for one_way, thin in ((dark, dark_thin), (light, light_thin)):
        wide = dark_parts(one_way, WIDE)
        candidates.append(strokes(wide, zoom, PREFER_WIDE))
        if (thin[-1] != wide[-1]).any():
            candidates.append(strokes(thin, zoom))
    likeness, ink, marks = 0, None, 0
    for at_most, look_closer in sorted(candidates, key=lambda found: -found[0]):
        if at_most > likeness:
            likeness, ink, marks = max((likeness, ink, marks), look_closer(), key=lambda x: x[0])
    if not likeness:
        raise NoInk(NO_INK)
    return cv2.resize(ink, tone.shape[::-1], interpolation=cv2.INTER_AREA), marks


def even_light(picture):
    """Divides (h, w, c) float32 by the slope of its light, a plane fitted to its brightness.

    Only where that parts ink and paper better: in a tight crop half is ink, and no light to fit.
    """
    h, w = picture.shape[:2]
    bright = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA).reshape(1024, -1).mean(1)
    weight = np.ones_like(bright)
    for _ in range(8):  # reweighted to least absolute deviations, so that ink hardly counts
        tilted = PLANE.T * weight
        plane = PLANE @ np.linalg.solve(tilted @ PLANE, tilted @ bright)
        weight = 1 / np.maximum(1, np.abs(bright - plane))
    low, high = np.sort(bright)[[20, -21]]  # all but the outermost 2 per cent
    plane = np.clip(plane, low, high) + 16  # black paper is not blown up
    if two_tones(bright) >= max(0.8, two_tones(bright / plane)):  # a slope alone has 0.75
        return picture / (bright.mean() + 16)
    return picture / cv2.resize(np.float32(plane.reshape(32, 32)), (w, h))[..., None]


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
        change = (small - cv2.blur(small, (17, 17))).reshape(-1, 3)
        strength = np.einsum("ij,ij->i", change, change)[:, None]
        _, axes = np.linalg.eigh((change * strength).T @ change)
        picture = picture @ axes[:, -1]
    else:
        picture = picture[..., 0]
    low, high = picture.min(), picture.max()
    if high - low < 0.02:
        raise NoInk(NO_INK)
    return np.uint8((picture - low) * (255 / (high - low)))


def strokes(parts, zoom, weight=1):
    """Finds the character among the `dark_parts` of a picture whose pixels are `zoom`² each.

    Ink has sharp edges all around, and many for its area. The gaps between strokes, a sheet on a
    table and a shadow have fewer.

    Returns:
        How much it is like ink at most; and a function that tells how much it is, times `weight`,
        0 for not at all; the ink, (h, w) float32 from 0 to 1; and how many marks there are of about
        that size.
    """
    calm, paper, ink, mask = parts
    h, w = mask.shape
    box = np.ones((3, 3), np.uint8)
    mask = without_specks(mask)

    # Group what lies close together: strokes may be broken.
    r = max(1, (h + w) // 100)
    joined = cv2.dilate(mask, np.ones((2 * r + 1, 2 * r + 1), np.uint8))
    label, left, top, right, bottom = components(joined)
    # Beyond the frame there is paper: ink that the frame cuts has an edge there, too.
    around = cv2.copyMakeBorder(paper, 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    around[1:-1, 1:-1] = calm
    edge = cv2.morphologyEx(around, cv2.MORPH_GRADIENT, box)[1:-1, 1:-1]  # (h, w) uint8

    y, x = np.nonzero(mask)  # (pixels of ink,) each
    group = label[y, x]

    def per_group(values):
        return np.bincount(group, values, minlength=len(left))

    area = np.maximum(1, per_group(None))
    edges = per_group(np.float32(edge[y, x]) ** 2)
    # A group that touches the frame counts as far as it reaches inside: borders do not.
    to_frame = np.minimum.reduce([y, h - 1 - y, x, w - 1 - x])  # pixels
    inside = per_group(to_frame >= max(1, min(h, w) // 8)) / area
    touches = per_group(to_frame < 2) > 0
    score = edges * np.where(touches, inside, 1)
    main = score.argmax()

    def look_closer():
        side = np.maximum(right - left, bottom - top)
        alike = (side > 0.5 * side[main]) & (score > 0.08 * score[main])
        near = side[main] / 2
        beside = np.maximum(left - right[main], left[main] - right) < near
        beside &= np.maximum(top - bottom[main], top[main] - bottom) < near
        enough = score >= 0.08 * score[main]
        if touches[main]:  # a tight crop: what else touches the frame may be a part of it, too
            long = (right - left > 0.9 * w) | (bottom - top > 0.9 * h)
            enough |= touches & ~long & (edges >= 0.15 * edges[main])
        kept = np.uint8(beside & enough)[label] * mask

        body = np.uint8(label == main) * mask
        rim = np.float32(edge[body > cv2.erode(body, box, borderValue=0)]) ** 2
        contrast = np.percentile(ink[body > 0], 80)
        if np.sqrt(np.median(rim)) < 0.08 * contrast:  # light fades so slowly, ink does not
            return 0, ink, 0
        sharp_all_around = np.sqrt(rim).mean() ** 2 / rim.mean()  # 1 if equally sharp everywhere
        # Paper, not ink, lies along most of the frame.
        frame = np.concatenate([kept[0], kept[-1], kept[:, 0], kept[:, -1]]).mean()
        skirt = np.ones((2 * zoom + 1, 2 * zoom + 1), np.uint8)  # half ink, half paper
        clean = np.clip(ink / contrast, 0, 1) * cv2.dilate(kept, skirt)
        return at_most * (sharp_all_around * (1 - frame)) ** 2, clean, int(alike.sum())

    at_most = weight * edges[main] ** 2 / area[main]
    return at_most, look_closer


def dark_parts(tone, reach):
    """What is darker in (h, w) uint8 than what surrounds it, and narrower than `reach` of its side.

    Returns (h, w) each: the tone without grain, uint8; the tone of the paper, below the ink as
    well, uint8; how much darker than paper each pixel is, its noise taken off, float32; and uint8,
    1 where that is much, nowhere if it may all be noise.
    """
    calm = cv2.medianBlur(tone, 3)
    # Closing fills what is darker and narrower than k and leaves the edges of all wider things.
    k = int(sum(tone.shape) / 2 * reach) + 4 | 1
    paper = cv2.morphologyEx(calm, cv2.MORPH_CLOSE, np.ones((k, k)))
    darker = cv2.subtract(paper, tone, dtype=cv2.CV_32F)
    # Percentiles by counting: there are few values.
    share = np.cumsum(cv2.calcHist([darker], [0], None, [511], [-255, 256])) / tone.size
    low, high, peak = (np.searchsorted(share, (0.05, 0.15, 0.9995)) - 255).tolist()
    # The noise of the paper, as of a normal distribution whose lower tail has no ink in it: in a
    # tight crop most of the picture is ink.
    noise = (high - low) / 0.609
    base = high + 1.036 * noise
    contrast = peak - base
    darker -= np.float32(base)
    mask = (darker > 0.35 * contrast) & (contrast >= max(8, 5 * noise))
    return calm, paper, darker, np.uint8(mask)


def without_lines(tone):
    """Paints over dark printed lines in (h, w) uint8 with the tone of the paper.

    Returns what it became, and its `dark_parts` that are `THIN`.
    """
    parts = dark_parts(tone, THIN)
    _, paper, _, mask = parts
    lines = printed_lines(mask)
    if not lines.any():
        return tone, parts
    skirt = cv2.dilate(lines, np.ones((5, 5), np.uint8))
    kept = cv2.dilate(mask & (1 - lines), np.ones((3, 3), np.uint8))
    tone = np.where(skirt & (1 - kept), paper, tone)
    return tone, dark_parts(tone, THIN)


def printed_lines(mask):
    """The pixels of ruled lines and of a printed box around the character in (h, w) uint8, 0 or 1.

    A line is thin, straight and runs through most of the picture, but so does the top of a 7 in a
    tight crop. Lines are taken to be printed where they make a box, or run from frame to frame
    without touching the character or much thinner than it, with a character left that has room.
    """
    h, w = mask.shape
    none = np.zeros_like(mask)
    thick = max(4, round(0.09 * min(h, w)))  # a printed line is thinner than that
    found = []  # for each direction: the long runs' mask, how many lines, how many frame to frame
    for m in (mask, mask.T):
        m = np.ascontiguousarray(m)
        tall, wide = m.shape
        slack = max(1, wide // 160)  # for lines not quite level
        runs = cv2.dilate(m, np.ones((2 * slack + 1, 1), np.uint8))
        runs = cv2.morphologyEx(runs, cv2.MORPH_OPEN, np.ones((1, max(3, wide // 5)), np.uint8))
        if cv2.countNonZero(cv2.reduce(runs, 0, cv2.REDUCE_MAX)) < 0.7 * wide:  # none is so long
            found.append((np.zeros_like(m), 0, 0))
            continue
        label, left, top, right, bottom = components(runs)
        long = (right - left >= 0.7 * wide) & (bottom - top < 0.15 * tall)
        long[0] = False
        edge = max(2, wide // 50)
        cut_off = (top <= edge) | (bottom >= tall - edge)  # a line askew may leave there, too
        through = long & (cut_off | (left <= edge)) & (cut_off | (right >= wide - edge))
        found.append((np.uint8(long)[label] & m, long.sum(), through.sum()))
    (level, levels, through), (upright, uprights, also_through) = found
    if not levels + uprights:
        return none
    upright = upright.T
    # A stroke that crosses a line goes on to both sides of it; beyond the frame nothing does.
    beyond = {"borderType": cv2.BORDER_CONSTANT, "borderValue": 0}
    tall_box, wide_box = np.ones((thick, 1), np.uint8), np.ones((1, thick), np.uint8)
    crossed = cv2.morphologyEx(mask, cv2.MORPH_OPEN, tall_box, **beyond)
    crossed_upright = cv2.morphologyEx(mask, cv2.MORPH_OPEN, wide_box, **beyond)
    lines = (level & (1 - crossed)) | (upright & (1 - crossed_upright)) | (level & upright)
    rest = cv2.morphologyEx(mask & (1 - lines), cv2.MORPH_OPEN, np.ones((2, 2), np.uint8))
    _, label, boxes, _ = cv2.connectedComponentsWithStats(rest)
    size = boxes[:, 4] * (np.arange(len(boxes)) > 0)
    # The character; what a line that the frame cuts leaves there is small.
    x, y, wide, tall = cv2.boundingRect(np.uint8(size > 0.2 * size.max())[label])
    if max(wide / w, tall / h) < 0.2:
        return none
    if levels and uprights and levels + uprights > 2:  # a box
        return lines
    at_frame = x < 2 or y < 2 or x + wide > w - 2 or y + tall > h - 2
    if at_frame or through + also_through < levels + uprights:
        return none
    touching = np.unique(label[cv2.dilate(lines, np.ones((3, 3), np.uint8)) > 0])
    attached = np.isin(label, touching[touching > 0]).sum() / rest.sum()
    thin = lines.sum() / ((levels * w) + (uprights * h)) < 0.6 * stroke_width(rest)
    # A character stands on a level line. What is left of a 1 from frame to frame is less than that.
    thin &= levels > 0 and size.max() > lines.sum() / (levels + uprights)
    return lines if attached < 0.3 or thin else none


def stroke_width(mask):
    """How wide strokes are on average in (h, w) uint8, in pixels."""
    # Across a stroke the distance to its edge grows from 0 to half its width: a quarter on average.
    distance = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    return 4 * distance.sum() / max(1, cv2.countNonZero(mask)) - 1


def without_specks(mask):
    """Drops flat specks along the sides of (h, w) uint8, which scanned forms leave there."""
    h, w = mask.shape
    label, left, top, right, bottom = components(mask)
    wide, high = right - left, bottom - top
    low = max(3, min(6, max(h, w) // 22))
    flat = (high <= low) & (wide < w / 4) & ((bottom <= h / 6) | (top >= h - h / 6))
    flat |= (wide <= low) & (high < h / 4) & ((right <= w / 6) | (left >= w - w / 6))
    return np.where(flat[label], np.uint8(0), mask) if flat.any() else mask


def components(mask):
    """The connected parts of (h, w) uint8: the number of each pixel's part, (h, w), 0 for none; and
    the left, top, right and bottom of each part, (n,)."""
    # Labels of 16 bits take half the time, and are enough for so few pixels.
    _, label, boxes, _ = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_16U)
    left, top, width, height = boxes[:, :4].T
    return label, left, top, left + width, top + height
