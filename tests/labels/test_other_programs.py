"""Labels for ImageJ and QuPath, and from them; for Cellpose."""

import json
import zipfile

import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo import labels
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.formats import imagej, qupath
from temzoo.labels.losses import losses
from temzoo.labels.shapes.raster import class_map, instance_map
from temzoo.labels.shapes.run_lengths import mask_geometry
from temzoo.labels.shapes.windows import area

NAMES = ("grain", "rod")


def ring_mask():
    mask = np.zeros((9, 9), bool)
    mask[1:8, 1:8] = True
    mask[3:6, 3:6] = False
    points, runs = mask_geometry(mask, 20, 30)
    return Shape("mask", "grain", points, runs=runs)


@pytest.fixture
def image(tmp_path):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    shapes = (
        Shape("box", "grain", np.array([[2.0, 3.0], [10.0, 12.0]])),
        Shape("box", "rod", np.array([[2.0, 20.0], [6.0, 35.0]]), rotation=20.0),
        Shape("ellipse", "rod", np.array([[30.0, 10.0], [5.0, 8.0]])),
        Shape("polygon", "grain", np.array([[12.5, 40.25], [12.5, 50.0], [19.0, 45.5]])),
        ring_mask(),
        Shape("polyline", "rod", np.array([[1.0, 1.0], [5.0, 9.0]])),
        Shape("points", "rod", np.array([[7.0, 8.0]])),
        Shape("tag", "rod", np.zeros((0, 2))),
    )
    return LabelledImage("a.png", 60, 40, shapes, NAMES)


@pytest.mark.parametrize("to", ["imagej", "qupath"])
def test_what_is_written_comes_back_with_the_same_pixels(image, tmp_path, to):
    if to == "imagej":
        pytest.importorskip("roifile")
    assert labels.write(tmp_path / "out", [image], to=to) == {"tag": 1}
    (back,) = labels.read(tmp_path / "out", images=tmp_path)
    np.testing.assert_array_equal(class_map(back, NAMES), class_map(image, NAMES))
    np.testing.assert_array_equal(instance_map(back), instance_map(image))
    assert [s.kind for s in back.shapes if not s.has_area] == ["polyline", "points"]
    (file,) = (tmp_path / "out").iterdir()
    assert labels.read(file, images=tmp_path) == [back]


@pytest.mark.parametrize("to", ["imagej", "qupath", "yolo-seg", "cellpose"])
def test_an_object_in_pieces_stays_one(tmp_path, to):
    if to == "imagej":
        pytest.importorskip("roifile")
    Image.fromarray(np.arange(2400, dtype=np.uint16).reshape(40, 60)).save(tmp_path / "a.png")
    pieces = np.zeros((9, 30), bool)
    pieces[:, :8] = pieces[2:6, 20:] = True
    points, runs = mask_geometry(pieces, 25, 5)
    apart = (np.array([[2.0, 2.0], [9.0, 9.0]]), np.array([[3.0, 20.0], [9.0, 30.5]]))
    lapping = (np.array([[2.0, 40.0], [9.0, 50.0]]), np.array([[5.0, 45.0], [12.0, 55.0]]))
    shapes = [Shape("mask", "grain", points, runs=runs)]
    shapes += [Shape("box", "grain", corners, group_id=1) for corners in apart]
    shapes += [Shape("box", "grain", corners, group_id=2) for corners in lapping]
    image = LabelledImage("a.png", 60, 40, tuple(shapes), ("grain",))
    assert losses([image], to) == []
    labels.write(tmp_path / "out", [image], to=to)
    (back,) = labels.read(tmp_path / "out", images=tmp_path)
    numbers, expected = instance_map(back), instance_map(image)
    assert numbers.max() == expected.max() == 3
    pairs = np.unique(np.stack([numbers.ravel(), expected.ravel()]), axis=1)
    assert len(pairs.T) == 4  # the same pixels, whatever the numbers


def test_regions_are_as_roifile_reads_them(image, tmp_path):
    roifile = pytest.importorskip("roifile")
    labels.write(tmp_path / "out", [image], to="imagej")
    rois = roifile.ImagejRoi.fromfile(tmp_path / "out" / "a.zip")
    kinds = [roi.roitype.name for roi in rois]
    assert kinds == ["RECT", "POLYGON", "OVAL", "POLYGON", "POLYGON", "POLYLINE", "POINT"]
    assert [roi.name for roi in rois[:3]] == ["grain-0001", "rod-0001", "rod-0002"]
    np.testing.assert_array_equal(rois[3].coordinates()[0], [40.25, 12.5])
    assert (rois[0].left, rois[0].top, rois[0].right, rois[0].bottom) == (3, 2, 12, 10)


def test_regions_that_imagej_named_are_objects_and_file_names_lose_roiset(image, tmp_path):
    roifile = pytest.importorskip("roifile")
    ring = [[3.0, 2.0], [12.0, 2.0], [12.0, 10.0], [3.0, 10.0]]
    rois = [roifile.ImagejRoi.frompoints(ring, name=name) for name in ("0006-0007", "Au 12")]
    roifile.roiwrite(tmp_path / "RoiSet_a.zip", rois)
    (back,) = labels.read(tmp_path / "RoiSet_a.zip")
    assert back.name == "a.png"
    assert [shape.label for shape in back.shapes] == ["object", "Au"]


