"""Digits and Greek letters drawn stroke by stroke, like a hand with a pen.

Nothing here was written by a person: a character is a table of control points, bent by random
numbers. It serves where MNIST cannot be had (`drawn_digits`), and it made every picture that ships
under `data/`; `python -m network.pen` draws those again.

The way from table to picture:

    SKELETONS   how people write each character, as strokes of a few control points
    Hand        how one writer does it: slant, proportions, pen, the ways preferred
    draw        one character by one hand: white ink on black
    photograph  the same as pen on paper before a camera
"""

from collections import Counter
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from network import photos
from network.command import run, short
from network.files import whole_file

DIGITS = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
LETTERS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta")

# Each character: the ways of writing it, each a weight (how common it is) and its strokes. A stroke
# is its control points "x,y" in writing order, on a square of 0..100 with y pointing down. A smooth
# curve runs through them; at a point marked "!" it turns a corner.
SKELETONS = {
    "0": [
        (4, "55,4 30,15 18,50 32,88 55,96 78,80 84,45 70,12 55,4"),  # closed at the top
        (3, "64,12 44,4 22,26 18,64 40,96 68,90 84,55 78,20 54,4 38,10"),  # overlapping at the top
        (1, "42,6 22,28 18,65 42,96 72,85 82,50 74,20 62,10"),  # open at the top
        (1, "28,14 18,50 35,92 62,94 84,60 76,18 50,4 34,16 50,28"),  # ends in a curl inside
        (1, "76,10 48,6 22,32 18,66 42,97 72,86 82,50 74,22 60,8 92,2"),  # ends in a flick outside
        (1, "30,8 60,4 82,26 82,66 60,96 34,92 18,64 20,28 40,6"),  # the other way round
        (1, "60,2 36,24 22,60 26,90 44,97 68,74 80,36 74,8 60,2"),  # narrow, leaning
        (1, "40,30 56,8 32,8 16,48 30,92 60,94 84,56 74,14 50,4 30,20"),  # a knot at the top
        (1, "10,50 24,26 60,22 90,44 84,70 46,80 14,66 12,46"),  # flat
        (1, "10,10 60,5 88,40 66,90 34,90 20,54 34,8"),  # begun far out
        (1, "44,14! 18,46 20,84 50,97 78,66 80,30 66,6! 40,20"),  # sharp at the top
    ],
    "1": [
        (12, "50,2 50,98"),  # a plain stroke
        (2, "57,2 47,40 47,70 57,98"),  # bowed
        (2, "44,2 54,40 53,70 44,98"),
        (2, "34,24 54,2! 52,98"),  # with a flag
        (1, "22,38 42,24 56,2! 54,98"),  # with a long flag
        (1, "30,22 54,2! 52,96", "28,97 78,96"),  # with flag and foot
        (0.5, "52,2 50,96", "30,97 72,96"),  # with a foot
        (0.5, "50,2 48,80 56,96 70,88"),  # with a hook
        (0.5, "30,22 54,2! 50,92 24,96! 50,92 82,94"),
        (1, "26,20 56,4! 48,90 18,95! 82,91"),  # serif and foot in one go
    ],
    "2": [
        (4, "20,25 35,8 60,4 76,22 66,48 40,74 14,95! 50,92 88,95"),  # corner at the bottom
        (2, "16,14 45,6 74,12! 50,50 16,92! 86,90"),  # like a Z
        (4, "20,24 40,6 68,8 76,30 58,60 34,84 16,92 10,82 24,74 48,86 70,94 92,86"),  # with a loop
        (2, "18,22 44,4 72,14 72,38 50,68 24,94 12,84 26,72 50,84 92,96"),  # with a round loop
        (2, "30,34 18,24 36,5 66,8 76,28 60,58 18,93! 50,88 88,92"),  # a curl at the top
        (2, "18,26 40,5 70,14 66,44 38,78 12,91 34,84 60,90 90,80"),  # a wave at the bottom
        (1, "22,16 52,4 76,24 62,56 34,86 30,97 60,95 84,88"),  # round at the bottom
        (1, "14,36 26,12 56,3 78,22 72,60 44,92 14,92 16,72 44,72 92,92"),  # a great loop
        (2, "16,40 12,16 44,4 66,20 62,56 42,90 16,94 8,74 30,64 62,84 90,94"),
        (1, "40,34 22,24 34,6 62,6 72,28 54,62 20,92! 56,88 88,94"),  # the head nearly closed
        (1, "34,22 16,18 30,4 66,6 74,24 54,52 30,80 24,96 8,84 22,70 50,84 86,92"),
        (1, "22,8 66,8 74,22 44,56 12,92! 88,92"),  # flat top
        (1, "14,16 44,4 74,14 58,50 16,94! 88,90", "24,54 66,52"),  # a Z with a bar
        (2, "24,16 52,3 78,24 76,58 54,88 26,97 16,80 36,62 64,74 84,92"),  # like a round d
        (1, "22,18 54,3 78,26 72,62 48,94 20,92 16,74 40,64 62,78 60,94"),
        (1, "40,16 52,4 60,24 54,62 36,92! 58,90 84,95"),  # small head
        (1, "44,20 54,3 62,26 54,66 38,94 26,84 44,78 78,84"),
        (1, "20,36 40,10 62,20 52,52 12,86! 44,76 98,66"),  # leaning, small
        (1, "56,28 36,36 24,18 46,3 68,14 66,40 48,68 16,94! 84,90"),  # head closed like a 9's
        (1, "58,26 36,38 22,20 44,3 68,16 64,44 44,76 20,94 12,82 30,76 56,90 84,86"),
        (1, "14,34 38,6 64,18 54,48 16,82! 46,74 62,96 92,86"),
        (1, "22,14 52,4 74,20 72,60 60,86! 14,90! 90,94"),  # stem straight down to the foot
    ],
    "3": [
        (4, "18,14 45,3 72,14 66,36 40,47! 70,54 80,76 50,97 14,86"),  # two bows and a corner
        (2, "20,16 48,4 74,20 62,40 44,48 66,56 78,76 50,96 16,86"),  # no corner
        (2, "18,12 50,3 76,18 60,42 38,51 34,44 50,46 76,58 78,80 48,97 14,88"),  # a loop between
        (1, "18,8 74,8! 42,42! 72,54 78,78 48,97 14,86"),  # flat top
        (2, "24,12 56,3 76,20 50,44! 74,58 70,82 40,97 6,92"),  # lower bow drawn out
        (1, "26,20 44,4 70,10 70,30 52,44! 66,50 74,70 58,92 30,97 12,84 20,74"),  # curl at the end
        (1, "16,10 60,6 72,16 34,46! 70,48 82,70 60,94 12,94"),  # wide and flat
        (1, "38,26 22,16 44,3 70,14 62,38 40,46! 72,56 76,80 48,97 16,86"),  # a curl at the head
        (1, "14,20 40,2 72,20 60,54 42,58! 62,64 66,84 44,97 20,90"),  # large upper bow
        (1, "20,16 44,4 64,14 52,32 36,36! 68,40 86,64 64,94 16,88"),  # large lower bow
        (1, "14,22 30,8 56,10 58,30 40,44! 60,48 66,70 46,98 26,94"),
        (1, "36,12 52,4 60,20 46,40! 60,52 62,78 44,98 34,90"),  # narrow
        (1, "10,26 28,6 52,16 38,40! 68,42 70,70 58,98"),  # lower bow open
        (1, "16,16 60,6 66,18 40,44! 66,54 64,78! 14,94"),  # pointed
    ],
    "4": [
        (4, "26,6 18,40 26,56 50,56 86,46", "72,8 68,50 62,98"),  # open, round
        (4, "28,4 14,58! 88,54", "66,16 60,98"),  # open, with a corner
        (2, "62,3 12,66! 92,64", "64,3 62,98"),  # closed, two strokes
        (1, "68,97 66,4! 10,64! 94,62"),  # closed, one stroke
        (2, "24,6 16,52! 70,48! 76,6! 64,98"),  # open, one stroke
        (1, "60,4 30,30 14,56 48,60 78,46", "70,8 58,98"),  # nearly closed, round
        (1, "22,10 20,46 44,54 72,40 78,6! 70,60 66,98"),  # like a y
        (1, "36,10 10,62 30,66 96,46", "64,30 48,97"),  # leaning, long bar
        (1, "30,12 8,56 40,60 70,40", "80,6 56,50 40,98"),
        (1, "68,46 14,48! 54,5! 64,50 66,98"),  # like a pointed 9
    ],
    "5": [
        (3, "30,6 24,44! 56,38 80,60 66,90 38,97 12,86", "30,6 84,5"),  # two strokes
        (3, "82,6 32,8! 26,44! 58,38 80,62 64,92 36,97 12,86"),  # one stroke
        (2, "82,8 52,7 32,20 40,42 66,58 72,82 44,97 14,88"),  # like an S
        (2, "96,4 44,10! 32,40 58,46 70,68 50,92 10,92"),  # long flag, small belly
        (2, "40,14 30,44! 58,44 68,66 52,90 12,92", "40,14 94,4"),  # the same in two strokes
        (1, "76,6 36,8! 28,42! 60,36 80,58 70,88 40,97 16,84 26,72"),  # curl at the end
        (1, "34,8 30,40 58,50 70,74 50,95 20,90", "36,10 90,10"),  # round shoulder
        (1, "84,6 34,8! 24,42! 58,36 80,60 64,92 34,95 24,76 32,66"),  # belly nearly closed
        (1, "74,14 56,4 34,16 36,38 64,54 78,76 52,96 26,84 34,70"),  # like an 8 that is open
        (1, "66,14 34,14! 26,52! 60,46 78,66 58,92 22,86"),  # short flag
        (1, "88,10 36,10 30,44! 56,46 70,66 54,92 26,90 20,70 32,50"),
        (1, "34,8 20,90! 20,60 44,40 72,54 70,84 40,96 14,88", "34,8 84,8"),  # closed belly
        (1, "96,6 40,12 26,46! 58,42 66,66 44,92 20,82 36,60"),  # long flag, belly nearly closed
    ],
    "6": [
        (3, "66,3 34,30 18,66 34,94 64,94 78,74 60,56 34,62 22,80"),
        (3, "50,3 24,56 28,90 56,97 74,78 60,58 36,64 24,84"),  # straight stem
        (1, "78,12 60,4 34,26 18,64 32,94 62,95 76,72 54,56 26,72"),  # hook at the top
        (1, "30,3 22,50 24,86 44,97 68,86 70,64 46,56 26,76"),  # like a b
        (2, "62,3 30,40 18,74 36,96 66,84 74,62 54,58 36,76 38,95"),  # loop ends low
        (1, "56,3 26,40 18,72 40,97 74,88 86,62 60,58 26,78"),  # wide loop
        (1, "60,3 30,44 22,80 42,96 60,84 64,70 50,68 36,82"),  # small loop
        (2, "34,4 12,50 22,90 56,97 88,80 80,60 56,64 46,84 52,94"),  # loop far from the stem
        (2, "30,4 10,56 20,90 48,96 74,82 78,62 60,58 42,70"),  # loop open
        (1, "44,3 20,46 18,84 40,97 70,86 66,60 40,58 24,72 40,90"),
    ],
    "7": [
        (4, "14,10 82,8! 46,98"),
        (3, "14,14 50,8 82,10! 60,44 46,98"),  # bent stem
        (3, "14,26 18,8! 80,10! 54,50 44,98"),  # with a flag
        (2, "10,18 28,7 50,15 82,6! 56,50 44,98"),  # wavy top
        (2, "18,18 40,6 74,10 74,40 56,98"),  # round
        (2, "14,12 82,8! 46,98", "32,54 78,50"),  # with a bar
        (1, "14,24 18,8! 80,10! 54,50 44,98", "30,54 78,50"),  # with flag and bar
        (1, "26,34 30,10 48,6! 70,8! 66,50 60,98"),  # narrow
        (1, "20,38 26,8! 50,16 76,8 76,40 66,98"),
        (1, "22,26 16,12 34,6 80,8! 52,50 40,98", "28,60 76,46"),
        (0.3, "12,16 74,8! 40,94! 76,90"),  # with a foot
        (1, "28,28 18,16 36,8 78,12 72,40 50,98"),  # a curl at the top
        (1, "20,8 24,36! 78,10! 44,98"),  # like a y
        (2, "24,16 32,8! 76,10! 52,50 44,98", "26,58 86,48"),  # long bar
        (1, "14,16 80,8! 48,98", "42,44 84,40"),
        (1, "26,30 40,8 72,10! 52,60 46,98", "30,46 72,52"),
    ],
    "8": [
        (4, "76,14 48,3 26,18 38,40 66,58 74,80 48,97 24,82 34,60 62,42 76,14"),  # closed S
        (3, "82,8 50,4 26,20 42,42 70,64 66,90 38,97 22,78 44,54 72,28 84,10"),  # open at the top
        (1, "50,3 28,14 30,38 50,46 72,36 70,12 50,3", "50,46 22,62 24,88 50,97 76,86 76,60 50,46"),
        (1, "50,48 28,26 50,3 72,24 50,48 24,76 50,97 76,76 50,48"),  # begun in the middle
        (2, "24,14 50,3 74,18 62,40 34,58 26,80 52,97 76,82 66,60 38,42 24,14"),  # mirrored
        (1, "90,10 54,6 24,20 44,42 66,66 56,94 34,94 32,72 60,46 92,4"),  # slim lower loop
        (0.5, "62,6 34,8 30,30 56,50 60,82 40,97 28,80 46,52 68,26 62,6"),  # slim
        (2, "84,18 60,3 30,12 36,38 66,56 70,84 42,97 24,80 40,60 78,30"),  # open at the side
        (1, "70,20 44,4 22,22 40,46 58,70 48,96 30,86 38,62 60,40 70,20"),  # small lower loop
        (1, "58,22 44,6 34,20 52,42 82,68 60,97 22,86 30,60 52,40 62,20"),  # small upper loop
        (1, "94,4 56,34 28,78 32,96 54,84 50,56 24,34 34,12 60,12 90,10"),
        (1, "90,6 20,78 16,94 36,96 56,60 32,26 46,8 64,14"),  # like a fish
        (1, "78,8 48,8 30,26 62,52 78,78 50,97 18,82 34,54 50,46"),  # upper loop open
        (2, "30,20 42,5 68,10 70,28 44,60 24,84 34,97 52,84 48,60 28,34 32,16"),  # small foot
        (1, "24,28 38,8 58,14 52,50 30,90 44,97 56,80 38,44 60,20 96,4"),  # tail to the right
    ],
    "9": [
        (3, "72,16 46,4 22,24 28,46 54,48 74,18! 66,98"),  # straight leg
        (2, "70,18 48,4 24,22 28,46 52,48 74,18! 76,70 54,97 22,88"),  # curled leg
        (2, "70,34 44,48 22,34 34,8 62,6 76,28 70,64 54,98"),  # loop runs into the leg
        (2, "82,8 44,6 20,28 32,46 60,38 80,10! 60,54 46,98"),  # wide, leaning
        (1, "72,14 44,8 22,30 36,50 70,36", "76,8 70,50 64,98"),  # two strokes
        (1, "62,10 40,6 28,24 36,40 56,36 66,14! 58,60 54,98"),  # small head
        (1, "70,10 44,5 24,24 34,44 60,40 72,12! 70,50 74,84 66,97"),
        (2, "60,10 34,12 20,40 40,54 66,36 74,10! 66,60 62,98"),  # head open at the top
        (1, "76,18 50,2 22,16 24,42 52,50 72,34! 80,64 72,98"),
        (1, "78,26 56,10 26,20 24,46 56,50 78,22! 72,62 46,92 18,94"),
        (1, "84,14 52,4 24,16 30,38 60,38 70,26 74,60 50,97 20,86"),  # like a g
        (1, "80,8 46,8 30,30 48,46 66,40 58,68 40,98"),  # like an S
        (1, "58,14 44,6 38,26 50,36 60,16! 54,98"),  # narrow
        (1, "76,6 24,22 18,44 44,48 74,22! 60,60 50,98"),
    ],
    "alpha": [
        (3, "86,10 62,58 36,82 12,62 32,34 58,48 92,92"),  # like a fish, one stroke
        (2, "84,20 60,62 34,78 14,54 36,24 60,46 90,82"),  # the same, round
        (1, "96,22 56,60 24,74 4,58 30,36 60,54 98,80"),  # the same, wide
        (1, "70,4 54,60 36,90 22,66 34,36 54,50 78,92"),  # the same, narrow
        (1, "80,14 66,40 40,84 16,60 28,26 52,34 66,66 76,90 90,82"),  # ends in a hook
        (1, "84,16 70,50 62,74", "60,30 36,16 14,48 32,84 56,66 70,30 74,72 92,88"),
        (1, "74,22 42,12 14,48 30,86 58,70 76,20! 76,72 94,86"),  # like an a
    ],
    "beta": [
        (3, "10,98 26,60 38,20 60,4 76,18 60,40 46,46! 70,54 70,76 48,86 30,76"),  # stem first
        (2, "14,98 30,50 44,12 66,4 74,20 48,44! 70,56 62,80 40,84 26,74"),
        (2, "26,20 14,98", "24,24 48,5 72,14 64,36 40,44! 72,54 72,78 46,88 20,80"),
        (
            1,
            "30,6 28,60 22,98",
            "30,10 58,4 70,22 34,46! 74,58 64,84 28,84",
        ),  # like a B with a tail
        (1, "20,70 10,98 26,60 34,18 52,3 70,12 66,34 44,46 66,56 74,74 56,92 36,84"),
        (1, "22,98 26,20 48,3 70,16 60,42 38,46! 70,54 76,76 54,92 30,82"),  # upright
    ],
    "gamma": [
        (3, "12,20 26,8 42,26 46,58", "88,4 48,56 30,97"),  # a hook, then the stem
        (2, "14,6 30,24 46,58", "86,6 46,58 40,97"),  # like a v on a stem
        (2, "16,6 46,56! 88,4", "48,54 42,97"),  # the same, v and stem apart
        (2, "10,20 24,8 42,36 50,72 44,96 34,86 46,58 84,6"),  # a loop below
        (1, "8,28 22,12 38,22 50,60 46,92 38,94 40,72 62,36 78,6"),
        (1, "8,40 16,16 30,14 36,52! 64,20 60,50 44,97", "78,4 64,24"),  # hook on both sides
        (1, "8,26 20,6 34,28 32,52 60,40 84,4! 58,54 30,97"),  # like a y
    ],
    "delta": [
        (3, "74,14 52,4 36,16 54,36 76,62 62,92 32,94 16,70 34,46 60,44"),  # a hook on a bowl
        (1, "80,8 46,5 34,20 66,44 74,74 50,96 22,84 22,58 46,44 64,50"),
        (1, "28,14 50,3 70,24 76,62 58,94 28,90 18,66 40,44 70,54"),  # like a round d
        (1, "66,10 48,4 42,18 64,46 66,78 46,97 26,82 30,56 52,44"),  # narrow
        (3, "50,4 10,94! 90,90! 50,4"),  # capital, one stroke
        (1, "52,4 18,92", "50,4 88,94", "12,92 92,92"),  # capital, three strokes
        (1, "56,4 26,94", "52,8 78,58 82,92! 20,88"),  # capital, narrow
        (1, "40,8 14,88! 84,76 78,50 36,10"),  # capital, like a D
        (0.5, "50,4 38,66 12,90 24,94", "50,4 62,60 90,92"),  # capital, open below
        (1, "44,6 36,60 24,97", "42,8 70,40 84,84! 30,78"),
        (0.5, "12,50 28,6 56,48 86,90! 44,84"),  # capital, open on the left
    ],
    "epsilon": [
        (2, "78,16 50,5 24,22 46,46! 18,66 32,92 60,95 84,82"),  # two bows
        (2, "74,14 46,6 30,26 54,46 24,64 26,90 56,96 80,84"),
        (1, "80,20 40,4 22,30 40,46 56,48! 40,48 16,70 40,96 84,80"),
        (3, "84,12 46,8 18,48 44,92 86,86", "20,50 72,48"),  # round with a bar
        (1, "72,6 40,26 22,60 34,92 66,94", "28,52 86,50"),
        (1, "88,18 60,3 20,22 12,64 36,95 78,88 86,66", "50,56 94,54"),  # like a great G
        (1, "26,6 22,94! 82,90", "26,8 80,6", "24,50 70,48"),  # capital
        (1, "80,8 28,8! 24,94! 84,90", "26,50 74,48"),  # capital, fewer strokes
        (1, "78,12 36,10! 28,46 20,84 52,94 84,84", "30,48 76,46"),
    ],
    "zeta": [
        (2, "30,6 44,12 78,8! 36,36 16,66 36,82 66,84 68,96 48,99"),
        (1, "26,10 72,6! 34,30 20,56 34,74 64,76 70,90 52,99"),
        (1, "40,4 30,12 44,18 74,10 36,36 20,64 40,80 68,86 56,99"),
        (2, "16,10 82,8! 16,92! 88,90"),  # capital
        (2, "18,16 44,6 76,12 56,46 16,90! 50,84 88,94"),
        (1, "16,22 38,8 78,12! 30,60 24,88 50,95 84,90"),
        (1, "18,10 80,8! 18,92! 86,90", "28,52 72,46"),  # capital with a bar
        (1, "20,30 40,6 74,10 50,48 34,80 50,95 84,86"),
    ],
    "eta": [
        (3, "12,20 24,8 30,34 28,72", "30,36 52,10 72,24 70,60 70,98"),  # long leg
        (2, "14,8 20,70! 32,26 56,8 74,26 72,98"),
        (1, "8,22 22,8 28,30 24,68! 40,24 62,10 74,34 66,80 76,97"),
        (3, "22,6 18,94", "80,6 76,94", "20,50 78,48"),  # capital
        (1, "26,6 14,96", "86,4 70,94", "8,58 92,44"),
        (1, "28,10 22,90", "70,6 68,96", "22,66 76,30"),
        (1, "20,14 16,60 74,58", "80,6 74,96"),  # capital, like a 4
        (1, "26,14 14,88 18,60 74,52", "84,6 76,94"),
    ],
    "theta": [
        (3, "56,3 30,16 20,50 32,88 52,97 72,82 80,46 72,14 54,3", "22,50 78,50"),  # narrow
        (2, "60,2 36,20 26,54 34,92 52,96 68,72 76,36 68,8 56,4", "30,52 74,46"),
        (1, "62,10 40,4 22,32 24,76 46,97 72,82 80,44 66,12", "14,54 92,44"),  # long bar
        (1, "30,50 52,48 72,40 66,8 44,6 26,40 30,86 54,96 74,70 74,42"),  # one stroke
        (1, "20,58 26,46 40,50 60,18 50,4 38,20 40,70 58,96 80,74 82,48 94,46"),  # script
        (2, "52,6 18,20 6,50 20,84 54,94 86,80 94,48 80,16 48,6", "10,50 90,50"),  # round
        (2, "52,6 18,20 6,50 20,84 54,94 86,80 94,48 80,16 48,6", "34,52 68,48"),  # short bar
    ],
}

