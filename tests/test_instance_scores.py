"""Figures of temzoo.instance_scores against pycocotools, brute force and closed forms."""

import contextlib
import io
import itertools
import math
import time

import numpy as np
import pytest
from pycocotools import mask as run_lengths
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from temzoo.core.types import Detection, LabelledImage, Shape
from temzoo.evaluation.average_precision import AP_RESAMPLES, coco_precision
from temzoo.evaluation.object_overlaps import map_objects, one_to_one, overlaps, true_objects
from temzoo.evaluation.objects import COCO_AREAS, match, metrics


def square(top, left, side=10, *, score=1.0, kind=1, height=None):
    return Detection(top, left, np.ones((height or side, side), bool), kind, score)


def disc(row, col, radius, *, score=1.0, kind=1):
    rows, cols = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    mask = rows**2 + cols**2 <= radius**2
    return Detection(row - radius, col - radius, mask, kind, score)


def placed(one, size):
    canvas = np.zeros(size, bool)
    height, width = one.mask.shape
    canvas[one.top : one.top + height, one.left : one.left + width] = one.mask
    return canvas


def grid(count, side=10, gap=5, **changes):
    columns = math.isqrt(count - 1) + 1
    step = side + gap
    return [
        square(step * (k // columns), step * (k % columns), side, **changes) for k in range(count)
    ]


def scene(seed, *, images=4, objects=12, classes=1, size=(160, 200), tied=False):
    """Images of discs, some of them overlapping; found ones are moved, missed or invented."""
    generator = np.random.default_rng(seed)

    def draw():
        radius = int(generator.integers(4, 26))
        row, col = (int(generator.integers(radius, edge - radius)) for edge in size)
        score = generator.integers(1, 5) / 5 if tied else generator.random()
        return disc(row, col, radius, score=score, kind=int(generator.integers(1, classes + 1)))

    def moved(one):
        row, col = (int(v) for v in generator.integers(-2, 3, 2))
        top = min(max(one.top + row, 0), size[0] - one.mask.shape[0])
        left = min(max(one.left + col, 0), size[1] - one.mask.shape[1])
        return Detection(top, left, one.mask, one.class_id, draw().score)

    pairs = []
    for _ in range(images):
        true = [draw() for _ in range(objects)]
        seen = [one for one in true if generator.random() < 0.8]
        found = [moved(one) for one in seen] + [moved(one) for one in seen[:2]]
        pairs.append((true, found + [draw() for _ in range(3)]))
    return pairs


def reference(pairs, kind, classes=1, size=(160, 200), limit=1000):
    """pycocotools by itself: run lengths, its own IoU, matching and accumulation."""
    annotations = ([], [])
    for image, parts in enumerate(pairs, start=1):
        for part, kept in zip(parts, annotations, strict=True):
            for one in part:
                code = run_lengths.encode(np.asfortranarray(placed(one, size).astype(np.uint8)))
                top, left, (height, width) = one.top, one.left, one.mask.shape
                area = int(run_lengths.area(code))
                if kind == "box" and kept is annotations[1]:
                    area = height * width
                kept.append(
                    {
                        "id": len(kept) + 1,
                        "image_id": image,
                        "category_id": one.class_id,
                        "segmentation": code,
                        "bbox": [left, top, width, height],
                        "area": area,
                        "iscrowd": 0,
                        "score": one.score,
                    }
                )
    images = [{"id": k, "height": size[0], "width": size[1]} for k in range(1, len(pairs) + 1)]
    categories = [{"id": k} for k in range(1, classes + 1)]
    with contextlib.redirect_stdout(io.StringIO()):
        sets = []
        for kept in annotations:
            one = COCO()
            one.dataset = {"images": images, "annotations": kept, "categories": categories}
            one.createIndex()
            sets.append(one)
        evaluator = COCOeval(*sets, "segm" if kind == "mask" else "bbox")
        evaluator.params.maxDets = [1, 10, limit]
        evaluator.evaluate()
        evaluator.accumulate()
    return evaluator


def figures(pairs, *, resamples=None, **options):
    values = metrics([match(*pair, **options) for pair in pairs], resamples)
    return values if resamples is not None else {k: float(v[0]) for k, v in values.items()}


@pytest.mark.parametrize("kind", ["box", "mask"])
@pytest.mark.parametrize(("seed", "classes", "tied"), [(0, 1, False), (1, 3, False), (2, 2, True)])
def test_precision_is_that_of_pycocotools_alone(kind, seed, classes, tied):
    pairs = scene(seed, classes=classes, tied=tied)
    expected = reference(pairs, kind, classes).eval["precision"][..., -1]
    found = coco_precision([match(*pair, classes=classes) for pair in pairs], kind)
    np.testing.assert_allclose(np.where(np.isnan(found), -1, found), expected, rtol=0, atol=1e-12)
    assert 0.1 < found[0, :, :, 0].mean() < 0.95


@pytest.mark.parametrize("kind", ["box", "mask"])
def test_figures_are_those_that_summarize_prints(kind):
    pairs = scene(5, images=6)
    evaluator = reference(pairs, kind, limit=100)
    with contextlib.redirect_stdout(io.StringIO()):
        evaluator.summarize()
    names = ("", "50", "75", "_small", "_medium", "_large")
    found = figures(pairs)
    values = [found[f"{kind}_ap{name}"] for name in names]
    expected = np.where(evaluator.stats[:6] < 0, np.nan, evaluator.stats[:6])
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("tied", [False, True])
def test_a_resample_is_the_figure_of_the_images_drawn(tied):
    pairs = scene(7, images=5, classes=2, tied=tied)
    drawn = np.array([[1, 1, 1, 1, 1], [0, 1, 2, 1, 1], [0, 0, 5, 0, 0], [3, 0, 0, 0, 2]])
    values = figures(pairs, resamples=drawn, classes=2)
    for row, weights in enumerate(drawn, start=1):
        copies = [pair for pair, times in zip(pairs, weights, strict=True) for _ in range(times)]
        for name, value in figures(copies, classes=2).items():
            if tied and "_ap" in name and row > 1:
                continue  # the order of equal scores changes with copies
            assert values[name][row] == pytest.approx(value, abs=1e-9, nan_ok=True), name


def test_own_areas_choose_the_objects_that_count():
    pairs = [([square(0, 0, 8), square(30, 30, 20)], [square(0, 0, 8), square(60, 60, 20)])]
    found = figures(pairs, area_ranges={"tiny": (0, 100), "rest": (100, 1e10)})
    assert found["mask_ap_tiny"] == pytest.approx(1)
    assert found["mask_ap_rest"] == 0
    assert "mask_ap_small" not in found
    assert COCO_AREAS["medium"] == (1024, 9216)


def test_256_perfect_boxes_score_one():
    boxes = grid(256)
    found = figures([(boxes, boxes)])
    for name in ("box_ap", "box_ap50", "box_ap75", "mask_ap", "mask_ap50", "panoptic_quality"):
        assert found[name] == 1.0, name
    assert math.isnan(found["mask_ap_large"])


def test_150_objects_need_more_than_100_detections():
    true = grid(150)
    scores = np.linspace(0.99, 0.51, 150)
    found = [square(o.top, o.left, score=s) for o, s in zip(true, scores, strict=True)]
    assert figures([(true, found)])["mask_ap50"] == 1.0
    # 100 of 150 would reach a recall of 0.66, 67 of the 101 points.
    assert figures([(true, found[:100])])["mask_ap50"] == pytest.approx(67 / 101)


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 4, 5])
def test_shifted_squares_give_the_closed_form(shift):
    true = [square(0, 0, 20), square(40, 40, 20)]
    found = [square(0, shift, 20, score=0.9), square(40, 40 + shift, 20, score=0.8)]
    iou = (20 - shift) / (20 + shift)
    values = figures([(true, found)])
    np.testing.assert_allclose(overlaps(true, found).mask_iou, iou)
    assert values["segmentation_quality"] == pytest.approx(iou)
    assert values["panoptic_quality"] == pytest.approx(iou)
    assert values["recognition_quality"] == 1
    expected = np.mean([iou >= threshold for threshold in np.arange(50, 100, 5) / 100])
    assert values["mask_ap"] == pytest.approx(expected)
    assert values["mask_ap75"] == float(iou >= 0.75)