def test_a_region_with_a_hole_is_a_polygon_with_one(image, tmp_path):
    roifile = pytest.importorskip("roifile")
    path = [0, 2, 2, 1, 22, 2, 1, 22, 22, 1, 2, 22, 4]
    path += [0, 8, 8, 1, 8, 16, 1, 16, 16, 1, 16, 8, 4]
    whole = {"left": 2, "top": 2, "right": 22, "bottom": 22}
    roi = roifile.ImagejRoi(
        roitype=roifile.ROI_TYPE.RECT,
        shape_roi_size=len(path),
        multi_coordinates=np.array(path, np.float32),
        name="Au",
        **whole,
    )
    roi.tofile(tmp_path / "a.roi")
    (back,) = labels.read(tmp_path / "a.roi")
    assert class_map(back, ["Au"]).sum() == 20**2 - 8**2


def test_a_damaged_region_is_named_and_the_others_are_read(image, tmp_path):
    roifile = pytest.importorskip("roifile")
    good = roifile.ImagejRoi.frompoints([[1.0, 1.0], [9.0, 1.0], [9.0, 9.0]], name="Au-1")
    line = roifile.ImagejRoi(roitype=roifile.ROI_TYPE.NOROI, name="none")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.roi", good.tobytes())
        archive.writestr("2.roi", b"not a region")
        archive.writestr("3.roi", line.tobytes())
    said = []
    (back,) = labels.read(tmp_path / "a.zip", said=said)
    assert len(back.shapes) == 1
    texts = [one.text for one in said]
    assert "region 2 was left out: a region must be as ImageJ saves it. Received: 12" in texts[0]
    assert "a region must be a rectangle, oval, outline, line or points" in texts[1]


def test_a_zip_of_far_too_much_is_refused_unread(image, tmp_path, monkeypatch):
    pytest.importorskip("roifile")
    monkeypatch.setattr(imagej, "LARGEST_ROI", 10)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.roi", bytes(11))
    said = []
    assert labels.read(tmp_path / "a.zip", said=said) == []
    assert "holds at most 1,000,000 of 10 bytes. Received: 1, of up to 11" in said[0].text


def test_a_damaged_zip_is_named(image, tmp_path):
    pytest.importorskip("roifile")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("1.roi", bytes(300))
    data = bytearray((tmp_path / "a.zip").read_bytes())
    data[50:60] = b"x" * 10  # its checksum is another then
    (tmp_path / "a.zip").write_bytes(data)
    said = []
    labels.read(tmp_path / "a.zip", said=said)
    assert "the zip is damaged" in said[0].text


def test_without_roifile_the_extra_is_named(image, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "roifile", None)
    with pytest.raises(ImportError, match=r"pip install 'temzoo\[imagej\]'"):
        labels.write(tmp_path / "out", [image], to="imagej")


def test_geojson_is_what_qupath_says_it_is(image, tmp_path):
    labels.write(tmp_path / "out", [image], to="qupath")
    document = json.loads((tmp_path / "out" / "a.geojson").read_text())
    first = document["features"][0]
    assert first["properties"]["classification"] == {"name": "grain"}
    assert first["properties"]["objectType"] == "annotation"
    ring = first["geometry"]["coordinates"][0]
    assert ring[0] == ring[-1]
    assert [3.0, 2.0] in ring


def test_holes_of_masks_are_rings_of_their_own(image, tmp_path):
    labels.write(tmp_path / "out", [image], to="qupath")
    document = json.loads((tmp_path / "out" / "a.geojson").read_text())
    outer, hole = document["features"][4]["geometry"]["coordinates"]  # as RFC 7946 has them
    assert outer[0] == outer[-1]
    assert hole[0] == hole[-1]
    assert area(np.array(outer)) == 7**2 - 0.5  # corners are cut by half a pixel
    assert area(np.array(hole)) == 3**2 - 0.5


def test_annotations_of_qupath_may_have_holes_parts_and_no_class(image, tmp_path):
    square = [[2, 2], [22, 2], [22, 22], [2, 22], [2, 2]]
    hole = [[8, 8], [16, 8], [16, 16], [8, 16], [8, 8]]
    other = [[40, 5], [50, 5], [50, 10], [40, 10], [40, 5]]
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "MultiPolygon", "coordinates": [[square, hole], [other]]},
            "properties": {"objectType": "annotation"},
        },
        {"type": "Feature", "geometry": {"type": "Sphere"}, "properties": {}},
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [4, 5]}},
    ]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    said = []
    (back,) = labels.read(tmp_path / "a.geojson", said=said)
    assert class_map(back, ["object"]).sum() == 20**2 - 8**2 + 50
    assert instance_map(back).max() == 1
    assert back.shapes[-1].points.tolist() == [[5.0, 4.0]]
    assert "a geometry must be a Polygon, MultiPolygon, LineString or Point" in said[0].text
    assert not qupath.recognises([])


