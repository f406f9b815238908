"""What a picture shows, as far as its folder or its name says so."""

import re
from collections import defaultdict
from pathlib import Path

from network.weights import DIGITS

# 7.png, digit_7.png, 7_2.jpg, digit_7_2.png, and 7 (2).png as Windows counts.
CLAIM = re.compile(r"(?:digit_)?([0-9])(?:_[0-9]+| \([0-9]+\))?", re.IGNORECASE)
RUNNING = re.compile(r"(?:digit[ _-]?)?([0-9])", re.IGNORECASE)  # digit1.png, digit2.png, …


def true_label(path, names):
    """The index in `names` of what a picture shows, where its folder or its name tells, else None.

    The folder has the name of a class, in capitals or not; or, of digits, the file's name is one
    of the forms of `CLAIM`. No other number in a name is taken for a digit.
    """
    folder = Path(path).parent.name.casefold()
    classes = [name.casefold() for name in names]
    if folder in classes:
        return classes.index(folder)
    claim = CLAIM.fullmatch(Path(path).stem)
    return int(claim[1]) if claim and tuple(names) == DIGITS else None


def find_numbered(answers):
    """Finds folders whose pictures are numbered, so that the numbers do not tell the digits.

    That is where of five or more pictures none has the answer that its name would claim, or all of
    three or more answers are one less, or one more, than the number.

    Args:
        answers: pairs of a path, and the digit that the network answered.

    Returns:
        The folders, each with a text that says why.
    """
    folders = defaultdict(list)  # what answers minus numbers are
    for path, answer in answers:
        named = CLAIM.fullmatch(path.stem) or RUNNING.fullmatch(path.stem)
        if named and path.parent.name not in DIGITS:
            folders[path.parent].append(answer - int(named[1]))
    found = {}
    for folder, differences in folders.items():
        numbers = f"the numbers in the names of the {len(differences)} pictures in {folder}"
        if len(differences) >= 3 and set(differences) in ({-1}, {1}):
            more = "more" if differences[0] < 0 else "less"
            found[folder] = f"{numbers} are all one {more} than the answers"
        elif len(differences) >= 5 and 0 not in differences:
            found[folder] = f"{numbers} are none of the answers"
    return found
