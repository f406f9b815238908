"""A picture of one character becomes the 28×28 that MNIST would have made of it."""

from contextlib import suppress

import cv2
import numpy as np
import pytest

from network.photos import NoInk, fit, normalise, report_transform, thin


def draw_five(size=320, width=22, height=200, at=(60, 60)):
    """A 5 of two separate strokes as (size, size) float32 ink, 0 to 1."""
    ink = np.zeros((size, size), np.uint8)
    points = [(0.1, 0.05), (0.08, 0.45), (0.35, 0.38), (0.6, 0.6), (0.5, 0.9), (0.25, 1), (0, 0.9)]
    for stroke in (points, [(0.2, 0), (0.65, 0)]):
        line = np.int32([[(at[0] + x * height, at[1] + y * height) for x, y in stroke]])
        cv2.polylines(ink, line, False, 255, width, cv2.LINE_AA)
    return ink.astype(np.float32) / 255


def on_paper(ink, colour=(20, 20, 30), paper=(245, 240, 230)):
    """Ink (H, W) from 0 to 1 in a colour on paper of another: (H, W, 3) uint8."""
    ink = ink[..., None]
    return np.uint8(np.float32(paper) * (1 - ink) + np.float32(colour) * ink)


def save(path, picture, *options):
    """Writes an image in the channel order of OpenCV, whatever the letters in its name."""
    cv2.imencode(path.suffix, picture, list(options))[1].tofile(path)
    return path


def unlike(one, other):
    """How two digits differ, as a share of the first one's ink; a shift by a pixel is none."""
    moved = [np.roll(other, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)]
    return min(np.abs(np.float32(one) - other).sum() for other in moved) / np.float32(one).sum()


FIVE = normalise(on_paper(draw_five()))


def test_has_mnists_shape():
    assert FIVE.shape == (28, 28) and FIVE.dtype == np.uint8 and FIVE.max() == 255
    _, _, w, h = cv2.boundingRect(FIVE)
    assert max(w, h) == 20
    for axis in (0, 1):
        assert abs(np.average(np.arange(28), weights=FIVE.sum(axis)) - 14) <= 0.5
    assert FIVE[FIVE > 0].mean() > 128


def cropped(ink):
    x, y, w, h = cv2.boundingRect(np.uint8(ink > 0.5))
    return on_paper(ink[y : y + h, x : x + w])


def border(ink):
    picture = on_paper(ink)
    picture[:, :12] = 10
    picture[-8:] = 255
    return picture


def patch(ink):
    picture = on_paper(ink, paper=(190, 190, 190))
    picture[30:290, 40:250] = on_paper(ink[30:290, 40:250])
    return picture


def ruled(ink):
    paper = np.full((320, 320, 3), (245, 240, 230), np.float32)
    paper[::32] = paper[:, ::32] = (190, 200, 225)
    return np.uint8(paper * (1 - ink[..., None]))


def on_a_line(ink):
    """The five stands on a ruled line; the frame cuts the line above, as the sheet lies askew."""
    lines = np.zeros_like(ink)
    bottom = np.flatnonzero((ink > 0.5).any(1))[-1].item()
    for left, right in ((bottom - 4, bottom + 4), (-4, 10)):
        cv2.line(lines, (-1, left), (321, right), 0.9, 6)
    return on_paper(np.maximum(ink, lines))


def noisy(ink):
    noise = np.random.default_rng(0).normal(0, 12, (320, 320, 3))
    return np.uint8(np.clip(on_paper(ink, (60, 60, 60), (220, 220, 215)) + noise, 0, 255))


def specks(ink):
    for x, y in np.random.default_rng(0).integers(0, 320, (40, 2)).tolist():
        cv2.circle(ink, (x, y), 1, 1.0, -1)
    return on_paper(ink)


LIGHT = np.linspace(1, 0.25, 320)[:, None, None]
WAYS = {
    "inverted": lambda ink: 255 - on_paper(ink),
    "grey": lambda ink: on_paper(ink)[..., 1],
    "four times as large": lambda ink: cv2.resize(on_paper(ink), None, fx=4, fy=4),
    "smaller": lambda ink: cv2.resize(on_paper(ink), (48, 48), interpolation=cv2.INTER_AREA),
    "red on green, equally bright": lambda ink: on_paper(ink, (220, 60, 60), (60, 128, 80)),
    "blue on yellow": lambda ink: on_paper(ink, (40, 40, 200), (240, 230, 120)),
    "pencil": lambda ink: on_paper(ink, (205, 205, 206), (220, 220, 221)),
    "shifted": lambda ink: on_paper(np.roll(ink, (40, 55), (0, 1))),
    "large frame": lambda ink: on_paper(np.pad(ink, ((100, 500), (400, 300)))),
    "cropped": cropped,
    # Paper at the dark end is darker than ink at the bright end.
    "slope": lambda ink: np.uint8(on_paper(ink, (150, 150, 150)) * LIGHT),
    "border": border,
    "patch": patch,
    "ruled": ruled,
    "on a line": on_a_line,
    "noisy": noisy,
    "specks": specks,
}


