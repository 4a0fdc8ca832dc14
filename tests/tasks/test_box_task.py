"""Boxes: what is learnt, predicted, scored, measured, written and drawn of objects without outline.

The detector of these tests finds bright rectangles by a threshold, in tiles of 64 px.
"""

import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

import temzoo
from temzoo.core.types import Detection, Example, LabelledImage, Prediction, Shape
from temzoo.evaluation.evaluate import score_predictions
from temzoo.inference.objects import filled, flattened
from temzoo.measurement import summarize
from temzoo.pictures.showing import overlay_of
from temzoo.store import load_prediction, predictions
from temzoo.tasks.validation_sheet import validation_panel
from temzoo.zoo.built import stands_for
from temzoo.zoo.task import task_named

SIDE = 64
PLACES = ((5, 8, 17, 30), (50, 58, 90, 70), (60, 100, 68, 108), (100, 20, 110, 140))


class Threshold:
    """A detector: connected bright pixels and their boxes."""

    image_size, input_shape, max_detections = SIDE, (None, SIDE, SIDE, 1), 40

    def detect(self, pixels, *, statistics=None, min_score=0.0, max_detections=None):
        count = max_detections or self.max_detections
        boxes, scores = np.zeros((len(pixels), count, 4)), np.zeros((len(pixels), count))
        counts = np.zeros(len(pixels), int)
        for k, image in enumerate(pixels[..., 0]):
            places = ndimage.find_objects(ndimage.label(image > 100)[0])
            counts[k] = len(places)
            for n, (rows, cols) in enumerate(places):
                boxes[k, n] = rows.start, cols.start, rows.stop, cols.stop
                scores[k, n] = image[rows, cols].max() / 255
        masks = np.ones((len(pixels), count, 1, 1))
        classes = np.ones((len(pixels), count), int)
        return SimpleNamespace(
            boxes=boxes, classes=classes, scores=scores, masks=masks, counts=counts
        )


@pytest.fixture(scope="module")
def model():
    found = Threshold()
    stands_for(found, task_named("boxes"), ("particle",))
    return found


@pytest.fixture
def pixels():
    drawn = np.zeros((120, 160), np.uint8)
    for number, (top, left, bottom, right) in enumerate(PLACES):
        drawn[top:bottom, left:right] = 250 - 20 * number
    return drawn


def prediction(*boxes, scores=None, shape=(120, 160)) -> Prediction:
    """Of boxes with falling scores."""
    scores = scores or np.linspace(0.9, 0.5, len(boxes))
    found = [
        filled(Detection(top, left, np.ones((bottom - top, right - left), bool), 1, float(score)))
        for (top, left, bottom, right), score in zip(boxes, scores, strict=True)
    ]
    drawn = flattened(found, shape)
    told = {"class_names": ("particle",), "name": "a.png", "box_shaped": True}
    return Prediction(drawn.classes, drawn.instances, None, drawn.scores, drawn.detections, **told)


def shape_of(kind, *points):
    return Shape(kind, "particle", np.array(points, float))


def example(*shapes, size=(120, 160)):
    labels = LabelledImage("a.png", size[1], size[0], tuple(shapes))
    return Example(labels, lambda: temzoo.Micrograph(np.zeros(size, np.uint8), name="a.png"))


def test_boxes_are_learnt_from_any_shape():
    mask = Shape("mask", "particle", np.array([[40.0, 60], [44, 66]]), runs=np.array([0, 24]))
    labels = example(
        shape_of("polygon", (2, 2), (2, 12), (10, 2)),
        shape_of("ellipse", (30, 30), (6, 9)),
        shape_of("box", (20, 70), (26, 80)),
        mask,
        size=(64, 96),
    ).labels
    target = task_named("boxes").target(("particle",))
    drawn = target.draw(labels)
    learnt = target.encode(drawn, target.measure(drawn), 1.0)
    assert set(learnt) == {"boxes", "classes"} == set(target.padding)
    expected = {(20, 70, 26, 80), (24, 21, 36, 39), (40, 60, 44, 66), (2, 2, 10, 12)}
    for box in learnt["boxes"]:
        assert min(np.abs(np.subtract(box, one)).max() for one in expected) <= 1
    assert learnt["classes"].tolist() == [1] * 4