# The colours of pens, RGB: black, two blues, red, pencil.
PENS = ((30, 30, 35), (35, 45, 120), (20, 60, 90), (120, 30, 40), (90, 90, 95))

SAMPLES = 8  # points of the curve for each step between two control points
FRACTION = 4  # bits of a pixel's coordinate behind the point


@cache
def _curve(strokes):
    """The curve through a skeleton's control points, as a matrix: it is linear in them.

    Catmull-Rom splines (Catmull and Rom, 1974): between two points the curve is a cubic of these
    two and their two neighbours, so that only weights are needed, the same at every drawing.

    Returns:
        points (N, 2) in 0..1; weights (M, N), curve = weights @ points; owner (N,), the stroke of
        each point; tips (2 · strokes, 2), each stroke's first and last point with its neighbour;
        ends, where each stroke begins and ends in the curve.
    """
    t = np.linspace(0, 1, SAMPLES, endpoint=False)[:, None]  # (SAMPLES, 1)
    cubic = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    blend = t ** np.arange(4) @ cubic  # (SAMPLES, 4): the weights of four neighbouring points

    marks = [mark for stroke in strokes for mark in stroke.split()]
    points = np.array([[float(n) for n in mark.strip("!").split(",")] for mark in marks]) / 100
    owner = np.repeat(np.arange(len(strokes)), [len(stroke.split()) for stroke in strokes])
    tips, rows, ends = [], [], []
    for number in range(len(strokes)):
        inside = np.flatnonzero(owner == number)
        tips += [inside[:2], inside[:-3:-1]]
        begin = len(rows)
        corners = [k for k in range(1, len(inside) - 1) if marks[inside[k]].endswith("!")]
        for a, b in pairwise([0, *corners, len(inside) - 1]):  # the curve between two corners
            for k in range(a, b):
                part = np.zeros((SAMPLES, len(points)))
                # Where there is no neighbour, at an end or a corner, the point is its own.
                for column, neighbour in enumerate(np.clip(range(k - 1, k + 3), a, b)):
                    part[:, inside[neighbour]] += blend[:, column]
                rows.extend(part)
        rows.append(np.eye(len(points))[inside[-1]])
        ends.append((begin, len(rows)))
    return points, np.array(rows), owner, np.array(tips), ends


