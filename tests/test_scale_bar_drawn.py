"""Scale bars drawn into overlays."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from temzoo.core.types import Micrograph, Prediction
from temzoo.pictures.scale_bar import bar_length, length_text, with_scale_bar
from temzoo.store.with_overlay import save_prediction


def bar_pixels(picture):
    """The length of the longest row of white pixels that lies on black."""
    white = (picture == 255).all(axis=2)
    runs = []
    for row in white:
        edges = np.flatnonzero(np.diff(np.pad(row.astype(int), 1)))
        runs += [stop - start for start, stop in zip(edges[::2], edges[1::2], strict=True)]
    return max(runs)


@pytest.mark.parametrize("width", [101, 512, 2048])
@pytest.mark.parametrize("grey", [0, 128, 254])
@pytest.mark.parametrize("nm_per_pixel", [0.013, 0.21, 3.7])
def test_the_bar_is_as_long_as_it_says_on_bright_and_dark(width, grey, nm_per_pixel):
    picture = np.full((max(width // 2, 100), width, 3), grey, np.uint8)
    drawn = with_scale_bar(picture, nm_per_pixel)
    length = bar_length(width * nm_per_pixel)
    assert bar_pixels(drawn) == pytest.approx(length / nm_per_pixel, abs=0.51)
    assert 0.12 < length / (width * nm_per_pixel) < 0.33
    field = (drawn != picture).any(axis=2)
    assert (drawn[field].max(axis=1) == 255).any()
    dark = (drawn == 0).all(axis=2).mean()
    assert dark > 0.005  # white stands on black, whatever lies beneath
    assert (picture == grey).all()


def test_lengths_are_round():
    for across in np.geomspace(0.01, 1e7, 200):
        length = bar_length(across)
        digit = float(f"{length:e}".partition("e")[0])
        assert digit == pytest.approx(round(digit))
        assert round(digit) in (1, 2, 5)
        assert 0.12 < length / across < 0.33


def test_lengths_take_the_unit_that_suits():
    assert [length_text(v) for v in (0.2, 200, 5000, 2e6)] == ["0.2 nm", "200 nm", "5 µm", "2 mm"]


def test_a_picture_too_small_for_a_text_is_left_as_it_is():
    picture = np.full((99, 500, 3), 7, np.uint8)
    assert with_scale_bar(picture, 1.0) is picture


@pytest.mark.parametrize("side", [300, 3000])
def test_overlays_of_calibrated_micrographs_have_a_bar_in_their_own_pixels(tmp_path, side):
    pixels = np.random.default_rng(0).integers(0, 200, (side, side)).astype(np.uint8)
    nothing = np.zeros((side, side), np.int32)
    prediction = Prediction(nothing, nothing, nm_per_pixel=(9.0, 0.5), name="a.tif")
    for found in (prediction, replace(prediction, detections=())):
        paths = save_prediction(found, tmp_path, micrograph=Micrograph(pixels, name="a.tif"))
        picture = cv2.imread(str(paths["overlay"]))
        scale = 0.5 * side / picture.shape[1]
        length = bar_length(0.5 * side)
        assert bar_pixels(picture) == pytest.approx(length / scale, abs=0.51)
    plain = replace(prediction, nm_per_pixel=None)
    paths = save_prediction(plain, tmp_path, micrograph=Micrograph(pixels, name="a.tif"))
    assert bar_pixels(cv2.imread(str(paths["overlay"]))) < 40
