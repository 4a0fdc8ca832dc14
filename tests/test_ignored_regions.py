"""Regions of the label "ignore": they weigh nothing in losses, scores and what is learnt from."""

import logging
from types import SimpleNamespace

import numpy as np
import pytest

from temzoo.core.types import Detection, Example, LabelledImage, Micrograph, Prediction, Shape
from temzoo.evaluation.baselines import Otsu, PixelForest
from temzoo.evaluation.evaluate import score_predictions
from temzoo.evaluation.instance_tuning import tune_instances
from temzoo.evaluation.judged import judged, judged_instances
from temzoo.evaluation.object_overlaps import true_objects
from temzoo.labels.shapes import raster
from temzoo.tasks import instance
from temzoo.tasks.semantic import ClassMaps, balanced_weights


def box(label, top, left, bottom, right, **more):
    return Shape("box", label, np.array([[top, left], [bottom, right]], float), **more)


LABELS = LabelledImage("a", 40, 20, (box("p", 2, 2, 12, 12), box("ignore", 0, 20, 20, 40)), ("p",))


def prediction(*boxes):
    """One instance for each (top, left, bottom, right), all of class 1."""
    instances = np.zeros((20, 40), np.int32)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        instances[top:bottom, left:right] = number
    return Prediction((instances > 0).astype(np.uint8), instances)


def example(labels=LABELS, pixels=None):
    return Example(labels, lambda: Micrograph(pixels))


def test_a_region_is_no_object_and_drawn_in_its_order():
    assert [one.label for one in raster.instances(LABELS)] == ["p"]
    assert raster.class_map(LABELS, ["p"]).sum() == 100
    over = LabelledImage("a", 40, 20, (*LABELS.shapes, box("p", 0, 30, 5, 35)))
    assert raster.ignored_pixels(over).sum() == 400 - 25
    assert raster.instance_map(over)[2, 32] == 2
    under = LabelledImage("a", 40, 20, (*LABELS.shapes, box("p", 0, 30, 5, 35, z_order=-1)))
    assert raster.ignored_pixels(under).sum() == 400
    assert raster.class_map(under, ["p"])[2, 32] == raster.instance_map(under)[2, 32] == 0
    assert len(true_objects(over, ["p"])) == 2
    assert len(true_objects(under, ["p"])) == 1


def test_without_regions_nothing_is_ignored():
    assert raster.ignored_pixels(LabelledImage("a", 40, 20, LABELS.shapes[:1])) is None


def test_what_is_found_there_changes_no_score():
    plain = prediction((2, 2, 12, 12))
    more = prediction((2, 2, 12, 12), (3, 22, 18, 38))
    for one in (plain, more):
        table = score_predictions([example()], [one]).table[0]
        assert (table["iou"], table["pixel_accuracy"], table["instance_f1"]) == (1, 1, 1)
        assert (table["panoptic_quality"], table["instances_predicted_false"]) == (1, 0)
        assert table["count_error"] == 0


def test_an_object_that_lies_mostly_there_is_not_to_be_found():
    covered = (LABELS.shapes[0], box("p", 14, 15, 18, 26), LABELS.shapes[1])
    labels = LabelledImage("a", 40, 20, covered, ("p",))
    truth = raster.class_map(LABELS, ["p"])
    for one in (prediction((2, 2, 12, 12)), prediction((2, 2, 12, 12), (14, 15, 18, 26))):
        table = score_predictions([example(labels)], [one]).table[0]
        assert table["instances_true"] == table["instances_labelled_matched"] == 1
        assert (table["instance_recall"], table["instance_f1"], table["count_error"]) == (1, 1, 0)
    model = SimpleNamespace(predict_probabilities=lambda pixels: np.eye(2, dtype="f4")[truth])
    tuned = tune_instances(model, [example(labels, truth.astype("f4"))], min_areas_px=(10,))
    assert (tuned.best["f1"], tuned.best["true"]) == (1, 1)


def test_what_is_found_beside_it_counts():
    table = score_predictions([example()], [prediction((2, 2, 12, 12), (14, 2, 18, 8))]).table[0]
    assert table["count_error"] == 1
    assert table["pixel_accuracy"] == pytest.approx(1 - 24 / 400)


