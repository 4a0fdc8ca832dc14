"""Pictures of temzoo.report: colours where they belong, files that open, plots that hold data."""

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from temzoo.evaluation import evaluate
from temzoo.prediction import predict
from temzoo.report import (
    ERROR_COLOURS,
    Panel,
    error_legend,
    error_map,
    error_overlay,
    overlay,
    plot_history,
    plot_iou,
    save_prediction,
    sheet,
    stretched,
    validation_sheet,
)
from temzoo.types import Example, LabelledImage, Micrograph, Shape

GREY = np.random.default_rng(0).integers(90, 170, (60, 80)).astype(np.uint8)

# Machado, Oliveira and Fernandes, IEEE TVCG 15, 1291 (2009), severity 1, on linear RGB.
EYES = {
    "normal": np.eye(3),
    "deutan": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "protan": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "tritan": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def seen(colours, eye):
    """CIELAB of (N, 3) sRGB colours in 0..1 as an eye sees them."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    linear = np.clip(linear @ np.array(EYES[eye]).T, 0, 1)
    shown = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb2lab(shown[None])[0]


def decoded(path):
    return cv2.imread(str(path))[..., ::-1]


def examples(count=3):
    found = []
    for k in range(count):
        pixels = np.zeros((40, 50), np.uint8)
        pixels[5:20, 5 : 20 + 3 * k] = 200
        box = Shape("box", "particle", np.array([[5.0, 5.0], [20.0, 20.0]]))
        labels = LabelledImage(f"{k}.png", 50, 40, (box,), ("particle",))
        found.append(Example(labels, lambda pixels=pixels: Micrograph(pixels)))
    return found


def threshold(batch):
    return np.concatenate([batch < 100, batch >= 100], axis=-1).astype(np.float32)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("grey", [0.15, 0.35, 0.5, 0.65, 0.85])
def test_error_colours_stay_apart_for_every_eye_on_every_grey(eye, grey):
    mixed = np.array([*ERROR_COLOURS.values()]) / 255 * 0.5 + 0.5 * grey
    lab = seen(np.vstack([mixed, np.full(3, grey)]), eye)
    distances = np.linalg.norm(lab[:, None] - lab[None], axis=-1)
    assert distances[np.triu_indices(len(lab), 1)].min() > 11


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_stretching_uses_the_full_range_whatever_the_dtype(dtype):
    shown = stretched((GREY * (100.0 if dtype == np.uint16 else 1.0)).astype(dtype))
    assert shown.shape == (60, 80, 3)
    assert shown.dtype == np.uint8
    assert (shown.min(), shown.max()) == (0, 255)
    order = np.argsort(GREY, axis=None, kind="stable")
    assert (np.diff(shown[..., 0].ravel()[order].astype(int)) >= 0).all()


def test_a_hot_pixel_does_not_darken_the_rest():
    pixels = GREY.astype(np.uint16)
    pixels[3, 3] = 65535
    assert abs(stretched(pixels).astype(int) - stretched(GREY)).mean() < 5


def test_a_constant_image_is_mid_grey():
    assert (stretched(np.full((5, 6), 3.5)) == 128).all()


def test_overlay_leaves_the_background_and_outlines_in_full_colour():
    classes = np.zeros((60, 80), np.uint8)
    classes[10:30, 10:40] = 1
    classes[35:50, 10:40] = 2
    picture = overlay(GREY, classes)
    np.testing.assert_array_equal(picture[classes == 0], stretched(GREY)[classes == 0])
    first, second = picture[10, 20], picture[35, 20]
    assert (first != second).any()
    np.testing.assert_array_equal(picture[29, 15], first)
    assert (picture[20, 20] != first).any()


def test_overlay_outlines_instances_that_touch():
    instances = np.zeros((60, 80), np.int32)
    instances[10:30, 10:20], instances[10:30, 20:30] = 1, 8
    picture = overlay(GREY, instances)
    np.testing.assert_array_equal(picture[20, 19], picture[20, 20])
    assert (picture[20, 15] != picture[20, 19]).any()


def test_error_map_tells_four_cases_apart():
    truth = np.array([[0, 1, 0, 1, 1]])
    predicted = np.array([[0, 1, 1, 0, 2]])
    np.testing.assert_array_equal(error_map(truth, predicted), [[0, 1, 2, 3, 4]])


def test_error_overlay_paints_each_error_in_its_colour():
    truth, predicted = np.zeros((60, 80), int), np.zeros((60, 80), int)
    truth[10:30, 10:30] = predicted[10:30, 20:40] = 1
    picture = error_overlay(GREY, truth, predicted, alpha=1.0)
    legend = error_legend()
    np.testing.assert_array_equal(picture[20, 15], legend["missed"])
    np.testing.assert_array_equal(picture[20, 25], legend["true positive"])
    np.testing.assert_array_equal(picture[20, 35], legend["false positive"])
    np.testing.assert_array_equal(picture[50, 50], stretched(GREY)[50, 50])


def test_legend_names_wrong_class_only_where_there_are_several():
    assert "wrong class" not in error_legend()
    assert len(error_legend(several_classes=True)) == 4


def test_sheet_holds_all_pictures_and_the_legend(tmp_path):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    panels = [Panel(np.full((40, 40, 3), colour, np.uint8), "name") for colour in colours]
    path = sheet(tmp_path / "sheet.png", panels, columns=2, legend={"key": (255, 0, 255)})
    picture = decoded(path).reshape(-1, 3).astype(int)
    for colour in [*colours, (255, 0, 255)]:
        assert (np.abs(picture - colour).max(axis=1) < 3).sum() > 100
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_sheet_takes_grey_and_large_pictures(tmp_path):
    path = sheet(tmp_path / "sheet.png", [Panel(np.zeros((1500, 900), np.uint8))], title="large")
    assert decoded(path).min() == 0


def test_validation_sheet_shows_hits_and_errors(tmp_path):
    path = validation_sheet(tmp_path / "sheet.png", threshold, examples(), ["particle"])
    picture = decoded(path).reshape(-1, 3).astype(int)
    hit, wrong = (np.array(error_legend()[key]) for key in ("true positive", "false positive"))
    for colour in (hit, wrong):
        assert (np.abs(picture - colour).max(axis=1) < 4).sum() > 100


def test_saved_prediction_has_an_overlay_of_its_instances(tmp_path):
    micrograph = Micrograph(examples()[0].micrograph.pixels, name="a.tif")
    paths = save_prediction(predict(threshold, micrograph), tmp_path, micrograph=micrograph)
    assert sorted(paths) == ["classes", "instances", "overlay"]
    expected = overlay(micrograph.pixels, predict(threshold, micrograph).instances)
    np.testing.assert_array_equal(decoded(paths["overlay"]), expected)


def test_overlay_of_a_large_micrograph_is_shrunk(tmp_path):
    micrograph = Micrograph(np.tile(np.uint8([[0, 200]]), (60, 1250)), name="wide.tif")
    prediction = predict(threshold, micrograph)
    paths = save_prediction(prediction, tmp_path, micrograph=micrograph)
    assert decoded(paths["overlay"]).shape == (49, 2048, 3)


def test_history_is_plotted_with_gaps(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,iou,loss,val_iou,val_loss\n0,0.1,2,,\n1,0.4,1,0.3,1.5\n2,0.5,0.8,,\n")
    two = decoded(plot_history(history, tmp_path / "two.png"))
    history.write_text("epoch,loss\n0,2\n1,1\n")
    one = decoded(plot_history(history, tmp_path / "one.png"))
    assert two.shape[0] > 1.5 * one.shape[0]
    assert (one < 128).any()


def test_iou_plot_draws_every_method(tmp_path):
    labelled = examples(4)
    good = evaluate(threshold, labelled)
    bad = evaluate(lambda batch: threshold(batch)[..., ::-1], labelled)
    one = decoded(plot_iou({"network": good}, tmp_path / "one.png"))
    both = decoded(plot_iou({"network": good, "inverse": bad}, tmp_path / "both.png"))

    def reddish(picture):
        return ((picture[..., 0] > 180) & (picture[..., 2] < 90)).sum()

    assert reddish(one) == 0
    assert reddish(both) > 100


def test_an_empty_sheet_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"at least one panel\. Received: none"):
        sheet(tmp_path / "sheet.png", [])


def test_a_history_without_rows_is_refused(tmp_path):
    (tmp_path / "history.csv").write_text("epoch,loss\n")
    with pytest.raises(ValueError, match=r"at least one epoch\. Received: .*history\.csv"):
        plot_history(tmp_path / "history.csv", tmp_path / "plot.png")


def test_maps_of_another_image_are_refused():
    with pytest.raises(ValueError, match=r"one size\. Received: \(60, 80\) and \(3, 3\)"):
        overlay(GREY, np.zeros((3, 3), int))


def test_plotting_different_images_together_is_refused(tmp_path):
    first, second = (evaluate(threshold, examples(count)) for count in (2, 3))
    with pytest.raises(ValueError, match=r"same images\. Received: evaluations of different"):
        plot_iou({"a": first, "b": second}, tmp_path / "plot.png")
