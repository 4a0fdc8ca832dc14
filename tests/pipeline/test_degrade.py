"""Noise against closed forms: its variance, its mean, and what each step leaves alone."""

import numpy as np
import pytest
import scipy.fft
import scipy.ndimage
import scipy.stats

from temzoo.data.degrade import (
    NAMED,
    Degradation,
    black_and_white,
    degradation,
    degrade,
    shift_rows,
    smooth_field,
)


def flat(level, size=300, dtype="uint8"):
    return np.full((size, size), level, dtype)


def waves(height=64, width=64):
    rows, cols = np.mgrid[:height, :width]
    return (128 + 60 * np.sin(cols / 7.0) + 40 * np.cos(rows / 5.0)).astype(np.float32)


def as_uint8(pixels):
    return np.rint(pixels).astype(np.uint8)


@pytest.mark.parametrize("dose", [4.0, 16.0, 64.0])
@pytest.mark.parametrize("level", [25, 128, 255])
def test_variance_of_counting_is_signal_by_dose(dose, level):
    noisy = degrade(flat(level), Degradation(dose_e_per_px=dose), 1) / 255
    signal = level / 255
    assert noisy.var() == pytest.approx(signal / dose, rel=0.03)
    assert noisy.mean() == pytest.approx(signal, abs=5 * np.sqrt(signal / dose / noisy.size))


def test_counts_are_whole_and_poisson_distributed():
    counts = degrade(flat(128), "low-dose", 0).astype(np.float64) / 255 * 4
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    seen = np.bincount(np.rint(counts).astype(int).ravel(), minlength=12)[:9]
    expected = scipy.stats.poisson.pmf(np.arange(9), 128 / 255 * 4) * counts.size
    assert (np.abs(seen - expected) < 5 * np.sqrt(expected)).all()


def test_readout_adds_its_variance_in_electrons():
    noisy = degrade(flat(102), Degradation(dose_e_per_px=20.0, readout_e=3.0), 2) / 255
    assert noisy.var() == pytest.approx(0.4 / 20 + (3 / 20) ** 2, rel=0.03)
    dark = degrade(flat(0), Degradation(dose_e_per_px=20.0, readout_e=3.0), 2) / 255
    assert dark.var() == pytest.approx((3 / 20) ** 2, rel=0.03)
    assert dark.min() < 0  # nothing is clipped


def test_the_mean_over_seeds_is_the_clean_image():
    pixels = as_uint8(waves(24, 24))
    pixels[:4], pixels[-4:] = 0, 255
    how = Degradation(dose_e_per_px=8.0, readout_e=1.0, streaks=0.03)
    images = np.stack([degrade(pixels, how, seed) for seed in range(3000)])
    error = (images.mean(axis=0) - pixels) / (images.std(axis=0) / np.sqrt(len(images)))
    assert np.abs(error).max() < 5
    assert abs(error.mean()) < 0.2


def test_blur_is_scipys_gaussian():
    pixels = np.random.default_rng(0).integers(256, size=(50, 60)).astype(np.uint8)
    blurred = degrade(pixels, Degradation(blur_px=1.3), 0)
    expected = scipy.ndimage.gaussian_filter(pixels.astype(float), 1.3, mode="mirror")
    np.testing.assert_allclose(blurred, expected, atol=0.05)


def test_background_is_smooth_of_zero_mean_and_of_its_share():
    added = degrade(flat(100, 96), Degradation(background=0.2), 3) - 100
    assert np.abs(added).max() == pytest.approx(0.2 * 255, rel=1e-4)
    assert added.mean() == pytest.approx(0, abs=1e-3)
    spectrum = np.abs(scipy.fft.dctn(added))
    assert spectrum[4:].max() < 1e-4 * spectrum.max()
    assert spectrum[:, 4:].max() < 1e-4 * spectrum.max()
    assert smooth_field(5, 9, np.random.default_rng(0)).shape == (5, 9)


def test_shifting_rows_by_whole_pixels_moves_them():
    pixels = np.random.default_rng(1).random((3, 20, 2)).astype(np.float32)
    moved = shift_rows(pixels, np.array([0.0, 3.0, -2.0]))
    np.testing.assert_array_equal(moved[0], pixels[0])
    np.testing.assert_array_equal(moved[1, 3:], pixels[1, :-3])
    np.testing.assert_array_equal(moved[1, :3], pixels[1, 2::-1])  # mirrored
    np.testing.assert_array_equal(moved[2, :-2], pixels[2, 2:])
    np.testing.assert_array_equal(moved[2, -2:], pixels[2, :-3:-1])


