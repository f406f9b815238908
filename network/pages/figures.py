"""Figure 1g: a page with a box around each character and its answer above."""

import cv2
import numpy as np
from PIL import Image

from network.files import whole_file
from network.pages.characters import turn_boxes

SURE = 0.9  # characters read with less probability are shown in another colour
BLUE, RED, GREEN = (20, 80, 200), (215, 30, 30), (50, 170, 90)
SIDES = 1200, 2200  # pixels, the least and the most of the figure's longer side
READABLE = 30  # pixels, the height of a character for which the figure is made large enough
COLOURS = 32  # of the PNG: more only store the paper's grain


def path_of(folder, picture_path, taken=()):
    """The path of a picture's figure, numbered if that of another one is `taken`."""
    path, number = folder / f"1g_{picture_path.stem}.png", 1
    while path in taken:
        number += 1
        path = path.with_stem(f"1g_{picture_path.stem}_{number}")
    return path


def save_page(picture, reading, path):
    """Writes the figure of a page as a PNG of few colours, whole or not at all.

    Raises:
        Problem: the file cannot be written.
    """
    image = Image.fromarray(draw_page(picture, reading))
    image = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    with whole_file(path) as file:
        image.save(file, "PNG")


def draw_page(picture, reading):
    """The page as it was read, with boxes, answers, and a line along each row.

    Matplotlib would take seconds for a thousand boxes.

    Args:
        picture: (H, W, 3) uint8 RGB, as given.
        reading: the `Reading` of it.

    Returns:
        (h, w, 3) uint8 RGB, turned as the reading says; see `scale_of` for its size.
    """
    scale = scale_of(picture, reading)
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    shape = picture.shape[:2]
    # Grey, so that what is drawn on it stands out; light, and without its finest grain.
    grey = cv2.medianBlur(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), 3)
    grey = cv2.convertScaleAbs(grey, alpha=260 / max(np.percentile(grey[::8, ::8], 80), 1)) // 8 * 8
    canvas = cv2.cvtColor(
        np.ascontiguousarray(np.rot90(grey, -reading.turn // 90)), cv2.COLOR_GRAY2RGB
    )
    rows = [turned([c.box for c in row], scale, shape, reading.turn) for row in reading.rows]
    tall = np.median(np.concatenate(rows)[:, 3])
    height = max(0.6 * tall, 18)  # of an answer, in pixels
    font = cv2.FONT_HERSHEY_SIMPLEX
    size = cv2.getFontScaleFromHeight(font, int(height), max(1, int(height / 9)))
    room = max(0, int(1.3 * height) - min(boxes[:, 1].min() for boxes in rows))
    canvas = cv2.copyMakeBorder(canvas, room, 0, 0, 0, cv2.BORDER_REPLICATE)  # for answers above
    for row, boxes in zip(reading.rows, rows, strict=True):
        boxes[:, 1] += room
        middles = boxes[:, :2] + boxes[:, 2:] // 2
        cv2.polylines(canvas, [middles], False, GREEN, 1, cv2.LINE_AA)
        for character, (x, y, w, h) in zip(row, boxes.tolist(), strict=True):
            sure = character.answer != "?" and character.probability >= SURE
            colour = BLUE if sure else RED
            cv2.rectangle(canvas, (x, y), (x + w, y + h), colour, 1)
            place = int(x + (w - 0.7 * height) / 2), int(y - 0.15 * height)
            thick = max(1, int(height / 9))
            cv2.putText(canvas, character.answer, place, font, size, colour, thick, cv2.LINE_AA)
    return canvas


def scale_of(picture, reading):
    """The figure's size as a share of the picture's: characters stay readable, up to `SIDES`."""
    tall = np.median([character.box[3] for row in reading.rows for character in row])
    side = max(picture.shape[:2])
    return min(max(SIDES[0] / side, min(READABLE / tall, SIDES[1] / side)), 1)


def turned(boxes, scale, shape, turn):
    """Boxes (N, 4), x, y, width, height, after a picture was scaled to (H, W), then turned."""
    x, y, w, h = np.int32(np.round(np.float32(boxes) * scale)).T
    boxes = turn_boxes(np.stack([x, y, x + w, y + h], 1), shape, turn)
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1)
