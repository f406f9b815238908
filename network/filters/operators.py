"""Measuring small filters: which classical operator each is like, and what chance would score.

Filters and operators are square arrays of any odd size n from 5 to 31. They act by correlation, as
torch's convolutions and `cv2.filter2D` do: nothing is flipped. Angles are in degrees and say in
which direction a filter's weights change: 0 to the right, 90 down, as pixels are counted.
"""

from dataclasses import dataclass

import cv2
import numpy as np

# An edge detector, in this project's sense, is more of an edge operator than of all else together.
EDGE_SHARE = 0.5  # of its energy that the Sobel pair explains
ANGLES = np.arange(0, 180, 22.5)  # the other half circle differs by its sign only
# Measures of the operators as parts of their size; at 5×5 these are 0.7, 1.1 and 3, 4, 6 pixels.
WIDTHS = 0.14, 0.22  # standard deviations of the round ones
WAVELENGTHS = 0.6, 0.8, 1.2
POOL = 100_000  # random filters that are drawn to see what chance scores


def sobel_pair(size):
    """Sobel's x and y derivative: (2, n, n), each of zero sum and unit norm, orthogonal.

    At 3×3 they are Sobel's own, beyond that OpenCV's: the derivative along one axis, binomial
    weights along the other. Any direction between them is `cos(angle) * x + sin(angle) * y`
    (Freeman and Adelson 1991, "The Design and Use of Steerable Filters").
    """
    derivative, smoothing = cv2.getDerivKernels(1, 0, size, ktype=cv2.CV_64F)  # (n, 1) each
    x = smoothing @ derivative.T
    return np.stack([x, x.T]) / np.linalg.norm(x)


def gabor(size, angle, wavelength, phase):
    """A Gabor kernel (n, n): a plane wave, its length in pixels, under a round Gaussian of a
    quarter of the size.

    The wave runs in the direction of the angle, in degrees as the phase. A phase of 0 is a line
    (even), of 90 an edge (odd) that rises in the angle's direction.
    """
    angle, phase = np.deg2rad(angle), np.deg2rad(phase)
    return cv2.getGaborKernel((size, size), size / 4, angle, wavelength, 1, phase)


def classical_operators(size):
    """The operators that filters are compared with, as a dict of name to kernel (n, n), unit norm.

    All but the Gaussians have a sum of zero: they answer to what changes, not to brightness.
    """
    y, x = np.mgrid[:size, :size] - size // 2
    kernels = dict(zip(("Sobel x", "Sobel y"), sobel_pair(size), strict=True))
    kernels["Sobel 45°"] = kernels["Sobel y"] + kernels["Sobel x"]
    kernels["Sobel 135°"] = kernels["Sobel y"] - kernels["Sobel x"]
    for sigma in size * np.array(WIDTHS):
        r2 = (x**2 + y**2) / sigma**2
        kernels[f"Gaussian σ {sigma:.1f}"] = np.exp(-r2 / 2)
        kernels[f"Laplacian of Gaussian σ {sigma:.1f}"] = (r2 - 2) * np.exp(-r2 / 2)
    for angle in ANGLES:
        # A line is a Gaussian's second derivative across it, bright in the middle.
        across2 = (x * np.cos(np.deg2rad(angle)) + y * np.sin(np.deg2rad(angle))) ** 2
        sigma2 = (size / 5) ** 2
        ridge = (1 - across2 / sigma2) * np.exp(-(x**2 + y**2) / (2 * sigma2))
        kernels[f"line {angle:g}°"] = ridge
        for wavelength in size * np.array(WAVELENGTHS):
            for phase, parity in ((0, "even"), (90, "odd")):
                name = f"Gabor {angle:g}° {wavelength:.2g} px {parity}"
                kernels[name] = gabor(size, angle, wavelength, phase)
    for name, kernel in kernels.items():
        if not name.startswith("Gaussian"):
            kernel = kernel - kernel.mean()  # what cutting them off at n×n has left over
        kernels[name] = kernel / np.linalg.norm(kernel)
    return kernels


def to_unit_norm(filters, keep_mean=False):
    """Filters (F, n, n), their mean taken out unless kept, at unit norm; a flat one is all zeros.

    `keep_mean` may be an array (F, 1, 1).
    """
    filters = np.asarray(filters, dtype=float)
    whole = np.linalg.norm(filters, axis=(1, 2), keepdims=True)
    filters = filters - np.where(keep_mean, 0, filters.mean((1, 2), keepdims=True))
    norm = np.linalg.norm(filters, axis=(1, 2), keepdims=True)
    # Rounding leaves noise of a flat filter; that is no pattern.
    return np.divide(filters, norm, out=np.zeros_like(filters), where=norm > 1e-6 * whole)


def have_mean(operators):
    """Which operators (K, n, n) do not sum to zero: (K,) bool."""
    return np.abs(np.sum(operators, axis=(1, 2))) > 1e-6


def cosines(filters, operators):
    """How alike filters (F, n, n) and operators (K, n, n) of unit norm are, whatever the filters'
    scale: (F, K), from -1 (the operator with its sign changed) to 1 (the operator).

    Where an operator has no mean, the filter's is left out of account. A filter that has nothing
    left then has a cosine of 0.
    """
    flat = np.reshape(operators, (len(operators), -1)).T  # (n * n, K)
    around_mean, whole = (
        to_unit_norm(filters, keep_mean).reshape(len(filters), -1) for keep_mean in (False, True)
    )
    return np.where(have_mean(operators), whole @ flat, around_mean @ flat)


