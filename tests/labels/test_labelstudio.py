"""Label Studio's tasks: read, written and refused."""

import json

import numpy as np
import pytest
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import labelstudio
from temzoo.labels.formats.brush import brush_bytes, brush_runs
from temzoo.labels.shapes.run_lengths import decode_runs, encode_runs
from temzoo.labels.shapes.windows import outline

POINTS = [[10, 10], [50, 10], [20, 60]]


def region(kind, label="p", **value):
    head = {"id": "x", "type": kind, "original_width": 200, "original_height": 100}
    return head | {"image_rotation": 0, "value": value | {kind: [label]}}


def task(*regions, image="/data/upload/1/0a1b2c3d-a.png", **changes):
    annotation = {"id": 1, "was_cancelled": False, "result": list(regions)}
    return {"id": 1, "data": {"image": image}, "annotations": [annotation], **changes}


def shapes_of(*regions):
    (image,) = labelstudio.parse([task(*regions)], "t.json")
    return image.shapes


def test_every_shape_is_read_in_pixels(tmp_path):
    mask = np.zeros((100, 200), bool)
    mask[20:30, 50:90] = True
    regions = (
        region("polygonlabels", points=POINTS, closed=True),
        region("rectanglelabels", "q", x=10, y=20, width=5, height=10, rotation=0),
        region("ellipselabels", x=50, y=50, radiusX=10, radiusY=5, rotation=30),
        region("keypointlabels", x=25, y=50, width=0.2),
        region("brushlabels", format="rle", rle=brush_bytes(encode_runs(mask))),
        {"type": "choices", "value": {"choices": ["good"]}},
        {"type": "relation", "from_id": "a", "to_id": "b"},
    )
    (tmp_path / "t.json").write_text(json.dumps([task(*regions)]))
    (image,) = labels.read(tmp_path / "t.json")
    assert (image.name, image.width, image.height, image.classes) == ("a.png", 200, 100, ("p", "q"))
    polygon, box, ellipse, points, brush = image.shapes
    assert polygon.points.tolist() == [[10, 20], [10, 100], [60, 40]]
    assert (box.points.tolist(), box.label) == ([[20, 20], [30, 30]], "q")
    assert (ellipse.points.tolist(), ellipse.rotation) == ([[50, 100], [5, 20]], 30)
    assert points.points.tolist() == [[50, 50]]
    assert (brush.points.tolist(), brush.runs.tolist()) == ([[20, 50], [30, 90]], [0, 400])


def test_a_rectangle_turns_about_its_corner_in_pixels():
    (box,) = shapes_of(region("rectanglelabels", x=50, y=20, width=10, height=10, rotation=90))
    corners = sorted(outline(box).round(9).tolist())
    assert corners == [[20, 90], [20, 100], [40, 90], [40, 100]]


def test_labels_may_be_results_of_their_own_or_several():
    plain = {"id": "r", "type": "rectangle", "value": {"x": 1, "y": 1, "width": 9, "height": 9}}
    named = {"id": "r", "type": "labels", "value": {"labels": ["void", "loop"]}}
    first = region("keypointlabels", x=1, y=1)
    _, box = shapes_of(first, plain, named)
    assert (box.kind, box.label, dict(box.attributes)) == ("box", "void", {"other_labels": "loop"})


@pytest.mark.parametrize("seed", range(4))
def test_brushes_of_any_pixels_come_back(seed):
    rng = np.random.default_rng(seed)
    for shape, share in (((7, 5), 0.5), ((40, 60), 0.02), ((300, 400), 0.0), ((1, 1), 1.0)):
        mask = rng.random(shape) < share
        assert np.array_equal(
            decode_runs(brush_runs(brush_bytes(encode_runs(mask)), *shape), *shape), mask
        )


def test_brush_of_samples_one_by_one():
    # Of a 1 x 2 picture: 8 samples, 0 0 0 0 and 0 0 0 9, as one literal block of 8.
    bits = f"{8:032b}{7:05b}" + "".join(f"{w - 1:04b}" for w in (3, 4, 8, 16))
    bits += f"000{7:03b}" + "".join(f"{one:08b}" for one in (0, 0, 0, 0, 0, 0, 0, 9))
    bits += "0" * (-len(bits) % 8)
    stated = [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)]
    assert brush_runs(stated, 1, 2).tolist() == [1, 1]
    with pytest.raises(ValueError, match=r"must be whole. Received: 9 bytes, which end within"):
        brush_runs(stated[:9], 1, 2)


