"""What a layer's filters are tuned to: measured as one measures cells of the visual cortex.

Which grating a filter answers best (angle, spatial frequency, bandwidth), which Gabor function it
is most like, and whether it looks at brightness or at colour. Filters are (F, C, n, n): C is 3
for red, green and blue, 1 for grey; n is any odd size. They act by correlation. Angles are in
degrees and say in which direction a filter's weights change: 0 to the right, 90 down; the other
half circle is the same grating. Frequencies are in cycles per pixel, up to 0.5 along an axis.
"""

from dataclasses import dataclass

import numpy as np

from network.filters.operators import smoothness, sobel_fit

# What a filter must have to be of a kind; set before any learned filter was looked at. One half
# each: more of it than of all else together.
FORM = 0.5  # share of the filter's whole energy that one colour times one Gabor explains
CROSSWISE = 0.5  # of an oriented filter's best answer is the most it may give a grating across
GREY = 0.5  # share of energy along the grey axis; a filter that has less looks at colour
WEAK = 0.05  # of the layer's root mean square norm; below it a filter has no weight to speak of
KINDS = "oriented, grey", "oriented, colour", "unoriented, grey", "colour blob", "nothing"

PADDED = 128  # the spectrum is sampled at this many frequencies each way, then interpolated
POOL = 512  # random filters that are drawn to see what chance scores


@dataclass(frozen=True)
class Gabors:
    """A Gabor function for each of F patterns (n, n): a cosine wave under an elliptic Gaussian."""

    x: np.ndarray  # (F,) where the Gaussian's middle is, in pixels right of the filter's own
    y: np.ndarray  # and below it
    angle: np.ndarray  # in which direction the wave runs, 0 to 180 degrees
    frequency: np.ndarray  # cycles per pixel
    along: np.ndarray  # the Gaussian's standard deviation in the direction of the wave, in pixels
    across: np.ndarray  # and across it
    phase: np.ndarray  # of the wave in the Gaussian's middle; 0 bright line, ±180 dark, ±90 edge
    values: np.ndarray  # (F, n, n)
    explained: np.ndarray  # share of the pattern's energy, 0 to 1


@dataclass(frozen=True)
class Tuning:
    """What F filters are tuned to, an entry for each."""

    weight: np.ndarray  # norm, as a share of the layer's root mean square
    grey: np.ndarray  # share of energy along the grey axis, 0 to 1; chance: 1 / C
    colour: np.ndarray  # (F, C) unit vector: what its weights in C channels have most in common
    one_colour: np.ndarray  # share of energy that this colour times one pattern explains
    angle: np.ndarray  # of the grating it answers best, 0 to 180 degrees; nan: answers flat best
    frequency: np.ndarray  # of that grating, in cycles per pixel; 0: flat
    bandwidth: np.ndarray  # full width at half of the best answer, in octaves; nan: no such width
    crosswise: np.ndarray  # what it answers to that grating turned by 90°, as a share; flat: 1
    sobel: np.ndarray  # share of the pattern's energy around its mean that the Sobel pair holds
    gabors: Gabors  # of the pattern
    form: np.ndarray  # share of the whole filter's energy that colour times Gabor explains
    kind: np.ndarray  # index into KINDS


def measure(filters):
    """All there is to say of filters (F, C, n, n), as `Tuning`; all of zero are `nothing`."""
    filters = np.asarray(filters, dtype=float)
    norm = np.sqrt((filters**2).sum((1, 2, 3)))
    weight = norm / max(np.sqrt(np.mean(norm**2)), 1e-30)
    grey = grey_share(filters)
    colour, patterns, one_colour = split_colour(filters)
    angle, frequency = preferred_grating(patterns)
    bandwidth, crosswise = selectivity(patterns, angle, frequency)
    gabors = fit_gabors(patterns)
    form = one_colour * gabors.explained
    # By index, 0 and 1 are oriented, 2 and 3 are not; the odd ones are in colour.
    kind = np.where(crosswise <= CROSSWISE, 0, 2) + (grey < GREY)
    kind[(form < FORM) | (weight < WEAK)] = KINDS.index("nothing")
    return Tuning(
        weight=weight,
        grey=grey,
        colour=colour,
        one_colour=one_colour,
        angle=angle,
        frequency=frequency,
        bandwidth=bandwidth,
        crosswise=crosswise,
        sobel=sobel_fit(patterns)[0],
        gabors=gabors,
        form=form,
        kind=kind,
    )