def test_each_object_of_a_tiled_micrograph_is_one_box(model, pixels):
    """One is longer than a tile, and put together of three views."""
    found = temzoo.predict(model, pixels)
    assert found.box_shaped
    assert sorted(map(tuple, found.boxes.tolist())) == sorted(PLACES)
    assert found.instances.dtype == np.int32
    assert all(one.mask.all() for one in found.detections)
    for number, (top, left, bottom, right) in enumerate(found.boxes, start=1):
        assert (found.instances[top:bottom, left:right] == number).all()
    np.testing.assert_allclose(found.scores, [250 / 255, 230 / 255, 210 / 255, 190 / 255], 1e-6)
    assert "inside boxes" in repr(found)


def test_an_empty_field_has_no_box(model):
    found = temzoo.predict(model, np.zeros((80, 90), np.uint8))
    assert found.boxes.shape == (0, 4)
    assert not found.instances.any()


def test_a_lower_score_lies_under_a_higher_one():
    found = prediction((10, 10, 30, 30), (20, 20, 40, 40))
    assert (found.instances[10:30, 10:30] == 1).all()
    assert (found.instances[30:40, 20:40] == 2).all()


def test_what_is_for_outlines_is_refused(model, pixels):
    with pytest.raises(ValueError, match="a detector has tiles of its own size"):
        temzoo.predict(model, pixels, instances="watershed")


def test_boxes_are_scored_against_the_boxes_of_labels(model, pixels):
    """A triangle fills half of its box, so its mask would not match; its box does."""
    shapes = [shape_of("polygon", (t, le), (t, r), (b, le)) for t, le, b, r in PLACES]
    labelled = example(*shapes)
    labelled = Example(labelled.labels, lambda: temzoo.Micrograph(pixels, name="a.png"))
    found = temzoo.evaluate(model, [labelled], bootstrap=5)
    assert found.pooled["box_ap50"].value == pytest.approx(1)
    assert found.pooled["instance_f1"].value == 1
    assert found.objects.over_images["median_count_error"].value == 0
    unknown = ("iou", "mask_ap", "panoptic_quality", "stardist_ap50", "pixel_accuracy")
    assert not [name for name in found.pooled if name.startswith(unknown)]
    assert "median_d50_error" not in found.objects.over_images
    assert "d50" not in " ".join(found.table[0])
    assert not found.confusions.any()
    assert "box_ap50" in found.summary()
    assert found.facts()["pooled"]["box_ap50"]["value"] == pytest.approx(1)
    with pytest.raises(ValueError, match=r"the IoU of pixels is that of a model of outlines"):
        _ = found.iou
    judged = task_named("boxes").judge(model, [labelled], ("particle",))
    assert judged == {"val_f1": 1, "val_precision": 1, "val_recall": 1}


def test_box_ap_is_that_of_pycocotools():
    coco = pytest.importorskip("pycocotools.coco")
    from pycocotools.cocoeval import COCOeval

    rng = np.random.default_rng(0)
    low = rng.integers(0, 80, (25, 2))
    boxes = np.concatenate([low, low + rng.integers(8, 40, (25, 2))], axis=1)
    moved = boxes + rng.integers(-4, 5, boxes.shape)
    moved[:, 2:] = np.maximum(moved[:, 2:], moved[:, :2] + 2)
    moved = np.clip(moved, 0, 120)[rng.permutation(25)[:20]]
    scores = rng.uniform(0.1, 1, 20).tolist()
    found = score_predictions(
        [example(*(shape_of("box", one[:2], one[2:]) for one in boxes))],
        [prediction(*moved.tolist(), scores=scores)],
        min_score=0.0,
        bootstrap=1,
    )
    truth = coco.COCO()
    known = [
        {"id": k, "image_id": 1, "category_id": 1, "bbox": xywh(b), "area": area(b), "iscrowd": 0}
        for k, b in enumerate(boxes.tolist(), start=1)
    ]
    truth.dataset = {"images": [{"id": 1}], "categories": [{"id": 1}], "annotations": known}
    truth.createIndex()
    rows = [
        {"image_id": 1, "category_id": 1, "bbox": xywh(b), "score": s}
        for b, s in zip(moved.tolist(), scores, strict=True)
    ]
    judge = COCOeval(truth, truth.loadRes(rows), "bbox")
    judge.evaluate()
    judge.accumulate()
    judge.summarize()
    names = ("box_ap", "box_ap50", "box_ap75")
    np.testing.assert_allclose([found.pooled[n].value for n in names], judge.stats[:3], atol=1e-9)


def xywh(box):
    top, left, bottom, right = box
    return [left, top, right - left, bottom - top]


def area(box):
    return (box[2] - box[0]) * (box[3] - box[1])


