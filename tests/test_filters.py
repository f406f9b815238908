"""Measuring filters: the operators are right, what is one is found to be one, chance is chance."""

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from network.filters import operators

SIZES = 5, 7, 11
SOBEL_3 = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_5 = np.outer([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1])
CLASSICAL = operators.classical_operators(5)
KERNELS = np.stack(list(CLASSICAL.values()))
pytestmark = pytest.mark.filterwarnings("error")  # numpy's, of a division by zero


def unit(kernel):
    return kernel / np.linalg.norm(kernel)


@pytest.mark.parametrize("known", [SOBEL_3, SOBEL_5])
def test_sobel_is_sobel(known):
    x, y = unit(known), unit(known.T)
    assert_allclose(operators.sobel_pair(len(known)), [x, y], atol=1e-12)
    classical = operators.classical_operators(len(known))
    # The diagonals rise to the lower right and to the lower left.
    for name, kernel in {"x": x, "y": y, "45°": unit(x + y), "135°": unit(y - x)}.items():
        assert_allclose(classical[f"Sobel {name}"], kernel, atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_operators_are_what_they_are_called(size):
    classical = operators.classical_operators(size)
    assert len(classical) == 4 + 2 + 2 + 8 + 8 * 3 * 2  # no name hides another
    middle = size // 2
    for name, kernel in classical.items():
        assert kernel.shape == (size, size)
        assert np.linalg.norm(kernel) == pytest.approx(1, abs=1e-9)
        if name.startswith("Gaussian"):
            assert kernel.min() > 0
        else:
            assert kernel.sum() == pytest.approx(0, abs=1e-9), name
        if "Gaussian" in name:  # round
            assert_allclose(kernel, np.rot90(kernel), atol=1e-12)
            assert (kernel[middle, middle] < 0) == name.startswith("Laplacian")
        if name.startswith("line") or "even" in name:  # bright in the middle, alike on both sides
            assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
            assert np.unravel_index(kernel.argmax(), kernel.shape) == (middle, middle)
        if "odd" in name:
            assert_allclose(kernel, -kernel[::-1, ::-1], atol=1e-12)
        if " 90°" in name:
            assert_allclose(kernel, classical[name.replace(" 90°", " 0°")].T, atol=1e-12)
    line = classical["line 0°"]  # what changes from left to right is upright
    assert line[:, middle].min() > line[:, [0, -1]].max()
    has_mean = operators.have_mean(list(classical.values()))
    assert has_mean.tolist() == [name.startswith("Gaussian") for name in classical]


@pytest.mark.parametrize("angle", [0, 30, 90, 200, 315])
def test_angles_are_the_direction_of_change(angle):
    odd = operators.gabor(11, angle, 13.2, 90)
    (steered,) = operators.sobel_direction(11, np.array([angle]))
    x, y = np.arange(7), np.arange(7)[:, None]
    plane = np.cos(np.deg2rad(angle)) * x + np.sin(np.deg2rad(angle)) * y
    for kernel in (odd, steered, plane):
        (found,), _ = operators.gradient(kernel[None])
        assert abs((found - angle + 180) % 360 - 180) < 4  # a square is not round
    assert operators.gradient(5 * plane[None] - 3)[1] == pytest.approx(5)


def test_a_gabor_is_a_wave_under_a_gaussian():
    y, x = np.mgrid[-3:4, -3:4]
    envelope = np.exp(-(x**2 + y**2) / (2 * 1.75**2))
    turn = 2 * np.pi * (x + y) / 2**0.5 / 4.2
    assert_allclose(operators.gabor(7, 45, 4.2, 0), envelope * np.cos(turn), atol=1e-9)
    assert_allclose(operators.gabor(7, 45, 4.2, 90), envelope * np.sin(turn), atol=1e-9)


@pytest.mark.parametrize("scale", [1, -1, 1e-6, -3e4])
@pytest.mark.parametrize("brightness", [0, 0.7])
def test_every_operator_is_found_at_any_sign_and_scale(scale, brightness):
    zero_sum = ~operators.have_mean(KERNELS)
    # What has no mean is found on any background, too.
    given = scale * (KERNELS + brightness * zero_sum[:, None, None])
    cosines = operators.cosines(np.float32(given), KERNELS)
    assert (np.abs(cosines).argmax(1) == np.arange(len(KERNELS))).all()
    assert_allclose(np.diag(cosines), np.sign(scale), atol=1e-5)
    assert np.abs(cosines).max() < 1 + 1e-9


@pytest.mark.parametrize("scale", [1, 0.02])
@pytest.mark.parametrize("size", SIZES)
def test_a_sobel_at_any_angle_is_an_edge_detector(size, scale):
    angles = np.array([0, 45, 77, 180, 301])
    kernels = scale * operators.sobel_direction(size, angles) + 0.3
    share, found = operators.sobel_fit(kernels)
    assert_allclose(share, 1)
    assert_allclose((found - angles + 180) % 360, 180, atol=1e-6)
    _, found = operators.sobel_fit(-kernels)
    assert_allclose((found - angles) % 360, 180, atol=1e-6)
    assert operators.score(kernels[None]).edges == [5]


def test_more_than_half_of_an_edge_detectors_energy_is_of_an_edge():
    lines = [kernel for name, kernel in CLASSICAL.items() if name.startswith("line")]
    assert_allclose(operators.sobel_fit(np.stack(lines))[0], 0, atol=1e-12)
    parts = np.array([1.01, 0.99])
    kernels = CLASSICAL["Sobel x"] + parts[:, None, None] * CLASSICAL["line 0°"]
    assert_allclose(operators.sobel_fit(kernels)[0], 1 / (1 + parts**2))
    assert operators.score(kernels[:, None]).edges.tolist() == [0, 1]


def test_flat_filters_are_like_nothing_that_changes():
    flat = np.stack([np.zeros((5, 5)), np.full((5, 5), 0.1)]).astype(np.float32)
    cosines = operators.cosines(flat, KERNELS)
    assert (cosines[:, ~operators.have_mean(KERNELS)] == 0).all() and (cosines[0] == 0).all()
    assert cosines[1].max() == pytest.approx(CLASSICAL["Gaussian σ 1.1"].sum() / 5)
    assert (operators.sobel_fit(flat)[0] == 0).all()
    assert_allclose(operators.gradient(flat)[1], 0, atol=1e-6)
    assert_allclose(operators.mean_share(flat), [0, 1], rtol=1e-6)
    kernel = SOBEL_5 / np.std(SOBEL_5)  # energy 1 a weight, mean 0
    assert_allclose(operators.mean_share(np.stack([kernel, kernel + 0.5])), [0, 0.2], atol=1e-12)


def test_chance_is_as_theory_has_it():
    rng = np.random.default_rng(5)
    # Two of the 24 dimensions around the mean are Sobel's: a share of beta(1, 11).
    random = operators.chance(np.zeros((10, 5, 5)), rng)
    assert len(random.edges) == operators.POOL // 10
    assert random.share.mean() == pytest.approx(2 / 24, rel=0.02)
    assert random.edges.mean() == pytest.approx(10 * 0.5**11, abs=0.002)
    smooth = operators.chance(np.zeros((10, 5, 5)), rng, blur=0.4)
    assert smooth.share.mean() > 0.2 and smooth.best.mean() > random.best.mean() + 0.1


def test_random_filters_are_as_smooth_as_asked():
    rng = np.random.default_rng(5)
    noise = operators.random_filters(20_000, 5, rng, blur=0.3)
    assert noise.shape == (20_000, 5, 5)
    together = np.corrcoef(noise.reshape(-1, 25).T).reshape(5, 5, 5, 5)  # each weight with each
    beside, below, apart = together[2, 2, 2, 3], together[2, 2, 3, 2], together[0, 0, 0, 3]
    expected = 2 * 0.3 / (1 + 2 * 0.3**2)
    assert [beside, below, apart] == pytest.approx([expected, expected, 0], abs=0.03)
    assert operators.blur_to_match(7 * noise, rng) == pytest.approx(0.3, abs=0.05)
    assert operators.blur_to_match(operators.random_filters(20_000, 5, rng), rng) < 0.05


def test_smoothness():
    checks, ramp = np.indices((5, 5)).sum(0) % 2, np.tile(np.arange(5.0), (5, 1))
    of_checks, of_ramp = operators.smoothness(checks[None]), operators.smoothness(ramp[None])
    assert of_checks == pytest.approx(-1, abs=0.01) and of_ramp > 0.7
    both = operators.smoothness(np.stack([1e3 * ramp + 5, checks]))  # each counts the same
    assert both == pytest.approx((of_ramp + of_checks) / 2)


@pytest.mark.parametrize("channels", [1, 3, 10])
@pytest.mark.parametrize("size", [5, 7])
def test_filter2d_and_torch_agree(channels, size):
    rng = np.random.default_rng(5)
    maps = rng.normal(size=(channels, 20, 31)).astype(np.float32)
    kernels = rng.normal(size=(1, channels, size, size)).astype(np.float32)
    ours = operators.respond(maps, kernels)
    torchs = torch.conv2d(torch.from_numpy(maps)[None], torch.from_numpy(kernels))[0]
    assert ours.shape == torchs.shape == (1, 20 - size + 1, 31 - size + 1)
    assert_allclose(ours, torchs, atol=1e-4)