@dataclass(frozen=True)
class Hand:
    """How one writer writes."""

    taste: float  # 0..1: which of a character's ways of writing, along their weights
    slant: float  # how far a stem leans to the right, as a share of its height
    aspect: float  # how much wider than the skeleton, as a factor
    wobble: float  # standard deviation of control points, as a share of the character's height
    pen: float  # width of the pen's tip, in the same measure

    @classmethod
    def any(cls, rng):
        """A random writer. They differ more than MNIST's, so that MNIST's lie among them."""
        return cls(
            taste=rng.random(),
            slant=rng.normal(0.12, 0.22),
            aspect=np.exp(np.clip(rng.normal(0, 0.28), -0.5, 0.6)),
            wobble=0.025 * np.exp(rng.normal(0, 0.4)),
            pen=np.clip(0.125 * np.exp(rng.normal(0, 0.5)), 0.03, 0.34),
        )


def way_of(character, taste):
    """The strokes in which a writer of this taste (0..1) writes a character."""
    ways = SKELETONS[character]
    weights = np.cumsum([way[0] for way in ways])
    return ways[int(np.searchsorted(weights, taste * weights[-1], side="right"))][1:]


def draw(character, rng, size=64, hand=None):
    """Draws a character in white ink on black.

    Args:
        character: one of `DIGITS` or `LETTERS`.
        rng: np.random.Generator, the source of all variation.
        size: the picture's side in pixels, 28 or more for characters that can be read.
        hand: the `Hand` that writes; a new one each time by default.

    Returns:
        (size, size) uint8, ink 255, paper 0; all ink lies inside the frame.
    """
    hand = hand or Hand.any(rng)
    curve, ends = _written(character, hand, rng)

    # Room on the paper: the longer side takes part of the frame, anywhere in it.
    low, high = curve.min(0), curve.max(0)
    extent = (high - low).max()
    reach = size * rng.uniform(0.65, 0.9)  # of the ink's longer side, pen included
    scale = reach / (extent + hand.pen)
    width = hand.pen * scale
    room = size - (high - low) * scale - width
    start = width / 2 + rng.uniform(0.25, 0.75, 2) * room
    curve = (curve - low) * scale + start

    # Painted at twice the size, then shrunk, for smooth edges.
    canvas = np.zeros((2 * size, 2 * size), np.uint8)
    pixels = np.int32(np.round(curve * 2 * 2**FRACTION))  # fixed point numbers, as OpenCV wants
    for begin, end in ends:
        # The pen presses harder here than there; OpenCV draws runs of the same width at once.
        press = np.interp(np.linspace(0, 3, end - begin - 1), range(4), rng.normal(0, 0.35, 4))
        widths = np.maximum(1, np.int32(2 * width * np.clip(1 + press, 0.6, 1) + 0.5))
        cuts = np.flatnonzero(np.diff(widths)) + 1
        for a, b in zip([0, *cuts], [*cuts, len(widths)], strict=True):
            run = pixels[begin + a : begin + b + 1]
            cv2.polylines(canvas, [run], False, 255, int(widths[a]), cv2.LINE_8, FRACTION)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA)