def test_shifting_by_parts_of_a_pixel_keeps_parabolas():
    shifts = np.array([0.25, -0.6, 1.4, -2.9])
    cols = np.arange(30)
    rows = np.stack([(cols - 11.0) ** 2] * 4).astype(np.float32)[..., None]
    moved = shift_rows(rows, shifts)[..., 0]
    expected = (cols - shifts[:, None] - 11.0) ** 2
    np.testing.assert_allclose(moved[:, 5:-5], expected[:, 5:-5], atol=1e-3)


def test_jitter_moves_each_row_along_itself_and_keeps_its_content():
    cols = np.arange(200)
    inner = slice(20, -20)  # four periods of the sine
    clean = np.tile(128 + 100 * np.sin(np.pi * cols / 20), (400, 1)).astype(np.float32)
    shaken = degrade(clean, Degradation(jitter_px=0.5), 4, levels=(0, 255))
    # The phase of each row's sine is its shift.
    wave = np.exp(-1j * np.pi * cols / 20)[inner]
    shifts = -20 / np.pi * np.angle((shaken[:, inner] @ wave) / (clean[:, inner] @ wave))
    assert shifts.std() == pytest.approx(0.5, rel=0.12)
    expected = 128 + 100 * np.sin(np.pi * (cols - shifts[:, None]) / 20)
    np.testing.assert_allclose(shaken[:, inner], expected[:, inner], atol=0.2)
    assert abs(np.corrcoef(shifts[1:], shifts[:-1])[0, 1]) < 0.2  # each line on its own


@pytest.mark.parametrize("level", [0, 128, 255])
def test_streaks_vary_whole_rows_by_gain_and_offset(level):
    pixels = np.full((4000, 3), level, np.uint8)
    streaked = degrade(pixels, Degradation(streaks=0.03), 5) / 255
    np.testing.assert_allclose(streaked, streaked[:, :1] @ np.ones((1, 3)), atol=1e-6)
    expected = 0.03 * np.sqrt((level / 255) ** 2 + 1)
    assert streaked[:, 0].std() == pytest.approx(expected, rel=0.05)


def test_dead_pixels_are_black_or_white_in_all_channels():
    pixels = np.full((200, 200, 3), 90, np.uint8)
    shown = degrade(pixels, Degradation(salt_pepper=0.05), 6)
    dead = shown[..., 0] != 90
    assert dead.mean() == pytest.approx(0.05, rel=0.1)
    assert set(np.unique(shown[dead])) == {0.0, 255.0}
    assert (shown[dead][:, 0] == 255).mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(shown[dead][:, 0], shown[dead][:, 2])


def test_counting_comes_after_the_blur():
    """Else noise of neighbours would be alike."""
    noisy = degrade(flat(128), Degradation(dose_e_per_px=10.0, blur_px=1.5), 0)
    noise = noisy - noisy.mean()
    assert abs((noise[:, 1:] * noise[:, :-1]).mean() / noise.var()) < 0.02


def test_brighter_than_white_counts_more_and_darker_than_black_none():
    bright = degrade(flat(3, dtype="uint16"), "medium-dose", 0, levels=(0, 1))
    assert (bright.mean(), bright.var()) == pytest.approx((3, 3 / 16), rel=0.02)
    dark = degrade(np.full((9, 9), -2.0), "medium-dose", 0, levels=(0, 1))
    assert (dark == -2).all()


def test_dead_pixels_have_no_noise():
    how = Degradation(dose_e_per_px=7.3, readout_e=1.0, streaks=0.1, salt_pepper=0.5)
    shown = degrade(flat(128), how, 0)
    assert np.isin(shown, (0.0, 255.0)).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("name", list(NAMED))
def test_one_seed_gives_the_same_bits(name):
    pixels = as_uint8(waves())
    first, again, other = (degrade(pixels, name, seed) for seed in (7, 7, 8))
    assert (first.dtype, first.shape) == (np.float32, pixels.shape)
    assert np.isfinite(first).all()
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("shape", [(20, 31), (20, 31, 1), (20, 31, 3), (1, 1)])
def test_every_shape_comes_back(shape):
    pixels = np.full(shape, 77, np.uint8)
    for how in (*NAMED.values(), Degradation()):
        assert degrade(pixels, how, 0).shape == shape
    np.testing.assert_array_equal(degrade(pixels, Degradation(), 0), pixels)


