"""The ink of a whole page: a picture → (H, W) uint8, 0 for paper, and without printed lines."""

import cv2
import numpy as np

from network.pictures import thumbnail

WORK = 6_000_000  # pixels; larger pictures are shrunk to it
THIN, WIDE = 1 / 14, 1 / 4  # of the picture's longer side: strokes are thinner


def page_ink(picture, reach):
    """How much darker each pixel is than the paper around it; what is not paper has no ink.

    Args:
        picture: (H, W, 3) uint8 RGB.
        reach: strokes are thinner than this share of the picture's longer side.

    Returns:
        (H, W) uint8: 0 for paper, 255 for black on white; and the least that stands out from the
        paper's noise, on that scale.
    """
    h, w = picture.shape[:2]
    given = thumbnail(picture, 500)
    k = int(max(given.shape) * reach) | 1
    # Closing fills what is darker and narrower than k, and leaves the edges of wider things.
    paper = cv2.morphologyEx(cv2.medianBlur(given, 3), cv2.MORPH_CLOSE, np.ones((k, k), np.uint8))
    sheet = cv2.resize(sheet_in(paper, given), (w, h), interpolation=cv2.INTER_NEAREST)
    paper = cv2.resize(cv2.GaussianBlur(paper, (0, 0), 1), (w, h))
    bright = cv2.divide(picture, cv2.max(paper, 24), scale=255)  # (H, W, 3): 255 for paper
    red, green, blue = cv2.split(bright)
    ink = 255 - cv2.min(cv2.min(red, green), blue)  # coloured ink is dark in one colour at least
    step = max(1, max(h, w) // 700)
    sample = np.float32(ink[::step, ::step][sheet[::step, ::step] > 0])
    base = np.median(sample)
    noise = 1.48 * np.median(np.abs(sample - base))
    return cv2.subtract(ink, float(base)) * sheet, max(5 * noise, 16)


def sheet_in(paper, picture):
    """Where the paper is: (h, w) uint8, from the brightness without ink and with it, (h, w, 3).

    Paper is smooth, so are the shadows on it, and these have its colour. Whatever else reaches
    the frame is a table, or what lies on it.
    """
    h, w = paper.shape[:2]
    box = np.ones((3, 3), np.uint8)
    high, low = np.float32(cv2.dilate(paper, box)), np.float32(cv2.erode(paper, box))
    smooth = cv2.erode(np.uint8((low > 0.86 * high - 5).all(2)), np.ones((5, 5), np.uint8))
    dark = np.float32((picture < 0.92 * np.float32(paper) - 3).any(2))
    smooth &= np.uint8(cv2.blur(dark, (25, 25)) < 0.3)  # writing is thinner than wood's grain
    _, label, boxes, _ = cv2.connectedComponentsWithStats(smooth, connectivity=4)
    size = boxes[:, 4].copy()
    size[0] = 0
    main = size.argmax()
    grain = np.abs(picture - cv2.blur(np.float32(picture), (9, 9))).mean(2) / (high.mean(2) + 10)

    def look(k):  # the mean colour of a region, and how grainy it is
        return paper[label == k].mean(0), np.median(grain[label == k])

    colour, plain = look(main)
    same = np.arange(len(size)) == main
    for k in np.flatnonzero(size > 0.004 * h * w):
        other, rough = look(k)
        ratio = other / np.maximum(colour, 1)
        # A shadow has the paper's colour and its grain; of a table's one may be alike, not both. No
        # shadow takes three quarters of the light.
        unlike = 10 * np.ptp(ratio) / max(ratio.mean(), 0.01) + rough / (plain + 0.002)
        same[k] |= unlike < 2.2 and ratio.mean() > 0.25
    # What lies between parts of the sheet is sheet; what lies between it and the frame is not.
    sheet = np.pad(np.uint8(same[label]), 21)
    sheet = cv2.morphologyEx(sheet, cv2.MORPH_CLOSE, np.ones((21, 21), np.uint8))[21:-21, 21:-21]
    if sheet.mean() < 0.3:
        return np.ones_like(sheet)
    _, label, _, _ = cv2.connectedComponentsWithStats(1 - sheet, connectivity=4)
    rim = np.concatenate([label[0], label[-1], label[:, 0], label[:, -1]])
    beyond = np.zeros_like(sheet)
    for k in np.unique(rim[rim > 0]):
        part = np.uint8(label == k)
        beside = cv2.dilate(part, np.ones((15, 15), np.uint8)) & sheet
        ratio = paper[part > 0].mean(0) / np.maximum(paper[beside > 0].mean(0), 1)
        if np.abs(ratio - 1).max() > 0.1:  # not just dense writing at the sheet's edge
            beyond |= part
    return 1 - cv2.dilate(beyond, np.ones((5, 5), np.uint8))  # its edge is no ink


def long_parts(mask):
    """What reaches over a good part of the picture and is thin: printed lines, edges of sheets.

    Returns (H, W) uint8, a part of the mask with all that is connected to such things.
    """
    h, w = mask.shape
    small = np.uint8(thumbnail(mask * 255, 1000) > 40)
    _, label, boxes, _ = cv2.connectedComponentsWithStats(small)
    wide = (boxes[:, 2] > 0.25 * small.shape[1]) | (boxes[:, 3] > 0.25 * small.shape[0])
    wide[0] = False
    part = cv2.dilate(np.uint8(wide)[label], np.ones((3, 3), np.uint8))
    return mask & cv2.resize(part, (w, h), interpolation=cv2.INTER_NEAREST)


def lean(lines):
    """How far lines that lie lean in `long_parts`, and those that stand: two angles in radians.

    They are those at which the projection of the lines is most uneven. A page seen from aside has
    two; where there are lines one way only, both are theirs. Positive is clockwise.
    """
    y, x = np.nonzero(lines)
    chosen = np.random.default_rng(0).permutation(len(x))[:5_000]
    scale = 1000 / max(lines.shape)
    x, y = x[chosen] * scale, y[chosen] * scale
    angles = np.deg2rad(np.arange(-12, 12.01, 0.25))
    unevenness = []  # two lists, of lines that lie and of lines that stand
    for a, b in ((x, y), (-y, x)):
        across = (np.int64(b * np.cos(t) - a * np.sin(t)) + 2000 for t in angles)
        unevenness.append([np.square(np.bincount(rows), dtype=float).sum() for rows in across])
    found = np.max(unevenness, 1)
    clear = found > 2 * np.median(unevenness, 1)
    leans = angles[np.argmax(unevenness, 1)]
    return leans if clear.all() else leans[[found.argmax()] * 2]


def laid_flat(shape, level, upright):
    """The affine matrix (2, 3) about a picture's middle by which lines that lean by these angles
    lie flat and stand upright; and width and height of the frame that holds the whole picture."""
    h, w = shape
    turn = np.array([[np.cos(level), -np.sin(upright)], [np.sin(level), np.cos(upright)]])
    turn = np.linalg.inv(turn)
    width, height = np.ceil(np.abs(turn) @ (w, h)).astype(int)
    shift = np.array([width, height]) / 2 - turn @ (w / 2, h / 2)
    return np.column_stack([turn, shift]), (int(width), int(height))


def lines_in(mask, length):
    """The printed lines in (H, W) uint8 that lie flat within two degrees, `length` or longer.

    Where a stroke crosses a line the mask is thick, and is no part of it.
    """
    # Lines may bend a little, and those of a page seen from aside lean apart.
    filled = cv2.dilate(mask, np.ones((9, 1), np.uint8))
    run = cv2.boxFilter(filled, cv2.CV_32F, (length, 1), borderType=cv2.BORDER_CONSTANT)
    core = np.uint8(run > 0.93)
    if not core.any():
        return core
    core = cv2.dilate(core, np.ones((1, int(1.15 * length)), np.uint8)) & mask
    # How thick lines are: the usual height of what was found.
    tall = cv2.boxFilter(mask, cv2.CV_32F, (1, 15), normalize=False)
    usual = np.percentile(tall[core > 0], 40)
    # What is thicker is the stem of a large 1, unless it is three times as long.
    most = int(0.004 * max(mask.shape)) + 4
    run = cv2.boxFilter(filled, cv2.CV_32F, (3 * length, 1), borderType=cv2.BORDER_CONSTANT)
    if (run > 0.93).any():
        most = max(most, int(usual) + 2)
    thick = min(int(usual * 1.4 + 2), most)
    strokes = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((thick, 1), np.uint8))
    return core & ~strokes


def lines_of(mask):
    """The printed lines in a mask, flat and upright ones: (H, W) uint8."""
    side = max(mask.shape)
    length = max(side // 14, min(side // 2, 100))
    upright = lines_in(np.ascontiguousarray(mask.T), length).T
    return lines_in(mask, length) | upright
