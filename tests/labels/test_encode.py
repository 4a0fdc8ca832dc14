"""The three encodings of the labels, against drawn shapes of known place."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from temzoo.core.types import LabelledImage, Shape
from temzoo.labels import encode
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import encode_runs


def shape(kind, points, label="particle", **tags):
    return Shape(kind, label, np.array(points, dtype=np.float64), **tags)


def box(top, left, bottom, right, label="particle", **tags):
    return shape("box", [[top, left], [bottom, right]], label, **tags)


def image(*shapes, height=40, width=50):
    return LabelledImage("a.png", width, height, tuple(shapes))


DRAWN = image(
    box(2, 3, 12, 23),
    box(8, 10, 20, 20, "void", z_order=1),
    shape("ellipse", [[30, 40], [5, 8]], "void"),
    box(100, 100, 110, 110),
    shape("points", [[1, 1]], "seed"),
)
CLASSES = ["particle", "void"]


def test_one_hot_has_one_class_in_each_pixel_and_agrees_with_the_class_map():
    masks = encode.one_hot(DRAWN, CLASSES)
    assert masks.shape == (40, 50, 3)
    assert masks.dtype == np.uint8
    assert (masks.sum(axis=-1) == 1).all()
    np.testing.assert_array_equal(masks.argmax(axis=-1), raster.class_map(DRAWN, CLASSES))
    assert masks[10, 15].tolist() == [0, 0, 1]
    assert masks[3, 4].tolist() == [0, 1, 0]
    assert masks[39, 0].tolist() == [1, 0, 0]


def test_one_hot_takes_a_leading_background_and_a_dtype():
    masks = encode.one_hot(DRAWN, ["background", *CLASSES], dtype=np.float32)
    assert masks.dtype == np.float32
    np.testing.assert_array_equal(masks, encode.one_hot(DRAWN, CLASSES))


def test_one_hot_of_an_unlabelled_image_is_background():
    assert encode.one_hot(image(), CLASSES)[..., 0].all()


def test_yolo_rows_are_class_and_normalised_centre_boxes():
    rows = encode.yolo(DRAWN, CLASSES)
    assert rows.dtype == np.float32
    expected = [
        [0, 13 / 50, 7 / 40, 20 / 50, 10 / 40],
        [1, 15 / 50, 14 / 40, 10 / 50, 12 / 40],
        [1, 40 / 50, 30 / 40, 16 / 50, 10 / 40],
    ]
    np.testing.assert_allclose(rows, expected, rtol=1e-6)


def test_yolo_keeps_fractions_of_a_pixel_of_shapes_inside():
    row = encode.yolo(image(box(2.3, 3.4, 12.8, 23.1)), ["particle"])[0]
    x, y, w, h = row[1:] * (50, 40, 50, 40)
    np.testing.assert_allclose([x - w / 2, y - h / 2, x + w / 2, y + h / 2], [3.4, 2.3, 23.1, 12.8],
                               rtol=1e-5)  # fmt: skip


def test_yolo_box_of_a_rotated_box_is_the_upright_rectangle_around_it():
    row = encode.yolo(image(box(10, 10, 20, 30, rotation=90)), ["particle"])[0]
    np.testing.assert_allclose(row[1:] * (50, 40, 50, 40), [20, 15, 10, 20], rtol=1e-6)


def test_yolo_box_at_the_border_fits_the_pixels_inside():
    # The part in the image is far smaller than the triangle's rectangle cut at the border.
    triangle = shape("polygon", [[-20, 0], [10, 30], [-20, 60]])
    row = encode.yolo(image(triangle), ["particle"])[0]
    x, y, w, h = row[1:] * (50, 40, 50, 40)
    np.testing.assert_allclose([x - w / 2, y - h / 2, x + w / 2, y + h / 2], [20, 0, 40, 10],
                               atol=1.01)  # fmt: skip
    assert row.min() >= 0
    assert row.max() <= 1


def test_yolo_box_of_a_mask_fits_its_pixels():
    pixels = np.zeros((10, 10), dtype=bool)
    pixels[2:5, 3:7] = True
    drawn = shape("mask", [[4, 6], [14, 16]], runs=encode_runs(pixels))
    row = encode.yolo(image(drawn), ["particle"])[0]
    np.testing.assert_allclose(row[1:] * (50, 40, 50, 40), [11, 7.5, 4, 3], rtol=1e-6)


def test_grouped_parts_are_one_row_and_one_mask():
    parts = image(box(0, 0, 5, 5, group_id=3), box(10, 10, 20, 20, group_id=3))
    rows = encode.yolo(parts, ["particle"])
    np.testing.assert_allclose(rows[:, 1:] * (50, 40, 50, 40), [[10, 10, 20, 20]], rtol=1e-6)
    target = encode.boxes_labels_masks(parts, ["particle"])
    assert target["boxes"].tolist() == [[0, 0, 20, 20]]
    assert target["masks"].sum() == 125


def test_mask_rcnn_target_has_tight_boxes_labels_from_one_and_whole_masks():
    target = encode.boxes_labels_masks(DRAWN, CLASSES)
    assert {key: (value.shape, value.dtype.name) for key, value in target.items()} == {
        "boxes": ((3, 4), "float32"),
        "labels": ((3,), "int32"),
        "masks": ((3, 40, 50), "uint8"),
    }
    assert target["labels"].tolist() == [1, 2, 2]
    assert target["boxes"][0].tolist() == [3, 2, 23, 12]
    # The first box keeps the pixels that the second lies over.
    assert target["masks"][0].sum() == 200
    for mask, (x1, y1, x2, y2) in zip(target["masks"], target["boxes"], strict=True):
        x, y, w, h = coco_mask.toBbox(coco_mask.encode(np.asfortranarray(mask)))
        assert (x, y, x + w, y + h) == (x1, y1, x2, y2)


def test_objects_without_a_pixel_are_dropped_with_their_box_and_label():
    drawn = image(box(3.6, 3.6, 4.4, 4.4, "void"), box(0, 0, 5, 5), box(60, 0, 70, 5, "void"))
    target = encode.boxes_labels_masks(drawn, CLASSES)
    assert target["labels"].tolist() == [1]
    assert len(target["masks"]) == len(target["boxes"]) == 1
    assert encode.yolo(drawn, CLASSES)[:, 0].tolist() == [0]


def test_unlabelled_image_gives_empty_arrays_of_the_right_shape():
    assert encode.yolo(image(), CLASSES).shape == (0, 5)
    target = encode.boxes_labels_masks(image(), CLASSES)
    assert [target[key].shape for key in ("boxes", "labels", "masks")] == [
        (0, 4),
        (0,),
        (0, 40, 50),
    ]
    assert target["boxes"].dtype == np.float32


@pytest.mark.parametrize("encoding", [encode.one_hot, encode.yolo, encode.boxes_labels_masks])
def test_each_encoding_refuses_an_unknown_label_and_leaves_out_an_ignored_one(encoding):
    with pytest.raises(ValueError, match=r"every label must be one of the classes.*label='void'"):
        encoding(DRAWN, ["particle"])
    encoding(DRAWN, ["particle"], ignore=["void"])


def test_polylines_count_with_a_line_width_only():
    line = image(shape("polyline", [[20, 10], [20, 30]]))
    assert len(encode.yolo(line, ["particle"])) == 0
    row = encode.yolo(line, ["particle"], line_width=4)[0]
    np.testing.assert_allclose(row[1:] * (50, 40, 50, 40), [20, 20, 24, 4], rtol=1e-6)
    assert len(encode.boxes_labels_masks(line, ["particle"], line_width=4)["labels"]) == 1
    assert encode.one_hot(line, ["particle"], line_width=4)[..., 1].any()
