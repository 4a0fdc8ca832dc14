"""Pictures of temzoo.report: colours where they belong, files that open, plots that hold data."""

import itertools
from dataclasses import replace

import cv2
import numpy as np
import pytest
from skimage.color import rgb2lab

from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.evaluation.evaluate import evaluate
from temzoo.inference.predict import predict
from temzoo.pictures import plots, sheets
from temzoo.pictures.colours import CLASS_COLOURS, DOUBTFUL, ERROR_COLOURS, MARKS, error_legend
from temzoo.pictures.overlays import (
    error_map,
    error_overlay,
    match_overlay,
    outlines,
    overlay,
    stretched,
)
from temzoo.pictures.plots import plot_history, plot_iou
from temzoo.pictures.sheets import Panel, sheet
from temzoo.store.with_overlay import save_prediction
from temzoo.tasks.validation_sheet import validation_panel, validation_sheet

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
    picture = overlay(GREY, instances, instances=True)
    assert (picture[20, 15] != picture[20, 19]).any()


def test_overlay_gives_neighbours_other_colours_however_they_are_numbered():
    cells = np.arange(48).reshape(6, 8)
    for numbers in (cells, cells * 7, 335 - 7 * cells):  # all one colour by number alone
        instances = np.kron(numbers + 1, np.ones((10, 10), np.int32)).astype(np.int32)
        picture = overlay(GREY, instances, instances=True)[::10, ::10].astype(
            int
        )  # a pixel of each outline
        assert (np.abs(np.diff(picture, axis=0)).sum(axis=-1) > 0).all()
        assert (np.abs(np.diff(picture, axis=1)).sum(axis=-1) > 0).all()


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


def inside(figure):
    """Whether all headings and legends of a figure lie within it, none over another."""
    figure.draw_without_rendering()
    texts = [*figure.texts, *(axis.title for axis in figure.axes), *figure.legends]
    boxes = [one.get_window_extent() for one in texts]
    apart = not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))
    return apart and all(figure.bbox.contains(*end) for box in boxes for end in (box.min, box.max))


@pytest.mark.parametrize("count", [1, 3])
def test_nothing_of_a_sheet_is_cut_off(monkeypatch, tmp_path, count):
    drawn = []
    monkeypatch.setattr(sheets, "write_figure", lambda figure, path: drawn.append(figure))
    name = f"{'a_long_name_' * 6}.tif   IoU 0.83"
    title = "Label next: where the model is unsure (entropy of a pixel)"
    legend = error_legend(several_classes=True)
    panels = [Panel(np.zeros((60, 80), np.uint8), name)] * count
    sheet(tmp_path / "sheet.png", panels, legend=legend, title=title)
    assert inside(drawn[0])
    assert drawn[0].axes[0].get_title().endswith("IoU 0.83")


