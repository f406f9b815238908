"""Figure 1g: a page with a box around each character and its answer above."""

import io

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.figure import Figure
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D
from PIL import Image

from network import plots
from network.files import whole_file

SURE = 0.9  # characters read with less probability are shown in another colour
SIDES = 1200, 2600  # pixels, the least and the most of the figure's longer side
READABLE = 30  # pixels, the height of a character for which the figure is made large enough
COLOURS = 40  # of the PNG: more only store the paper's grain


def free_path(folder, picture_path, taken):
    """The figure's path, numbered if another picture of that name has been read before."""
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
    canvas = FigureCanvasAgg(page(picture, reading))
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image = image.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    png = io.BytesIO()
    image.save(png, "PNG", optimize=True)
    with whole_file(path) as file:
        file.write(png.getvalue())


def page(picture, reading):
    """The figure: the picture as it was read, boxes, answers, and a line along each row.

    Args:
        picture: (H, W, 3) uint8 RGB, as given.
        reading: the `Reading` of it.
    """
    characters = [character for row in reading.rows for character in row]
    # (N, 4, 2): the corners of each box, in the turned picture.
    corners = turned_corners([c.box for c in characters], picture.shape[:2], reading.turn)
    tall = np.median(np.ptp(corners[..., 1], 1))
    side = max(picture.shape[:2])
    scale = min(max(SIDES[0] / side, min(READABLE / tall, SIDES[1] / side)), 1)
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    picture = np.rot90(picture, -reading.turn // 90)
    corners, tall = corners * scale, tall * scale

    height, width = picture.shape[:2]
    figure = Figure(figsize=(width / 100, height / 100), dpi=100)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.set_axis_off()
    # Paler than given, without its finest grain, so that what is drawn on it is seen.
    pale = 255 - (255 - cv2.medianBlur(np.ascontiguousarray(picture), 3)) // 16 * 12
    axis.imshow(pale, extent=(0, width, height, 0), interpolation="nearest")
    colours = [plots.BLUE if c.probability >= SURE else plots.RED for c in characters]
    axis.add_collection(PolyCollection(corners, facecolors="none", edgecolors=colours, lw=1))
    axis.add_collection(answers(characters, corners, tall, colours))
    middles = iter(corners.mean(1))
    lines = [[next(middles) for _ in row] for row in reading.rows]
    axis.add_collection(LineCollection(lines, colors=plots.GREEN, lw=0.8, alpha=0.6))
    axis.set(xlim=(0, width), ylim=(height, 0))
    return figure


def answers(characters, corners, tall, colours):
    """The answers as outlines above their boxes: as texts, a thousand would take seconds."""
    size = 0.62 * tall
    glyphs = {answer: TextPath((0, 0), answer, size=size) for answer in "0123456789?"}
    outlines = []
    for character, box in zip(characters, corners, strict=True):
        (left, top), right = box.min(0), box[:, 0].max()
        glyph = glyphs[character.answer]
        x = (left + right) / 2 - glyph.get_extents().width / 2
        outlines.append(Affine2D().scale(1, -1).translate(x, top - 0.1 * tall).transform_path(glyph))
    return PathCollection(outlines, facecolors=colours, edgecolors="none")


def turned_corners(boxes, shape, turn):
    """The corners (N, 4, 2), x and y, of boxes (x, y, width, height) in a picture turned clockwise.

    `shape` is the picture's height and width before it was turned.
    """
    height, width = shape
    x, y, w, h = np.float32(boxes).T
    corners = np.stack([x, y, x + w, y, x + w, y + h, x, y + h], 1).reshape(-1, 4, 2)
    for _ in range(turn // 90):
        corners = np.stack([height - corners[..., 1], corners[..., 0]], -1)
        height, width = width, height
    return corners
