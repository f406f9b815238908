"""The ink of a page → its characters: pieces of strokes joined, digits that touch parted."""

from dataclasses import dataclass, replace
from itertools import combinations
from operator import itemgetter

import cv2
import numpy as np

from network import photos


@dataclass
class Pieces:
    """The connected parts of a page's ink, N of them."""

    ink: np.ndarray  # (H, W) uint8
    label: np.ndarray  # (H, W) int32: a piece's index + 1; 0 for paper and specks
    box: np.ndarray  # (N, 4) left, top, right, bottom
    area: np.ndarray  # (N,) pixels
    peak: np.ndarray  # (N,) how dark it is, 0 to 255

    def turned(self, turn):
        """The same, turned clockwise by a multiple of 90 degrees."""
        quarter = -turn // 90
        return replace(
            self,
            ink=np.rot90(self.ink, quarter),
            label=np.rot90(self.label, quarter),
            box=turn_boxes(self.box, self.ink.shape, turn),
        )


def turn_boxes(boxes, shape, turn):
    """Boxes (N, 4) left, top, right, bottom, in a picture of (H, W) that is turned clockwise."""
    h, w = shape
    left, top, right, bottom = boxes.T
    for _ in range(turn // 90):
        left, top, right, bottom = h - bottom, left, h - top, right
        h, w = w, h
    return np.stack([left, top, right, bottom], 1)


def find_pieces(ink, mask, lines):
    """Connected ink. What is faint beside the darkest of its own piece is left out.

    Args:
        ink: (H, W) uint8.
        mask: where there is any, (H, W) uint8 of 0 and 1.
        lines: where printed lines were; what is left of them makes no piece.
    """
    count, label, _, _ = cv2.connectedComponentsWithStats(mask)
    limit = np.uint8(0.33 * darkness(ink, label, count, 0.9))
    limit[0] = 255
    count, label, stats, _ = cv2.connectedComponentsWithStats(np.uint8(ink > limit[label]))
    peak = darkness(ink, label, count, 0.8)
    left, top, width, height, area = stats.T
    good = (np.maximum(width, height) >= 6) & (area >= 10)
    good[0] = False
    if lines.any():
        beside = np.bincount(label.ravel(), cv2.dilate(lines, np.ones((7, 7), np.uint8)).ravel())
        good &= beside < 0.7 * area
    number = np.flatnonzero(good)
    if len(number) > 5000:  # a picture of something else; the largest are more than enough
        number = np.sort(number[np.argsort(-area[number])[:5000]])
    index = np.zeros(count, np.int32)
    index[number] = np.arange(1, len(number) + 1)
    box = np.stack([left, top, left + width, top + height], 1)[number]
    return Pieces(ink, index[label], box, area[number], peak[number])


def darkness(ink, label, count, share):
    """A quantile of each component's ink, (count,), to 4 of 255."""
    inside = np.flatnonzero(label)
    bins = label.ravel()[inside] * 64 + (ink.ravel()[inside] >> 2)
    sums = np.bincount(bins, minlength=64 * count).reshape(count, 64).cumsum(1)
    return 4 * (sums < share * sums[:, -1:]).sum(1) + 2


def usual_size(pieces):
    """The usual longer side of a character in pixels: a median, wide and dark strokes first."""
    side = longer_side(pieces.box)
    weight = np.minimum(pieces.area / side, side / 4) * pieces.peak
    weight = weight * (side < 0.5 * max(pieces.ink.shape))
    order = np.argsort(side)
    total = weight[order].cumsum()
    return float(side[order][np.searchsorted(total, total[-1] / 2)])


def longer_side(boxes):
    """(N,) of boxes (N, 4)."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])


def hull(boxes):
    """The box around boxes (…, n, 4)."""
    return np.concatenate([boxes[..., :2].min(-2), boxes[..., 2:].max(-2)], -1)


def own_ink(pieces, group):
    """The ink of a group of pieces, (h, w) float32 of 0 to 1, without what else is around."""
    left, top, right, bottom = hull(pieces.box[group])
    label = pieces.label[top:bottom, left:right]
    own = np.isin(label, np.add(group, 1))
    around = cv2.dilate(np.uint8(own), np.ones((3, 3), np.uint8))  # its soft edges, too
    around[(label > 0) & ~own] = 0
    ink = pieces.ink[top:bottom, left:right] * around
    return np.minimum(ink / np.float32(pieces.peak[group].max()), 1)


def read_ink(inks, classify):
    """The probabilities (n, 10) of inks, (h, w) float32 of 0 to 1 each."""
    if not len(inks):
        return np.zeros((0, 10), np.float32)
    return classify(np.stack([photos.fit(photos.thin(ink)) for ink in inks]))


def join(pieces, tall, classify):
    """Finds out which pieces make a character together.

    Args:
        pieces: the page's `Pieces`, upright.
        tall: the usual longer side of a character.
        classify: (n, 28, 28) uint8 → (n, 10) probabilities.

    Returns:
        A list of lists of indices of pieces. Specks belong to none.
    """
    box, area, peak = np.float32(pieces.box), pieces.area, pieces.peak
    side, height, width = longer_side(box), box[:, 3] - box[:, 1], box[:, 2] - box[:, 0]
    body = (side > 0.4 * tall) & (side < 5 * tall)
    body &= peak > 0.3 * np.median(peak[body])
    groups = {k: [k] for k in np.flatnonzero(body).tolist()}

    pairs = near_pairs(box, np.flatnonzero(side > 0.1 * tall), 0.25 * tall)
    # In each pair the first is the larger, and a body.
    swap = area[pairs[:, 0]] < area[pairs[:, 1]]
    pairs[swap] = pairs[swap][:, ::-1]
    first, second = pairs[body[pairs[:, 0]]].T
    a, b = box[first], box[second]
    left, top, right, bottom = hull(np.stack([a, b], 1)).T
    gap = np.hypot(
        np.maximum(a[:, 0] - b[:, 2], b[:, 0] - a[:, 2]).clip(0),
        np.maximum(a[:, 1] - b[:, 3], b[:, 1] - a[:, 3]).clip(0),
    )
    shared = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
    over = shared > 0.5 * np.minimum(width[first], width[second])
    # Together they are no larger than a character, or than one of them is.
    good = bottom - top < np.maximum(1.5 * tall, 1.1 * height[first])
    good &= right - left < np.maximum(1.3 * tall, 1.1 * width[first])
    good &= peak[second] > 0.3 * peak[first]
    good &= gap < np.where(over, 0.25, 0.12) * tall
    first, second, gap, over = first[good], second[good], gap[good], over[good]

    singles, where = np.unique(np.concatenate([first, second]), return_inverse=True)
    p = read_ink([own_ink(pieces, [k]) for k in singles], classify).max(1)
    alone, other = p[where.ravel()].reshape(2, -1)
    both = np.stack([first, second], 1)
    together = read_ink([own_ink(pieces, pair) for pair in both], classify).max(1)
    # No digit by itself, however it reads: what is low, or close beside a taller one.
    part = np.minimum(height[first], height[second]) < 0.65 * tall
    slim = (width[second] < 0.3 * tall) & (height[second] < 0.85 * height[first])
    part |= slim & (gap < 0.06 * tall)
    # Nor is what lies in another's box: digits beside each other hardly share any place.
    shared_height = np.minimum(a[:, 3], b[:, 3]) - np.maximum(a[:, 1], b[:, 1])
    area_of_b = width[second] * height[second]
    part |= (shared.clip(0) * shared_height.clip(0))[good] > 0.5 * area_of_b
    accept = np.where(part, together > 0.6 * alone, together > np.minimum(alone, other) + 0.3)
    accept &= part | over | (together > 0.9)

    home = {}  # the group of each piece that has joined one
    for k in np.argsort(gap)[accept[np.argsort(gap)]]:
        one, two = (home.get(n, n) for n in (int(first[k]), int(second[k])))
        if one == two or one not in groups:
            continue
        group = groups[one] + groups.get(two, [two])
        left, top, right, bottom = hull(pieces.box[group])
        high, wide = 1.1 * height[group].max(), 1.1 * width[group].max()
        if bottom - top < max(1.5 * tall, high) and right - left < max(1.3 * tall, wide):
            groups.pop(two, None)
            groups[one] = group
            home.update(dict.fromkeys(group, one))
    return list(groups.values())


def near_pairs(box, index, far):
    """Pairs (m, 2) of the boxes named in `index` that are less than `far` apart."""
    found = []
    left, top, right, bottom = box[index].T
    for start in range(0, len(index), 500):
        rows = np.s_[start : start + 500, None]
        near = np.maximum(left[rows] - right, left - right[rows]) < far
        near &= np.maximum(top[rows] - bottom, top - bottom[rows]) < far
        i, j = np.nonzero(near)
        i += start
        found.append(np.stack([i, j], 1)[i < j])
    return index[np.concatenate(found)]


def part(inks, boxes, tall, classify):
    """Cuts what holds digits that touch, where each of them reads better than the whole.

    It is cut wherever it is thin, and that row of slices is taken whose worst reads best.

    Args:
        inks: (h, w) float32 of 0 to 1 each.
        boxes: (N, 4) of them: left, top, right, bottom.
        tall: the usual longer side of a character.
        classify: (n, 28, 28) uint8 → (n, 10) probabilities.

    Returns:
        Boxes (M, 4) and probabilities (M, 10) of the characters.
    """
    probabilities = read_ink(inks, classify)
    width, height = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    usual = np.median(width[height > 0.6 * tall]) if (height > 0.6 * tall).any() else tall / 2
    beside, above = width / (usual * np.maximum(1, height / tall)), height / tall
    stacked = (above > 1.6) & (above > beside)
    room = np.where(stacked, above, beside)  # for so many digits
    # The second digit needs more than its share of it, the more so the better the whole reads.
    most = np.int32((room - 0.1 - 0.6 * probabilities.max(1)) / 1.1 + 1).clip(1, 4)
    most[room > 6] = 1  # something else
    slices = []  # a list for each ink
    for k, ink in enumerate(inks):
        if is_crossed_out(ink.T if stacked[k] else ink, room[k]):
            probabilities[k] = 0.1
            most[k] = 1
        if most[k] == 1:
            slices.append([])
            continue
        # A network may be sure of two digits as one: they touch at one place.
        strokes = 2.2 if probabilities[k].max() < 0.9 else 1.2
        if stacked[k]:
            turned = slices_of(np.ascontiguousarray(ink.T), most[k], strokes, tall)
            slices.append([(*ends, cut.T, inner[[1, 0, 3, 2]]) for *ends, cut, inner in turned])
        else:
            slices.append(slices_of(ink, most[k], strokes, tall))
    read = iter(read_ink([ink for some in slices for _, _, ink, _ in some], classify))
    done = []
    for box, p, n, some in zip(boxes, probabilities, most, slices, strict=True):
        parts = [(*ends, box[[0, 1, 0, 1]] + inner, next(read)) for *ends, _, inner in some]
        worst, row = best_row(parts, n)
        need = max(0.6, p.max() + 0.1) if p.max() < 0.9 else 0.9
        done += row if worst > need else [(box, p)]
    boxes, probabilities = zip(*done, strict=True)
    return np.array(boxes), np.array(probabilities)


def best_row(parts, most):
    """Of the rows of two to `most` parts that follow each other, the one whose worst reads best.

    Args:
        parts: (start, end, box, probabilities) of each `slices_of` an ink.

    Returns:
        The probability of its worst part, 0 if there is no row; (box, probabilities) of each part.
    """
    best = {(0, 0): (1, [])}  # the same of the parts before a cut, by the cut and their number
    for start, end, box, p in parts:
        for n in range(most):
            if (start, n) in best:
                worst, row = best[start, n]
                longer = min(worst, p.max()), [*row, (box, p)]
                best[end, n + 1] = max(best.get((end, n + 1), (0, [])), longer, key=itemgetter(0))
    rows = [best[-1, n] for n in range(2, most + 1) if (-1, n) in best]
    return max(rows, key=itemgetter(0), default=(0, []))


def is_crossed_out(ink, room):
    """Whether a pen went to and fro over (h, w) float32, `room` for so many digits beside each
    other.

    That is five strokes in much of it: digits have at most four in a quarter of their columns or
    rows, each.
    """
    mask = np.pad(np.int8(ink > 0.5), 1)
    for axis, most in ((0, 4), (1, 4 * max(1, room))):
        strokes = np.sort((np.diff(mask, axis=axis) == 1).sum(axis))
        if strokes[-1 - len(strokes) // 4] > most:
            return True
    return False


def slices_of(ink, most, strokes, tall):
    """What lies between two of the places where ink that may be several digits is thin.

    What is no larger than a speck is left out, and what no row of two to `most` slices has.

    Args:
        ink: (h, w) float32 of 0 to 1.
        most: for how many digits there is room.
        strokes: how many widths of a stroke are cut at most.
        tall: the usual longer side of a character.

    Returns:
        A list from left to right: the numbers of two cuts, 0 for the left end and -1 for the right
        one; the ink between them; its box in the whole: left, top, right, bottom.
    """
    h, w = ink.shape
    before = [np.zeros((h, w), bool), *cuts(ink, strokes, tall), np.ones((h, w), bool)]
    last = len(before) - 1
    found = []
    for start, end in combinations(range(last + 1), 2):
        outer = (start == 0) + (end == last)
        if outer == 2 or (outer == 0 and most == 2):
            continue
        piece = main_ink(ink * (before[end] & ~before[start]))
        left, top, width, height = cv2.boundingRect(np.uint8(piece > 0.25))
        if width > 0.12 * tall and height > max(0.35 * tall, 0.5 * h):
            box = np.array([left, top, left + width, top + height])
            piece = piece[top : top + height, left : left + width].copy()  # not all of the rest
            found.append((start, end if end < last else -1, piece, box))
    return found


def cuts(ink, strokes, tall):
    """Where ink (h, w) is thin from top to bottom: cuts through `strokes` widths of one at most.

    Returns a list of (h, w) bool, from left to right: what lies left of each cut.
    """
    h, w = ink.shape
    mask = np.uint8(ink > 0.3)
    rim = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    stroke = 2 * mask.sum() / max(1, rim.sum())
    # The cheapest ways from the middle row to the top and to the bottom.
    cost, up = cheapest_ways(mask[h // 2 :: -1])
    cost_down, down = cheapest_ways(mask[h // 2 :])
    cost += cost_down
    least = max(3, int(0.15 * tall))  # a part is wider
    cost[:least] = cost[max(0, w - least) :] = np.inf
    places = []
    for _ in range(8):  # the thinnest places that are not beside each other
        at = int(cost.argmin())
        if not cost[at] < strokes * stroke + 0.05 * h:
            break
        places.append(at)
        cost[max(0, at - least) : at + least + 1] = np.inf
    columns = [np.concatenate([up[:0:-1, at], down[:, at]]) for at in sorted(places)]
    return [np.arange(w) < column[:, None] for column in columns]


def cheapest_ways(mask):
    """The cheapest ways from each column of the first row of (h, w) to its last: their costs, (w,),
    and the columns that they pass, (h, w). They go through little ink, and straight down."""
    cost, steps = np.zeros(mask.shape[1]), []
    for row in mask[::-1]:
        around = np.pad(cost, 1, constant_values=np.inf)
        ways = np.stack([around[:-2] + 0.1, cost, around[2:] + 0.1])
        steps.append(ways.argmin(0) - 1)
        cost = ways.min(0) + row
    columns = [np.arange(mask.shape[1])]
    for step in steps[:0:-1]:
        columns.append(columns[-1] + step[columns[-1]])
    return cost, np.array(columns)


def main_ink(ink):
    """Ink (h, w) without the small bits of its neighbours that a cut left there."""
    _, label, boxes, _ = cv2.connectedComponentsWithStats(np.uint8(ink > 0.25))
    area = boxes[1:, 4]
    small = area < 0.12 * area.max(initial=0)
    return ink * ~np.concatenate([[False], small])[label]
