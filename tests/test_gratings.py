"""Gratings, colours and Gabors that are known, found again by gratings.py."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from network.filters import gratings
from network.filters.operators import smoothness

GREY, RED_GREEN, BLUE = np.array([[1, 1, 1], [1, -1, 0], [0, 0, 1]])
ORIENTED, ORIENTED_COLOUR, UNORIENTED, BLOB, NOTHING = range(5)


def grating(size, angle, frequency, phase=0):
    """Of shape (n, n); or (F, n, n), where something is given as (F, 1, 1)."""
    y, x = np.mgrid[:size, :size] - size // 2
    turn = np.deg2rad(angle)
    across = x * np.cos(turn) + y * np.sin(turn)
    return np.cos(2 * np.pi * frequency * across + np.deg2rad(phase))


def window(size, sigma):
    y, x = np.mgrid[:size, :size] - size // 2
    return np.exp(-(x**2 + y**2) / (2 * sigma**2))


def coloured(colour, pattern):
    """A filter (1, 3, n, n) of one colour."""
    return (np.reshape(colour, (3, 1, 1)) * pattern)[None]


def random_gabors(count, rng, size=7):
    """Gabors that 7×7 can show: parameters (count, 8) as `gabor_functions` takes them, patterns."""
    low, high = [-1, -1, 0, 0.12, 1.2, 1.2], [1, 1, np.pi, 0.35, 2.2, 2.5]
    parameters = np.hstack([rng.uniform(low, high, (count, 6)), rng.normal(size=(count, 2))])
    return parameters, gratings.gabor_functions(parameters, size)[0].reshape(-1, size, size)


def unit(patterns):
    return patterns / np.linalg.norm(patterns, axis=(1, 2), keepdims=True)


def apart(one, other, period=180):
    """How far angles are from each other, at most half a period."""
    return np.abs((one - other + period / 2) % period - period / 2)


@pytest.mark.parametrize("size", [7, 11])
@pytest.mark.parametrize("frequency", [0.15, 0.2, 0.25, 0.3])
def test_angle_and_frequency_of_gratings(size, frequency):
    angles, phases = np.mgrid[0:180:15, 0:360:45].reshape(2, -1, 1, 1)
    patterns = grating(size, angles, frequency, phases) * window(size, size / 4)
    found, frequencies = gratings.preferred_grating(patterns)
    assert apart(found, angles.ravel()).max() < 3
    assert_allclose(frequencies, frequency, rtol=0.05)


@pytest.mark.parametrize("frequency", [0.29, 0.35])
def test_unwindowed_gratings_of_two_cycles_or_more(frequency):
    angles = np.arange(0, 180, 10)
    found, frequencies = gratings.preferred_grating(
        grating(7, angles[:, None, None], frequency, 30)
    )
    assert apart(found, angles).max() < 3
    assert_allclose(frequencies, frequency, rtol=0.07)


def test_the_preferred_grating_is_answered_best():
    patterns = np.random.default_rng(0).normal(size=(40, 7, 7))
    angle, frequency = gratings.preferred_grating(patterns)
    some = frequency > 0
    patterns, angle, frequency = patterns[some], angle[some], frequency[some]
    best = gratings.answer(patterns, angle, frequency[:, None])[:, 0]
    every = np.broadcast_to(np.linspace(0, 0.5, 60), (len(patterns), 60))
    for other in range(0, 180, 5):
        answers = gratings.answer(patterns, np.full(len(patterns), other), every)
        assert (answers.max(1) <= best * 1.002).all()
    # The answer to a grating is the response to it: at the best phase, the sum of products.
    phases = np.arange(0, 360, 2)[:, None, None]
    for pattern, a, f, peak in zip(patterns[:5], angle, frequency, best, strict=False):
        responses = (pattern * grating(7, a, f, phases)).sum((1, 2))
        assert responses.max() == pytest.approx(peak, rel=1e-3)


def test_turning_a_filter_turns_its_angle_alone():
    filters = np.random.default_rng(1).normal(size=(20, 3, 7, 7))
    before, after = gratings.measure(filters), gratings.measure(np.rot90(filters, -1, (2, 3)))
    sure = before.frequency > 0  # and -1 turns right to down: by +90
    assert apart(after.angle[sure], before.angle[sure] + 90).max() < 1e-6
    for name in ("frequency", "grey", "one_colour", "crosswise"):
        assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-6)


def test_bandwidth_is_that_of_the_formula():
    """A Gabor's spectrum is a Gaussian around its frequency (large n, so that nothing is cut)."""
    sigma, frequency = 3.5, np.array([0.15, 0.2, 0.25])
    patterns = grating(41, 30, frequency[:, None, None]) * window(41, sigma)
    found = gratings.preferred_grating(patterns)
    octaves, crosswise = gratings.selectivity(patterns, *found)
    half = np.sqrt(2 * np.log(2)) / (2 * np.pi * sigma)
    assert_allclose(octaves, np.log2((frequency + half) / (frequency - half)), rtol=0.03)
    assert crosswise.max() < 0.01


