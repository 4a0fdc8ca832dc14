"""VIA 3 projects: read, written and refused."""

import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import via3
from temzoo.labels.shapes import raster


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "lot").mkdir(parents=True)
    for name in ("a.png", "lot/b.tif"):
        Image.fromarray(np.zeros((40, 50), np.uint8)).save(folder / name)
    return folder


def project(*regions, attributes=None, **changes):
    """Of two images, with regions of the first: (xy, values of attributes) each."""
    names = ("a.png", "lot/b.tif")
    files = {k: {"fid": k, "fname": n, "type": 2} for k, n in zip("12", names, strict=True)}
    metadata = {
        f"1_{k}": {"vid": "1", "flg": 0, "z": [], "xy": xy, "av": values}
        for k, (xy, values) in enumerate(regions)
    }
    attributes = attributes or {"1": {"aname": "label", "type": 1}}
    views = {key: {"fid_list": [key]} for key in files}
    whole = {"project": {}, "config": {}, "attribute": attributes, "file": files, "view": views}
    return {**whole, "metadata": metadata, **changes}


P = {"1": "p"}
REGIONS = (
    [1, 4, 6],
    [2, 10, 11, 30, 20],
    [3, 20, 15, 5],
    [4, 20, 15, 9, 4],
    [5, 1, 2, 3, 4],
    [6, 1, 2, 3, 4, 5, 0],
    [7, 1, 2, 9, 2, 9, 8],
)


def test_every_shape_is_read(tmp_path, folder):
    (tmp_path / "p.json").write_text(json.dumps(project(*((xy, P) for xy in REGIONS), ([], P))))
    first, second = labels.read(tmp_path / "p.json", images=folder)
    assert (first.name, first.width, first.height, first.classes) == ("a.png", 50, 40, ("p",))
    assert (second.name, second.shapes) == ("lot/b.tif", ())
    point, box, circle, ellipse, line, polyline, polygon = first.shapes
    assert (point.kind, point.points.tolist()) == ("points", [[6, 4]])
    assert (box.kind, box.points.tolist()) == ("box", [[11, 10], [31, 40]])
    assert (circle.kind, circle.points.tolist()) == ("ellipse", [[15, 20], [5, 5]])
    assert (ellipse.kind, ellipse.points.tolist()) == ("ellipse", [[15, 20], [4, 9]])
    assert (line.kind, polyline.kind, len(polyline.points)) == ("polyline", "polyline", 3)
    assert (polygon.kind, polygon.points.tolist()) == ("polygon", [[2, 1], [2, 9], [8, 9]])


def test_options_stand_for_their_names(folder):
    attributes = {
        "1": {"aname": "class", "type": 4, "options": {"0": "void", "1": "loop"}},
        "2": {"aname": "seen", "type": 2, "options": {"0": "edge", "1": "blur"}},
    }
    regions = ((REGIONS[1], {"1": "1", "2": "0,1"}), (REGIONS[1], {"2": "0"}))
    said = []
    content = project(*regions, attributes=attributes)
    first, _ = via3.parse(content, folder / "p.json", images=folder, said=said)
    assert [shape.label for shape in first.shapes] == ["loop", "object"]
    assert dict(first.shapes[0].attributes) == {"seen": "edge,blur"}
    assert [one.code for one in said] == ["unnamed-regions"]


BAD = {
    "kind": ([8, 1, 2, 3, 4], r"kind must be one of \[1, 2, .*Received: xy=\[8"),
    "text": ("x", "kind must be one of"),
    "bool": ([True, 1, 2], "kind must be one of"),
    "few": ([7, 1, 2, 3, 4], "polygon takes 3 points or more"),
    "odd": ([6, 1, 2, 3, 4, 5], "polyline takes 2 points or more"),
    "many": ([3, 1, 2, 3, 4], "ellipse takes 3 numbers"),
    "word": ([1, "a", 2], "xy must be a number"),
    "huge": ([1, 10**400, 2], "xy must be below 1e"),
    "nan": ([1, float("nan"), 2], "must be finite"),
    "negative": ([3, 1, 2, -3], "radii must not be negative"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_region_is_named_and_left_out_alone(folder, case):
    xy, message = BAD[case]
    content = project((REGIONS[1], P), (xy, P), (REGIONS[2], P))
    with pytest.raises(ValueError, match=f"p.json, region 1_1: .*{message}"):
        via3.parse(content, folder / "p.json", images=folder)
    said = []
    first, _ = via3.parse(content, folder / "p.json", images=folder, said=said)
    assert [shape.kind for shape in first.shapes] == ["box", "ellipse"]
    assert [one.level for one in said] == ["error"]


def test_views_without_an_image_and_their_regions_are_left_out(folder):
    content = project((REGIONS[1], P))
    content["file"]["1"]["type"] = 4
    content["file"]["2"]["fname"] = "gone.png"
    content["view"]["3"] = {"fid_list": ["1", "2"]}
    said = []
    assert via3.parse(content, folder / "p.json", images=folder, said=said) == []
    words = ("must show one image", "'gone.png', which is not in", "must show one", "belong to a")
    for finding, text in zip(said, words, strict=True):
        assert text in finding.text


def test_without_images_it_says_what_to_pass(tmp_path):
    (tmp_path / "p.json").write_text(json.dumps(project()))
    with pytest.raises(ValueError, match=r"p.json: VIA states no image sizes.*--images"):
        labels.read(tmp_path / "p.json")


def test_round_trip(tmp_path, folder):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    shapes = (
        Shape("polygon", "a", points),
        Shape("polyline", "a", points),
        Shape("ellipse", "b", points[:2]),
        Shape("box", "b", np.array([[1.0, 2.5], [6.0, 3.0]])),
        Shape("points", "b", points[:1]),
    )
    image = LabelledImage("lot/b.tif", 50, 40, shapes, ("a", "b"))
    assert labels.write(tmp_path / "p.json", [image], to="via3") == {}
    assert labels.read(tmp_path / "p.json", images=folder) == [image]


def test_other_kinds_become_polygons_or_are_left_out(tmp_path, folder):
    box = np.array([[20.0, 10.0], [30.0, 40.0]])
    shapes = (
        Shape("box", "a", box, rotation=20),
        Shape("ellipse", "b", np.array([[10.0, 12.0], [4.0, 9.0]]), rotation=-35),
        Shape("mask", "a", box, runs=np.array([0, 300])),
    )
    image = LabelledImage("a.png", 50, 40, shapes)
    assert labels.write(tmp_path / "p.json", [image], to="via3") == {"mask": 1}
    (back,) = labels.read(tmp_path / "p.json", images=folder)
    assert [shape.kind for shape in back.shapes] == ["polygon", "polygon"]
    drawn = LabelledImage("a.png", 50, 40, shapes[:2])
    assert np.array_equal(raster.instance_masks(back), raster.instance_masks(drawn))
