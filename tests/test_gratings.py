"""Gratings, colours and Gabors that are known, found again by gratings.py."""

import numpy as np
import pytest

from network.filters import gratings
from network.filters.operators import smoothness

GREY, RED_GREEN, BLUE = np.array([[1, 1, 1], [1, -1, 0], [0, 0, 1]])
ORIENTED, ORIENTED_COLOUR, UNORIENTED, BLOB, NOTHING = range(5)


def steps(size):
    y, x = np.mgrid[:size, :size] - size // 2
    return x, y


def grating(size, angle, frequency, phase=0):
    x, y = steps(size)
    turn = np.deg2rad(angle)
    across = x * np.cos(turn) + y * np.sin(turn)
    return np.cos(2 * np.pi * frequency * across + np.deg2rad(phase))


def window(size, sigma):
    x, y = steps(size)
    return np.exp(-(x**2 + y**2) / (2 * sigma**2))


def coloured(colour, pattern):
    """A filter (1, 3, n, n) of one colour."""
    return (np.reshape(colour, (3, 1, 1)) * pattern)[None]


def apart(one, other, period=180):
    """How far angles are from each other, at most half a period."""
    return np.abs((one - other + period / 2) % period - period / 2)


@pytest.mark.parametrize("size", [7, 11])
@pytest.mark.parametrize("frequency", [0.15, 0.2, 0.25, 0.3])
def test_angle_and_frequency_of_gratings(size, frequency):
    angles, phases = np.arange(0, 180, 15), np.arange(0, 360, 45)
    patterns, true = [], []
    for angle in angles:
        for phase in phases:
            patterns.append(grating(size, angle, frequency, phase) * window(size, size / 4))
            true.append(angle)
    found, frequencies = gratings.preferred_grating(np.stack(patterns))
    assert apart(found, np.array(true)).max() < 3
    assert np.abs(frequencies / frequency - 1).max() < 0.05


def test_unwindowed_gratings_of_two_cycles_or_more():
    for frequency in (0.29, 0.35):
        patterns = [grating(7, angle, frequency, 30) for angle in range(0, 180, 10)]
        found, frequencies = gratings.preferred_grating(np.stack(patterns))
        assert apart(found, np.arange(0, 180, 10)).max() < 3
        assert np.abs(frequencies / frequency - 1).max() < 0.07


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
    for pattern, a, f, peak in zip(patterns[:5], angle, frequency, best, strict=False):
        responses = [(pattern * grating(7, a, f, phase)).sum() for phase in range(0, 360, 2)]
        assert max(responses) == pytest.approx(peak, rel=1e-3)


def test_turning_a_filter_turns_its_angle_alone():
    filters = np.random.default_rng(1).normal(size=(20, 3, 7, 7))
    before, after = gratings.measure(filters), gratings.measure(np.rot90(filters, -1, (2, 3)))
    sure = before.frequency > 0  # and -1 turns right to down: by +90
    assert apart(after.angle[sure], before.angle[sure] + 90).max() < 1e-6
    for name in ("frequency", "grey", "one_colour", "crosswise"):
        np.testing.assert_allclose(getattr(after, name), getattr(before, name), rtol=1e-6)


def test_bandwidth_is_that_of_the_formula():
    """A Gabor's spectrum is a Gaussian around its frequency (large n, so that nothing is cut)."""
    sigma, frequency = 3.5, np.array([0.15, 0.2, 0.25])
    patterns = np.stack([grating(41, 30, f) * window(41, sigma) for f in frequency])
    found = gratings.preferred_grating(patterns)
    octaves, crosswise = gratings.selectivity(patterns, *found)
    half = np.sqrt(2 * np.log(2)) / (2 * np.pi * sigma)
    np.testing.assert_allclose(octaves, np.log2((frequency + half) / (frequency - half)), rtol=0.03)
    assert crosswise.max() < 0.01


def test_what_has_no_bandwidth():
    x, y = steps(7)
    checks = (-1.0) ** (x + y)
    patterns = np.stack([window(7, 1.5), np.zeros((7, 7)), checks, np.ones((7, 7))])
    angle, frequency = gratings.preferred_grating(patterns)
    octaves, crosswise = gratings.selectivity(patterns, angle, frequency)
    assert np.isnan(octaves).all()
    np.testing.assert_array_equal(frequency[[0, 1, 3]], 0)
    assert np.isnan(angle[[0, 1, 3]]).all() and apart(angle[2], 45, 90) < 1e-6
    np.testing.assert_array_equal(crosswise[[0, 1, 3]], 1)
    assert crosswise[2] == pytest.approx(1)  # a checkerboard is its own mirror image