def test_boxes_have_numbers_density_and_sides_but_no_areas():
    table = temzoo.measure(prediction(*PLACES), nm_per_pixel=2.0)
    assert table["box_height_nm"].tolist() == [24, 80, 16, 20]
    assert table["box_width_nm"].tolist() == [44, 24, 16, 240]
    unknown = ["area_nm2", "diameter_nm", "feret_max_nm", "feret_min_nm", "perimeter_nm"]
    unknown += ["circularity", "aspect_ratio", "orientation_deg", "solidity", "mean_intensity"]
    assert table[unknown].isna().all(axis=None)
    assert set(table["morphology"]) == {"unsure"}
    row = summarize(table, bootstrap=20).iloc[0]
    assert (row["particles"], row["sized"], row["too_small"]) == (4, 0, 0)
    assert row["density_per_um2"] > 0
    assert np.isnan([row["diameter_d50_nm"], row["coverage"]]).all()
    sides = summarize(table, of="box_height", bootstrap=20).iloc[0]
    assert sides["box_height_d50_nm"] == 22
    with pytest.raises(ValueError, match=r"sizes must be known. Received: of='feret_max' for"):
        summarize(table, of="feret_max")
    with pytest.raises(ValueError, match=r"boxes have no diameter, so none is too small"):
        temzoo.measure(prediction(*PLACES), min_diameter_px=3)


def test_a_prediction_of_boxes_is_saved_and_an_older_one_has_outlines(tmp_path):
    paths = predictions.save(prediction(*PLACES), tmp_path)
    again = load_prediction(paths["sidecar"])
    assert again.box_shaped
    np.testing.assert_array_equal(again.boxes, prediction(*PLACES).boxes)
    told = json.loads(paths["sidecar"].read_text("utf-8"))
    del told["box_shaped"]
    paths["sidecar"].write_text(json.dumps(told), "utf-8")
    assert not load_prediction(paths["sidecar"]).box_shaped


def test_a_folder_is_predicted_as_boxes_of_cvat_and_yolo_and_measured(model, pixels, tmp_path, cli):
    from PIL import Image

    Image.fromarray(pixels).save(tmp_path / "a.png")
    out = tmp_path / "out"
    done = temzoo.predict_folder(
        model, tmp_path / "a.png", out, formats=["cvat", "yolo"], progress=False
    )
    assert not done.failed
    (image,) = temzoo.labels.read(out / "predictions.xml")
    assert {shape.kind for shape in image.shapes} == {"box"}
    corners = sorted(tuple(shape.points.ravel().astype(int)) for shape in image.shapes)
    assert corners == sorted(PLACES)
    (image,) = temzoo.labels.read(out / "predictions.yolo", images=tmp_path)
    read = sorted(tuple(np.rint(shape.points.ravel()).astype(int)) for shape in image.shapes)
    assert read == sorted(PLACES)
    lines = (out / "predictions.yolo" / "a.txt").read_text("utf-8").splitlines()
    assert [len(line.split()) for line in lines] == [5] * 4
    said = cli("measure", out, "--out", tmp_path / "measured")
    assert "height D50 px" in said
    assert "Boxes have no outline" in said
    summary = pd.read_csv(tmp_path / "measured" / "summary.csv")
    assert summary["box_width_d50_px"].notna().all()
    assert not (tmp_path / "measured" / "sizes.png").exists()


@pytest.fixture
def cli():
    """``temzoo`` with arguments, and what it prints."""
    from typer.testing import CliRunner

    from temzoo.cli import app

    def call(*arguments):
        found = CliRunner().invoke(app, [str(one) for one in arguments])
        assert found.exit_code == 0, found.output
        return found.output

    return call


def test_boxes_are_drawn_as_lines_with_what_they_hold_in_sight():
    pixels = np.random.default_rng(0).integers(0, 255, (120, 160)).astype(np.uint8)
    plain = overlay_of(prediction(), pixels, 160)
    drawn = overlay_of(prediction((20, 20, 60, 60)), pixels, 160)
    np.testing.assert_array_equal(drawn[24:56, 24:56], plain[24:56, 24:56])
    assert (drawn[20:60, 20] != plain[20:60, 20]).any(axis=1).all()


def test_a_sheet_counts_boxes_by_their_boxes(pixels):
    triangles = [shape_of("polygon", (t, le), (t, r), (b, le)) for t, le, b, r in PLACES]
    micrograph = temzoo.Micrograph(pixels, name="a.png")
    panel = validation_panel(
        micrograph, prediction(*PLACES), example(*triangles).labels, ("particle",), 0.0
    )
    assert "4 found, 0 missed, 0 false" in panel.title
