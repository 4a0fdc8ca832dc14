"""Labelbox's data rows: read, written and refused."""

import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import labelbox
from temzoo.labels.shapes import raster


def xy(*pairs):
    return [{"x": x, "y": y} for x, y in pairs]


BOX = {"name": "p", "bounding_box": {"top": 2.0, "left": 1.0, "height": 5.0, "width": 10.0}}
POLYGON = {"name": "q", "polygon": xy((1, 2), (9.5, 2), (4, 8))}


def row(*objects, time="2024", **changes):
    label = {"label_kind": "Default", "annotations": {"objects": list(objects)}}
    label["label_details"] = {"updated_at": time}
    head = {"id": "1", "external_id": "a.png", "row_data": "https://lab.org/lot/a%20b.png?x=1"}
    projects = {"project": {"name": "project", "labels": [label]}}
    size = {"height": 40, "width": 50, "mime_type": "image/png"}
    return {"data_row": head, "media_attributes": size, "projects": projects, **changes}


def written(path, *rows):
    lines = (one if isinstance(one, str) else json.dumps(one) for one in rows)
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def test_every_shape_is_read(tmp_path):
    objects = (
        BOX,
        POLYGON,
        {"name": "p", "line": xy((0, 0), (5, 6))},
        {"name": "p", "point": {"x": 3, "y": 4}},
    )
    (image,) = labels.read(written(tmp_path / "export.ndjson", row(*objects)))
    assert (image.name, image.width, image.height, image.classes) == ("a.png", 50, 40, ("p", "q"))
    box, polygon, line, point = image.shapes
    assert box.points.tolist() == [[2, 1], [7, 11]]
    assert polygon.points.tolist() == [[2, 1], [2, 9.5], [8, 4]]
    assert (line.kind, line.points.tolist()) == ("polyline", [[0, 0], [6, 5]])
    assert (point.kind, point.points.tolist()) == ("points", [[4, 3]])


@pytest.mark.parametrize("text", [json.dumps([row(BOX)]), json.dumps(row(BOX), indent=1)])
def test_rows_in_json_are_read_as_well(tmp_path, text):
    (tmp_path / "export.json").write_text(text)
    (image,) = labels.read(tmp_path / "export.json")
    assert len(image.shapes) == 1


MASK = {"name": "p", "annotation_kind": "ImageSegmentationMask", "mask": {"url": "https://x"}}
BAD = {
    "list": ([1], "an entry must be an object"),
    "mask": (MASK, "masks lie on Labelbox's server. Received: 'ImageSegmentationMask'"),
    "label": ({**BOX, "name": None}, "name must be a text"),
    "box": ({"name": "p", "bounding_box": [1, 2, 3, 4]}, "bounding_box must be an object"),
    "side": ({"name": "p", "bounding_box": {"top": 1}}, "left must be a number"),
    "two": ({"name": "p", "polygon": xy((1, 2), (3, 4))}, "a polygon must have 3 vertices"),
    "dict": ({"name": "p", "polygon": {}}, "polygon must be a list"),
    "pair": ({"name": "p", "polygon": [[1, 2]] * 3}, "an entry must be an object"),
    "nan": ({"name": "p", "point": {"x": float("nan"), "y": 1}}, "must be finite"),
    "huge": ({"name": "p", "point": {"x": 10**400, "y": 1}}, "x must be below 1e"),
    "far": ({"name": "p", "bounding_box": dict.fromkeys(labelbox.SIDES, 9e11)}, "must be finite"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_object_is_named_and_left_out_alone(tmp_path, case):
    bad, message = BAD[case]
    path = written(tmp_path / "e.ndjson", row(BOX, bad, POLYGON))
    with pytest.raises(ValueError, match=f"e.ndjson, line 1, image 'a.png', object 2: .*{message}"):
        labelbox.read(path)
    said = []
    (image,) = labelbox.read(path, said=said)
    assert [shape.kind for shape in image.shapes] == ["box", "polygon"]
    assert [(one.level, one.image) for one in said] == [("error", "a.png")]


def test_malformed_lines_are_left_out_alone(tmp_path):
    deep = '{"data_row": ' + "[" * 100_000
    large = row(BOX, media_attributes={"height": 10**9, "width": 10})
    bad = ('{"data_row": ', deep, "1", {"data_row": 1}, row(BOX, projects=[]), large)
    said = []
    found = labels.read(written(tmp_path / "e.ndjson", row(BOX), "", *bad), said=said)
    assert len(found) == 1
    assert all("e.ndjson, line " in one.text for one in said)
    words = ("Expecting", "nested", "be an object", "data_row must", "projects must", "span at")
    for number, (finding, text) in enumerate(zip(said, words, strict=True), start=3):
        assert text in finding.text
        assert f"line {number}" in finding.text


def test_last_labelling_counts_and_unlabelled_rows_are_left_out(tmp_path):
    one, two = row(BOX, time="2024-02"), row(POLYGON, time="2024-01")
    one["projects"] |= {"second": two["projects"]["project"]}
    said = []
    path = written(tmp_path / "e.ndjson", one, row(projects={}))
    (image,) = labels.read(path, said=said)
    assert image.classes == ("p",)
    assert [one.code for one in said] == ["several-labellings", "unlabelled-images"]


def test_name_and_size_where_they_are_not_stated(tmp_path):
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "a b.png")
    entry = row(BOX, media_attributes=None)
    del entry["data_row"]["external_id"]
    (image,) = labels.read(written(tmp_path / "e.ndjson", entry), images=tmp_path)
    assert (image.name, image.width, image.height) == ("a b.png", 50, 40)


def test_round_trip_and_what_becomes_a_polygon(tmp_path):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    box = np.array([[10.0, 12.0], [20.0, 24.0]])
    shapes = (
        Shape("polygon", "a", points),
        Shape("polyline", "a", points),
        Shape("points", "b", points[:1]),
        Shape("box", "b", box),
    )
    image = LabelledImage("lot/b.tif", 50, 40, shapes, ("a", "b"))
    assert labels.write(tmp_path / "e.ndjson", [image, image], to="labelbox") == {}
    assert labels.read(tmp_path / "e.ndjson") == [image, image]
    shapes = (Shape("box", "a", box, rotation=20), Shape("ellipse", "a", points[:2], rotation=9))
    other = LabelledImage("a.png", 50, 40, shapes)
    mask = Shape("mask", "a", box, runs=np.array([0, 120]))
    both = LabelledImage("a.png", 50, 40, (*shapes, mask))
    assert labels.write(tmp_path / "e.ndjson", [both], to="labelbox") == {"mask": 1}
    (back,) = labels.read(tmp_path / "e.ndjson")
    assert np.array_equal(raster.instance_masks(back), raster.instance_masks(other))