def test_grey_and_colour_are_told_apart():
    pattern = grating(7, 20, 0.2) * window(7, 2)
    filters = np.concatenate(
        [coloured(c, pattern) for c in (GREY, -GREY, RED_GREEN, BLUE, GREY + RED_GREEN)]
    )
    np.testing.assert_allclose(gratings.grey_share(filters), [1, 1, 0, 1 / 3, 3 / 5])
    colour, patterns, share = gratings.split_colour(filters)
    np.testing.assert_allclose(share, 1)
    np.testing.assert_allclose(np.einsum("fc,fyx->fcyx", colour, patterns), filters, atol=1e-12)
    np.testing.assert_allclose(np.abs(colour[3]), BLUE, atol=1e-12)
    # Two colours with patterns of their own: one of them explains its part of the energy.
    two = 2 * coloured(GREY, pattern) + coloured(RED_GREEN, pattern.T)
    parts = np.array([4 * 3 * (pattern**2).sum(), 2 * (pattern**2).sum()])
    assert gratings.split_colour(two)[2][0] == pytest.approx(parts[0] / parts.sum(), abs=0.02)
    assert gratings.grey_share(two)[0] == pytest.approx(parts[0] / parts.sum())
    kinds = gratings.measure(filters).kind
    np.testing.assert_array_equal(
        kinds, [ORIENTED, ORIENTED, ORIENTED_COLOUR, ORIENTED_COLOUR, ORIENTED]
    )


def test_kinds():
    rng = np.random.default_rng(2)
    edge = grating(7, 100, 0.12, 90) * window(7, 2)
    blob = window(7, 2)
    filters = np.concatenate(
        [
            coloured(GREY, edge),
            coloured(RED_GREEN, -edge),
            coloured(GREY, blob),
            coloured(BLUE, -blob),
            rng.normal(size=(1, 3, 7, 7)),
            0.01 * coloured(GREY, edge),  # of hardly any weight
            np.zeros((1, 3, 7, 7)),
        ]
    )
    tuning = gratings.measure(filters)
    assert tuning.sobel[0] > 0.8 > 0.1 > tuning.sobel[2]  # an edge, a blob
    expected = [ORIENTED, ORIENTED_COLOUR, UNORIENTED, BLOB, NOTHING, NOTHING, NOTHING]
    np.testing.assert_array_equal(tuning.kind, expected)
    for name in ("weight", "grey", "one_colour", "frequency", "crosswise", "form"):
        assert np.isfinite(getattr(tuning, name)).all(), name
    # Neither the scale of a layer nor a filter's sign matters.
    np.testing.assert_array_equal(gratings.measure(-1e-6 * filters).kind, expected)
    np.testing.assert_array_equal(gratings.measure(filters[:, :1]).kind[0], ORIENTED)
    np.testing.assert_array_equal(gratings.measure(np.zeros((2, 1, 5, 5))).kind, NOTHING)


def random_gabors(count, rng):
    """Parameters (count, 8) as `gabor_functions` takes them, of what a 7×7 filter can show."""
    low = [-1, -1, 0, 0.12, 1.2, 1.2]
    high = [1, 1, np.pi, 0.35, 2.2, 2.5]
    return np.hstack([rng.uniform(low, high, (count, 6)), rng.normal(size=(count, 2))])


