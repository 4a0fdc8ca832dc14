"""Predictions as labels: they come back from the files as the instances they were."""

import cv2
import numpy as np
import pytest
from scipy import ndimage
from skimage.draw import disk, ellipse
from skimage.measure import find_contours

import temzoo
import temzoo.labels
from temzoo.annotation import prediction_labels
from temzoo.annotation.prediction_labels import labels_of
from temzoo.core.types import Detection, Prediction
from temzoo.inference.objects import flattened
from temzoo.inference.regions import label_instances
from temzoo.labels import check
from temzoo.labels.shapes import raster


def predicted(mask, **fields):
    classes = mask.astype(np.uint8)
    fields = {"class_names": ("particle",), "name": "lot 3/a.png", **fields}
    return Prediction(classes, label_instances(classes), **fields)


def blobs(size=300, *, sigma=5.0, seed=0, share=0.3):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(size, size)), sigma)
    return smooth > np.quantile(smooth, 1 - share)


def ious(labels, prediction):
    """Of each object that was read back with the instance it was made of."""
    masks = raster.instance_masks(labels)
    assert len(masks) == prediction.instances.max()
    truth = [prediction.instances == k for k in range(1, len(masks) + 1)]
    return np.array([(m & t).sum() / (m | t).sum() for m, t in zip(masks, truth, strict=True)])


def read_back(labels, path, to):
    temzoo.labels.write(path, [labels], to=to)
    (again,) = temzoo.labels.read(path)
    return again


@pytest.mark.parametrize("to", ["cvat", "coco"])
@pytest.mark.parametrize("sigma", [1.5, 3.0, 8.0])
def test_masks_come_back_exactly(tmp_path, to, sigma):
    found = predicted(blobs(200, sigma=sigma))
    again = read_back(labels_of(found, shapes="masks"), tmp_path / "labels", to)
    assert {shape.kind for shape in again.shapes} == {"mask"}
    np.testing.assert_array_equal(raster.instance_map(again), found.instances)
    np.testing.assert_array_equal(raster.class_map(again, ["particle"]), found.classes)
    assert again.name == "lot 3/a.png"
    assert again.classes == ("particle",)


@pytest.mark.parametrize("to", ["cvat", "coco"])
@pytest.mark.parametrize("sigma", [1.5, 3.0, 8.0])
@pytest.mark.parametrize("error_px", [0.0, 1.0, 3.0])
def test_polygons_come_back_with_their_instances(tmp_path, to, sigma, error_px):
    found = predicted(blobs(150, sigma=sigma))
    again = read_back(labels_of(found, error_px=error_px), tmp_path / "labels", to)
    assert {shape.kind for shape in again.shapes} <= {"polygon", "mask"}
    agreement = ious(again, found)
    assert agreement.min() >= (0.95 if error_px else 1.0)
    assert agreement.mean() >= 0.97


def test_polygons_leave_the_outline_by_the_stated_error_at_most():
    found = predicted(blobs(sigma=8.0, share=0.2))
    for error_px in (0.5, 1.0, 2.0):
        labels = labels_of(found, error_px=error_px)
        drawn = [(k, s.points) for k, s in enumerate(labels.shapes, 1) if s.kind == "polygon"]
        assert len(drawn) > 5
        for number, points in drawn:
            border = np.pad(found.instances == number, 1).astype(float)
            traced = np.concatenate(find_contours(border, 0.5)) - 0.5
            assert farthest(traced, points) <= error_px + 1e-6


def farthest(points, polygon):
    """Largest distance from any of the points to the polygon's line."""
    start, end = polygon, np.roll(polygon, -1, axis=0)
    along = end - start
    offset = points[:, None] - start
    share = (offset * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-12)
    nearest = start + np.clip(share, 0, 1)[..., None] * along
    return np.hypot(*np.moveaxis(points[:, None] - nearest, -1, 0)).min(axis=1).max()


def test_a_larger_error_needs_fewer_vertices():
    found = predicted(blobs(sigma=8.0, share=0.2))
    counts = [
        sum(len(shape.points) for shape in labels_of(found, error_px=error).shapes)
        for error in (0.0, 0.5, 1.0, 2.0)
    ]
    assert counts == sorted(counts, reverse=True)
    assert counts[2] < counts[0] / 3


def test_the_smallest_objects_come_back_whole():
    mask = np.zeros((40, 40), bool)
    mask[2, 2] = mask[6:8, 2] = mask[12, 4:9] = mask[20:22, 20:22] = mask[0, 0] = True
    mask[30:33, 30:33] = mask[39, 20:] = True
    found = predicted(mask)
    labels = labels_of(found, error_px=2.0)
    assert {shape.kind for shape in labels.shapes} == {"polygon"}
    *small, line = ious(labels, found)
    assert min(small) == 1.0
    assert line >= 0.95


def test_an_object_with_a_hole_is_a_mask_and_a_speck_of_one_is_filled():
    mask = np.zeros((100, 200), bool)
    mask[disk((50, 50), 30)] = mask[disk((50, 140), 30)] = True
    mask[disk((50, 50), 8)] = False
    mask[50, 140] = False
    found = predicted(mask)
    ring, full = labels_of(found).shapes
    assert (ring.kind, full.kind) == ("mask", "polygon")
    labels = labels_of(found)
    assert ious(labels, found)[0] == 1.0
    assert 0.97 < ious(labels, found)[1] < 1.0
    assert {shape.kind for shape in labels_of(found, error_px=0.0).shapes} == {"mask"}