def test_an_iou_of_half_counts_for_f1_but_not_for_panoptic_quality():
    found = match([square(0, 0, 10)], [square(0, 0, 10, height=5)])
    assert (found.matched[0], found.panoptic_matched[0]) == (1, 0)
    values = {name: value[0] for name, value in metrics([found]).items()}
    assert (values["stardist_ap50"], values["panoptic_quality"]) == (1, 0)
    assert math.isnan(values["segmentation_quality"])


def test_counts_give_panoptic_quality_and_stardists_definition():
    true = grid(5)
    found = [*true[:3], square(200, 200), square(300, 300)]
    values = figures([(true, found)])
    assert values["stardist_ap50"] == pytest.approx(3 / 7)
    assert values["recognition_quality"] == pytest.approx(3 / 5)
    assert values["panoptic_quality"] == pytest.approx(3 / 5)


def test_an_overlapping_pair_keeps_both_masks():
    true = [disc(20, 20, 10), disc(20, 30, 10)]
    values = figures([(true, [disc(20, 20, 10, score=0.9), disc(20, 30, 10, score=0.8)])])
    assert values["mask_ap"] == values["panoptic_quality"] == 1
    size = (60, 60)
    first, second = (placed(one, size) for one in true)
    expected = (first & second).sum() / (first | second).sum()
    assert overlaps(true[:1], true[1:]).mask_iou == pytest.approx(expected)


