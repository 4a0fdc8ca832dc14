"""VIA's CSV: read, written and refused."""

import csv
import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import via_csv

CIRCLE = {"name": "circle", "cx": 20, "cy": 15, "r": 5.5}
RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "lot").mkdir(parents=True)
    for name in ("a.png", "lot/b.tif"):
        Image.fromarray(np.zeros((40, 50), np.uint8)).save(folder / name)
    return folder


def written(path, *rows, header=via_csv.COLUMNS):
    """Of (name, shape, attributes) each; a list is a line as it stands."""
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(header)
        for row in rows:
            if not isinstance(row, list):
                row = [row[0], 9, "{}", 1, 0, *map(json.dumps, row[1:])]
            table.writerow(row)
    return path


@pytest.mark.parametrize("first", ["filename", "#filename"])
def test_regions_are_read_whatever_the_name_of_the_file(tmp_path, folder, first):
    polygon = {"name": "polygon", "all_points_x": [1, 9, 5], "all_points_y": [2, 3, 30]}
    rows = (
        ("a.png", CIRCLE, {"class": "p"}),
        ("lot/b.tif", {}, {}),
        ("a.png", polygon, {"class": "q"}),
    )
    header = (first, *via_csv.COLUMNS[1:])
    first, second = labels.read(written(tmp_path / "x", *rows, header=header), images=folder)
    assert (first.name, first.width, first.height) == ("a.png", 50, 40)
    assert first.classes == second.classes == ("p", "q")
    circle, polygon = first.shapes
    assert circle.points.tolist() == [[15, 20], [5.5, 5.5]]
    assert polygon.points.tolist() == [[2, 1], [3, 9], [30, 5]]
    assert (second.name, second.shapes) == ("lot/b.tif", ())


BAD = {
    "cells": (["a.png", 9], "must have 7 cells. Received: 2"),
    "shape": (["a.png", 9, "{}", 1, 0, "{", "{}"], "region_shape_attributes must be an object"),
    "list": (["a.png", 9, "{}", 1, 0, "{}", "[1]"], "region_attributes must be an object"),
    "deep": (["a.png", 9, "{}", 1, 0, "[" * 100_000, "{}"], "must be an object in JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_line_is_named_and_left_out_alone(tmp_path, folder, case):
    bad, message = BAD[case]
    rows = (("a.png", CIRCLE, {"class": "p"}), bad, ("a.png", RECT, {"class": "p"}))
    path = written(tmp_path / "v.csv", *rows)
    with pytest.raises(ValueError, match=f"v.csv, line 3: .*{message}"):
        via_csv.read(path, images=folder)
    said = []
    (image,) = labels.read(path, images=folder, said=said)
    assert [shape.kind for shape in image.shapes] == ["ellipse", "box"]
    assert [one.level for one in said] == ["error"]


def test_malformed_region_and_missing_image_are_left_out(tmp_path, folder):
    rows = (("a.png", CIRCLE | {"r": -1}, {}), ("gone.png", CIRCLE, {}), ("a.png", RECT, {}))
    said = []
    (image,) = labels.read(written(tmp_path / "v.csv", *rows), images=folder, said=said)
    assert [shape.kind for shape in image.shapes] == ["box"]
    assert ["must not be negative" in said[0].text, "is not in" in said[1].text] == [True, True]


def test_refusals(tmp_path, folder):
    path = written(tmp_path / "v.csv", ("a.png", CIRCLE, {}))
    with pytest.raises(ValueError, match=r"v.csv: VIA states no image sizes.*--images"):
        labels.read(path)
    path.write_bytes(path.read_bytes() + b'a.png,9,{},1,0,"\xff","{}"\n')
    with pytest.raises(ValueError, match=r"v.csv, line 3: the file must be in UTF-8"):
        labels.read(path, images=folder)
    big = ["a.png", 9, "x" * (via_csv.MAX_CELL + 1), 1, 0, "{}", "{}"]
    with pytest.raises(ValueError, match=r"v.csv, line 2: the file must be CSV. Received: field"):
        labels.read(written(path, big), images=folder)
    assert csv.field_size_limit() < via_csv.MAX_CELL


def test_round_trip(tmp_path, folder):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    shapes = (
        Shape("polygon", "a", points, attributes={"grade": "2"}),
        Shape("polyline", "a", points),
        Shape("ellipse", "b", points[:2], rotation=20.0),
        Shape("box", "b", np.array([[1.0, 2.5], [6.0, 3.0]])),
        Shape("points", "b", points[:1]),
    )
    images = [
        LabelledImage("lot/b.tif", 50, 40, shapes, ("a", "b")),
        LabelledImage("a.png", 50, 40, (), ("a", "b")),
    ]
    assert labels.write(tmp_path / "v.csv", images, to="via-csv") == {}
    assert labels.read(tmp_path / "v.csv", images=folder) == images
    mask = Shape("mask", "a", np.array([[0.0, 0.0], [1.0, 1.0]]), runs=np.array([0, 1]))
    with_mask = LabelledImage("a.png", 50, 40, (mask,))
    assert labels.write(tmp_path / "v.csv", [with_mask], to="via-csv") == {"mask": 1}
