"""What mnist_eval.py --page does: reads pictures of many digits, prints, draws and saves them."""

import csv
import json
import re
import sys
from dataclasses import asdict

import numpy as np
from tqdm import tqdm

from network import cli
from network.files import Problem, whole_file
from network.pages import figures
from network.pages.reader import read_page
from network.photos import NoInk
from network.pictures import image_files, read_image

NO_DIGITS = (
    "there are no digits in the picture; write larger, darker or in better light, and have one "
    "digit alone read without --page"
)


def read_pages(network, doubt_limit, device, options):
    """Reads the pictures that were named; returns the exit status and the paths of what it wrote.

    Args:
        network: the digit network, on `device`.
        doubt_limit: as in `read_page`.
        options: .pictures (else those in data/pages), .labels, .turn, .json, .figures_dir.
    """
    shipped = cli.HOME / "data" / "pages"
    paths = image_files(options.pictures or [cli.short(shipped)])
    theirs = [figures.path_of(options.figures_dir, page) for page in shipped.glob("*.jpg")]
    status, written, pages = 0, [], []
    right = total = 0
    for path in tqdm(paths, desc="reading", leave=False, disable=None):
        truth = true_reading(path) if options.labels else None
        try:
            picture = read_image(path)
            reading = read_page(picture, network, device, options.turn, doubt_limit)
            digits = re.sub(r"\D", "", "".join(reading.texts))
            if truth is not None:
                good = max(0, len(truth) - edits(truth, digits))
                right, total = right + good, total + len(truth)
            if not digits:
                raise NoInk(f"{path}: {NO_DIGITS}")
        except Problem as problem:
            cli.complain(problem)
            status = max(status, problem.status)
            continue
        tqdm.write("\n".join(lines(path, reading, digits)), file=sys.stdout)
        taken = written if path.resolve().parent == shipped else written + theirs
        figure_path = figures.path_of(options.figures_dir, path, taken)
        figures.save_page(picture, reading, figure_path)
        written.append(figure_path)
        pages.append(as_plain(path, picture, reading))
    if total:
        print(f"accuracy: {right}/{total} = {right / total:.2%}")
    if options.json:
        with whole_file(options.json) as file:
            file.write(json.dumps(pages, indent=1).encode())
        written.append(options.json)
    return status, written


def lines(path, reading, digits):
    """What is printed of a page: how much there is, then its rows."""
    unsure = sum(text.count("?") for text in reading.texts)
    parts = [cli.count_of(len(reading.rows), "row"), cli.count_of(len(digits), "digit")]
    if unsure:
        parts.append(f"{cli.count_of(unsure, 'mark')} perhaps no digit")
    if reading.turn:
        parts.append(f"turned clockwise by {reading.turn} degrees")
    return [f"{path}: {', '.join(parts)}", *(f"  {text}" for text in reading.texts)]


def as_plain(path, picture, reading):
    """A page for --json; README.md describes it."""
    height, width = picture.shape[:2]
    return {
        "file": str(path),
        "width": width,
        "height": height,
        "turn": reading.turn,
        "rows": [
            {"text": text, "characters": list(map(asdict, row))}
            for text, row in zip(reading.texts, reading.rows, strict=True)
        ],
    }


def true_reading(path):
    """The digits that a picture shows, row by row without gaps, or None: what readings.tsv in its
    folder says (file, tab, rows parted by " / "; `0 x 1150` is a digit repeated)."""
    table = path.parent / "readings.tsv"
    if table.is_file():
        with open(table, newline="", encoding="utf-8", errors="replace") as file:
            for row in csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
                if len(row) > 1 and row[0] == path.name:
                    repeated = re.fullmatch(r"([0-9]) x ([0-9]+)", row[1].strip())
                    if repeated:
                        return repeated[1] * int(repeated[2])
                    return re.sub(r"[^0-9]", "", row[1])
    return None


def edits(a, b):
    """How many insertions, deletions and replacements make b of a (Levenshtein, 1965)."""
    row = np.arange(len(b) + 1)
    letters = np.array(list(b))
    for number, letter in enumerate(a, 1):
        # From above: delete, or replace; then from the left: insert, as a running minimum.
        best = np.minimum(row[1:] + 1, row[:-1] + (letters != letter))
        best = np.concatenate([[number], best]) - np.arange(len(b) + 1)
        row = np.minimum.accumulate(best) + np.arange(len(b) + 1)
    return int(row[-1])