def test_deep_and_float_images_count_from_their_own_black_to_white():
    clean = waves(200, 200)
    black, white = np.percentile(clean, (0.1, 99.9))
    for scale, shift, dtype in ((100, 3000, "uint16"), (1e-3, -0.1, "float32")):
        stored = (clean * scale + shift).astype(dtype)
        noisy = degrade(stored, "medium-dose", 0)
        variance = ((noisy - stored) / scale / (white - black)).astype(float) ** 2
        signal = np.clip((clean - black) / (white - black), 0, None)
        assert variance.mean() == pytest.approx(signal.mean() / 16, rel=0.03)


def test_a_hot_pixel_does_not_set_the_scale():
    pixels = (waves(100, 100) * 10).astype(np.uint16)
    levels = black_and_white(pixels)
    pixels[3, 3] = 65535
    assert black_and_white(pixels) == pytest.approx(levels, rel=0.01)
    assert black_and_white(as_uint8(waves())) == (0.0, 255.0)
    assert black_and_white(flat(5, dtype="uint16")) == (5.0, 6.0)


def test_a_crop_gets_the_noise_of_the_whole_by_its_levels():
    whole = (waves(200, 200) * 100).astype(np.uint16)
    dark = np.full((200, 200), black_and_white(whole)[0] + 3000, np.float32)
    noisy = degrade(dark, "high-dose", 0, levels=black_and_white(whole))
    black, white = black_and_white(whole)
    assert noisy.var() == pytest.approx(3000 * (white - black) / 64, rel=0.05)


def test_ranges_are_drawn_from_doses_in_the_logarithm():
    rng = np.random.default_rng(0)
    how = Degradation(dose_e_per_px=(2.0, 100.0), blur_px=(0.5, 1.5), jitter_px=0.3)
    drawn = [how.draw(rng) for _ in range(2000)]
    doses = np.log([one.dose_e_per_px for one in drawn])
    uniform = scipy.stats.uniform(np.log(2), np.log(50))
    assert scipy.stats.kstest(doses, uniform.cdf).pvalue > 0.001
    blurs = [one.blur_px for one in drawn]
    assert scipy.stats.kstest(blurs, scipy.stats.uniform(0.5, 1).cdf).pvalue > 0.001
    assert {one.jitter_px for one in drawn} == {0.3}
    assert Degradation().draw(rng) == Degradation()


def test_names_lead_to_degradations():
    assert [degradation(f"{name}-dose").dose_e_per_px for name in ("low", "medium", "high")] == [
        4.0,
        16.0,
        64.0,
    ]
    own = Degradation(blur_px=1.0)
    assert degradation(own) is own
    with pytest.raises(ValueError, match=r"'low-does'. Did you mean low-dose.* Known: low-dose"):
        degradation("low-does")


@pytest.mark.parametrize(
    ("stated", "text"),
    [
        ({"blur_px": -1}, r"blur_px must be a number from 0 on.*Received: blur_px=-1"),
        ({"jitter_px": (2.0, 1.0)}, r"or \(low, high\) of such. Received: jitter_px=\(2.0, 1.0\)"),
        ({"streaks": (0.1, 0.2, 0.3)}, r"or \(low, high\) of such. Received: streaks"),
        ({"dose_e_per_px": float("inf")}, "dose_e_per_px must be a number from 0 on"),
        ({"dose_e_per_px": 0.0}, "greater than 0, or None for no counting noise"),
        ({"salt_pepper": 1.5}, "salt_pepper must be a share, from 0 to 1. Received: salt_pepper=1"),
        ({"readout_e": 2.0}, "readout_e is in electrons.*dose_e_per_px=None. State the dose"),
    ],
)
def test_impossible_degradations_are_refused(stated, text):
    with pytest.raises(ValueError, match=text):
        Degradation(**stated)


@pytest.mark.parametrize(
    "pixels", [np.zeros((2, 3, 4, 1)), np.zeros((0, 4)), np.zeros((4, 4), complex)]
)
def test_what_is_no_image_is_refused(pixels):
    with pytest.raises(ValueError, match=r"real numbers of shape \(H, W\).*Received: shape="):
        degrade(pixels, "low-dose", 0)