def test_what_has_no_bandwidth():
    checks = (-1.0) ** np.indices((7, 7)).sum(0)
    patterns = np.stack([window(7, 1.5), np.zeros((7, 7)), np.ones((7, 7)), checks])
    angle, frequency = gratings.preferred_grating(patterns)
    octaves, crosswise = gratings.selectivity(patterns, angle, frequency)
    assert np.isnan(octaves).all() and np.isnan(angle[:3]).all()
    assert frequency[:3].tolist() == [0, 0, 0] and crosswise[:3].tolist() == [1, 1, 1]
    # A checkerboard is its own mirror image.
    assert apart(angle[3], 45, 90) < 1e-6 and crosswise[3] == pytest.approx(1)


def test_grey_and_colour_are_told_apart():
    pattern = grating(7, 20, 0.2) * window(7, 2)
    colours = GREY, -GREY, RED_GREEN, BLUE, GREY + RED_GREEN
    filters = np.concatenate([coloured(colour, pattern) for colour in colours])
    assert_allclose(gratings.grey_share(filters), [1, 1, 0, 1 / 3, 3 / 5])
    colour, patterns, share = gratings.split_colour(filters)
    assert_allclose(share, 1)
    assert_allclose(np.einsum("fc,fyx->fcyx", colour, patterns), filters, atol=1e-12)
    assert_allclose(np.abs(colour[3]), BLUE, atol=1e-12)
    # Two colours with patterns of their own: one of them explains its part of the energy.
    two, part = 2 * coloured(GREY, pattern) + coloured(RED_GREEN, pattern.T), 4 * 3 / (4 * 3 + 2)
    assert gratings.split_colour(two)[2][0] == pytest.approx(part, abs=0.02)
    assert gratings.grey_share(two)[0] == pytest.approx(part)
    expected = [ORIENTED, ORIENTED, ORIENTED_COLOUR, ORIENTED_COLOUR, ORIENTED]
    assert_array_equal(gratings.measure(filters).kind, expected)


def test_kinds():
    edge, blob = grating(7, 100, 0.12, 90) * window(7, 2), window(7, 2)
    kinds = [
        (coloured(GREY, edge), ORIENTED),
        (coloured(RED_GREEN, -edge), ORIENTED_COLOUR),
        (coloured(GREY, blob), UNORIENTED),
        (coloured(BLUE, -blob), BLOB),
        (np.random.default_rng(2).normal(size=(1, 3, 7, 7)), NOTHING),
        (0.01 * coloured(GREY, edge), NOTHING),  # of hardly any weight
        (np.zeros((1, 3, 7, 7)), NOTHING),
    ]
    filters, expected = (list(part) for part in zip(*kinds, strict=True))
    filters = np.concatenate(filters)
    tuning = gratings.measure(filters)
    assert tuning.sobel[0] > 0.8 > 0.1 > tuning.sobel[2]  # an edge, a blob
    assert_array_equal(tuning.kind, expected)
    for name in ("weight", "grey", "one_colour", "frequency", "crosswise", "form"):
        assert np.isfinite(getattr(tuning, name)).all(), name
    # Neither the scale of a layer nor a filter's sign matters.
    assert_array_equal(gratings.measure(-1e-6 * filters).kind, expected)
    assert gratings.measure(filters[:, :1]).kind[0] == ORIENTED
    assert_array_equal(gratings.measure(np.zeros((2, 1, 5, 5))).kind, NOTHING)