def _written(character, hand, rng):
    """The pen's path: (M, 2) points, about 1 high, and where each stroke begins and ends in it."""
    points, weights, owner, tips, ends = _curve(way_of(character, hand.taste))
    # The hand misses its aim: each point a little, each stroke as a whole.
    noise = rng.normal(0, hand.wobble, (2, *points.shape))
    points = points + noise[0] + noise[1][owner]
    # Strokes begin and end early or late: their outermost points move along the stroke.
    reach = rng.normal(0, 0.12, (len(tips), 1))
    points[tips[:, 0]] += reach * (points[tips[:, 0]] - points[tips[:, 1]])
    curve = weights @ points  # (M, 2)

    # The upper part is smaller or larger than the lower, the left than the right.
    curve = np.clip(curve, 0, None) ** np.exp(rng.normal(0, 0.2, 2))
    # Two slow waves bend the whole.
    waves, phases = rng.normal(0, 0.55, (2, 2)), rng.uniform(0, 2 * np.pi, 2)
    curve = curve + np.sin(2 * np.pi * curve @ waves + phases) @ rng.normal(0, 0.05, (2, 2))
    # Proportions, slant, and the angle at which the paper lies.
    turn = rng.normal(0, 0.12)
    shape = np.array([[hand.aspect, -hand.slant], [0, 1]])
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    return curve @ (turned @ shape).T, ends


