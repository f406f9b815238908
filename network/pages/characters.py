"""The ink of a page → its characters: pieces of strokes joined, digits that touch parted."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from network import photos

# Of the cuts that are tried between touching digits.
SLANTS = (-0.75, -0.5, -0.25, 0, 0.25, 0.5, 0.75)


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
    good = (bottom - top < 1.5 * tall) & (right - left < 1.3 * tall)
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
        if bottom - top < 1.5 * tall and right - left < 1.3 * tall:
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
    """Cuts what is too wide or too high where both halves read better.

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
    crossed = np.array([is_crossed_out(ink) for ink in inks], bool)
    probabilities[crossed] = 0.1
    done = list(zip(boxes[crossed], probabilities[crossed], strict=True))
    todo = [(inks[k], boxes[k], probabilities[k]) for k in np.flatnonzero(~crossed)]
    for _ in range(4):  # four digits that touch need three cuts, but not always one after another
        ways = [ways_to_cut(ink, box, p.max(), tall, usual) for ink, box, p in todo]
        halves = read_ink([half for cuts in ways for way in cuts for half in way[::2]], classify)
        halves = iter(halves.reshape(-1, 2, 10))
        whole, todo = todo, []
        for (_, box, p), cuts in zip(whole, ways, strict=True):
            read = [next(halves) for _ in cuts]
            worse = [both.max(1).min() for both in read]  # of the two halves
            if max(worse, default=0) > (max(0.6, p.max() + 0.1) if p.max() < 0.9 else 0.9):
                best = int(np.argmax(worse))
                left, left_box, right, right_box = cuts[best]
                todo += [(left, left_box, read[best][0]), (right, right_box, read[best][1])]
            else:
                done.append((box, p))
    done += [(box, p) for _, box, p in todo]
    boxes, probabilities = zip(*done, strict=True)
    return np.array(boxes), np.array(probabilities)


def is_crossed_out(ink):
    """Whether a pen went to and fro over (h, w) float32: five strokes in much of it.

    Digits have at most four in a quarter of their columns or rows.
    """
    mask = np.pad(np.int8(ink > 0.5), 1)
    for axis in (0, 1):
        strokes = np.sort((np.diff(mask, axis=axis) == 1).sum(axis))
        if strokes[-1 - len(strokes) // 4] > 4:
            return True
    return False


def ways_to_cut(ink, box, probability, tall, usual):
    """Ways to cut ink that may be two digits: a list of (left, its box, right, its box).

    Args:
        ink: (h, w) float32 of 0 to 1.
        box: of it: left, top, right, bottom.
        probability: with which it reads as one digit.
        tall: the usual longer side of a character.
        usual: the usual width of one.
    """
    h, w = ink.shape
    # A network may be sure of two digits as one; two are wider than high, and touch at one place.
    most = 2.2 if probability < 0.9 else 1.2 * (w > h > 0.6 * tall)
    if not most:
        return []
    shape = 0.7 if probability < 0.5 else 0.9
    if w > max(1.4 * usual, 0.6 * tall, shape * h):
        return cut(ink, box, tall, most)
    if h > 1.6 * tall:  # one above the other
        ways = cut(np.ascontiguousarray(ink.T), box[[1, 0, 3, 2]], tall, most)
        flip = [1, 0, 3, 2]
        return [(a.T, a_box[flip], b.T, b_box[flip]) for a, a_box, b, b_box in ways]
    return []


def cut(ink, box, tall, most):
    """Cuts ink in two, left and right, where it is thinnest along slanted lines.

    At most `most` widths of a stroke are cut. The arguments and the result are as in `ways_to_cut`.
    """
    h, w = ink.shape
    mask = np.uint8(ink > 0.3)
    rim = mask - cv2.erode(mask, np.ones((3, 3), np.uint8))
    stroke = 2 * mask.sum() / max(1, rim.sum())
    least = max(3, int(0.15 * tall))  # a half is wider
    x, y = np.arange(w), np.arange(h)
    ways = []
    for slant in SLANTS:
        shift = np.int32(np.round((h / 2 - y) * slant))[:, None]  # of the cut in each row
        columns = x + shift  # (h, w)
        inside = (columns >= 0) & (columns < w)
        crossed = np.take_along_axis(mask, columns.clip(0, w - 1), 1) * inside
        cost = cv2.blur(np.float32(crossed.sum(0)[None]), (5, 1))[0]
        cost[:least] = cost[max(0, w - least) :] = np.inf
        for _ in range(3):  # the thinnest places that are not beside each other
            at = int(cost.argmin())
            if not cost[at] < most * stroke:
                break
            cost[max(0, at - least) : at + least] = np.inf
            side = x < at + shift
            halves = []
            for half in (ink * side, ink * ~side):
                left, top, width, height = cv2.boundingRect(np.uint8(half > 0.25))
                halves.append(half[top : top + height, left : left + width])
                halves.append(box[[0, 1, 0, 1]] + (left, top, left + width, top + height))
            if min(map(len, halves[::2])) >= max(0.35 * tall, 0.5 * h):
                ways.append(halves)
    return ways