def test_objects_lose_ignored_pixels_and_go_where_less_than_half_is_left():
    instances = prediction((0, 14, 4, 24), (6, 17, 10, 26)).instances
    kept = judged_instances(instances, raster.ignored_pixels(LABELS))
    assert np.unique(kept).tolist() == [0, 1]
    assert np.count_nonzero(kept) == 24
    found = tuple(
        Detection(top, left, np.ones((4, width), bool), 1, 0.9)
        for top, left, width in ((0, 14, 10), (6, 17, 9))
    )
    maps = Prediction(np.zeros((20, 40), np.uint8), np.zeros((20, 40), np.int32), detections=found)
    (one,) = judged(maps, LABELS).detections
    assert (one.top, one.left, one.mask.shape) == (0, 14, (4, 6))


def test_maps_to_learn_from_have_no_class_there():
    target = ClassMaps(("p",))
    drawn = target.draw(LABELS)
    hot = target.encode(drawn)
    assert not hot[:, 20:].any()
    assert (hot[:, :20].sum(axis=-1) == 1).all()
    assert balanced_weights([drawn], 2) == balanced_weights([drawn[:, :20]], 2)


def test_more_classes_than_a_byte_holds_beside_them_are_refused():
    with pytest.raises(ValueError, match=r"at most 254 classes apart\. Received: 255 classes"):
        ClassMaps(tuple(map(str, range(255))))


@pytest.mark.parametrize("task", ["semantic", "distance"])
@pytest.mark.parametrize("kind", ["dice_ce", "ce", "dice", "focal", "tversky"])
def test_answers_there_change_neither_loss_nor_score(task, kind):
    import keras

    from temzoo.tasks import distance, distance_graph, semantic_graph

    if task == "semantic":
        target, loss = ClassMaps(("p",)), semantic_graph.SegmentationLoss(kind)
        metric = semantic_graph.ImageIoU()
    else:
        target, loss = distance.DistanceMaps(("p",)), distance_graph.DistanceLoss(kind)
        metric = distance_graph.ClassIoU()
    truth = target.encode(target.draw(LABELS))[None]
    rng = np.random.default_rng(0)
    answer = rng.dirichlet([1, 1], (1, 20, 40)).astype(np.float32)
    if task == "distance":
        answer = np.concatenate([answer, rng.random((1, 20, 40, 1), np.float32)], axis=-1)
    seen = []
    for there in (answer[:, :, 20:], answer[:, ::-1, 20:]):
        answered = np.concatenate([answer[:, :, :20], there], axis=2)
        metric.reset_state()
        metric.update_state(truth, answered)
        seen.append((float(loss(truth, answered)), float(metric.result())))
    assert seen[0] == pytest.approx(seen[1])
    other = np.concatenate([answer[:, ::-1, :20], answer[:, :, 20:]], axis=2)
    assert float(loss(truth, other)) != pytest.approx(seen[0][0])
    assert keras.ops.isfinite(loss(truth, answer))


def test_baselines_learn_nothing_there():
    pixels = np.full((20, 40), 50, np.uint8)
    pixels[2:12, 2:12] = 200
    # What is bright there would teach that the bright is background.
    pixels[:, 20:] = np.where(np.arange(20) % 2, 200, 50)
    assert Otsu(["p"]).fit([example(pixels=pixels)]).order == (0, 1)
    forest = PixelForest(["p"], trees=5).fit([example(pixels=pixels)])
    assert forest.predict_probabilities(pixels)[7, 7, 1] > 0.9


def test_a_detector_says_that_it_learns_them_as_background(caplog, monkeypatch):
    model = SimpleNamespace(config={"anchor_sizes": (12,)})
    monkeypatch.setattr(instance, "built", lambda model: model)
    with caplog.at_level(logging.WARNING, "temzoo"):
        instance.Instance().prepare(model, [example()], (1.0, 1.0))
    assert "learns 1 regions of label 'ignore' as background" in caplog.text