@pytest.mark.parametrize("size", [5, 7])
def test_a_gabor_is_fitted_by_itself(size):
    true = random_gabors(100, np.random.default_rng(3))
    patterns = gratings.gabor_functions(true, size)[0].reshape(-1, size, size)
    found = gratings.fit_gabors(patterns)
    assert found.explained.min() > 0.999
    np.testing.assert_allclose(found.values, patterns, atol=0.05 * np.abs(patterns).max())
    # What is told of each makes the same pattern again, but for its strength.
    turn, wave = np.deg2rad(found.angle), np.deg2rad(found.phase)
    told = found.x, found.y, turn, found.frequency, found.along, found.across
    again = gratings.gabor_functions(np.stack([*told, np.cos(wave), -np.sin(wave)], 1), size)[0]
    again *= np.linalg.norm(patterns, axis=(1, 2))[:, None] / np.linalg.norm(again, axis=1)[:, None]
    np.testing.assert_allclose(again.reshape(found.values.shape), found.values, atol=0.1)
    x, y, angle, frequency, along, across, even, odd = true.T
    phase = np.rad2deg(np.arctan2(-odd, even))
    errors = {
        "x": np.abs(found.x - x),
        "y": np.abs(found.y - y),
        "angle": apart(found.angle, np.rad2deg(angle)),
        "frequency": np.abs(found.frequency - frequency),
        "along": np.abs(found.along - along),
        "across": np.abs(found.across - across),
        # A wave that runs the other way has the phase of the other sign.
        "phase": np.minimum(apart(found.phase, phase, 360), apart(found.phase, -phase, 360)),
    }
    tolerance = dict.fromkeys(errors, 0.01) | {"angle": 0.5, "phase": 2}
    for name, error in errors.items():
        assert np.mean(error < tolerance[name]) >= 0.97, name


def test_the_phase_of_a_fit():
    """0 is a bright line, 180 a dark one; at 90 brightness falls, at -90 it rises with the wave."""
    patterns = [grating(7, 20, 0.15, phase) * window(7, 1.8) for phase in (0, 180, 90, -90)]
    gabors = gratings.fit_gabors(np.stack(patterns))
    assert apart(gabors.phase, np.array([0, 180, 90, -90]), 360).max() < 1
    np.testing.assert_allclose(gabors.angle, 20, atol=0.5)


def test_derivatives_of_gabors():
    parameters = random_gabors(20, np.random.default_rng(4))
    values, slopes = gratings.gabor_functions(parameters, 7)
    for index in range(8):
        moved = parameters + 1e-6 * (np.arange(8) == index)
        numeric = (gratings.gabor_functions(moved, 7)[0] - values) / 1e-6
        np.testing.assert_allclose(slopes[:, :, index], numeric, atol=1e-3)


def test_noise_is_no_gabor():
    rng = np.random.default_rng(5)
    gabors = gratings.gabor_functions(random_gabors(30, rng), 7)[0].reshape(-1, 7, 7)
    gabors /= np.linalg.norm(gabors, axis=(1, 2), keepdims=True)
    noise = rng.normal(size=gabors.shape)
    noise /= np.linalg.norm(noise, axis=(1, 2), keepdims=True)
    alone, both = gratings.fit_gabors(noise), gratings.fit_gabors(gabors + 0.5 * noise)
    assert alone.explained.max() < 0.6
    # A Gabor with a fifth of noise: fits can but use a part of the noise as well.
    assert 0.75 < np.median(both.explained) < 0.95
    rest = ((gabors + 0.5 * noise - both.values) ** 2).sum((1, 2))
    energy = ((gabors + 0.5 * noise) ** 2).sum((1, 2))
    np.testing.assert_allclose(both.explained, 1 - rest / energy, atol=1e-9)
    again = gratings.fit_gabors(gabors + 0.5 * noise)
    np.testing.assert_array_equal(again.values, both.values)


def test_chance(monkeypatch):
    monkeypatch.setattr(gratings, "POOL", 3000)
    rng = np.random.default_rng(6)
    # As smooth as a blur makes them, and mostly grey.
    pattern = gratings._blurred(rng.normal(size=(64, 3, 21, 21)), 7, 1.0)
    filters = pattern + 2 * pattern.mean(1, keepdims=True)
    white = gratings.chance_filters(filters, rng)
    alike = gratings.chance_filters(filters, rng, alike=True)
    assert white.shape == alike.shape == (3000, 3, 7, 7)
    assert gratings.grey_share(white).mean() == pytest.approx(1 / 3, abs=0.01)
    assert smoothness(white.reshape(-1, 7, 7)) == pytest.approx(0, abs=0.02)
    assert smoothness(alike.reshape(-1, 7, 7)) == pytest.approx(
        smoothness(filters.reshape(-1, 7, 7)), abs=0.03
    )
    assert gratings.grey_share(alike).mean() == pytest.approx(
        gratings.grey_share(filters).mean(), abs=0.05
    )
    np.testing.assert_array_equal(
        gratings.chance_filters(filters, np.random.default_rng(7)),
        gratings.chance_filters(filters, np.random.default_rng(7)),
    )