def photograph(ink, rng):
    """Pen on paper, as a camera sees it: uneven light, tinted grainy paper, blur and noise.

    Args:
        ink: (H, W) uint8 from `draw`.
        rng: np.random.Generator.

    Returns:
        (H, W, 3) uint8, RGB, dark ink on light paper.
    """
    h, w = ink.shape
    share = cv2.GaussianBlur(np.float32(ink) / 255, (0, 0), rng.uniform(0.4, 0.9) * h / 128)
    corners = rng.uniform(0.7, 1.05, 4)  # light at the four corners, even between them
    light = np.linspace(np.linspace(*corners[:2], w), np.linspace(*corners[2:], w), h)  # (H, W)
    grain = cv2.GaussianBlur(np.float32(rng.normal(0, 1, (h, w))), (0, 0), 1.5) * 4
    paper = rng.uniform(170, 235) * rng.uniform(0.95, 1, 3)
    pen = np.array(PENS[rng.integers(len(PENS))]) + rng.uniform(-15, 15)
    share = share * np.clip(rng.uniform(0.8, 1) + 0.05 * grain, 0, 1)  # ink skips on rough paper
    picture = paper + (pen - paper) * share[..., None]  # (H, W, 3)
    picture = (picture + grain[..., None]) * light[..., None]
    picture += rng.normal(0, rng.uniform(0.2, 0.6), (h, w, 1))
    return np.uint8(np.clip(picture, 0, 255) + 0.5)


