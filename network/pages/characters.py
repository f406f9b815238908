"""The ink of a page → its characters: pieces of strokes joined, digits that touch parted."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from network import photos

SLANTS = (-0.5, -0.25, 0, 0.25, 0.5)  # of the cuts that are tried between touching digits


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
    if turn == 90:
        left, top, right, bottom = h - bottom, left, h - top, right
    elif turn == 180:
        left, top, right, bottom = w - right, h - bottom, w - left, h - top
    elif turn == 270:
        left, top, right, bottom = top, w - right, bottom, w - left
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
    """The usual longer side of a character in pixels: a median in which much ink counts more."""
    side = longer_side(pieces.box)
    weight = np.minimum(pieces.area, side**2 / 4) * pieces.peak
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
    own = label == group[0] + 1
    for k in group[1:]:
        own |= label == k + 1
    around = cv2.dilate(np.uint8(own), np.ones((3, 3), np.uint8))  # its soft edges, too
    around[(label > 0) & ~own] = 0
    ink = pieces.ink[top:bottom, left:right] * around
    return np.minimum(ink / np.float32(pieces.peak[group].max()), 1)


class Characters:
    """The characters of a page, as groups of pieces or parts of one, and what they read as.

    Args:
        pieces: the page's `Pieces`, upright.
        classify: (n, 28, 28) uint8 → (n, 10) probabilities.
        tall: the usual longer side of a character.
    """

    def __init__(self, pieces, classify, tall):
        self.pieces, self.classify, self.tall = pieces, classify, tall
        side = longer_side(pieces.box)
        self.body = (side > 0.4 * tall) & (side < 5 * tall)
        usual = np.median(pieces.peak[self.body]) if self.body.any() else 0
        self.body &= pieces.peak > 0.3 * usual
        self.groups = {int(k): [int(k)] for k in np.flatnonzero(self.body)}

    def read(self, groups):
        """The probabilities (n, 10) of groups of pieces."""
        if not groups:
            return np.zeros((0, 10), np.float32)
        return self.classify([photos.fit(own_ink(self.pieces, group)) for group in groups])

    def join(self):
        """Joins pieces that make a character together."""
        pieces, tall = self.pieces, self.tall
        box = np.float32(pieces.box)
        side, height = longer_side(box), box[:, 3] - box[:, 1]
        pairs = near_pairs(box, np.flatnonzero(side > 0.1 * tall), 0.25 * tall)
        # In each pair the first is the larger, and a body.
        swap = pieces.area[pairs[:, 0]] < pieces.area[pairs[:, 1]]
        pairs[swap] = pairs[swap][:, ::-1]
        pairs = pairs[self.body[pairs[:, 0]]]
        a, b = box[pairs[:, 0]], box[pairs[:, 1]]
        left, top, right, bottom = hull(np.stack([a, b], 1)).T
        gap = np.hypot(
            np.maximum(a[:, 0] - b[:, 2], b[:, 0] - a[:, 2]).clip(0),
            np.maximum(a[:, 1] - b[:, 3], b[:, 1] - a[:, 3]).clip(0),
        )
        shared = np.minimum(a[:, 2], b[:, 2]) - np.maximum(a[:, 0], b[:, 0])
        over = shared > 0.5 * np.minimum(a[:, 2] - a[:, 0], b[:, 2] - b[:, 0])
        good = (bottom - top < 1.5 * tall) & (right - left < 1.3 * tall)
        good &= pieces.peak[pairs[:, 1]] > 0.3 * pieces.peak[pairs[:, 0]]
        good &= gap < np.where(over, 0.25, 0.12) * tall
        pairs, gap, over = pairs[good], gap[good], over[good]
        if not len(pairs):
            return
        alone = self.read([[n] for n in pairs.ravel()]).max(1).reshape(-1, 2)
        together = self.read(pairs.tolist()).max(1)
        # No digit by itself, however it reads: what is low, or beside a taller one like its shadow.
        part = height[pairs].min(1) < 0.65 * tall
        wide = box[pairs[:, 1], 2] - box[pairs[:, 1], 0]
        part |= (
            (gap < 0.06 * tall)
            & (wide < 0.3 * tall)
            & (height[pairs[:, 1]] < 0.85 * height[pairs[:, 0]])
        )
        accept = np.where(part, together > 0.6 * alone[:, 0], together > alone.min(1) + 0.3)
        accept &= part | over | (together > 0.9)
        home = {}  # the group of each piece that has joined one
        for k in np.argsort(gap):
            first, second = (home.get(n, n) for n in pairs[k].tolist())
            if not accept[k] or first == second or first not in self.groups:
                continue
            group = self.groups[first] + self.groups.get(second, [second])
            whole = hull(pieces.box[group])
            if whole[3] - whole[1] < 1.5 * tall and whole[2] - whole[0] < 1.3 * tall:
                self.groups.pop(second, None)
                self.groups[first] = group
                home.update(dict.fromkeys(group, first))

    def part(self):
        """Cuts what is too wide or too high where both halves read better.

        Returns a list of inks, (h, w) float32 of 0 to 1, and boxes.
        """
        found = [(own_ink(self.pieces, g), hull(self.pieces.box[g])) for g in self.groups.values()]
        usual = np.median([ink.shape[1] for ink, _ in found if ink.shape[0] > 0.6 * self.tall])
        for _ in range(3):
            p = self.classify([photos.fit(ink) for ink, _ in found]).max(1)
            cuts = []
            for n, (ink, box) in enumerate(found):
                h, w = ink.shape
                if w > max(1.4 * usual, 0.6 * self.tall, 0.7 * h):
                    ways = cut(ink, box, self.tall)
                elif h > 1.6 * self.tall:
                    flipped = cut(np.ascontiguousarray(ink.T), box[[1, 0, 3, 2]], self.tall)
                    ways = [
                        (thick, [(half.T, part[[1, 0, 3, 2]]) for half, part in halves])
                        for thick, halves in flipped
                    ]
                else:
                    continue
                # A network may be sure of two digits as one; two are wider than high.
                most = 1.7 if p[n] < 0.9 else 1.2 * (w > h > 0.6 * self.tall)
                cuts += [(n, halves) for thick, halves in ways if thick < most]
            if not cuts:
                break
            flat = [photos.fit(ink) for _, halves in cuts for ink, _ in halves]
            good = self.classify(flat).max(1).reshape(-1, 2).min(1)
            best = {}
            for (n, halves), value in zip(cuts, good, strict=True):
                if value > max(0.9, best.get(n, (0,))[0]):
                    best[n] = value, halves
            if not best:
                break
            found = [
                half for n, one in enumerate(found) for half in (best[n][1] if n in best else [one])
            ]
        return found


def near_pairs(box, index, far):
    """Pairs (m, 2) of the boxes named in `index` that are less than `far` apart."""
    found = []
    left, top, right, bottom = box[index].T
    for start in range(0, len(index), 500):
        rows = np.s_[start : start + 500, None]
        apart = np.maximum(left[rows] - right, left - right[rows])
        near = apart < far
        apart = np.maximum(top[rows] - bottom, top - bottom[rows])
        near &= apart < far
        i, j = np.nonzero(near)
        i += start
        found.append(np.stack([i, j], 1)[i < j])
    return index[np.concatenate(found)] if found else np.zeros((0, 2), int)


def cut(ink, box, tall):
    """Ways to part ink in two, left and right, where it is thinnest along a slanted line.

    Each is how much ink is cut, in widths of a stroke, and the halves as (ink, box).
    """
    h, w = ink.shape
    x = np.arange(w)
    ways = []
    mask = np.uint8(ink > 0.3)
    stroke = 2 * mask.sum() / max(1, (mask - cv2.erode(mask, np.ones((3, 3), np.uint8))).sum())
    least = max(3, int(0.15 * tall))
    for slant in SLANTS:
        shift = np.round((h / 2 - np.arange(h)) * slant).astype(int)  # of the cut in each row
        columns = x[None] + shift[:, None]
        valid = (columns >= 0) & (columns < w)
        cost = np.where(valid, np.take_along_axis(mask, columns.clip(0, w - 1), 1), 0).sum(0)
        middle = cost[least : w - least]
        if not len(middle):
            continue
        smooth = cv2.blur(np.float32(middle[None]), (5, 1))[0]
        # The two thinnest places that are not beside each other.
        first = int(smooth.argmin())
        rest = smooth.copy()
        rest[max(0, first - least) : first + least] = np.inf
        for at in {first, int(rest.argmin())}:
            at += least
            side = x[None] < at + shift[:, None]
            halves = []
            for half in (ink * side, ink * ~side):
                l, t, hw, hh = cv2.boundingRect(np.uint8(half > 0.25))
                halves.append(
                    (
                        half[t : t + hh, l : l + hw],
                        np.array([box[0] + l, box[1] + t, box[0] + l + hw, box[1] + t + hh]),
                    )
                )
            if all(b[3] - b[1] > 0.35 * tall for _, b in halves):
                ways.append((smooth[at - least] / stroke, halves))
    return ways
