"""Measuring filters: the operators are right, what is one is found to be one, chance is chance."""

import numpy as np
import pytest
import torch

from network.filters import operators

SIZES = 5, 7, 11
SOBEL_3 = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]])
SOBEL_5 = np.outer([1, 4, 6, 4, 1], [-1, -2, 0, 2, 1])
pytestmark = pytest.mark.filterwarnings("error")  # numpy's, of a division by zero


@pytest.fixture
def rng():
    return np.random.default_rng(5)


def unit(kernel):
    return kernel / np.linalg.norm(kernel)


@pytest.mark.parametrize("known", [SOBEL_3, SOBEL_5])
def test_sobel_is_sobel(known):
    x, y = operators.sobel_pair(len(known))
    np.testing.assert_allclose(x, unit(known), atol=1e-12)
    np.testing.assert_allclose(y, unit(known.T), atol=1e-12)
    classical = operators.classical_operators(len(known))
    np.testing.assert_allclose(classical["Sobel x"], x, atol=1e-12)
    np.testing.assert_allclose(classical["Sobel y"], y, atol=1e-12)
    # The diagonals rise to the lower right and to the lower left.
    np.testing.assert_allclose(classical["Sobel 45°"], unit(known + known.T), atol=1e-12)
    np.testing.assert_allclose(classical["Sobel 135°"], unit(known.T - known), atol=1e-12)


@pytest.mark.parametrize("size", SIZES)
def test_all_operators_have_unit_norm_and_all_but_gaussians_no_mean(size):
    classical = operators.classical_operators(size)
    assert len(classical) == 4 + 2 + 2 + 8 + 8 * 3 * 2  # no name hides another
    for name, kernel in classical.items():
        assert kernel.shape == (size, size)
        assert np.linalg.norm(kernel) == pytest.approx(1, abs=1e-9)
        if name.startswith("Gaussian"):
            assert kernel.min() > 0
        else:
            assert kernel.sum() == pytest.approx(0, abs=1e-9), name
    has_mean = operators.have_mean(list(classical.values()))
    assert has_mean.tolist() == [name.startswith("Gaussian") for name in classical]


@pytest.mark.parametrize("size", SIZES)
def test_operators_look_as_they_are_called(size):
    classical = operators.classical_operators(size)
    middle = size // 2
    for name, kernel in classical.items():
        if "Gaussian" in name:  # round
            np.testing.assert_allclose(kernel, np.rot90(kernel), atol=1e-12)
            assert (kernel[middle, middle] < 0) == name.startswith("Laplacian")
        if name.startswith("line") or "even" in name:  # bright in the middle, alike on both sides
            np.testing.assert_allclose(kernel, kernel[::-1, ::-1], atol=1e-12)
            assert np.unravel_index(kernel.argmax(), kernel.shape) == (middle, middle)
        if "odd" in name:
            np.testing.assert_allclose(kernel, -kernel[::-1, ::-1], atol=1e-12)
        if " 90°" in name:
            upright = classical[name.replace(" 90°", " 0°")]
            np.testing.assert_allclose(kernel, upright.T, atol=1e-12)
    line = classical["line 0°"]  # what changes from left to right is upright
    assert line[:, middle].min() > line[:, [0, -1]].max()


@pytest.mark.parametrize("angle", [0, 30, 90, 200, 315])
def test_angles_are_the_direction_of_change(angle):
    odd = operators.gabor(11, angle, 13.2, 90)[None]
    steered = operators.sobel_direction(11, np.array([angle]))
    x, y = np.arange(7), np.arange(7)[:, None]
    plane = np.cos(np.deg2rad(angle)) * x + np.sin(np.deg2rad(angle)) * y
    for kernels in (odd, steered, plane[None]):
        (found,), _ = operators.gradient(kernels)
        assert abs((found - angle + 180) % 360 - 180) < 4  # a square is not round
    _, (slope,) = operators.gradient(5 * plane[None] - 3)
    assert slope == pytest.approx(5)


def test_a_gabor_is_a_wave_under_a_gaussian():
    y, x = np.mgrid[-3:4, -3:4]
    along = (x + y) / 2**0.5
    envelope = np.exp(-(x**2 + y**2) / (2 * 1.75**2))
    even = envelope * np.cos(2 * np.pi * along / 4.2)
    odd = envelope * np.sin(2 * np.pi * along / 4.2)
    np.testing.assert_allclose(operators.gabor(7, 45, 4.2, 0), even, atol=1e-9)
    np.testing.assert_allclose(operators.gabor(7, 45, 4.2, 90), odd, atol=1e-9)


@pytest.mark.parametrize("scale", [1, -1, 1e-6, -3e4])
@pytest.mark.parametrize("brightness", [0, 0.7])
def test_every_operator_is_found_at_any_sign_and_scale(scale, brightness):
    classical = operators.classical_operators(5)
    kernels = np.stack(list(classical.values()))
    zero_sum = ~operators.have_mean(kernels)
    # What has no mean is found on any background, too.
    given = scale * (kernels + brightness * zero_sum[:, None, None])
    cosines = operators.cosines(np.float32(given), kernels)
    assert (np.abs(cosines).argmax(1) == np.arange(len(kernels))).all()
    np.testing.assert_allclose(np.diag(cosines), np.sign(scale), atol=1e-5)
    assert np.abs(cosines).max() < 1 + 1e-9


