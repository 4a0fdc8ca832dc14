"""VIA 2 JSON: read, written and refused."""

import json
import math

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.files import read_json
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import via
from temzoo.labels.shapes import raster

CIRCLE = {"name": "circle", "cx": 5, "cy": 6.5, "r": 3}
RECT = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4.5}
ELLIPSE = {"name": "ellipse", "cx": 5, "cy": 6, "rx": 4, "ry": 2, "theta": math.pi / 6}
POINT = {"name": "point", "cx": 5, "cy": 6}
POLYGON = {"name": "polygon", "all_points_x": [1, 5, 3], "all_points_y": [2, 2, 8]}
POLYLINE = {**POLYGON, "name": "polyline"}


def region(stated, **notes):
    return {"shape_attributes": stated, "region_attributes": notes}


def annotations(regions, name="a.png"):
    return {f"{name}123": {"filename": name, "size": 123, "regions": regions}}


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "images"
    (folder / "lot").mkdir(parents=True)
    for name in ("a.png", "lot/b.tif"):
        Image.fromarray(np.zeros((8, 9), np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def read_document(tmp_path, folder):
    def read(content, **options):
        path = tmp_path / "via.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return via.parse(read_json(path), path, **{"images": folder, **options})

    return read


def test_every_shape_is_read(read_document):
    shapes = [CIRCLE, RECT, ELLIPSE, POINT, POLYGON, POLYLINE]
    (image,) = read_document(annotations([region(shape) for shape in shapes]))
    assert (image.name, image.width, image.height) == ("a.png", 9, 8)
    circle, rect, ellipse, point, polygon, polyline = image.shapes
    assert (circle.kind, circle.points.tolist()) == ("ellipse", [[6.5, 5], [3, 3]])
    assert (rect.kind, rect.points.tolist()) == ("box", [[2, 1], [6.5, 4]])
    assert (ellipse.kind, ellipse.points.tolist()) == ("ellipse", [[6, 5], [2, 4]])
    assert ellipse.rotation == pytest.approx(30)
    assert (point.kind, point.points.tolist()) == ("points", [[6, 5]])
    assert (polygon.kind, polygon.points.tolist()) == ("polygon", [[2, 1], [2, 5], [8, 3]])
    assert polyline.kind == "polyline"
    assert {shape.label for shape in image.shapes} == {"object"}


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("numbered", [False, True])
def test_projects_and_numbered_regions_are_read(read_document, project, numbered):
    regions = [region(CIRCLE), region(RECT)]
    regions = {str(k): item for k, item in enumerate(regions)} if numbered else regions
    content = {**annotations(regions), **annotations([], name="lot/b.tif")}
    first, second = read_document({"_via_img_metadata": content} if project else content)
    assert [shape.kind for shape in first.shapes] == ["ellipse", "box"]
    assert (second.name, second.width, second.height, second.shapes) == ("lot/b.tif", 9, 8, ())


@pytest.mark.parametrize(
    ("notes", "label", "rest"),
    [
        ({"defect": "void"}, "void", {}),
        ({"note": "x", "Class": " void "}, "void", {"note": "x"}),
        ({"type": "x", "label": "void"}, "void", {"type": "x"}),
        ({"note": "x", "other": "y"}, "object", {"note": "x", "other": "y"}),
        ({"defect": {"void": True, "loop": False}}, "void", {}),
        ({"defect": ""}, "object", {}),
    ],
)
def test_class_attribute_is_found(read_document, notes, label, rest):
    (image,) = read_document(annotations([region(CIRCLE, **notes)]))
    assert image.shapes[0].label == label
    assert dict(image.shapes[0].attributes) == rest
    assert image.classes == (label,)


BAD_REGIONS = {
    "kind": ({"name": "star"}, "must be one of .*'circle'.*Received: name='star'"),
    "list": ({"name": ["circle"]}, r"must be one of .*Received: name=\['circle'\]"),
    "radius": ({**CIRCLE, "r": "x"}, "r must be a number. Received: r='x'"),
    "bool": ({**CIRCLE, "cx": True}, "cx must be a number"),
    "absent": ({"name": "rect", "x": 1, "y": 2}, "height must be a number.*None"),
    "negative": ({**CIRCLE, "r": -3}, "radii must not be negative. Received: rx=-3.0"),
    "nan": ({**RECT, "x": float("nan")}, "must be finite"),
    "theta": ({**ELLIPSE, "theta": float("inf")}, "must be finite"),
    "uneven": ({**POLYGON, "all_points_x": [1, 2]}, "equally long lists"),
    "words": ({**POLYGON, "all_points_x": ["a", "b", "c"]}, "equally long lists"),
    "none": ({"name": "polygon"}, "equally long lists.*None"),
}


@pytest.mark.parametrize("case", BAD_REGIONS)
def test_malformed_region_names_file_image_and_region(read_document, case):
    stated, message = BAD_REGIONS[case]
    with pytest.raises(ValueError, match=f"via.json, image 'a.png', region 2: .*{message}"):
        read_document(annotations([region(CIRCLE), region(stated)]))


def test_what_cannot_be_read_is_left_out_where_there_is_a_list_for_it(folder):
    regions = [region(CIRCLE, name="p"), region({**RECT, "width": 10**400}), region(RECT)]
    content = {
        **annotations(regions),
        **annotations([], name="gone.png"),
        **annotations(3, name="lot/b.tif"),
    }
    said = []
    (image,) = via.parse(content, folder / "via.json", images=folder, said=said)
    assert [shape.label for shape in image.shapes] == ["p", "object"]
    assert [(one.level, one.image) for one in said] == [
        ("error", "a.png"),
        ("error", "gone.png"),
        ("error", "lot/b.tif"),
        ("warning", ""),
    ]
    assert "region 2 was left out: width must be below 1e+12. Received: width=1000" in said[0].text
    assert "name='gone.png', which is not in" in said[1].text
    assert "1 regions without 'name', which names the class, became the class" in said[3].text


def test_regions_of_another_type_are_refused(read_document):
    with pytest.raises(ValueError, match=r"image 'a.png': regions must be a list.*Received: int"):
        read_document(annotations(3))
    with pytest.raises(
        ValueError, match=r"image 'a.png', region 1: a region must have an object 'region_a"
    ):
        read_document(annotations([{"shape_attributes": CIRCLE}]))


def test_other_json_is_refused(read_document):
    with pytest.raises(ValueError, match=r"via.json: the file must be complete JSON"):
        read_document('{"a": ')
    for content in ({}, [], {"a": 1}, {"images": []}):
        with pytest.raises(ValueError, match=r"via.json: a VIA file must have 'filename'"):
            read_document(content)


def test_without_images_it_says_what_to_pass(read_document):
    with pytest.raises(ValueError, match=r"states no image sizes.*Pass the folder.*images=…"):
        read_document(annotations([]), images=None)


def test_absent_image_and_unsafe_name_are_refused(read_document):
    with pytest.raises(ValueError, match=r"name='c.png', which is not in .*images.*Pass"):
        read_document(annotations([], name="c.png"))
    with pytest.raises(ValueError, match=r"image '../via.json': an image name must be a file ins"):
        read_document(annotations([], name="../via.json"))


def test_round_trip(tmp_path, folder):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    shapes = (
        Shape("polygon", "a", points, attributes={"grade": "2"}),
        Shape("polyline", "a", points),
        Shape("ellipse", "b", points[:2], rotation=0.0),
        Shape("box", "b", points[:2]),
        Shape("points", "b", points[:1]),
    )
    image = LabelledImage("lot/b.tif", 9, 8, shapes, ("a", "b"))
    assert via.write(tmp_path / "via.json", [image]) == {}
    assert labels.read(tmp_path / "via.json", images=folder) == [image]


def test_rotated_shapes_cover_the_same_pixels_after_writing(tmp_path, folder):
    box = np.array([[2.0, 1.0], [5.0, 8.0]])
    shapes = (
        Shape("box", "a", box, rotation=20),
        Shape("ellipse", "b", np.array([[4.0, 4.0], [3.5, 2.0]]), rotation=-35),
        Shape("points", "a", box),
        Shape("mask", "a", box, runs=np.array([0, 21])),
        Shape("tag", "a", np.zeros((0, 2))),
    )
    image = LabelledImage("a.png", 9, 8, shapes)
    assert via.write(tmp_path / "via.json", [image]) == {"mask": 1, "tag": 1}
    (back,) = labels.read(tmp_path / "via.json", images=folder)
    assert [shape.kind for shape in back.shapes] == ["polygon", "ellipse", "points", "points"]
    drawn = LabelledImage("a.png", 9, 8, shapes[:2])
    assert np.array_equal(raster.instance_masks(back), raster.instance_masks(drawn))