BAD = {
    "list": ([1], "an entry must be an object"),
    "kind": (region("vectorlabels", vertices=[]), "type must be one of"),
    "turned": (region("polygonlabels", points=POINTS) | {"image_rotation": 90}, "as it is stored"),
    "no value": (region("polygonlabels") | {"value": None}, "value must be an object"),
    "no label": (region("polygonlabels", label="", points=POINTS), "must have a label"),
    "number": (region("polygonlabels", label=3, points=POINTS), "polygonlabels must be a text"),
    "two": (region("polygonlabels", points=POINTS[:2]), "at least 3 vertices"),
    "nan": (region("polygonlabels", points=[*POINTS, [float("nan"), 0]]), "must be finite"),
    "far": (region("keypointlabels", x=9e11, y=0), "must be finite"),
    "large": (region("keypointlabels", x=10**400, y=0), "x must be below 1e"),
    "radius": (region("ellipselabels", x=1, y=1, radiusX=-1, radiusY=1), "must not be negative"),
    "missing": (region("rectanglelabels", x=1, y=1, width=1), "height must be a number"),
    "turn": (region("rectanglelabels", x=1, y=1, width=1, height=1, rotation="x"), "rotation must"),
    "bytes": (region("brushlabels", rle=[1, 256]), "numbers from 0 to 255"),
    "samples": (region("brushlabels", rle=[0, 0, 0, 9] * 3), "four samples a pixel"),
    "short": (region("brushlabels", rle=[0, 0]), "end within a block"),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_region_is_named_and_left_out_alone(case):
    bad, message = BAD[case]
    good = region("polygonlabels", points=POINTS)
    content = [task(good, bad, good)]
    with pytest.raises(ValueError, match=f"t.json, task 1, image 'a.png', region 2: .*{message}"):
        labelstudio.parse(content, "t.json")
    said = []
    (image,) = labelstudio.parse(content, "t.json", said=said)
    assert len(image.shapes) == 2
    assert [(one.level, one.image) for one in said] == [("error", "a.png")]


def test_last_labelling_counts_and_unlabelled_tasks_are_left_out():
    one, two = (task(region("keypointlabels", label, x=1, y=1)) for label in "pq")
    (old,), (new,) = one["annotations"], two["annotations"]
    old, new = old | {"updated_at": "2024-01-02T00Z"}, new | {"updated_at": "2024-01-01T00Z"}
    skipped = new | {"was_cancelled": True, "updated_at": "2025"}
    said = []
    tasks = [one | {"annotations": [old, new, skipped]}, one | {"annotations": [skipped]}]
    (image,) = labelstudio.parse(tasks, "t.json", said=said)
    assert image.classes == ("p",)
    assert [(one.level, one.code) for one in said] == [
        ("warning", "several-labellings"),
        ("info", "unlabelled-images"),
    ]


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("/data/upload/1/0a1b2c3d-a.png", "a.png"),
        ("upload/1/0a1b2c3d-a.png", "a.png"),
        ("/data/upload/3/plain-a.png", "plain-a.png"),
        ("/data/local-files/?d=lot%203/a.png", "lot 3/a.png"),
        ("s3://bucket/lot/a.png", "lot/a.png"),
        ("https://lab.org/lot/a%20b.png?key=1", "lot/a b.png"),
        ("a.png", "a.png"),
    ],
)
def test_images_are_named_as_in_their_folder(address, name):
    (image,) = labelstudio.parse([task(region("keypointlabels", x=1, y=1), image=address)], "t")
    assert image.name == name


def test_an_uploaded_name_is_kept_where_the_folder_has_it(tmp_path):
    Image.fromarray(np.zeros((10, 20), np.uint8)).save(tmp_path / "0a1b2c3d-a.png")
    (image,) = labelstudio.parse([task()], "t.json", images=tmp_path)
    assert (image.name, image.width, image.height) == ("0a1b2c3d-a.png", 20, 10)


def test_malformed_tasks_are_left_out_alone():
    good = task(region("keypointlabels", x=1, y=1))
    wide = task(region("keypointlabels", x=1, y=1) | {"original_width": 10**9})
    bad = (1, {"data": []}, good | {"annotations": {}}, good | {"data": {}}, wide, task())
    said = []
    assert len(labelstudio.parse([good, *bad], "t.json", said=said)) == 1
    words = (
        "be an object",
        "data must",
        "annotations must",
        "image must",
        "span at most",
        "no siz",
    )
    for finding, text in zip(said, words, strict=True):
        assert text in finding.text
    with pytest.raises(ValueError, match=r"t.json, task 2: an entry must be an object"):
        labelstudio.parse([good, 1], "t.json")


def test_round_trip(tmp_path):
    points = np.array([[1.25, 2.5], [6.0, 3.0], [2.0, 7.5]])
    shapes = (
        Shape("polygon", "a", points),
        Shape("points", "b", points[:1]),
        Shape("box", "b", np.array([[10.0, 12.0], [20.0, 24.0]]), rotation=20.0),
        Shape("ellipse", "b", np.array([[12.0, 20.0], [6.0, 8.0]]), rotation=-35.0),
        Shape("mask", "a", np.array([[1.0, 2.0], [3.0, 4.0]]), runs=np.array([0, 2, 1, 1])),
    )
    image = LabelledImage("lot/b 1.tif", 64, 48, shapes, ("a", "b"))
    assert labels.write(tmp_path / "t.json", [image], to="labelstudio") == {}
    (back,) = labels.read(tmp_path / "t.json")
    assert (back.name, back.width, back.height, back.classes) == ("lot/b 1.tif", 64, 48, ("a", "b"))
    for one, other in zip(back.shapes, shapes, strict=True):
        assert (one.kind, one.label, one.rotation) == (other.kind, other.label, other.rotation)
        np.testing.assert_allclose(one.points, other.points, atol=1e-9)
    assert back.shapes[-1] == shapes[-1]
    line = LabelledImage("a.png", 9, 9, (Shape("polyline", "a", points),))
    assert labels.write(tmp_path / "t.json", [line], to="labelstudio") == {"polyline": 1}