def test_the_legend_of_a_history_covers_no_line(monkeypatch, tmp_path):
    drawn = []
    monkeypatch.setattr(plots, "write_figure", lambda figure, path: drawn.append(figure))
    (tmp_path / "h.csv").write_text("epoch,loss,val_loss\n1,0.9,1.0\n2,0.5,0.9\n3,0.2,0.9\n")
    plots.plot_history(tmp_path / "h.csv", tmp_path / "h.png")
    figure = drawn[0]
    assert inside(figure)
    key = figure.legends[0].get_window_extent()
    assert not any(axis.get_window_extent().overlaps(key) for axis in figure.axes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training", "validation"]


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
    assert sorted(paths) == ["classes", "instances", "overlay", "sidecar"]
    expected = overlay(micrograph.pixels, predict(threshold, micrograph).instances, instances=True)
    np.testing.assert_array_equal(decoded(paths["overlay"]), expected)


def test_no_second_scale_bar_is_drawn_where_the_picture_has_one(tmp_path):
    pixels = np.tile(np.uint8([[0, 200]]), (120, 60))
    drawn = []
    for calibration in ("TIFF header", "read from the picture: 20 nm = 40 px"):
        micrograph = Micrograph(pixels, (0.5, 0.5), "a.tif", calibration=calibration)
        found = predict(threshold, micrograph)
        plain = overlay(pixels, found.instances, instances=True)
        path = save_prediction(found, tmp_path, micrograph=micrograph)["overlay"]
        drawn.append(not np.array_equal(decoded(path), plain))
    assert drawn == [True, False]


def test_overlay_of_a_large_micrograph_is_shrunk(tmp_path):
    micrograph = Micrograph(np.tile(np.uint8([[0, 200]]), (60, 1250)), name="wide.tif")
    prediction = predict(threshold, micrograph)
    paths = save_prediction(prediction, tmp_path, micrograph=micrograph)
    assert decoded(paths["overlay"]).shape == (49, 2048, 3)


def square(top, left, side=16, *, score=1.0, kind=1):
    return Detection(top, left, np.ones((side, side), bool), kind, score)


def near(picture, colour, tolerance=3):
    return (np.abs(picture.astype(int) - colour).max(axis=-1) <= tolerance).astype(bool)


def detector_prediction(*found, size=(60, 80)):
    return Prediction(
        np.zeros(size, np.uint8), np.zeros(size, np.int32), detections=found, name="a.tif"
    )


def test_outlines_lie_on_the_edge_pixels_and_leave_the_rest():
    picture = outlines(GREY, [square(10, 20)], alpha=0)
    drawn = near(picture, CLASS_COLOURS[0])
    edge = np.zeros((60, 80), bool)
    edge[10:26, 20:36] = True
    edge[11:25, 21:35] = False
    np.testing.assert_array_equal(drawn, edge)
    changed = (picture != stretched(GREY)).any(axis=-1)
    assert not changed[15:21, 25:31].any()  # the dark casing lies close beside the line
    assert not changed[:7].any()


def test_objects_are_filled_like_instances_holes_left_open():
    mask = np.ones((30, 30), bool)
    mask[10:20, 10:20] = False
    instances = np.zeros((60, 80), np.int32)
    instances[5:35, 5:35][mask] = 1
    by_map = overlay(GREY, instances, instances=True)
    picture = outlines(GREY, [Detection(5, 5, mask, 1, 1.0)])
    inside = np.s_[9:11, 9:31]  # away from the lines and their casing
    assert np.abs(picture[inside].astype(int) - by_map[inside]).max() <= 1
    assert (picture[inside] != stretched(GREY)[inside]).any(axis=-1).all()
    np.testing.assert_array_equal(picture[19:21, 19:21], stretched(GREY)[19:21, 19:21])


def test_a_hole_is_outlined_too():
    mask = np.ones((30, 30), bool)
    mask[10:20, 10:20] = False
    drawn = near(outlines(GREY, [Detection(5, 5, mask, 1, 1.0)]), CLASS_COLOURS[0])
    assert drawn[14, 20]
    assert not drawn[20, 20]


def test_overlapping_objects_are_outlined_whole_in_two_colours():
    picture = outlines(GREY, [square(10, 20), square(10, 28)])
    second, first = (near(picture, colour) for colour in CLASS_COLOURS[:2])
    assert first[12:24, 20].all()
    assert second[12:24, 28].all()


def test_neighbours_differ_in_colour():
    objects = [square(8 * row, 8 * col, 7) for row in range(6) for col in range(8)]
    picture = outlines(np.full((60, 80), 7, np.uint8), objects)
    shown = [picture[one.top, one.left + 3] for one in objects]
    for k, one in enumerate(objects):
        for other, colour in zip(objects[k + 1 :], shown[k + 1 :], strict=True):
            if abs(one.top - other.top) + abs(one.left - other.left) == 8:
                assert (shown[k] != colour).any()


def test_outlines_of_a_large_micrograph_fall_where_its_objects_do():
    pixels = np.zeros((600, 4000), np.uint8)
    picture = outlines(pixels, [square(200, 1000, 300)])
    rows, columns = np.nonzero(near(picture, CLASS_COLOURS[0]))
    scale = 2048 / 4000
    assert picture.shape == (307, 2048, 3)
    assert abs(rows.min() - 200 * scale) < 3
    assert abs(columns.max() - 1300 * scale) < 3


def test_found_missed_and_false_objects_each_have_their_mark():
    found = [square(2, 2), square(2, 60)]
    picture = match_overlay(GREY, [square(2, 3), square(40, 30)], found, side=80)
    hit, missed, false = (
        near(picture, MARKS[kind].colour) for kind in ("found", "missed", "false")
    )
    assert hit[4:16, 2].all()  # drawn as it was found, not as it is labelled
    assert not hit[:, 20:].any()
    assert missed[40:56, 30].any()
    assert not missed[41:55, 29:32].all()  # dashed
    assert not missed[:30].any()
    assert false[3:17, 60].all()
    assert false[10, 68] or false[9, 67]  # the cross
    assert not false[:, :50].any()


def test_an_object_of_the_wrong_class_is_missed_and_false():
    picture = match_overlay(GREY, [square(10, 10)], [square(10, 10, kind=2)], side=80)
    assert near(picture, MARKS["missed"].colour).any()
    assert near(picture, MARKS["false"].colour).any()
    assert not near(picture, MARKS["found"].colour).any()


def test_a_small_micrograph_is_enlarged_for_its_marks():
    assert match_overlay(GREY, [], []).shape == (360, 480, 3)


def test_a_panel_of_a_detector_counts_what_it_shows():
    example = examples(1)[0]
    prediction = detector_prediction(
        square(5, 5, 15, score=0.9), square(22, 30, score=0.6), square(0, 30, score=0.3)
    )
    panel = validation_panel(example.micrograph, prediction, example.labels, ["particle"])
    assert panel.title == "0.png\n1 found, 0 missed, 1 false"
    all_of_them = validation_panel(
        example.micrograph, prediction, example.labels, ["particle"], 0.1
    )
    assert all_of_them.title.endswith("2 false")


def test_validation_sheet_of_a_detector_marks_objects_from_a_score_on(tmp_path, finder):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[5:25, 5:25], pixels[30:50, 40:60] = 180, 60
    corners = np.array([[5.0, 5.0], [25.0, 25.0]])
    labels = LabelledImage("a.png", 64, 64, (Shape("box", "particle", corners),))
    labelled = Example(labels, lambda: Micrograph(pixels, name="a.png"))
    strict, loose = (
        decoded(
            validation_sheet(
                tmp_path / "sheet.png", finder, [labelled], ["particle"], min_score=score
            )
        )
        for score in (0.5, 0.2)
    )
    upper = np.s_[: int(0.85 * len(strict))]  # without the legend
    assert near(strict[upper], MARKS["found"].colour, 40).sum() > 100
    assert not near(strict[upper], MARKS["false"].colour, 40).any()
    assert near(loose[upper], MARKS["false"].colour, 40).sum() > 100


def test_the_legend_draws_marks_as_lines(tmp_path):
    panel = Panel(np.zeros((40, 40, 3), np.uint8))
    picture = decoded(sheet(tmp_path / "sheet.png", [panel], legend=MARKS))
    for mark in MARKS.values():
        assert near(picture, mark.colour).sum() > 50


def test_saved_detections_are_outlined_and_doubtful_ones_dashed(tmp_path):
    micrograph = Micrograph(GREY, name="a.tif")
    sure, unsure = square(10, 10, score=0.9), square(30, 50, score=0.2)
    paths = save_prediction(detector_prediction(sure, unsure), tmp_path, micrograph=micrograph)
    both = outlines(GREY, [sure, unsure])
    np.testing.assert_array_equal(decoded(paths["overlay"]), both)
    prediction = replace(detector_prediction(sure), doubtful=(unsure,))
    paths = save_prediction(prediction, tmp_path, micrograph=micrograph)
    dashed, alone = decoded(paths["overlay"]), outlines(GREY, [sure])
    drawn = (dashed != alone).any(axis=-1)
    around = (both != alone).any(axis=-1)
    assert 10 < drawn.sum() < around.sum()
    assert near(dashed, DOUBTFUL.colour).any()
    assert not drawn[:25, :40].any()


def test_history_is_plotted_with_gaps(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,iou,loss,val_iou,val_loss\n0,0.1,2,,\n1,0.4,1,0.3,1.5\n2,0.5,0.8,,\n")
    two = decoded(plot_history(history, tmp_path / "two.png"))
    history.write_text("epoch,loss\n0,2\n1,1\n")
    one = decoded(plot_history(history, tmp_path / "one.png"))
    assert two.shape[0] > 1.5 * one.shape[0]
    assert (one < 128).any()


def test_history_shows_what_is_only_measured_in_validation(tmp_path):
    history = tmp_path / "history.csv"
    history.write_text("epoch,loss,minutes\n1,2,1\n2,1,2\n")
    alone = decoded(plot_history(history, tmp_path / "alone.png"))
    history.write_text("epoch,loss,minutes,val_f1\n1,2,1,\n2,1,2,0.5\n")
    with_f1 = decoded(plot_history(history, tmp_path / "f1.png"))
    assert with_f1.shape[0] > 1.5 * alone.shape[0]


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
