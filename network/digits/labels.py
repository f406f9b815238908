"""What a picture shows, as far as its folder or its name says so."""

import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from network.letters.folders import letter_name
from network.weights import DIGITS

# 7.png, digit_7.png, 7_2.jpg, digit_7_2.png, and 7 (2).png as Windows counts.
CLAIM = re.compile(r"(?:digit_)?([0-9])(?:_[0-9]+| \([0-9]+\))?", re.IGNORECASE)
RUNNING = re.compile(r"(?:digit[ _-]?)?([0-9])", re.IGNORECASE)  # digit1.png, digit2.png, …


def true_label(path, names):
    """The index in `names` of what a picture shows, where its folder or its name tells, else None.

    The folder has the name of a class, in capitals or not, or is the Greek letter itself; or, of
    digits, the file's name is one of the forms of `CLAIM`. No other number is taken for a digit.
    """
    folder = letter_name(path.absolute().parent.name).casefold()
    classes = [letter_name(name).casefold() for name in names]
    if folder in classes:
        return classes.index(folder)
    claim = CLAIM.fullmatch(path.stem)
    return int(claim[1]) if claim and tuple(names) == DIGITS else None


@dataclass(eq=False)  # each is itself only
class Answer:
    """What a network said of a picture."""

    path: Path
    label: int | None  # what it shows, where that is known
    answer: int | None  # None where there was no ink
    text: str  # the answer, as it was printed
    doubted: bool = False  # it is perhaps no digit

    @property
    def is_mistake(self):
        """Whether the truth is known, and another."""
        return self.label not in (None, self.answer)

    def truth(self, names):
        """The truth as it is printed after the answer; nothing where it is not known."""
        return "" if self.label is None else f", true {names[self.label]}"


def forget_numbers(answers):
    """Takes away labels of pictures that are numbered, so that the numbers do not tell the digits.

    That is where of five or more pictures in a folder none has the answer that its name would
    claim, or all of three or more answers are one less, or one more, than the number. Returns
    a text for each such folder, which says why.
    """
    folders = defaultdict(list)  # answers, with how much they are more than the number
    for one in answers:
        named = CLAIM.fullmatch(one.path.stem) or RUNNING.fullmatch(one.path.stem)
        if named and one.answer is not None and one.path.parent.name not in DIGITS:
            folders[one.path.parent].append((one, one.answer - int(named[1])))
    reasons = []
    for folder, found in folders.items():
        differences = {more for _, more in found}
        if len(found) >= 3 and differences in ({-1}, {1}):
            why = f"are all one {'more' if differences == {-1} else 'less'} than the answers"
        elif len(found) >= 5 and 0 not in differences:
            why = "are none of the answers"
        else:
            continue
        reasons.append(f"the numbers in the names of the {len(found)} pictures in {folder} {why}")
        for one, _ in found:
            one.label = None
    return reasons