def stack_of_three(folder):
    tifffile.imwrite(folder / "a.tif", np.zeros((3, 40, 60), np.uint8), imagej=True)


def regions(folder, *places):
    roifile = pytest.importorskip("roifile")
    rois = []
    for number, place in enumerate(places):
        roi = roifile.ImagejRoi.frompoints([[3, 2], [12, 2], [12, 10]], name=f"grain-{number}")
        for key, value in place.items():
            setattr(roi, key, value)
        rois.append(roi)
    roifile.roiwrite(folder / "a.zip", rois, mode="w")
    said = []
    (image,) = labels.read(folder / "a.zip", said=said)
    return len(image.shapes), [one.text for one in said]


def test_texts_that_imagej_draws_over_an_image_are_no_objects(tmp_path):
    roifile = pytest.importorskip("roifile")
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    box = {"roitype": roifile.ROI_TYPE.RECT, "left": 2, "top": 3, "right": 30, "bottom": 12}
    text = {"subtype": roifile.ROI_SUBTYPE.TEXT, "text": "20 nm", "text_size": 9}
    rois = [roifile.ImagejRoi(**box, name="a"), roifile.ImagejRoi(**box, **text, name="b")]
    roifile.roiwrite(tmp_path / "a.zip", rois, mode="w")
    said = []
    (image,) = labels.read(tmp_path / "a.zip", said=said)
    assert len(image.shapes) == 1
    assert "a region must be an object. Received: a text or picture" in said[0].text


@pytest.mark.parametrize("key", ["position", "z_position", "t_position"])
def test_regions_of_other_images_of_a_stack_are_left_out(tmp_path, key):
    stack_of_three(tmp_path)
    count, said = regions(tmp_path, {}, {key: 1}, {key: 2}, {key: 3})
    assert count == 2
    assert "region 3 was left out: shapes must be of one image, here image 1" in said[0]
    assert "Received: one of image 3. Save the images one by one" in said[1]


def test_regions_of_one_image_cut_from_a_stack_keep_their_place(tmp_path):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    assert regions(tmp_path, {"position": 7}, {"position": 7, "c_position": 2}) == (2, [])
    count, said = regions(tmp_path, {"position": 7}, {"position": 8})
    assert (count, len(said)) == (1, 1)


def test_annotations_of_other_planes_of_a_stack_are_left_out(tmp_path):
    stack_of_three(tmp_path)
    ring = [[2, 2], [22, 2], [22, 22], [2, 2]]
    planes = [{}] + [{"plane": {"c": -1, "z": z, "t": t}} for z, t in ((0, 0), (2, 0), (0, 1))]
    geometries = [{"type": "Polygon", "coordinates": [ring], **plane} for plane in planes]
    features = [{"type": "Feature", "geometry": one} for one in geometries]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    said = []
    (image,) = labels.read(tmp_path / "a.geojson", said=said)
    assert len(image.shapes) == 2
    assert ["Received: one of image" in one.text for one in said] == [True, True]


def test_classes_of_qupath_within_others_are_named_as_it_shows_them(tmp_path):
    Image.fromarray(np.zeros((40, 60), np.uint8)).save(tmp_path / "a.png")
    point = {"type": "Point", "coordinates": [4, 5]}
    classes = [{"names": ["grain", "twinned"]}, {"name": "rod", "color": [1, 2, 3]}, "rod"]
    classes += [{"names": "grain"}, {"name": 3}]
    features = [
        {"type": "Feature", "geometry": point, "properties": {"classification": one}}
        for one in classes
    ]
    (tmp_path / "a.geojson").write_text(json.dumps(features))
    said = []
    (image,) = labels.read(tmp_path / "a.geojson", said=said)
    assert [shape.label for shape in image.shapes] == ["grain: twinned", "rod", "rod"]
    assert "classification.names must be a list" in said[0].text
    assert "classification.name must be a text" in said[1].text


def test_cellpose_gets_numbered_masks_and_their_rims(image, tmp_path):
    left_out = labels.write(tmp_path, [image], to="cellpose")
    assert left_out == {"polyline": 1, "points": 1, "tag": 1}
    content = np.load(tmp_path / "a_seg.npy", allow_pickle=True).item()
    numbers = instance_map(image)
    np.testing.assert_array_equal(content["masks"] > 0, numbers > 0)
    assert content["masks"].dtype == np.uint16
    assert content["masks"].max() == 5 == len(content["colors"]) == len(content["ismanual"])
    rim = content["outlines"] > 0
    assert rim[2, 3:12].all()
    assert not rim[3:9, 4:11].any()


def test_objects_that_others_cover_leave_no_gap_in_cellposes_numbers(image, tmp_path):
    covered = (Shape("box", "a", np.array([[2.0, 2.0], [5.0, 5.0]])),) * 2
    one = LabelledImage("b.png", 9, 9, (*covered, Shape("box", "a", np.array([[6, 6], [8, 8.0]]))))
    labels.write(tmp_path, [one], to="cellpose")
    content = np.load(tmp_path / "b_seg.npy", allow_pickle=True).item()
    assert np.unique(content["masks"]).tolist() == [0, 1, 2]