def test_a_second_find_of_one_object_is_false():
    values = figures([([square(0, 0)], [square(0, 0, score=0.6), square(0, 0, score=0.9)])])
    assert values["stardist_ap50"] == 0.5
    assert values["mask_ap50"] == pytest.approx(1)
    worse = figures([([square(0, 0)], [square(50, 0, score=0.9), square(0, 0, score=0.6)])])
    assert worse["mask_ap50"] == pytest.approx(0.5)


def test_nothing_anywhere_is_undefined():
    values = figures([([], [])])
    assert all(math.isnan(value) for value in values.values())
    assert len(values) == 4 + 2 * 6


def test_no_truth_counts_what_was_invented():
    values = figures([([], [square(0, 0)])])
    assert values["stardist_ap50"] == values["panoptic_quality"] == 0
    assert math.isnan(values["mask_ap50"])


def test_no_predictions_score_zero():
    values = figures([([square(0, 0)], [])])
    assert values["mask_ap"] == values["box_ap50"] == values["panoptic_quality"] == 0


def test_an_empty_image_lowers_the_whole_only_by_what_is_invented():
    hit = ([square(0, 0)], [square(0, 0, score=0.7)])
    assert figures([hit, ([], [])])["mask_ap50"] == pytest.approx(1)
    assert figures([hit, ([], [square(9, 9, score=0.9)])])["mask_ap50"] == pytest.approx(0.5)


def test_classes_are_matched_apart_and_averaged():
    true = [square(0, 0, kind=1), square(30, 0, kind=2)]
    found = [square(0, 0, kind=1, score=0.9), square(30, 0, kind=1, score=0.8)]
    values = figures([(true, found)], classes=2)
    assert values["mask_ap50"] == pytest.approx(0.5)  # 1 and 0
    assert values["panoptic_quality"] == pytest.approx((2 / 3 + 0) / 2)
    assert values["stardist_ap50"] == pytest.approx(1 / 3)
    # A class that is nowhere is left out of the means.
    assert figures([(true, found)], classes=3)["mask_ap50"] == pytest.approx(0.5)


def test_the_score_threshold_spares_ap():
    true, found = [square(0, 0)], [square(0, 0, score=0.3)]
    values = figures([(true, found)])
    assert (values["stardist_ap50"], values["mask_ap50"]) == (0, pytest.approx(1))
    assert figures([(true, found)], min_score=0.3)["stardist_ap50"] == 1


def test_ap_can_be_left_out():
    assert "mask_ap" not in figures([([square(0, 0)], [])], ap=())


def brute_force(iou):
    """(pairs, sum of IoU) of the best one-to-one choice, by trying all."""
    if iou.shape[0] > iou.shape[1]:
        iou = iou.T
    rows = range(len(iou))
    options = itertools.permutations(range(iou.shape[1]), len(iou))
    values = ([iou[r, c] for r, c in zip(rows, chosen, strict=True)] for chosen in options)
    return max((sum(v > 0 for v in chosen), round(sum(chosen), 9)) for chosen in values)