def grey_share(filters):
    """The share of the energy of filters (F, C, n, n) that all channels share alike: (F,), 0 to 1.

    That is the part along the axis (1, 1, 1) / √3, on which a picture without colours lies.
    """
    energy = (filters**2).sum((1, 2, 3))
    along = (filters.sum(1) ** 2).sum((1, 2)) / filters.shape[1]
    return np.divide(along, energy, out=np.zeros_like(energy), where=energy > 0)


def split_colour(filters):
    """The best likeness of each filter (F, C, n, n) by one colour times one pattern.

    It is the first principal component over the channels, without centring: the singular value
    decomposition of C × n² weights.

    Returns:
        The colours, (F, C) of unit norm and of a sum that is not negative; the patterns (F, n, n);
        and the share of the filter's energy that both explain, (F,) from 1 / C to 1 (all zero: 0).
    """
    count, channels, size, _ = filters.shape
    flat = filters.reshape(count, channels, -1)
    u, s, v = np.linalg.svd(flat, full_matrices=False)
    sign = np.where(u[:, :, 0].sum(1) < 0, -1, 1)[:, None]
    patterns = (sign * s[:, :1] * v[:, 0]).reshape(count, size, size)
    energy = (s**2).sum(1)
    share = np.divide(s[:, 0] ** 2, energy, out=np.zeros_like(energy), where=energy > 0)
    return sign * u[:, :, 0], patterns, share


def preferred_grating(patterns):
    """The grating that each pattern (F, n, n) answers best: the peak of its amplitude spectrum.

    Returns:
        Angle (F,), nan where flat light is answered best, and frequency (F,).
    """
    amplitude = np.abs(np.fft.fft2(patterns, (PADDED, PADDED)))  # (F, PADDED, PADDED)
    which = np.arange(len(patterns))
    row, column = np.divmod(amplitude.reshape(len(patterns), -1).argmax(1), PADDED)

    def vertex(down, right):
        """How far from the peak the parabola through it and its two neighbours is highest."""
        steps = np.array([[-1], [0], [1]])
        values = amplitude[which, (row + down * steps) % PADDED, (column + right * steps) % PADDED]
        before, peak, after = np.log(np.maximum(values, 1e-30))  # (F,) each
        bend = before - 2 * peak + after
        curved = np.abs(bend) > 1e-12
        return np.divide(before - after, 2 * bend, out=np.zeros_like(bend), where=curved)

    found = np.stack([column + vertex(0, 1), row + vertex(1, 0)]) / PADDED
    x, y = (found + 0.5) % 1 - 0.5  # the upper half of the samples are the negative frequencies
    flat = (row == 0) & (column == 0)
    angle = np.where(flat, np.nan, np.rad2deg(np.arctan2(y, x)) % 180)
    return angle, np.where(flat, 0, np.hypot(x, y))


def answer(patterns, angles, frequencies):
    """How strongly patterns (F, n, n) answer gratings of an angle (F,) and frequencies (F, K).

    The phase is the best for each, so this is the amplitude spectrum: (F, K).
    """
    steps = np.arange(patterns.shape[-1])
    turn = np.deg2rad(angles)[:, None]
    columns, rows = (
        np.exp(-2j * np.pi * (frequencies * part)[:, :, None] * steps)  # (F, K, n)
        for part in (np.cos(turn), np.sin(turn))
    )
    return np.abs(np.einsum("fyx,fkx,fky->fk", patterns, columns, rows, optimize=True))