def best_matches(kernels):
    """The operator most like each kernel (F, n, n): names, cosines (F,), operators (F, n, n)."""
    names, operators = zip(*classical_operators(kernels.shape[-1]).items(), strict=True)
    alike = cosines(kernels, operators)  # (F, operators)
    best = np.abs(alike).argmax(1)
    found = alike[np.arange(len(best)), best]
    return [names[index] for index in best], found, np.stack(operators)[best]


def sobel_fit(filters):
    """How much of each filter (F, n, n) the Sobel pair explains, and in which direction.

    Returns:
        The share of the filter's energy (sum of squares around its mean) that lies in the plane of
        Sobel's x and y, (F,) from 0 to 1; and the angle of the best direction in it, (F,) from 0
        to 360.
    """
    x, y = cosines(filters, sobel_pair(filters.shape[-1])).T
    return x**2 + y**2, np.rad2deg(np.arctan2(y, x)) % 360


def sobel_direction(size, angles):
    """The Sobel pair's operators of these angles (F,): (F, n, n), unit norm."""
    x, y = sobel_pair(size)
    angles = np.deg2rad(angles)[:, None, None]
    return np.cos(angles) * x + np.sin(angles) * y


def gradient(filters):
    """The slope of the plane that fits the weights of each filter (F, n, n) best: the angle in
    which it rises, (F,) from 0 to 360, and how steeply, (F,) in weight per pixel."""
    size = filters.shape[-1]
    steps = np.arange(size) - size // 2
    x = (filters * steps).sum((1, 2)) / (size * (steps**2).sum())
    y = (filters * steps[:, None]).sum((1, 2)) / (size * (steps**2).sum())
    return np.rad2deg(np.arctan2(y, x)) % 360, np.hypot(x, y)


def mean_share(filters):
    """The share of each filter's energy that its mean holds, (F,) from 0 to 1 (0 if all zero)."""
    energy = (filters**2).sum((1, 2))
    of_mean = filters.sum((1, 2)) ** 2 / filters[0].size
    return np.divide(of_mean, energy, out=np.zeros_like(energy), where=energy > 0)


def smoothness(filters):
    """How alike neighbouring weights are: their mean correlation over filters (F, n, n), -1 to 1.

    The filters' means are taken out first, and each filter counts the same.
    """
    size = filters.shape[-1]
    filters = filters - filters.mean((1, 2), keepdims=True)
    energy = (filters**2).sum((1, 2))
    beside = (filters[:, :, 1:] * filters[:, :, :-1]).sum((1, 2))
    below = (filters[:, 1:] * filters[:, :-1]).sum((1, 2))
    # A row has n weights, yet n - 1 pairs of neighbours.
    varied = energy > 0
    return np.mean((beside + below)[varied] / energy[varied]) / 2 * size / (size - 1)


def random_filters(count, size, rng, blur=0.0):
    """Filters (count, n, n) of normally distributed noise, blurred by (blur, 1, blur) both ways."""
    noise = rng.normal(size=(count, size + 2, size + 2))
    noise = blur * noise[:, 2:] + noise[:, 1:-1] + blur * noise[:, :-2]
    return blur * noise[:, :, 2:] + noise[:, :, 1:-1] + blur * noise[:, :, :-2]


def blur_to_match(filters, rng):
    """The blur (0 to 1) that makes random filters as smooth as the given ones (F, n, n)."""
    wanted, size = smoothness(filters), filters.shape[-1]
    blurs = np.linspace(0, 1, 41)
    reached = [smoothness(random_filters(POOL // 20, size, rng, blur)) for blur in blurs]
    return float(blurs[np.argmin(np.abs(np.array(reached) - wanted))])


@dataclass(frozen=True)
class Scores:
    """What sets of F filters score, one entry for each set."""

    best: np.ndarray  # the cosine of a filter's best match without its sign, mean over the set
    share: np.ndarray  # what the Sobel pair explains of a filter, mean over the set
    edges: np.ndarray  # how many of the set are edge detectors


def score(sets):
    """Scores sets of filters (S, F, n, n), each array of the result (S,)."""
    count, each, size, _ = sets.shape
    filters = sets.reshape(-1, size, size)
    best = np.abs(cosines(filters, list(classical_operators(size).values()))).max(1)
    share = sobel_fit(filters)[0].reshape(count, each)
    return Scores(best.reshape(count, each).mean(1), share.mean(1), (share >= EDGE_SHARE).sum(1))


def chance(filters, rng, blur=0.0):
    """The `Scores` of sets of random filters, each as many and as large as the given ones (F, n, n)
    and blurred as in `random_filters`: as many sets as `POOL` filters make."""
    count, size = filters.shape[:2]
    draws = max(1, POOL // count)
    noise = random_filters(draws * count, size, rng, blur)
    return score(noise.reshape(draws, count, size, size))


def respond(maps, filters, padded=False):
    """What the filters (F, C, n, n) of a convolution answer to maps (C, H, W), before its bias; all
    float32.

    Returns:
        If padded, (F, H, W): the maps go on beyond their border as zeros. Else (F, H - n + 1,
        W - n + 1): only where a filter lies wholly inside counts.
    """
    edge = filters.shape[-1] // 2
    whole = np.zeros((len(filters), *maps.shape[1:]), np.float32)
    for answer, kernels in zip(whole, filters, strict=True):
        for channel, kernel in zip(maps, kernels, strict=True):
            answer += cv2.filter2D(channel, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    return whole if padded else whole[:, edge:-edge, edge:-edge]
