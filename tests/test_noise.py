"""Noisy micrographs are smoothed before they are predicted, and what is done is said."""

import csv
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.data.synthetic import write_tiff
from temzoo.micrographs.noise import MOST_SIGMA, noise_of, smoothed, smoothing_for
from temzoo.store import predictions, sidecar
from temzoo.zoo import built, pretrained

RUNNER = CliRunner()


def ramp(noise: float, side: int = 256) -> np.ndarray:
    """A slope whose deviation is 1, with noise."""
    grey = np.add.outer(np.linspace(0, 1, side), np.linspace(0, 1, side))
    drawn = np.random.default_rng(0).standard_normal((side, side))
    return (grey / grey.std() + noise * drawn).astype(np.float32)


def squares(noise: float, side: int = 256) -> np.ndarray:
    """Dark squares whose deviation is 1, with noise."""
    dark = np.arange(side) % (side // 2) < side // 4
    grey = -np.outer(dark, dark).astype(float)
    drawn = np.random.default_rng(0).standard_normal((side, side))
    return (grey / grey.std() + noise * drawn).astype(np.float32)


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 2.0])
def test_the_noise_is_found(noise):
    assert noise_of(ramp(noise)) == pytest.approx(noise / np.hypot(1, noise), rel=0.03, abs=1e-3)


def test_noise_is_a_share_of_the_contrast():
    pixels = ramp(0.5)
    stored = (1000 + 500 * pixels).astype(np.uint16)
    assert noise_of(stored) == pytest.approx(noise_of(pixels), rel=0.01)
    assert noise_of(np.stack([stored] * 3, axis=-1)) == noise_of(stored)


def test_noise_that_a_detector_blurred_is_found_too():
    noise = np.random.default_rng(1).standard_normal((256, 256))
    wider = smoothed(noise, 0.7)
    found = noise_of(ramp(0) + 0.5 * wider / wider.std())
    assert found == pytest.approx(0.5 / np.hypot(1, 0.5), rel=0.05)


@pytest.mark.parametrize("pixels", [np.full((64, 64), 7, np.uint8), ramp(1)[:12]])
def test_an_image_that_tells_nothing_has_no_noise(pixels):
    assert noise_of(pixels) == 0


def test_more_noise_asks_for_more_smoothing_up_to_a_bound():
    found = [smoothing_for(squares(noise), 0.3) for noise in (0.1, 0.5, 1.0)]
    assert found == pytest.approx([0, *(1 + n / np.hypot(1, n) for n in (0.5, 1.0))], abs=0.1)
    assert smoothing_for(squares(0.5), 0.5) == 0
    wide = smoothed(np.random.default_rng(2).standard_normal((256, 256)), 1.0)
    assert smoothing_for(squares(0) + wide / wide.std(), 0.3) <= MOST_SIGMA


@pytest.mark.parametrize("blur", [0, 0.8])
@pytest.mark.parametrize("background", [0, 1])
def test_a_field_without_particles_stays_as_it_is(blur, background):
    noise = np.random.default_rng(3).standard_normal((256, 256)).astype(np.float32)
    noise = smoothed(noise, blur) if blur else noise
    field = noise / noise.std() + background * ramp(0)
    assert noise_of(field) > 0.5
    assert smoothing_for(field, 0.4) == 0


@pytest.fixture(scope="module")
def network():
    return temzoo.get_model("unet", filters=2, depth=1)


@pytest.fixture
def bearing(network):
    """The network, as if its card said which noise it bears."""
    before = built.built(network)
    card = pretrained.WeightsCard("unet", noise=0.3)
    built.note(network, replace(before, limits=card.limits))
    yield network
    built.note(network, before)


def test_a_noisy_micrograph_is_smoothed_and_a_clean_one_is_not(bearing):
    noisy, clean = squares(0.8, 64), squares(0.1, 64)
    found = temzoo.predict(bearing, noisy, probabilities=True)
    sigma = smoothing_for(noisy, 0.3)
    assert found.smoothed_px == sigma
    assert f"by {sigma:g} px first" in repr(found)
    same = temzoo.predict(bearing, smoothed(noisy, sigma), smooth="off", probabilities=True)
    assert np.array_equal(found.probabilities, same.probabilities)
    assert temzoo.predict(bearing, clean).smoothed_px == 0
    assert temzoo.predict(bearing, noisy, smooth="off").smoothed_px == 0


def test_what_is_smoothed_can_be_said(network):
    noisy = squares(0.8, 64)
    assert temzoo.predict(network, noisy).smoothed_px == 0  # nobody knows what it bears
    assert temzoo.predict(network, noisy, smooth=1.5).smoothed_px == 1.5


@pytest.mark.parametrize("smooth", ["yes", 0, -1.5, 33, float("nan")])
def test_other_ways_of_smoothing_are_refused(network, smooth):
    said = r'smooth must be "auto", "off" or px above 0, at most 32. Received: smooth=.*Use 1.5'
    with pytest.raises(ValueError, match=said):
        temzoo.predict(network, ramp(0, 32), smooth=smooth)


def test_a_lazy_array_is_not_smoothed(network):
    array = pytest.importorskip("dask.array")
    with pytest.raises(
        ValueError, match=r"of the pixels as they are. Received: smooth=2.*gaussian"
    ):
        temzoo.predict(network, array.from_array(squares(0.8, 64)), smooth=2)


def test_an_engine_knows_what_the_weights_bear(bearing):
    pytest.importorskip("onnxruntime")
    fast = temzoo.accelerate(bearing, engine="onnxruntime")
    assert temzoo.predict(fast, squares(0.8, 64)).smoothed_px > 1


def test_a_job_says_what_it_smoothed(network, tmp_path):
    weights = tmp_path / "one.weights.h5"
    pretrained.save_with_card(
        network, weights, pretrained.WeightsCard("unet", {"filters": 2, "depth": 1}, noise=0.3)
    )
    for name, noise in (("clean", 0), ("noisy", 0.8)):
        pixels = (100 + 20 * squares(noise, 64)).clip(0, 255).astype(np.uint8)
        write_tiff(tmp_path / "in" / f"{name}.tif", temzoo.Micrograph(pixels))
    out = tmp_path / "out"
    call = ["predict", str(weights), str(tmp_path / "in"), "--out", str(out)]
    told = RUNNER.invoke(cli.app, [*call, "--engine", "tensorflow"]).output
    assert "noisy: smoothed by 1.6" in told
    assert told.count("smoothed by") == 1
    with (out / "predictions.csv").open() as file:
        clean, noisy = (float(row["smoothed_px"]) for row in csv.DictReader(file))
    assert clean == 0
    assert noisy > 1.5
    assert temzoo.load_prediction(out / "noisy.prediction.json").smoothed_px == noisy
    page = temzoo.write_report(out).read_text()
    assert page.count("Smoothed") == 1
    assert "1 of 2" in page
    asked = RUNNER.invoke(cli.app, [*call, "--smooth", "2", "--engine", "tensorflow"]).output
    assert asked.count("; smoothed by 2 px") == 2
    refused = RUNNER.invoke(cli.app, [*call, "--smooth", "sharp"]).exception
    assert str(refused).startswith('smooth must be "auto", "off" or px')


def test_a_sidecar_from_before_was_not_smoothed(tmp_path):
    prediction = temzoo.Prediction(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int32), name="a")
    predictions.save(prediction, tmp_path)
    path = sidecar.sidecar_path(tmp_path, "a")
    text = path.read_text().replace('"smoothed_px": 0.0', '"smoothed": 0.0')
    path.write_text(text)
    assert sidecar.about(path)["smoothed_px"] == 0
