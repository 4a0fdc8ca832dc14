"""Large micrographs are binned where more is found so, and results are in their own pixels."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.data.synthetic import write_tiff
from temzoo.inference.binning import (
    at_binning,
    best_binned,
    binned,
    coarsest,
    enlarged,
    enlarged_labels,
)
from temzoo.inference.options import PredictOptions
from temzoo.micrographs.noise import smoothed
from temzoo.store import predictions, sidecar
from temzoo.zoo import built, pretrained

RUNNER = CliRunner()


def discs(side: int, diameter: float, pitch: float, blur: float = 12) -> np.ndarray:
    """Dark discs on a grid, smooth at their rims as a camera that oversamples shows them."""
    grey = np.full((side, side), 200, np.float32)
    for row in np.arange(pitch / 2, side, pitch):
        for column in np.arange(pitch / 2, side, pitch):
            grey[disk((row, column), diameter / 2, shape=grey.shape)] = 60
    return cv2.GaussianBlur(grey, (0, 0), diameter / blur)


def knowing(least: float, most: float):
    """Finds what is dark, and is sure of it where its diameter is one of these."""

    def answer(micrograph: Micrograph, options: PredictOptions) -> Prediction:
        dark = micrograph.pixels < 130
        numbered, count = ndimage.label(dark)
        areas = np.bincount(numbered.ravel(), minlength=count + 1)
        kept = np.flatnonzero(areas[1:] >= options.min_area_px) + 1
        again = np.zeros(count + 1, np.int32)
        again[kept] = np.arange(1, len(kept) + 1)
        diameters = np.sqrt(4 / np.pi * areas[kept])
        scores = np.where((diameters >= least) & (diameters <= most), 0.97, 0.6)
        return Prediction(
            dark.astype(np.uint8),
            again[numbered],
            scores=scores.astype(np.float32),
            nm_per_pixel=micrograph.nm_per_pixel,
        )

    return answer


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((512, 900), 1), ((768, 1024), 1), ((960, 1280), 2), ((2048, 2048), 4), ((4096, 4096), 8)],
)
def test_a_frame_is_binned_to_nearly_the_side_that_weights_know(shape, expected):
    assert coarsest(shape, 512) == expected


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_bins_are_means_and_pixels_are_larger(channels):
    pixels = np.random.default_rng(0).integers(0, 255, (8, 12, *channels), np.uint8)
    seen = binned(Micrograph(pixels, nm_per_pixel=(0.5, 1.0)), 4)
    expected = pixels.reshape(2, 4, 3, 4, *channels).mean((1, 3))
    assert np.allclose(seen.pixels, expected, atol=1e-4)
    assert seen.nm_per_pixel == (2.0, 4.0)
    assert binned(Micrograph(pixels[:7, :9]), 4).pixels.shape == (2, 3, *channels)


@pytest.mark.parametrize("times", [2, 3, 8])
def test_an_enlarged_disc_keeps_its_place_and_size(times):
    small = np.zeros((60, 60), np.int32)
    small[disk((28, 31), 17)] = 3
    large = enlarged_labels(small, times, (60 * times, 60 * times))
    assert set(np.unique(large)) == {0, 3}
    assert (large > 0).sum() == pytest.approx(times**2 * (small > 0).sum(), rel=0.01)
    before, after = (np.array(ndimage.center_of_mass(each > 0)) + 0.5 for each in (small, large))
    assert after == pytest.approx(before * times, abs=0.05 * times)


def test_enlarged_labels_lose_nothing_and_leave_no_gaps():
    labels = np.zeros((6, 6), np.int32)
    labels[:3], labels[3:, :3], labels[5, 5] = 1, 2, 9
    large = enlarged_labels(labels, 4, (24, 24))
    assert (large[:12] == 1).all()  # straight and at the border: not a pixel less
    assert (large[13:, :11] == 2).all()
    assert 8 <= (large == 9).sum() <= 16
    assert enlarged_labels(labels, 4, (23, 21)).shape == (23, 21)
    squares = enlarged_labels(labels, 4, (24, 24), steep=True)
    assert np.array_equal(squares, np.kron(labels, np.ones((4, 4), np.int32)))


@pytest.mark.parametrize(
    ("diameter", "expected"),
    [(40, 1), (80, 2), (200, 4)],
)
def test_the_binning_is_that_at_which_the_network_is_surest(diameter, expected):
    micrograph = Micrograph(discs(1600, diameter, 400), nm_per_pixel=(0.5, 0.5))
    found = best_binned(knowing(24, 64), micrograph, PredictOptions(), 400)
    assert found.binning == expected
    assert found.instances.shape == found.classes.shape == (1600, 1600)
    assert found.instances.max() == 16
    assert found.nm_per_pixel == (0.5, 0.5)
    areas = np.bincount(found.instances.ravel())[1:]
    assert np.sqrt(4 / np.pi * areas) == pytest.approx(diameter, rel=0.05)


def test_what_is_only_seen_in_single_pixels_is_found():
    micrograph = Micrograph(discs(1600, 6, 400))
    found = best_binned(knowing(4, 64), micrograph, PredictOptions(), 400)
    assert (found.binning, found.instances.max()) == (1, 16)


def test_without_instances_the_classes_are_those_of_the_same_binning():
    micrograph = Micrograph(discs(1600, 200, 400))
    asked = []

    def answer(seen: Micrograph, options: PredictOptions) -> Prediction:
        asked.append(options.instances)
        return knowing(18, 64)(seen, options)

    found = best_binned(answer, micrograph, PredictOptions(instances=None), 400)
    assert found.binning == 4
    assert asked[-1] is None
    assert None not in asked[:-1]


@pytest.mark.parametrize(("given", "binning", "seen"), [(10, 4, 10), (160, 4, 10), (640, 4, 40)])
def test_the_least_area_is_of_the_micrograph_s_pixels(given, binning, seen):
    areas = []

    def answer(micrograph: Micrograph, options: PredictOptions) -> Prediction:
        areas.append(options.min_area_px)
        return knowing(1, 64)(micrograph, options)

    micrograph = Micrograph(discs(64, 20, 32))
    at_binning(answer, micrograph, PredictOptions(min_area_px=given), binning)
    assert areas == [seen]


def test_a_width_to_smooth_by_is_of_the_micrograph_s_pixels(network):
    pixels = discs(64, 20, 32)
    found = temzoo.predict(network, pixels, binning=2, smooth=3.0, probabilities=True)
    seen = smoothed(binned(Micrograph(pixels), 2).pixels, 1.5)
    small = temzoo.predict(network, seen, probabilities=True)
    assert found.smoothed_px == 3
    assert np.array_equal(found.classes, enlarged_labels(small.classes, 2, (64, 64)))


def test_what_takes_long_tells_how_far_it_is(network):
    told = []
    pixels = np.random.default_rng(4).random((96, 96), np.float32)
    temzoo.predict(network, pixels, binning=2, progress=lambda share, _: told.append(share))
    assert told[-1] == 1


def test_objects_of_detectors_and_doubtful_ones_are_enlarged():
    mask = np.zeros((5, 4), bool)
    mask[1:4, 1:3] = True
    one = Detection(2, 3, mask, 1, 0.9)
    found = Prediction(
        np.zeros((10, 10), np.uint8),
        np.zeros((10, 10), np.int32),
        probabilities=np.full((10, 10, 2), 0.5, np.float32),
        detections=(one,),
        doubtful=(replace(one, top=8, mask=np.ones((2, 4), bool)),),
        binning=4,
        smoothed_px=1.5,
    )
    large = enlarged(found, (39, 38))
    (detection,), (doubtful,) = large.detections, large.doubtful
    assert (detection.top, detection.left, detection.mask.shape) == (8, 12, (20, 16))
    assert detection.mask.sum() == pytest.approx(16 * mask.sum(), rel=0.1)
    assert doubtful.mask.shape == (7, 16)
    assert large.probabilities.shape == (39, 38, 2)
    assert large.smoothed_px == 6
    boxes = enlarged(replace(found, box_shaped=True), (39, 38))
    assert boxes.detections[0].mask.sum() == 16 * mask.sum()


@pytest.fixture(scope="module")
def network():
    return temzoo.get_model("unet", filters=2, depth=1)


def test_a_binning_can_be_asked_for_of_any_model(network):
    pixels = np.random.default_rng(1).random((62, 70), np.float32)
    seen = binned(Micrograph(pixels), 2)
    small = temzoo.predict(network, seen, probabilities=True, instances=None)
    large = temzoo.predict(network, pixels, binning=2, probabilities=True, instances=None)
    assert large.binning == 2
    assert "at 2 x 2 binning" in repr(large)
    assert np.array_equal(large.classes, enlarged_labels(small.classes, 2, (62, 70)))
    assert large.probabilities[1:-1:2, 1:-1:2].mean() == pytest.approx(
        small.probabilities.mean(), abs=1e-3
    )
    assert temzoo.predict(network, pixels).binning == 1  # nobody knows what it has seen


@pytest.mark.parametrize("binning", ["yes", 0, 65, 1.5, None])
def test_other_binnings_are_refused(network, binning):
    said = r'binning must be "auto" or a whole number from 1 to 64. Received: binning=.*Use 2, or 1'
    with pytest.raises(ValueError, match=said):
        temzoo.predict(network, np.zeros((32, 32), np.float32), binning=binning)


def test_a_lazy_array_is_not_binned(network):
    array = pytest.importorskip("dask.array")
    lazy = array.from_array(np.zeros((64, 64), np.float32))
    with pytest.raises(ValueError, match=r"as they are. Received: binning=2.*dask.array.coarsen"):
        temzoo.predict(network, lazy, binning=2)


def test_an_engine_and_a_card_know_the_side():
    model = temzoo.get_model("unet", filters=2, depth=1)
    card = pretrained.WeightsCard("unet", side=256)
    built.note(model, replace(built.built(model), limits=card.limits))
    assert built.limits_of(model) == built.Limits(side=256)
    pytest.importorskip("onnxruntime")
    assert built.limits_of(temzoo.accelerate(model, engine="onnxruntime")).side == 256


def test_large_particles_are_found_whole_by_shipped_weights():
    rng = np.random.default_rng(2)
    pixels = discs(1536, 330, 500, blur=50) + rng.normal(0, 8, (1536, 1536))
    found = temzoo.predict(pixels.astype(np.float32))
    assert found.binning > 1
    assert found.instances.max() == 9
    areas = np.bincount(found.instances.ravel())[1:]
    assert np.sqrt(4 / np.pi * areas) == pytest.approx(330, rel=0.06)


def test_a_job_says_what_it_binned(network, tmp_path):
    weights = tmp_path / "one.weights.h5"
    card = pretrained.WeightsCard("unet", {"filters": 2, "depth": 1})
    pretrained.save_with_card(network, weights, card)
    pixels = np.random.default_rng(3).integers(0, 255, (64, 64), np.uint8)
    write_tiff(tmp_path / "in" / "one.tif", Micrograph(pixels))
    out = tmp_path / "out"
    call = ["predict", str(weights), str(tmp_path / "in"), "--out", str(out)]
    call += ["--engine", "tensorflow"]
    told = RUNNER.invoke(cli.app, [*call, "--binning", "2"]).output
    assert "; seen at 2 x 2 binning" in told
    header, row = (out / "predictions.csv").read_text().splitlines()
    assert (header.split(",")[-1], row.split(",")[-1]) == ("binning", "2")
    path = out / "one.prediction.json"
    assert temzoo.load_prediction(path).binning == 2
    assert "Binned first" in temzoo.write_report(out).read_text()
    again = RUNNER.invoke(cli.app, [*call, "--binning", "2"]).output
    assert "seen at" not in again  # kept
    assert (out / "predictions.csv").read_text().splitlines()[1].split(",")[-1] == "2"
    refused = RUNNER.invoke(cli.app, [*call, "--binning", "twice"]).exception
    assert str(refused).startswith('binning must be "auto" or a whole number')


def test_a_sidecar_from_before_was_not_binned(tmp_path):
    prediction = Prediction(np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.int32), name="a")
    predictions.save(prediction, tmp_path)
    path = sidecar.sidecar_path(tmp_path, "a")
    path.write_text(path.read_text().replace('"binning": 1', '"binned": 1'))
    assert sidecar.about(path)["binning"] == 1