@pytest.mark.parametrize("seed", range(20))
def test_one_to_one_matches_most_and_then_best(seed):
    generator = np.random.default_rng(seed)
    iou = generator.random((5, 6)) * (generator.random((5, 6)) < 0.4)
    true, found = np.nonzero(iou)
    pairs, kept = one_to_one(true, found, iou[true, found])
    np.testing.assert_array_equal(kept, iou[pairs[:, 0], pairs[:, 1]])
    assert len(set(pairs[:, 0])) == len(set(pairs[:, 1])) == len(pairs)
    assert (len(pairs), round(kept.sum(), 9)) == brute_force(iou)


def test_overlaps_are_those_of_whole_masks():
    (true, found), size = scene(3, images=1, objects=20, classes=2)[0], (160, 200)
    pairs = overlaps(true, found)
    dense = np.zeros((len(true), len(found)))
    dense[pairs.true, pairs.found] = pairs.mask_iou
    for row, column in np.ndindex(dense.shape):
        one, two = placed(true[row], size), placed(found[column], size)
        same = true[row].class_id == found[column].class_id
        expected = (one & two).sum() / (one | two).sum() if same else 0
        assert dense[row, column] == pytest.approx(expected)


def test_600_by_600_objects_are_compared_within_half_a_second():
    generator = np.random.default_rng(0)
    places = generator.integers(20, 1000, (600, 2))
    true = [disc(row, col, 16) for row, col in places]
    found = [
        disc(row + 1, col, 16, score=s)
        for (row, col), s in zip(places, generator.random(600), strict=True)
    ]
    start = time.process_time()
    pairs = overlaps(true, found)
    spent = time.process_time() - start
    assert len(pairs.true) > 1500
    assert spent < 0.5


def test_intervals_of_many_images_take_seconds():
    pairs = scene(11, images=73, objects=30)
    resamples = np.random.default_rng(0).multinomial(73, np.full(73, 1 / 73), size=1000)
    start = time.process_time()
    values = figures(pairs, resamples=resamples)
    assert time.process_time() - start < 15
    assert values["panoptic_quality"].shape == (1001,)
    assert values["mask_ap50"].shape == (1 + AP_RESAMPLES,)
    low, high = np.percentile(values["mask_ap50"][1:], [2.5, 97.5])
    assert low < values["mask_ap50"][0] < high


def test_true_objects_have_their_whole_masks():
    def box(top, left, bottom, right, label):
        return Shape("box", label, np.array([[top, left], [bottom, right]], float))

    shapes = (
        box(5, 5, 15, 25, "particle"),
        box(5, 5, 15, 15, "void"),
        box(50, 50, 60, 60, "void"),
        box(35, 30, 60, 60, "void"),
    )
    labels = LabelledImage("a.png", 50, 40, shapes)
    found = true_objects(labels, ("background", "particle", "void"))
    assert [(o.top, o.left, o.mask.shape, o.class_id, o.score) for o in found] == [
        (5, 5, (10, 20), 1, 1.0),
        (5, 5, (10, 10), 2, 1.0),
        (35, 30, (5, 20), 2, 1.0),
    ]
    assert all(one.mask.all() for one in found)


def test_map_objects_take_class_and_score_from_the_maps():
    instances = np.zeros((20, 20), np.int32)
    instances[2:5, 3:9], instances[10:12, 0:4] = 1, 3
    classes = np.where(instances == 3, 2, instances)
    found = map_objects(instances, classes, np.array([0.25, 0.5, 0.75]))
    assert [(o.top, o.left, o.mask.shape, o.class_id, o.score) for o in found] == [
        (2, 3, (3, 6), 1, 0.25),
        (10, 0, (2, 4), 2, 0.75),
    ]
    assert {o.score for o in map_objects(instances, classes)} == {1.0}
    assert map_objects(np.zeros((3, 3), int), np.zeros((3, 3), int)) == ()


def test_a_class_out_of_range_is_refused():
    message = r"class ids must be 1 to 1\. Received: a predicted object with class_id=2"
    with pytest.raises(ValueError, match=message):
        match([], [square(0, 0, kind=2)])