@pytest.mark.parametrize("scale", [1, 0.02])
@pytest.mark.parametrize("size", SIZES)
def test_a_sobel_at_any_angle_is_an_edge_detector(size, scale):
    angles = np.array([0, 45, 77, 180, 301])
    kernels = scale * operators.sobel_direction(size, angles) + 0.3
    share, found = operators.sobel_fit(kernels)
    np.testing.assert_allclose(share, 1)
    np.testing.assert_allclose((found - angles + 180) % 360, 180, atol=1e-6)
    _, found = operators.sobel_fit(-kernels)
    np.testing.assert_allclose((found - angles) % 360, 180, atol=1e-6)
    assert operators.score(kernels[None]).edges == [5]


def test_a_line_is_no_edge_detector():
    classical = operators.classical_operators(5)
    kernels = np.stack([kernel for name, kernel in classical.items() if name.startswith("line")])
    share, _ = operators.sobel_fit(kernels)
    np.testing.assert_allclose(share, 0, atol=1e-12)


def test_the_bound_between_edge_and_no_edge_is_half_of_the_energy():
    classical = operators.classical_operators(5)
    edge, line = classical["Sobel x"], classical["line 0°"]
    kernels = np.stack([edge + 1.01 * line, edge + 0.99 * line])
    share, _ = operators.sobel_fit(kernels)
    np.testing.assert_allclose(share, [1 / (1 + 1.01**2), 1 / (1 + 0.99**2)])
    assert operators.score(kernels[:, None]).edges.tolist() == [0, 1]


def test_flat_filters_are_like_nothing_that_changes():
    kernels = np.stack([np.zeros((5, 5)), np.full((5, 5), 0.1)]).astype(np.float32)
    classical = operators.classical_operators(5)
    cosines = operators.cosines(kernels, list(classical.values()))
    changing = ~operators.have_mean(list(classical.values()))
    assert (cosines[:, changing] == 0).all() and (cosines[0] == 0).all()
    gaussian = classical["Gaussian σ 1.1"]
    assert cosines[1].max() == pytest.approx(gaussian.sum() / 5)
    assert (operators.sobel_fit(kernels)[0] == 0).all()
    np.testing.assert_allclose(operators.mean_share(kernels), [0, 1], rtol=1e-6)
    np.testing.assert_allclose(operators.gradient(kernels)[1], 0, atol=1e-6)


def test_what_the_mean_holds():
    kernel = SOBEL_5 / np.std(SOBEL_5)  # energy 1 a weight, mean 0
    shares = operators.mean_share(np.stack([kernel, kernel + 0.5]))
    np.testing.assert_allclose(shares, [0, 0.2], atol=1e-12)


def test_chance_is_as_theory_has_it(rng):
    # Two of the 24 dimensions around the mean are Sobel's: a share of beta(1, 11).
    random = operators.chance(np.zeros((10, 5, 5)), rng)
    assert len(random.edges) == operators.POOL // 10
    assert random.share.mean() == pytest.approx(2 / 24, rel=0.02)
    assert random.edges.mean() == pytest.approx(10 * 0.5**11, abs=0.002)
    smooth = operators.chance(np.zeros((10, 5, 5)), rng, blur=0.4)
    assert smooth.share.mean() > 0.2 and smooth.best.mean() > random.best.mean() + 0.1


def test_random_filters_are_as_smooth_as_asked(rng):
    noise = operators.random_filters(20_000, 5, rng, blur=0.3)
    assert noise.shape == (20_000, 5, 5)
    beside = np.corrcoef(noise[:, 2, 2], noise[:, 2, 3])[0, 1]
    below = np.corrcoef(noise[:, 2, 2], noise[:, 3, 2])[0, 1]
    apart = np.corrcoef(noise[:, 0, 0], noise[:, 0, 3])[0, 1]
    expected = 2 * 0.3 / (1 + 2 * 0.3**2)
    assert [beside, below, apart] == pytest.approx([expected, expected, 0], abs=0.03)
    assert operators.blur_to_match(7 * noise, rng) == pytest.approx(0.3, abs=0.05)
    assert operators.blur_to_match(operators.random_filters(20_000, 5, rng), rng) < 0.05


def test_smoothness():
    checks = np.indices((5, 5)).sum(0) % 2
    ramp = np.tile(np.arange(5.0), (5, 1))
    assert operators.smoothness(checks[None]) == pytest.approx(-1, abs=0.01)
    assert operators.smoothness(ramp[None]) > 0.7
    both = operators.smoothness(np.stack([1e3 * ramp + 5, checks]))  # each counts the same
    expected = (operators.smoothness(ramp[None]) + operators.smoothness(checks[None])) / 2
    assert both == pytest.approx(expected)


@pytest.mark.parametrize("channels", [1, 3, 10])
@pytest.mark.parametrize("size", [5, 7])
def test_filter2d_and_torch_agree(channels, size, rng):
    maps = rng.normal(size=(channels, 20, 31)).astype(np.float32)
    kernels = rng.normal(size=(channels, size, size)).astype(np.float32)
    (ours,) = operators.respond(maps, kernels[None])
    torchs = torch.conv2d(torch.from_numpy(maps)[None], torch.from_numpy(kernels)[None])[0, 0]
    assert ours.shape == torchs.shape == (20 - size + 1, 31 - size + 1)
    np.testing.assert_allclose(ours, torchs, atol=1e-4)
