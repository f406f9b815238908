"""Time to read a page against the number of digits on it: python -m benchmarks.pages

The pages are drawn: MNIST's training digits in rows, of one size, so that a page grows with them;
then a photograph of 12 and a form of 35 megapixels, from file to figure.
"""

import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
import torch

from benchmarks.sides import mnist, parse_options
from network.cli import HOME
from network.pages import drawn
from network.pages.figures import save_page
from network.pages.reader import read_page
from network.pages.report import edits
from network.pictures import read_image
from network.weights import load_digit_network

COUNTS = 10, 50, 200, 500, 1000, 2000
CELL = 84, 64  # pixels around a digit, which is 56 high at most


def page_of(images, labels, columns):
    """Digits (N, 28, 28) uint8 in rows: the picture (H, W, 3) uint8, black on white."""
    rows = -(-len(images) // columns)
    ink = np.zeros((rows * CELL[0], columns * CELL[1]), np.uint8)
    for number, image in enumerate(images):
        y, x = number // columns * CELL[0] + 14, number % columns * CELL[1] + 4
        ink[y : y + 56, x : x + 56] = cv2.resize(image, (56, 56), interpolation=cv2.INTER_CUBIC)
    return np.repeat(255 - ink[..., None], 3, 2)


def form(images):
    """A printed form of 46 × 25 boxes, 35 megapixels: the picture (H, W, 3) uint8."""
    sheet = np.full((7014, 4962), 245, np.uint8)
    for number, image in enumerate(images[: 46 * 25]):
        y, x = 180 + number // 25 * 145, 150 + number % 25 * 187
        cv2.rectangle(sheet, (x, y), (x + 187, y + 145), 40, 4)
        large = cv2.resize(image, (110, 110), interpolation=cv2.INTER_CUBIC)
        part = sheet[y + 18 : y + 128, x + 38 : x + 148]
        np.minimum(part, 245 - np.uint8(0.8 * large), out=part)
    return np.repeat(sheet[..., None], 3, 2)


def timed(function, runs):
    """The median of some runs in seconds, after one to warm up, and what was returned."""
    times = []
    for _ in range(runs + 1):
        start = time.perf_counter()
        result = function()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:]), result


def main():
    options = parse_options(__doc__, runs=3)
    training = mnist(options)
    network = load_digit_network(HOME / "models" / "mnist_network.pth")
    generator = torch.Generator().manual_seed(0)
    chosen = torch.randperm(len(training.images), generator=generator)[: max(COUNTS)]
    images, labels = training.images[chosen].numpy(), training.labels[chosen].tolist()

    print(" digits  megapixels  seconds  digits/s  s/megapixel   right")
    costs = {}
    for count in COUNTS:
        picture = page_of(images[:count], labels, max(5, round((1.3 * count) ** 0.5)))
        pixels = picture.shape[0] * picture.shape[1] / 1e6
        seconds, reading = timed(lambda p=picture: read_page(p, network, "cpu"), options.runs)
        found = "".join(reading.texts).replace(" ", "")
        right = 1 - edits("".join(map(str, labels[:count])), found) / count
        costs[count] = seconds / count
        print(
            f"{count:7,}  {pixels:10.2f}  {seconds:7.3f}  {count / seconds:8,.0f}  "
            f"{seconds / pixels:11.3f}  {right:6.2%}",
            flush=True,
        )
    ratio = costs[COUNTS[-1]] / costs[COUNTS[-2]]
    print(f"a digit's cost at {COUNTS[-1]:,} digits ÷ at {COUNTS[-2]:,}: {ratio:.2f}")

    large = drawn.draw_page(np.random.default_rng(1), "ruled", size=(3000, 4000)).picture
    with tempfile.TemporaryDirectory() as folder:
        for name, picture in (("photograph", large), ("form", form(images))):
            path = Path(folder) / f"{name}.jpg"
            cv2.imwrite(str(path), picture[..., ::-1])

            def whole(path=path):
                start = time.perf_counter()
                picture = read_image(path)
                opened = time.perf_counter()
                reading = read_page(picture, network, "cpu")
                read = time.perf_counter()
                save_page(picture, reading, path.with_suffix(".png"))
                return opened - start, read - opened, time.perf_counter() - read

            seconds, (opening, reading, drawing) = timed(whole, options.runs)
            print(
                f"{name} of {picture.shape[0] * picture.shape[1] / 1e6:.0f} megapixels: "
                f"{seconds:.2f} s (file {opening:.2f}, reading {reading:.2f}, figure {drawing:.2f})"
            )


if __name__ == "__main__":
    main()
