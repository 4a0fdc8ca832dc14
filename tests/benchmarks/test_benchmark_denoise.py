"""The classical denoisers that the network is compared with do what their papers say."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.stats import poisson
from skimage.restoration import denoise_nl_means

from benchmarks import denoise
from benchmarks import denoise_baselines as baselines
from benchmarks.denoise_baselines import (
    GAUSSIAN_GRID,
    anscombe,
    bm3d,
    crops,
    filtered,
    gaussian,
    inverse_anscombe,
    nlm,
    score,
    tune,
)
from benchmarks.page import shown
from benchmarks.recipes import Recipe

SMALL_GRID = {"h": (0.7, 3.0), "patch_size": (5,), "patch_distance": (5,), "vst": (True,)}


def discs(seed: int, dose: float) -> tuple[np.ndarray, np.ndarray]:
    """(clean uint8, noisy float32): three bright discs on grey, 64 px."""
    rng = np.random.default_rng(seed)
    rows, cols = np.mgrid[:64, :64]
    clean = np.full((64, 64), 90, np.uint8)
    for row, col in rng.uniform(8, 56, (3, 2)):
        clean[(rows - row) ** 2 + (cols - col) ** 2 < 100] = 200
    return clean, (rng.poisson(clean / 255 * dose) / dose * 255).astype(np.float32)


@pytest.fixture
def pairs():
    clean, noisy = zip(*(discs(seed, 16) for seed in range(3)), strict=True)
    return list(clean), list(noisy)


def moments(electrons: float) -> tuple[float, float]:
    """Mean and variance of the transformed counts, by the Poisson distribution's own sum."""
    counts = np.arange(int(electrons + 40 * np.sqrt(electrons + 1) + 40))
    weights = poisson.pmf(counts, electrons)
    mean = (weights * anscombe(counts)).sum()
    return mean, (weights * (anscombe(counts) - mean) ** 2).sum()


@pytest.mark.parametrize("electrons", [0.0, 0.3, 1.0, 2.0, 4.0, 16.0, 64.0])
def test_the_inverse_gives_the_expected_electrons(electrons):
    mean, _ = moments(electrons)
    assert inverse_anscombe(np.array([mean]))[0] == pytest.approx(electrons, abs=0.03)


def test_the_algebraic_inverse_would_be_biased():
    mean, _ = moments(1.0)
    assert abs((mean / 2) ** 2 - 3 / 8 - 1.0) > 0.15


@pytest.mark.parametrize("electrons", [8.0, 16.0, 64.0])
def test_transformed_counts_have_a_variance_of_one(electrons):
    assert moments(electrons)[1] == pytest.approx(1, abs=0.02)


def test_negative_values_transform_like_none():
    assert anscombe(np.array([-3.0])) == anscombe(np.array([0.0]))
    assert inverse_anscombe(np.array([0.0, 1.2])).tolist() == [0.0, 0.0]


def test_non_local_means_are_those_of_scikit_image(pairs):
    _, noisy = pairs
    sigma = np.sqrt(noisy[0].mean() * 255 / 16)
    expected = denoise_nl_means(
        noisy[0], h=0.8 * sigma, sigma=sigma, patch_size=5, patch_distance=7, preserve_range=True
    )
    found = nlm(noisy[0], dose=16, h=0.8, patch_size=5, patch_distance=7, vst=False)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


@pytest.mark.parametrize("vst", [False, True])
def test_non_local_means_bring_an_image_nearer_to_the_clean_one(pairs, vst):
    (clean, *_), (noisy, *_) = pairs
    found = nlm(noisy, dose=16, h=0.8, patch_size=5, patch_distance=7, vst=vst)
    assert score(clean, found).psnr > score(clean, noisy).psnr + 5


def test_a_gaussian_of_no_width_returns_the_image(pairs):
    _, (noisy, *_) = pairs
    np.testing.assert_allclose(gaussian(noisy, dose=16, sigma=0, vst=False), noisy)


def test_without_the_transformation_the_gaussian_is_scipys(pairs):
    _, (noisy, *_) = pairs
    found = gaussian(noisy, dose=16, sigma=1.5, vst=False)
    np.testing.assert_allclose(found, gaussian_filter(noisy, 1.5))


def test_tuning_takes_the_best_of_the_grid(pairs):
    assert tune(nlm, SMALL_GRID, pairs, dose=16)["h"] == 0.7


def test_the_gaussian_widens_as_the_dose_falls():
    doses = (1, 256)
    widths = []
    for dose in doses:
        clean, noisy = zip(*(discs(seed, dose) for seed in range(2)), strict=True)
        widths.append(tune(gaussian, GAUSSIAN_GRID, (clean, noisy), dose=dose)["sigma"])
    assert widths[0] > widths[1]


def test_scores_cut_to_the_range_and_count_in_255():
    clean = np.full((16, 16), 250, np.uint8)
    assert score(clean, clean + 100.0).psnr == pytest.approx(20 * np.log10(255 / 5))
    assert score(np.eye(16) * 255, np.eye(16) * 254.9).ssim == pytest.approx(1, abs=1e-4)


def test_crops_are_seeded_and_of_different_images():
    images = [np.full((40, 50), n, np.uint8) for n in range(6)]
    first, again = (crops(images, side=24, count=6, seed=3) for _ in range(2))
    assert {crop.shape for crop in first} == {(24, 24)}
    assert len({int(crop[0, 0]) for crop in first}) == 6
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))


def test_an_image_smaller_than_a_crop_is_taken_whole():
    assert [crop.shape for crop in crops([np.zeros((10, 50))], side=24, count=2)] == [(10, 24)] * 2


def test_filters_are_tuned_and_scored(pairs, monkeypatch):
    monkeypatch.setattr(baselines, "NLM_GRID", SMALL_GRID)
    found = filtered(pairs, pairs, dose=16)
    assert found["nlm"]["psnr_db"] > found["noisy"]["psnr_db"] + 5
    assert len(found["gaussian"]["of_images"]) == 3


def test_a_python_without_bm3d_says_so():
    with pytest.raises(RuntimeError, match=r"must run to its end. Received:\n(?s:.*)bm3d"):
        bm3d([np.zeros((8, 8))], dose=4, python=Path(sys.executable))


@pytest.mark.usefixtures("eager_steps")
def test_networks_and_filters_are_measured(tmp_path, monkeypatch, drawn, measured):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(denoise, "open_dataset", lambda *where, **how: drawn)
    settings = {"epochs": 1, "steps_per_epoch": 1, "batch": 1, "crop": 32, "seed": 0}
    for name, of_one in denoise.NETWORKS.items():
        tiny = {"filters": 2, "depth": 1}
        recipe = Recipe(name, "any", "autoencoder", tiny, {**settings, **of_one})
        monkeypatch.setitem(denoise.RECIPES, name, recipe)
    monkeypatch.setattr(baselines, "NLM_GRID", SMALL_GRID)
    monkeypatch.setattr(baselines, "GAUSSIAN_GRID", {"sigma": (1.0,), "vst": (True,)})
    found = {r["name"]: r for r in measured("denoise", "all")}
    assert {*found} == {"filters", "supervised", "blind-spot"}
    low = found["filters"]["figures"]["doses"]["low-dose"]
    assert low["nlm"]["psnr_db"] > low["noisy"]["psnr_db"]
    rows = found["supervised"]["figures"]["doses"]["low-dose"]
    assert {*rows} == {"supervised", "supervised-flips"}
    assert len(rows["supervised"]["of_images"]) == len(drawn.val)
    assert any(line.startswith("| low-dose, nlm |") for line in shown(found["filters"]))
