"""Datumaro's JSON: read, written and refused."""

import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import datumaro

TRIANGLE = {"type": "polygon", "points": [1, 2, 9.5, 2, 4, 8]}


def document(*annotations, **changes):
    names = [{"name": name, "parent": "", "attributes": []} for name in ("p", "q")]
    entries = [{"id": 0, "group": 0, "attributes": {}, "label_id": 0, **one} for one in annotations]
    item = {"id": "lot/a", "annotations": entries, "attr": {"frame": 0}}
    item["image"] = {"path": "lot/a.png", "size": [40, 50]}
    categories = {"label": {"labels": names, "attributes": []}, "mask": {}}
    return {"info": {}, "categories": categories, "items": [item | changes]}


def shapes_of(*annotations):
    (image,) = datumaro.parse(document(*annotations), "d.json")
    return image.shapes


def test_every_shape_is_read(tmp_path):
    annotations = (
        TRIANGLE | {"group": 2, "z_order": 3, "attributes": {"grade": 2, "occluded": True}},
        {"type": "bbox", "bbox": [1, 2, 10, 5], "attributes": {"rotation": 30.0}},
        {"type": "ellipse", "points": [10, 12, 30, 20], "label_id": 1},
        {"type": "mask", "rle": {"size": [40, 50], "counts": [81, 2, 38, 1, 1878]}},
        {"type": "polyline", "points": [0, 0, 5, 6]},
        {"type": "points", "points": [3, 4, 5, 6], "visibility": [2, 2]},
        {"type": "label"},
        {"type": "caption", "caption": "blurred", "label_id": None},
    )
    (tmp_path / "d.json").write_text(json.dumps(document(*annotations)))
    (image,) = labels.read(tmp_path / "d.json")
    assert (image.name, image.width, image.height) == ("lot/a.png", 50, 40)
    assert image.classes == ("p", "q")
    polygon, box, ellipse, mask, line, points, tag = image.shapes
    assert polygon.points.tolist() == [[2, 1], [2, 9.5], [8, 4]]
    assert (polygon.group_id, polygon.z_order, polygon.occluded) == (2, 3, True)
    assert dict(polygon.attributes) == {"grade": "2"}
    assert (box.points.tolist(), box.rotation) == ([[2, 1], [7, 11]], 30)
    assert (ellipse.points.tolist(), ellipse.label) == ([[16, 20], [4, 10]], "q")
    assert (mask.points.tolist(), mask.runs.tolist()) == ([[1, 2], [3, 4]], [0, 3, 1])
    assert [one.kind for one in (line, points, tag)] == ["polyline", "points", "tag"]


BAD = {
    "list": ([1], "an entry must be an object"),
    "kind": ({"type": "spline"}, "type must be one of"),
    "kind list": ({"type": []}, "type must be one of"),
    "label": (TRIANGLE | {"label_id": 2}, "place of a label in the categories, which are 2"),
    "no label": (TRIANGLE | {"label_id": None}, "label_id must be a whole number"),
    "odd": (TRIANGLE | {"points": [1, 2, 3]}, "at least 3 vertices"),
    "nan": (TRIANGLE | {"points": [1, 2, 3, 4, 5, float("nan")]}, "must be finite"),
    "huge": (TRIANGLE | {"group": 1.5}, "group must be a whole number"),
    "word": ({"type": "bbox", "bbox": [1, "a", 2, 3]}, "bbox must be a list of 4 numbers"),
    "far": ({"type": "bbox", "bbox": [9e11, 0, 9e11, 1]}, "coordinates must be finite"),
    "turn": ({"type": "bbox", "bbox": [1] * 4, "attributes": {"rotation": "x"}}, "rotation must"),
    "size": ({"type": "mask", "rle": {"size": [4, 5], "counts": "01"}}, "size must be the image's"),
    "mask": ({"type": "mask", "rle": []}, "rle must be an object"),
    "notes": (TRIANGLE | {"attributes": [1]}, "attributes must be an object"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_annotation_is_named_and_left_out_alone(case):
    bad, message = BAD[case]
    content = document(TRIANGLE, TRIANGLE)
    entry = bad if isinstance(bad, list) else {"label_id": 0, **bad}
    content["items"][0]["annotations"].insert(1, entry)
    with pytest.raises(ValueError, match=f"d.json, image 'lot/a.png', annotation 2: .*{message}"):
        datumaro.parse(content, "d.json")
    said = []
    (image,) = datumaro.parse(content, "d.json", said=said)
    assert len(image.shapes) == 2
    assert [(one.level, one.image) for one in said] == [("error", "lot/a.png")]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("b.png", "b.png"),
        (None, "lot/a"),
        ("/home/x/a.tif", "lot/a.tif"),
        ("../a.tif", "lot/a.tif"),
    ],
)
def test_name_is_a_path_inside_the_folder_or_the_id(path, name):
    (image,) = datumaro.parse(document(image={"path": path, "size": [4, 5]}), "d.json")
    assert image.name == name


def test_sizes_come_from_the_images_where_the_file_states_none(tmp_path):
    Image.fromarray(np.zeros((40, 50), np.uint8)).save(tmp_path / "a.png")
    content = document(TRIANGLE, image={"path": "a.png"})
    (image,) = datumaro.parse(content, "d.json", images=tmp_path)
    assert (image.width, image.height) == (50, 40)
    with pytest.raises(ValueError, match=r"d.json, item 1: the labels state no size of image"):
        datumaro.parse(content, "d.json")


def test_parts_of_a_data_set_are_read_together(tmp_path):
    (tmp_path / "annotations").mkdir()
    for part, path in (("train", "a.png"), ("val", "val/b.png")):
        content = document(TRIANGLE, image={"path": path, "size": [40, 50]})
        (tmp_path / "annotations" / f"{part}.json").write_text(json.dumps(content))
    (tmp_path / "notes.json").write_text("{}")
    first, second = labels.read(tmp_path)
    assert [(one.name, one.subset) for one in (first, second)] == [
        ("train/a.png", "train"),
        ("val/b.png", "val"),
    ]
    with pytest.raises(ValueError, match=r"d.json: a file of Datumaro must have 'categories'"):
        datumaro.parse([], "d.json")


def test_categories_without_names_are_refused():
    content = document(TRIANGLE)
    content["categories"]["label"]["labels"][0] = {}
    with pytest.raises(ValueError, match=r"d.json: categories must list labels with a name each"):
        datumaro.parse(content, "d.json")


def test_round_trip(tmp_path):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    box = np.array([[10.0, 12.0], [20.0, 24.0]])
    shapes = (
        Shape("polygon", "a", points, group_id=1, z_order=2, attributes={"grade": "2"}),
        Shape("polyline", "a", points, occluded=True),
        Shape("points", "b", points),
        Shape("box", "b", box, rotation=20.0),
        Shape("ellipse", "b", np.array([[12.0, 20.0], [6.0, 8.0]]), rotation=-35.0),
        Shape("mask", "a", np.array([[1.0, 2.0], [3.0, 4.0]]), runs=np.array([0, 2, 1, 1])),
        Shape("tag", "a", np.zeros((0, 2))),
    )
    image = LabelledImage("lot/b.tif", 50, 40, shapes, ("b", "a"))
    assert labels.write(tmp_path / "d.json", [image], to="datumaro") == {}
    assert labels.read(tmp_path / "d.json") == [image]
    cuboid = LabelledImage("a.png", 9, 9, (Shape("cuboid", "a", np.zeros((8, 2))),))
    assert labels.write(tmp_path / "d.json", [cuboid], to="datumaro") == {"cuboid": 1}
