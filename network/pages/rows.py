"""The characters of a page → rows, in reading order, and the gaps that part numbers."""

import numpy as np


def find_rows(boxes, tall):
    """Rows of indices, from top to bottom, each from left to right."""
    x, y = (boxes[:, 0] + boxes[:, 2]) / 2, (boxes[:, 1] + boxes[:, 3]) / 2
    slope = row_slope(x, y, tall)
    y = y - slope * x
    rows, last = [], np.empty(0)
    for k in np.argsort(x):
        if len(rows):
            far = np.abs(last - y[k])
            n = far.argmin()
            if far[n] < 0.55 * tall:
                rows[n].append(k)
                last[n] = np.mean(y[rows[n][-3:]])
                continue
        rows.append([k])
        last = np.append(last, y[k])
    return joined_rows([np.array(row) for row in rows], boxes, y, tall)


def joined_rows(rows, boxes, y, tall):
    """Rows at the same height become one, unless their characters are in each other's way."""
    rows = sorted(rows, key=lambda row: y[row].mean())
    joined = []
    for row in rows:
        if joined and y[row].mean() - y[joined[-1]].mean() < 0.6 * tall:
            a, b = boxes[joined[-1]][:, None], boxes[row]
            shared = np.minimum(a[..., 2], b[:, 2]) - np.maximum(a[..., 0], b[:, 0])
            narrow = np.minimum(a[..., 2] - a[..., 0], b[:, 2] - b[:, 0])
            if not (shared > 0.5 * narrow).any():
                both = np.concatenate([joined[-1], row])
                joined[-1] = both[np.argsort(boxes[both, 0] + boxes[both, 2])]
                continue
        joined.append(row)
    return joined


def row_slope(x, y, tall):
    """How much rows fall from left to right, per pixel: the median between close neighbours."""
    if len(x) < 3:
        return 0
    x, y = x[:1500], y[:1500]
    dx, dy = x - x[:, None], y - y[:, None]
    near = (dx > 0.3 * tall) & (np.abs(dy) < 0.35 * dx) & (np.abs(dy) < 0.6 * tall)
    dx[~near] = np.inf
    best = dx.argmin(1)
    i = np.flatnonzero(near.any(1))
    if len(i) < 2:
        return 0
    return float(np.median(dy[i, best[i]] / dx[i, best[i]]))


def first_of_numbers(boxes, tall):
    """Which of a row's characters, (n,) bool, follow a gap that parts numbers; its boxes (n, 4)."""
    gaps = boxes[1:, 0] - boxes[:-1, 2]
    wide = gaps > max(0, 1.7 * np.median(gaps)) + 0.4 * tall if len(gaps) else gaps > 0
    return np.concatenate([[False], wide])


def words_doubted(answers, doubt, first, height):
    """A row's answers, (n,) of digits or ?, with ? for what is no number.

    Among digits a mark is a digit, too, even one that would be doubted, (n,) bool, by itself. Not
    where half of the row would be, or in a word: three marks or more without a gap (`first` is as
    from `first_of_numbers`), two in five doubted. Many letters look like digits. Where the marks
    between two gaps are small, their mean `height`, (n,) in usual heights of the page, below 0.75,
    one or two may be a word as well, and a quarter doubted will do.
    """
    number = first.cumsum()
    marks, doubts = np.bincount(number), np.bincount(number, doubt)
    small = np.bincount(number, height) < 0.75 * marks
    word = (((marks > 2) | small) & (doubts >= np.where(small, 0.25, 0.4) * marks))[number]
    if doubt.mean() >= 0.5:
        word |= doubt
    return np.where(word, "?", answers)
