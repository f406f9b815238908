"""A small colour picture drawn by the project, for where no photograph is at hand."""

import cv2
import numpy as np

DRAW_AT = 8  # times the final size, so that edges come out smooth


def draw_scene(side=64):
    """A house by a lake under the sun: edges of all angles, fine and coarse, in many colours.

    Returns:
        (side, side, 3) uint8 RGB; the same at every call.
    """
    big = side * DRAW_AT
    shade = np.linspace(0, 1, big)[:, None, None]
    picture = np.float32((90, 150, 225) * (1 - shade) + (215, 230, 245) * shade)
    picture = np.ascontiguousarray(np.broadcast_to(picture, (big, big, 3)))

    def at(*points):
        return np.int32(np.array(points) * big)

    def fill(colour, *points):
        cv2.fillPoly(picture, [at(*points)], colour)

    cv2.circle(picture, at(0.8, 0.18).tolist(), int(0.1 * big), (250, 215, 60), -1)
    fill((120, 130, 150), (0, 0.6), (0.22, 0.3), (0.42, 0.6))  # mountains
    fill((150, 155, 170), (0.2, 0.6), (0.5, 0.36), (0.75, 0.6))
    fill((95, 160, 70), (0, 0.58), (1, 0.54), (1, 1), (0, 1))  # a meadow
    fill((40, 95, 170), (0, 0.78), (0.35, 0.74), (0.62, 1), (0, 1))  # a lake
    for wave in range(4):
        y = 0.8 + 0.05 * wave
        cv2.line(picture, at(0.03, y).tolist(), at(0.3, y).tolist(), (150, 190, 230), big // 90)
    fill((225, 205, 170), (0.5, 0.5), (0.86, 0.5), (0.86, 0.8), (0.5, 0.8))  # a house
    fill((185, 50, 40), (0.45, 0.5), (0.68, 0.3), (0.91, 0.5))
    fill((90, 55, 35), (0.56, 0.62), (0.64, 0.62), (0.64, 0.8), (0.56, 0.8))
    fill((60, 80, 110), (0.71, 0.58), (0.81, 0.58), (0.81, 0.69), (0.71, 0.69))
    for post in range(9):  # a fence, dark and light
        x = 0.64 + 0.042 * post
        fill((245, 245, 240), (x, 0.84), (x + 0.02, 0.84), (x + 0.02, 0.96), (x, 0.96))
    cv2.ellipse(
        picture, at(0.16, 0.62).tolist(), at(0.1, 0.15).tolist(), 20, 0, 360, (35, 110, 50), -1
    )
    for x, y in ((0.42, 0.7), (0.47, 0.76), (0.4, 0.82)):  # flowers
        cv2.circle(picture, at(x, y).tolist(), big // 45, (215, 60, 140), -1)
    return cv2.resize(np.uint8(picture), (side, side), interpolation=cv2.INTER_AREA)