def selectivity(patterns, angles, frequencies):
    """How narrowly each pattern (F, n, n) is tuned around its preferred grating (F,), (F,).

    Returns:
        The full width at half of the best answer along the preferred direction, in octaves, (F,);
        nan where the answer does not fall to one half on both sides before flat light and the
        highest frequency that pixels can show. And the answer to the grating across as a share of
        the best, (F,); 1 where flat light is answered best, since that has no direction.
    """
    flat = frequencies == 0
    angles = np.where(flat, 0, angles)
    turn = np.deg2rad(angles)
    highest = 0.5 / np.maximum(np.abs(np.cos(turn)), np.abs(np.sin(turn)))
    samples = highest[:, None] * np.linspace(0, 1, 512)  # (F, K)
    answers = answer(patterns, angles, samples)
    best = answer(patterns, angles, frequencies[:, None])  # (F, 1)
    bandwidth = np.full(len(patterns), np.nan)
    for i in np.flatnonzero(~flat):
        low = answers[i] < best[i] / 2
        below = np.flatnonzero(low & (samples[i] < frequencies[i]))
        beyond = np.flatnonzero(low & (samples[i] > frequencies[i]))
        if len(below) and len(beyond) and below[-1] > 0:
            bandwidth[i] = np.log2(samples[i, beyond[0]] / samples[i, below[-1]])
    across = answer(patterns, angles + 90, frequencies[:, None])
    crosswise = np.divide(across, best, out=np.ones_like(best), where=best > 0)[:, 0]
    return bandwidth, np.where(flat, 1, crosswise)


def gabor_functions(parameters, size):
    """Gabor functions sampled at the pixels of a filter, and how they change with each parameter.

    The general form, with an elliptic Gaussian of its own place (Jones and Palmer 1987, "An
    evaluation of the two-dimensional Gabor filter model of simple receptive fields").

    The parameters (B, 8) are x, y, angle (radians), frequency, along, across, and the amplitudes of
    the cosine (even) and of the sine (odd) about the Gaussian's middle. Returned are the functions
    at n×n pixels, n being the size: (B, n²) row by row, and their derivatives (B, n², 8).
    """
    x, y, angle, frequency, along, across, even, odd = parameters.T[:, :, None]  # (B, 1) each
    row, column = np.divmod(np.arange(size**2), size)
    right, down = column - size // 2 - x, row - size // 2 - y  # (B, n²)
    cos, sin = np.cos(angle), np.sin(angle)
    u, v = cos * right + sin * down, cos * down - sin * right  # along the wave and across it
    gaussian = np.exp(-((u / along) ** 2 + (v / across) ** 2) / 2)
    turn = 2 * np.pi * u  # for each cycle per pixel
    cosine, sine = gaussian * np.cos(frequency * turn), gaussian * np.sin(frequency * turn)
    values = even * cosine + odd * sine
    slope = odd * cosine - even * sine  # for each radian of phase
    by_u = 2 * np.pi * frequency * slope - values * u / along**2
    by_v = -values * v / across**2
    derivatives = (
        sin * by_v - cos * by_u,  # by x
        -sin * by_u - cos * by_v,  # by y
        v * by_u - u * by_v,  # by the angle
        turn * slope,  # by the frequency
        values * u**2 / along**3,
        values * v**2 / across**3,
        cosine,
        sine,
    )
    return values, np.stack(derivatives, 2)


def fit_gabors(patterns):
    """The Gabor function that is most like each pattern (F, n, n), by least squares.

    From the best of a grid of starts for each frequency, all are refined at once by Levenberg's
    and Marquardt's damped Gauss-Newton steps; nothing is random.

    Returns:
        `Gabors`; for a pattern of zeros one that explains 0.
    """
    count, size = len(patterns), patterns.shape[-1]
    flat = np.reshape(patterns, (count, -1))
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    unit = flat / np.maximum(norm, 1e-30)  # (F, n²)
    # A wave may not get so long, nor a Gaussian so narrow, that parameters lose their meaning.
    most = np.array([size / 2, size / 2, 1e9, 0.5, size, size, 1e9, 1e9])
    least = np.array([-size / 2, -size / 2, -1e9, 0.01, 0.5, 0.5, -1e9, -1e9])

    batch = _starts(unit, size)  # (F, S, 8)
    starts = batch.shape[1]
    batch = batch.reshape(-1, 8)
    target = np.repeat(unit, starts, 0)  # (F * S, n²)
    values, slopes = gabor_functions(batch, size)
    error = ((target - values) ** 2).sum(1)
    damping = np.full(len(batch), 0.1)
    for _ in range(40):
        products = slopes.transpose(0, 2, 1) @ slopes  # (F * S, 8, 8)
        scale = np.diagonal(products, axis1=1, axis2=2)
        products = products + (damping[:, None] * scale + 1e-9)[:, :, None] * np.eye(8)
        downhill = slopes.transpose(0, 2, 1) @ (target - values)[:, :, None]
        moved = np.clip(batch + np.linalg.solve(products, downhill)[:, :, 0], least, most)
        values_there, slopes_there = gabor_functions(moved, size)
        error_there = ((target - values_there) ** 2).sum(1)
        better = error_there < error
        batch[better], error[better] = moved[better], error_there[better]
        values[better], slopes[better] = values_there[better], slopes_there[better]
        damping = np.clip(np.where(better, damping / 4, damping * 4), 1e-7, 1e7)

    best = np.arange(count) * starts + error.reshape(count, starts).argmin(1)
    x, y, angle, frequency, along, across, even, odd = batch[best].T
    explained = np.where(norm[:, 0] > 0, 1 - error[best], 0)
    # Half a turn runs the wave backwards: the same Gabor with its sine part's sign changed.
    odd = np.where(angle % (2 * np.pi) < np.pi, odd, -odd)
    phase = np.rad2deg(np.arctan2(-odd, even))  # even cos - odd sin = cos(wave + phase)
    fitted = (values[best] * norm).reshape(patterns.shape)
    angle = np.rad2deg(angle) % 180
    return Gabors(x, y, angle, frequency, along, across, phase, fitted, explained)