@pytest.mark.parametrize("size", [5, 7])
def test_a_gabor_is_fitted_by_itself(size):
    true, patterns = random_gabors(100, np.random.default_rng(3), size)
    found = gratings.fit_gabors(patterns)
    assert found.explained.min() > 0.999
    assert_allclose(found.values, patterns, atol=0.05 * np.abs(patterns).max())
    # What is told of each makes the same pattern again, but for its strength.
    turn, wave = np.deg2rad(found.angle), np.deg2rad(found.phase)
    told = found.x, found.y, turn, found.frequency, found.along, found.across
    told = np.stack([*told, np.cos(wave), -np.sin(wave)], 1)
    again = gratings.gabor_functions(told, size)[0].reshape(patterns.shape)
    again = unit(again) * np.linalg.norm(patterns, axis=(1, 2), keepdims=True)
    assert_allclose(again, found.values, atol=0.1)
    # And it is what made the pattern; a wave that runs the other way has the other sign's phase.
    assert (np.mean(np.abs(told - true)[:, [0, 1, 3, 4, 5]] < 0.01, axis=0) >= 0.97).all()
    assert np.mean(apart(found.angle, np.rad2deg(true[:, 2])) < 0.5) >= 0.97
    phase = np.rad2deg(np.arctan2(-true[:, 7], true[:, 6]))
    error = np.minimum(apart(found.phase, phase, 360), apart(found.phase, -phase, 360))
    assert np.mean(error < 2) >= 0.97


def test_the_phase_of_a_fit():
    """0 is a bright line, 180 a dark one; at 90 brightness falls, at -90 it rises with the wave."""
    phases = np.array([0, 180, 90, -90])
    gabors = gratings.fit_gabors(grating(7, 20, 0.15, phases[:, None, None]) * window(7, 1.8))
    assert apart(gabors.phase, phases, 360).max() < 1
    assert_allclose(gabors.angle, 20, atol=0.5)


def test_derivatives_of_gabors():
    parameters, _ = random_gabors(20, np.random.default_rng(4))
    values, slopes = gratings.gabor_functions(parameters, 7)
    for index in range(8):
        moved = parameters + 1e-6 * (np.arange(8) == index)
        numeric = (gratings.gabor_functions(moved, 7)[0] - values) / 1e-6
        assert_allclose(slopes[:, :, index], numeric, atol=1e-3)


def test_noise_is_no_gabor():
    rng = np.random.default_rng(5)
    gabors = unit(random_gabors(30, rng)[1])
    noise = unit(rng.normal(size=gabors.shape))
    assert gratings.fit_gabors(noise).explained.max() < 0.6
    mixed = gabors + 0.5 * noise
    found, again = gratings.fit_gabors(mixed), gratings.fit_gabors(mixed)
    # A Gabor with a fifth of noise: fits can but use a part of the noise as well.
    assert 0.75 < np.median(found.explained) < 0.95
    rest, energy = ((mixed - found.values) ** 2).sum((1, 2)), (mixed**2).sum((1, 2))
    assert_allclose(found.explained, 1 - rest / energy, atol=1e-9)
    assert_array_equal(again.values, found.values)


def test_chance(monkeypatch):
    monkeypatch.setattr(gratings, "POOL", 3000)
    rng = np.random.default_rng(6)
    # As smooth as a blur makes them, and mostly grey.
    pattern = gratings._blurred(rng.normal(size=(64, 3, 21, 21)), 7, 1.0)
    filters = pattern + 2 * pattern.mean(1, keepdims=True)
    white = gratings.chance_filters(filters, rng)
    alike = gratings.chance_filters(filters, rng, alike=True)
    assert white.shape == alike.shape == (3000, 3, 7, 7)
    grey = [gratings.grey_share(some).mean() for some in (filters, white, alike)]
    smooth = [smoothness(some.reshape(-1, 7, 7)) for some in (filters, white, alike)]
    assert grey[1:] == [pytest.approx(1 / 3, abs=0.01), pytest.approx(grey[0], abs=0.05)]
    assert smooth[1:] == [pytest.approx(0, abs=0.02), pytest.approx(smooth[0], abs=0.03)]
    one, other = (gratings.chance_filters(filters, np.random.default_rng(7)) for _ in range(2))
    assert_array_equal(one, other)
