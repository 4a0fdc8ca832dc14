"""LabelMe's files: read, written and refused."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import labelme
from temzoo.labels.shapes import raster
from temzoo.labels.shapes.run_lengths import encode_runs


def shape(kind, *points, label="p", **more):
    return {"label": label, "points": list(points), "shape_type": kind, "group_id": None, **more}


def save(path, *shapes, image="a.png", **changes):
    size = {"imageHeight": 40, "imageWidth": 50}
    document = {"version": "5.4.1", "flags": {}, "shapes": list(shapes), "imagePath": image}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({**document, "imageData": None, **size, **changes}))
    return path


def picture(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


RING = np.pad(np.zeros((2, 3), bool), 1, constant_values=True)
SHAPES = (
    shape("polygon", [1, 2], [9, 2], [9, 8], group_id=3),
    shape("rectangle", [30, 20], [10, 10]),
    shape("circle", [20, 15], [23, 19], flags={"sure": True, "odd": False}, description="round"),
    shape("linestrip", [0, 0], [5, 5], [9, 0]),
    shape("point", [4, 6]),
    shape("mask", [7, 5], [11, 8], mask=picture(RING), label="q"),
)


def test_rectangles_by_their_corners_are_read(tmp_path):
    upright, turned = ([30, 20], [10, 20], [10, 10], [30, 10]), ([9, 2], [19, 12], [14, 17], [4, 7])
    shapes = [shape("rectangle", *upright), shape("rectangle", *turned)]
    shapes += [shape("oriented_rectangle", *turned), shape("rotation", *turned, direction=0.8)]
    box, *others = labels.read(save(tmp_path / "a.json", *shapes))[0].shapes
    assert (box.kind, box.points.tolist()) == ("box", [[10, 10], [20, 30]])
    for one in others:
        assert (one.kind, one.points[:, ::-1].tolist()) == ("polygon", [*turned])
    with pytest.raises(ValueError, match=r"a rectangle must have 2 points. Received: 3"):
        labelme.read(save(tmp_path / "b" / "b.json", shape("rectangle", *upright[:3])).parent)


def test_every_shape_is_read(tmp_path):
    (image,) = labels.read(save(tmp_path / "a.json", *SHAPES, image="..\\\\lot\\\\a.png"))
    assert (image.name, image.width, image.height, image.classes) == ("a.png", 50, 40, ())
    polygon, box, circle, line, point, mask = image.shapes
    assert polygon.points.tolist() == [[2, 1], [2, 9], [8, 9]]
    assert (polygon.group_id, box.group_id) == (3, 0)
    assert box.points.tolist() == [[10, 10], [20, 30]]
    assert (circle.kind, circle.points.tolist()) == ("ellipse", [[15, 20], [5, 5]])
    assert dict(circle.attributes) == {"sure": "true", "description": "round"}
    assert (line.kind, point.kind) == ("polyline", "points")
    assert (mask.label, mask.points.tolist()) == ("q", [[5, 7], [9, 12]])
    assert np.array_equal(mask.runs, encode_runs(RING))


def test_a_folder_of_files_is_told_from_others(tmp_path):
    save(tmp_path / "a.json", SHAPES[0])
    save(tmp_path / "lot" / "b.json", SHAPES[1], image="b.tif")
    noise = np.random.default_rng(0).integers(0, 256, (40, 50)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "settings.json").write_text("{}")
    first, second = labels.read(tmp_path)
    assert (first.name, second.name) == ("a.png", "lot/b.tif")


def test_groups_from_0_on_are_groups(tmp_path):
    shapes = (shape("rectangle", [k, 0], [k + 1, 1], group_id=g) for k, g in enumerate([0, 0, 1]))
    (image,) = labels.read(save(tmp_path / "a.json", *shapes))
    assert len(raster.instances(image)) == 2


BAD = {
    "kind": (shape("star", [1, 1]), "must be one of .*'circle'.*Received: shape_type='star'"),
    "few": (shape("polygon", [1, 1], [2, 2]), "a polygon must have 3 points or more. Received: 2"),
    "many": (shape("circle", [1, 1], [2, 2], [3, 3]), "a circle must have 2 points. Received: 3"),
    "words": (shape("point", ["x", 1]), "points must be pairs of numbers"),
    "huge": (shape("point", [10**400, 1]), r"points must be pairs.*characters"),
    "nan": (shape("point", [float("nan"), 1]), "must be finite"),
    "label": (shape("point", [1, 1], label=None), "label must be a text"),
    "group": (shape("point", [1, 1], group_id="x"), "group_id must be a whole number"),
    "list": ([1], "an entry must be an object"),
    "no mask": (shape("mask", [1, 1], [2, 2]), "a mask must be a PNG in base64"),
    "no PNG": (shape("mask", [1, 1], [2, 2], mask="AAAA"), "a mask must be a PNG in base64"),
    "large": (
        shape("mask", [1, 1], [2, 2], mask=picture(np.ones((999, 2), bool))),
        "a mask must not exceed 4 times its image",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_shape_is_named_and_left_out_alone(tmp_path, case):
    entry, message = BAD[case]
    save(tmp_path / "a.json", SHAPES[0], entry, SHAPES[1])
    with pytest.raises(ValueError, match=f"a.json, shape 2: .*{message}"):
        labelme.read(tmp_path)
    said = []
    (image,) = labels.read(tmp_path, said=said)
    assert [shape.kind for shape in image.shapes] == ["polygon", "box"]
    assert [one.level for one in said] == ["error"]


def test_files_that_cannot_be_read_are_left_out_alone(tmp_path):
    save(tmp_path / "a.json", SHAPES[0])
    save(tmp_path / "b.json", imageHeight=0)
    save(tmp_path / "c.json", imageHeight=None, imageWidth=None)
    (tmp_path / "d.json").write_text("{")
    said = []
    assert [image.name for image in labels.read(tmp_path, said=said)] == ["a.png"]
    words = ("width and height must be", "state no size of image 'a.png'", "complete JSON")
    for finding, text in zip(said, words, strict=True):
        assert text in finding.text


def test_absent_size_is_read_from_the_image(tmp_path):
    save(tmp_path / "a.json", imageHeight=None, imageWidth=None)
    Image.fromarray(np.zeros((8, 9), np.uint8)).save(tmp_path / "a.png")
    (image,) = labels.read(tmp_path, images=tmp_path)
    assert (image.height, image.width) == (8, 9)


def test_round_trip(tmp_path):
    save(tmp_path / "x" / "lot" / "a.json", *SHAPES)
    before = labels.read(tmp_path / "x" / "lot")
    assert labels.write(tmp_path / "y", before, to="labelme") == {}
    assert labels.read(tmp_path / "y") == before


def test_other_kinds_become_polygons_or_are_left_out(tmp_path):
    shapes = (
        Shape("box", "a", np.array([[20.0, 10.0], [30.0, 40.0]]), rotation=20),
        Shape("ellipse", "b", np.array([[10.0, 12.0], [4.0, 9.0]]), rotation=-35),
        Shape("tag", "a", np.zeros((0, 2))),
    )
    image = LabelledImage("lot/a.png", 50, 40, shapes)
    assert labels.write(tmp_path, [image], to="labelme") == {"tag": 1}
    (back,) = labels.read(tmp_path / "lot")
    assert [shape.kind for shape in back.shapes] == ["polygon", "polygon"]
    assert np.array_equal(raster.instance_masks(back), raster.instance_masks(image))