def test_a_hole_that_is_much_of_its_object_is_kept():
    mask = np.zeros((20, 20), bool)
    mask[5:8, 5:8] = True
    mask[6, 6] = False
    found = predicted(mask)
    assert [shape.kind for shape in labels_of(found).shapes] == ["mask"]
    assert ious(labels_of(found), found).min() == 1.0


def test_an_object_too_large_to_trace_is_a_mask(monkeypatch):
    monkeypatch.setattr(prediction_labels, "LARGEST_TRACED", 100)
    found = predicted(np.pad(np.ones((20, 20), bool), 5))
    assert [shape.kind for shape in labels_of(found).shapes] == ["mask"]


def overlapping():
    masks = [np.zeros((80, 100), bool) for _ in range(3)]
    masks[0][ellipse(40, 40, 20, 30)] = True
    masks[1][ellipse(40, 60, 25, 20)] = True
    masks[2][5:15, 5:15] = masks[2][5:15, 30:45] = True
    found = []
    for mask, score, class_id in zip(masks, (0.9, 0.6, 0.75), (1, 2, 1), strict=True):
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        found.append(Detection(int(rows[0]), int(columns[0]), mask[box], class_id, score))
    maps = flattened(found, (80, 100))
    names = ("disc", "rod")
    return masks, Prediction(**{**vars(maps), "class_names": names, "name": "a.png"})


@pytest.mark.parametrize("to", ["cvat", "coco"])
@pytest.mark.parametrize("shapes", ["polygons", "masks"])
def test_overlapping_objects_come_back_whole_with_the_surest_on_top(tmp_path, to, shapes):
    masks, found = overlapping()
    again = read_back(labels_of(found, shapes=shapes), tmp_path / "labels", to)
    whole = raster.instance_masks(again)
    for mask, truth in zip(whole, (masks[1], masks[2], masks[0]), strict=True):
        assert (mask & truth).sum() / (mask | truth).sum() >= (1 if shapes == "masks" else 0.95)
    top = raster.class_map(again, found.class_names)
    assert (top == found.classes).mean() >= (1 if shapes == "masks" else 0.99)
    scores = [shape.attributes["score"] for shape in again.shapes]
    assert scores == sorted(scores)
    assert scores[0], scores[-1] == ("0.600", "0.900")


def test_parts_of_one_object_share_a_group():
    _, found = overlapping()
    groups = [shape.group_id for shape in labels_of(found).shapes]
    assert groups == [0, 1, 1, 0]
    assert [instance.label for instance in raster.instances(labels_of(found))] == [
        "rod",
        "disc",
        "disc",
    ]


def test_shapes_are_marked_as_made_by_a_machine(tmp_path):
    found = predicted(blobs(100), scores=None)
    path = tmp_path / "labels.xml"
    temzoo.labels.write(path, [temzoo.labels_of(found, name="lot3/b.png")], to="cvat")
    text = path.read_text()
    assert 'source="auto"' in text
    assert 'source="manual"' not in text
    assert 'name="lot3/b.png" width="100" height="100"' in text
    assert "score" not in text


def test_the_labels_pass_the_check(tmp_path):
    found = predicted(blobs(sigma=6.0))
    cv2.imwrite(str(tmp_path / "a.png"), found.classes)
    labels = labels_of(found, name="a.png")
    assert check.check([labels], image_folder=tmp_path).exit_status == 0


def test_classes_without_names_are_numbered():
    classes = np.zeros((20, 20), np.uint8)
    classes[2:8, 2:8], classes[10:16, 10:16] = 1, 2
    found = Prediction(classes, label_instances(classes))
    assert [shape.label for shape in labels_of(found).shapes] == ["1", "2"]


def test_a_missing_number_is_no_object():
    instances = np.zeros((20, 20), np.int32)
    instances[2:8, 2:8], instances[10:16, 10:16] = 1, 3
    found = Prediction((instances > 0).astype(np.uint8), instances)
    assert len(labels_of(found).shapes) == 2


def test_nothing_found_is_an_image_without_shapes(tmp_path):
    empty = predicted(np.zeros((30, 40), bool))
    again = read_back(labels_of(empty), tmp_path / "labels.xml", "cvat")
    assert (again.shapes, again.width, again.height) == ((), 40, 30)
    assert labels_of(flattened([], (30, 40))).shapes == ()


def test_classes_without_instances_are_refused():
    classes = np.ones((5, 5), np.uint8)
    found = Prediction(classes, np.broadcast_to(np.int32(0), (5, 5)))
    with pytest.raises(ValueError, match=r"must have instances.*Received: classes alone"):
        labels_of(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shapes": "boxes"}, r"one of \['polygons', 'masks'\]\. Received: shapes='boxes'"),
        ({"error_px": -1}, r"0 or more pixels\. Received: error_px=-1\. Use 1"),
        ({"error_px": float("nan")}, r"0 or more pixels\. Received: error_px=nan"),
    ],
)
def test_options_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        labels_of(predicted(blobs(20)), **options)