def drawn_digits(count, seed, progress=None):
    """Draws a training set like MNIST's, every class as often as the others.

    Args:
        count: how many images.
        seed: the same seed draws the same images.
        progress: wraps the loop's iterable, such as tqdm.

    Returns:
        images (count, 28, 28) uint8, white on black; labels (count,) int64.
    """
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(count) % 10)
    images = np.empty((count, 28, 28), np.uint8)
    for i in progress(range(count)) if progress else range(count):
        ink = draw(DIGITS[labels[i]], rng)
        images[i] = photos.fit(ink / np.float32(255))
    return images, labels


def shipped():
    """Draws every picture that ships under data/, the same at each call.

    Yields:
        The file's path below data/ and the picture, (H, W, 3) uint8 RGB.
    """
    for digit in DIGITS:  # seed 8 draws ten that anyone would read
        yield f"digits/{digit}.png", _page(digit, np.random.default_rng([8, int(digit)]))
    sets = (
        (11, "greek_train", LETTERS[:3], 9),
        (12, "greek_extended", LETTERS, 30),
        (13, "greek_test", LETTERS, 6),
    )
    for seed, folder, letters, count in sets:
        for letter in letters:
            for i in range(count):
                # Each set has its own writers; one writer writes a page of all its letters. Their
                # tastes are spread evenly, so that every way of writing gets its share.
                writer = Hand.any(np.random.default_rng([seed, i]))
                writer = replace(writer, taste=(i + 0.5) / count)
                rng = np.random.default_rng([seed, i, LETTERS.index(letter)])
                yield f"{folder}/{letter}/{letter}_{i + 1:02}.png", _page(letter, rng, writer)


def _page(character, rng, hand=None):
    """A photograph, (128, 128, 3) uint8 RGB, of a character written with care and a usual pen."""
    hand = hand or Hand.any(rng)
    hand = replace(hand, aspect=hand.aspect**0.6, wobble=0.8 * hand.wobble, pen=min(hand.pen, 0.16))
    # The lowest two bits are noise, and would double the files.
    return photograph(draw(character, rng, 128, hand), rng) // 4 * 4


def main():
    """Draws the shipped pictures again and lists what was written, folder by folder."""
    data = Path(__file__).resolve().parent.parent / "data"
    written = Counter()
    for name, picture in shipped():
        _, png = cv2.imencode(".png", picture[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
        with whole_file(data / name) as file:
            file.write(png.tobytes())
        written[name.split("/")[0]] += 1
    counts = ", ".join(f"{short(data / name)} ({count})" for name, count in written.items())
    print(f"pictures written: {counts}")


if __name__ == "__main__":
    run(main)