@pytest.mark.parametrize("way", WAYS)
def test_is_the_same_however_it_was_taken(way):
    limit = {"smaller": 0.2, "specks": 0.25}.get(way, 0.1)
    assert unlike(FIVE, normalise(WAYS[way](draw_five()))) < limit


def test_dots_along_the_edge_of_a_tiny_bitmap_are_dropped():
    ink = np.float32(cv2.resize(draw_five(), (44, 44), interpolation=cv2.INTER_AREA) > 0.5)
    ink = np.pad(ink, ((0, 5), (0, 0)))
    wanted = normalise(on_paper(ink))
    ink[43, ::3] = ink[43, 10:17] = ink[42, 20:24] = 1
    np.testing.assert_array_equal(normalise(on_paper(ink)), wanted)


def test_second_stroke_is_kept():
    ink = draw_five(width=8, at=(60, 75))
    assert cv2.connectedComponents(np.uint8(ink > 0.5))[0] == 3  # paper and two strokes
    digit = normalise(on_paper(ink))
    alone = normalise(on_paper(np.where(np.arange(320)[:, None] < 80, 0, ink)))
    assert digit[4:8, 14:].max() > 200
    assert unlike(digit, alone) > 0.3  # the bar is there, and the rest is smaller for it
    assert unlike(digit, normalise(cropped(ink))) < 0.15  # at the frame, too


def test_an_upright_stroke_from_frame_to_frame_is_no_line():
    rows, columns = np.mgrid[:16, :16]
    middle = 6 + 0.5 * np.sin(rows / 16 * 2 * np.pi + 1.5)  # a 1 that waves a little
    one = np.clip(1.25 - np.abs(columns + 0.5 - middle), 0, 1)
    digit = normalise(on_paper(one))
    assert digit.max(1)[6:23].min() > 150 and np.flatnonzero(digit.max(0)).size < 9


def test_a_one_by_a_fat_pen_is_no_block():
    def shape(width, height):  # of its 28×28
        return cv2.boundingRect(fit(thin(np.ones((height, width), np.float32))))[2:]

    assert shape(30, 100) == (6, 20)  # as wide as strokes of MNIST get
    assert shape(50, 100)[0] <= 8 and shape(50, 100)[1] == 20  # and not 10
    assert shape(100, 100) == (20, 20)  # a square stays one


def test_hairline_and_brush_survive():
    hairline = normalise(on_paper(draw_five(2000, 1, 1500, (400, 200))))
    brush = normalise(on_paper(draw_five(320, 44, 170, (90, 70))))
    assert hairline.max() == brush.max() == 255
    # Strokes of about two pixels, as thin ones in MNIST are.
    assert 0.06 < (hairline > 128).mean() < 0.2 < (brush > 128).mean() < 0.45


def test_no_ink_on_one_flat_colour_in_noise_or_light():
    shapes = (60, 80, 3), (60, 80)
    pictures = [np.full(shape, level) for shape in shapes for level in (0, 128, 255)]
    pictures.append(np.random.default_rng(0).normal(200, 6, (300, 400, 3)))
    pictures.append(np.tile(np.linspace(90, 220, 400), (300, 1)))
    for picture in pictures:
        with pytest.raises(NoInk):
            normalise(np.uint8(picture))
    with pytest.raises(NoInk):
        fit(np.zeros((64, 64)))


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (3, 200), (20, 20)])
def test_odd_shapes_end_in_a_digit_or_a_problem(shape):
    picture = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    with suppress(NoInk):
        assert normalise(picture).shape == (28, 28)


def test_report_transform_scales_about_the_centre():
    picture = np.full((128, 128, 3), 255, np.uint8)
    picture[60:68, 24:104] = 0  # 80 wide
    digit = report_transform(picture)
    assert digit.shape == (28, 28) and digit.max() == 255
    # 80 · 36/128 = 22.5 wide; beyond the picture it is as white as ink.
    assert 22 <= (digit[14] > 128).sum() <= 23
    assert (report_transform(np.full((20, 20), 255, np.uint8))[0] == 255).all()


def test_mnist_passes_through_and_is_recovered_from_larger_dark_on_light(mnist_dir):
    file = mnist_dir / "MNIST" / "raw" / "train-images-idx3-ubyte"
    images = np.fromfile(file, np.uint8, 200 * 784, offset=16).reshape(-1, 28, 28)
    changes = [unlike(image, normalise(image)) for image in images]
    assert np.median(changes) < 0.02 and np.percentile(changes, 90) < 0.1
    large = [255 - cv2.resize(image, None, fx=5, fy=5) for image in images]
    changes = [
        unlike(image, normalise(bigger)) for image, bigger in zip(images, large, strict=True)
    ]
    assert np.median(changes) < 0.15 and np.percentile(changes, 90) < 0.35