def _starts(unit, size):
    """For each unit pattern (F, n²) and each of five frequencies the best Gabor of a coarse grid:
    (F, 5, 8), parameters as `gabor_functions` takes them."""
    middles, angles = size * np.array([-0.2, 0, 0.2]), np.arange(8) * np.pi / 8
    widths = size * np.array([0.15, 0.3])
    best = []
    for frequency in (0.03, 0.1, 0.18, 0.28, 0.4):
        axes = np.meshgrid(middles, middles, angles, frequency, widths, widths, 1, 1)
        grid = np.stack(axes, -1).reshape(-1, 8)  # (G, 8)
        waves = gabor_functions(grid, size)[1][:, :, 6:]  # (G, n², 2): even and odd
        # What a pattern has in the plane of both is the most that any phase can explain.
        plane = np.linalg.qr(waves)[0]
        energy = (np.einsum("fp,gpk->fgk", unit, plane, optimize=True) ** 2).sum(2)  # (F, G)
        chosen = energy.argmax(1)
        start = grid[chosen]
        start[:, 6:] = (np.linalg.pinv(waves[chosen]) @ unit[:, :, None])[:, :, 0]
        best.append(start)
    return np.stack(best, 1)


def chance_filters(filters, rng, alike=False):
    """Random filters (POOL, C, n, n), to see what chance scores, of the size of those given.

    They are independent normal weights, as torchvision starts a ResNet with; or, if `alike`, noise
    as smooth as the filters given (neighbouring weights correlate as much) whose colours go
    together as much (the same mean products of channels).
    """
    channels, size = filters.shape[1:3]
    if not alike:
        return rng.normal(size=(POOL, channels, size, size))
    wanted = smoothness(filters.reshape(-1, size, size)) if np.any(filters) else 0
    blurs = np.linspace(0, size / 2, 41)  # standard deviations in pixels
    trial = np.random.default_rng(0).normal(size=(POOL, 3 * size, 3 * size))
    blur = min(blurs, key=lambda blur: abs(smoothness(_blurred(trial, size, blur)) - wanted))
    noise = rng.normal(size=(POOL, channels, 3 * size, 3 * size))
    norm = np.sqrt((filters**2).sum((1, 2, 3), keepdims=True))
    unit = filters / np.maximum(norm, 1e-30)  # each counts the same
    products = np.einsum("fcyx,fdyx->cd", unit, unit)
    values, axes = np.linalg.eigh(products)
    mix = axes * np.sqrt(np.maximum(values, 0))
    return np.einsum("cd,fdyx->fcyx", mix, _blurred(noise, size, blur))


def _blurred(noise, size, blur):
    """The middle (…, n, n) of noise (…, 3n, 3n) after a Gaussian blur of a standard deviation."""
    away = np.arange(3 * size) - np.arange(size, 2 * size)[:, None]  # (n, 3n)
    weights = np.exp(-((away / max(blur, 0.05)) ** 2) / 2)
    return weights @ noise @ weights.T
