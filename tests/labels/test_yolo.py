"""YOLO text files, read in the layouts that there are, and back from what was written."""

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import yolo, yolo_reading
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import mask_geometry

BOX = "1 0.5 0.25 0.5 0.3\n"
OUTLINE = "0 0.1 0.1 0.5 0.1 0.5 0.9\n"


def data_set(folder, texts, names=("a", "b"), where="labels", images="images"):
    for name, text in texts.items():
        for path in (folder / where / f"{name}.txt", folder / images / f"{name}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
        (folder / where / f"{name}.txt").write_text(text)
        noise = np.random.default_rng(0).integers(0, 256, (10, 20)).astype(np.uint8)
        Image.fromarray(noise).save(folder / images / f"{name}.png")
    if names:
        (folder / "data.yaml").write_text(f"train: images\nnames: {list(names)}\n")
    return folder


def test_boxes_and_outlines_are_told_by_their_numbers(tmp_path):
    data_set(tmp_path, {"x": BOX + "\n" + OUTLINE, "y": ""})
    said = []
    first, second = labels.read(tmp_path, said=said)
    assert (first.name, first.width, first.height) == ("images/x.png", 20, 10)
    assert first.classes == ("a", "b")
    box, outline = first.shapes
    assert (box.kind, box.label) == ("box", "b")
    assert box.points == pytest.approx(np.array([[1, 5], [4, 15]]))
    assert (outline.kind, outline.label) == ("polygon", "a")
    assert outline.points == pytest.approx(np.array([[1, 2], [1, 10], [9, 10]]))
    assert (second.name, second.shapes) == ("images/y.png", ())
    assert [one.text for one in said] == ["1 boxes (lines of 5 numbers) and 1 outlines."]


@pytest.mark.parametrize(
    ("yaml", "expected"),
    [
        ("names: [p, 'q: 2']", ("p", "q: 2")),
        ("names:\n  0: p\n  1: ü\n", ("p", "ü")),
        ("names:\n- p\n- 7\n", ("p", "7")),
    ],
)
def test_names_of_a_data_file(tmp_path, yaml, expected):
    data_set(tmp_path, {"x": BOX}, names=())
    (tmp_path / "data.yaml").write_text(yaml, encoding="utf-8")
    for path in (tmp_path, tmp_path / "data.yaml"):
        (image,) = labels.read(path)
        assert image.classes == expected
        assert image.shapes[0].label == expected[1]


def test_layouts_of_other_programs(tmp_path):
    darknet = data_set(tmp_path / "d", {"x": BOX}, (), "obj_train_data", "obj_train_data")
    (darknet / "obj.names").write_text("a\nb\n")
    (darknet / "train.txt").write_text("data/obj_train_data/x.png\n")
    (image,) = labels.read(darknet)
    assert (image.name, image.shapes[0].label) == ("obj_train_data/x.png", "b")
    split = data_set(tmp_path / "s", {"train/x": BOX, "val/x": OUTLINE})
    first, second = labels.read(split)
    assert (first.name, second.name) == ("images/train/x.png", "images/val/x.png")
    assert first.shapes[0].kind, second.shapes[0].kind == ("box", "polygon")


def test_classes_without_names_are_numbers(tmp_path):
    data_set(tmp_path, {"x": BOX + OUTLINE}, names=())
    (image,) = labels.read(tmp_path / "labels", images=tmp_path / "images")
    assert image.classes == ("0", "1")
    assert [shape.label for shape in image.shapes] == ["1", "0"]


BAD_LINES = {
    "words": ("0 a 1 1 1", "a line must be numbers alone"),
    "six": ("0 .5 .5 .1 .1 .9", "Received: 6 numbers. Leave out confidences"),
    "pixels": ("0 12 5 3 3", "shares of the image's width and height.*Received: '0 12 5 3 3'"),
    "nan": ("0 nan .5 .1 .1", "shares of the image's"),
    "class": ("2 .5 .5 .1 .1", "one of the 2 named. Received: 2"),
    "half": ("0.5 .5 .5 .1 .1", "a class must be a whole number"),
}


@pytest.mark.parametrize("case", BAD_LINES)
def test_bad_line_is_named_and_left_out_alone(tmp_path, case):
    line, message = BAD_LINES[case]
    data_set(tmp_path, {"x": f"{BOX}{line}\n{OUTLINE}"})
    with pytest.raises(ValueError, match=f"labels/x.txt, line 2: .*{message}"):
        yolo_reading.read(tmp_path)
    said = []
    (image,) = labels.read(tmp_path, said=said)
    assert len(image.shapes) == 2
    assert [one.level for one in said] == ["error", "info"]


def test_keypoints_behind_a_box_are_no_vertices(tmp_path):
    # Without kpt_shape, 2 keypoints of 3 numbers would make an outline of five vertices.
    ends = "0 .5 .5 .2 .1 .4 .5 1 .6 .5 1\n"
    data_set(tmp_path, {"x": ends + OUTLINE})
    data = tmp_path / "data.yaml"
    data.write_text(f"{data.read_text()}\nkpt_shape: [2, 3]\n")
    said = []
    (image,) = labels.read(tmp_path, said=said)
    box, outline = image.shapes
    assert (box.kind, outline.kind) == ("box", "polygon")
    assert np.ptp(box.points, axis=0) == pytest.approx((0.1 * image.height, 0.2 * image.width))
    assert "5 numbers and 6 of keypoints" in said[-1].text
    data.write_text("names: [a, b]\nkpt_shape: 2\n")
    with pytest.raises(ValueError, match=r"data.yaml: 'kpt_shape' must be .*\[2, 3\]"):
        yolo_reading.read(tmp_path)


def test_absent_images_and_bad_names_are_named(tmp_path):
    data_set(tmp_path, {"x": BOX})
    (tmp_path / "images" / "x.png").unlink()
    with pytest.raises(ValueError, match=r"labels/x.txt: each image must be in.*Pass the folder"):
        yolo_reading.read(tmp_path)
    for text, message in (("names: 3", "'names' must list"), ("a: [", "it must be YAML")):
        (tmp_path / "data.yaml").write_text(text)
        with pytest.raises(ValueError, match=f"data.yaml: {message}"):
            yolo_reading.read(tmp_path)
    (tmp_path / "data.yaml").write_text("#" * (yolo_reading.LARGEST_YAML + 1))
    with pytest.raises(ValueError, match=r"data.yaml: it must be below 1000000 bytes"):
        yolo_reading.read(tmp_path)


def test_masks_beside_notes_are_masks(tmp_path):
    Image.fromarray(np.eye(9, dtype=np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "classes.txt").write_text("1 2 3 4 5\n")
    (tmp_path / "readme.txt").write_text("made by hand\n")
    (image,) = labels.read(tmp_path)
    assert image.shapes[0].kind == "mask"


def drawn():
    ring = np.zeros((30, 30), bool)
    ring[2:20, 3:22] = True
    ring[6:12, 8:14] = False
    points, runs = mask_geometry(ring)
    shapes = (
        Shape("mask", "b", points, runs=runs),
        Shape("ellipse", "a", np.array([[40.0, 30.0], [6.0, 9.0]]), rotation=20),
        Shape("box", "a", np.array([[20.0, 40.0], [30.0, 70.0]])),
        Shape("polygon", "a", np.array([[45.0, 2.0], [45.0, 12.0], [55.0, 7.0]]), group_id=1),
        Shape("polygon", "a", np.array([[45.0, 14.0], [45.0, 20.0], [55.0, 17.0]]), group_id=1),
    )
    return LabelledImage("lot/x.png", 60, 64, shapes, ("a", "b"))


def test_written_outlines_cover_the_same_pixels(tmp_path):
    image = drawn()
    assert labels.write(tmp_path, [image], to="yolo-seg") == {}
    (tmp_path / "lot").mkdir(exist_ok=True)
    Image.fromarray(np.zeros((64, 60), np.uint8)).save(tmp_path / "lot" / "x.png")
    (back,) = labels.read(tmp_path)
    assert (back.name, back.classes) == ("lot/x.png", ("a", "b"))
    expected, found = raster.instance_masks(image), raster.instance_masks(back)
    assert len(found) == 4
    both, either = (expected & found).sum((1, 2)), (expected | found).sum((1, 2))
    assert (both / either > 0.95).all()
    labels.write(tmp_path / "again", [back], to="yolo-seg")
    text = (tmp_path / "lot" / "x.txt").read_text()
    assert (tmp_path / "again" / "lot" / "x.txt").read_text() == text


def test_written_boxes_come_back(tmp_path):
    labels.write(tmp_path, [drawn()], to="yolo")
    Image.fromarray(np.zeros((64, 60), np.uint8)).save(tmp_path / "x.png")
    (back,) = labels.read(tmp_path)
    assert [shape.label for shape in back.shapes] == ["b", "a", "a", "a"]
    # What leaves the image is cut.
    assert back.shapes[2].points == pytest.approx(np.array([[20, 40], [30, 60]]), abs=1e-4)


def test_kind_of_lines_is_checked(tmp_path):
    with pytest.raises(ValueError, match=r"kind must be one of .*Received: kind='points'"):
        yolo.write(tmp_path, [], kind="points")
