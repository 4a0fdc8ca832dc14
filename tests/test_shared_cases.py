"""The small files of ../shared/cases, that went wrong once, and their right values.

    .venv/bin/python -m pytest tests/test_shared_cases.py -v   # right: PASSED; wrong: FAILED

Each kind has tests of its own, which make their inputs.
"""

import numpy as np
import pytest

import temzoo
from temzoo import labels
from temzoo.core.types import IGNORE
from temzoo.data.splits import read_groups, read_names
from temzoo.labels.shapes.raster import ignored_pixels, instance_map
from temzoo.measurement.instance_map import load_instance_map
from temzoo.micrographs import count_frames, load_micrograph
from temzoo.zoo import pretrained

pytestmark = pytest.mark.shared


@pytest.fixture
def cases(shared):
    return shared / "cases"


def objects(path, images=None, **how):
    found = labels.read(path, images=images, **how)
    return sum(instance_map(one).max() for one in found), {
        shape.label for one in found for shape in one.shapes if shape.label != IGNORE
    }


@pytest.mark.parametrize(
    ("name", "how", "count", "classes"),
    [
        ("cvat_folder", {}, 9, {"p"}),
        ("mask_antialiased", {"values": "binary"}, 9, None),
        ("mask_inst8_few", {}, 9, None),
        ("mask_16bit_65535", {}, 9, None),
        ("mask_voc_void", {"values": "classes"}, 9, None),
        ("segmask11_rgb", {}, 9, None),
    ],
)
def test_label_folders_hold_nine_objects(cases, name, how, count, classes):
    found, names = objects(cases / "labels" / name, **how)
    assert found == count
    assert len(names) == 1
    assert classes in (None, names)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mask_antialiased", "alias"),
        ("micro", "grey levels"),
        ("mask_48_of_480_rows", "m.png"),
        ("masks_damaged_zlib", "m.tif"),
        ("classes_latin1", "classes.txt, line"),
    ],
)
def test_what_cannot_be_read_as_labels_is_refused_by_name(cases, name, says):
    with pytest.raises(ValueError, match=says):
        labels.read(cases / "labels" / name, images=cases / "labels" / "micro")


@pytest.mark.parametrize("read", [read_names, read_groups])
def test_tables_in_latin_1_are_refused_with_the_line(cases, read):
    name = "names_latin1.csv" if read is read_names else "groups_latin1.csv"
    with pytest.raises(ValueError, match=rf"{name}.*line \d|line \d.*{name}"):
        read(cases / "labels" / name)


def test_void_borders_weigh_nothing(cases):
    (found,) = labels.read(cases / "labels" / "mask_voc_void", values="classes")
    assert ignored_pixels(found).any()


def test_a_polygon_and_its_own_box_are_one(cases):
    (found,) = labels.read(cases / "labels" / "cvat" / "polygon_and_its_box.xml")
    assert np.count_nonzero(instance_map(found)) == 50


def test_points_are_nothing_to_learn_masks_from(cases):
    found = labels.read(cases / "labels" / "cvat" / "points_only.xml")
    assert "nothing to learn masks from" in labels.nothing_to_learn(found)


@pytest.mark.parametrize("name", ["ok", "two_point_polygon", "empty_polygon", "orphan_ann"])
def test_one_bad_entry_does_not_lose_a_coco_file(cases, name):
    said = []
    found = labels.read(cases / "labels" / "coco" / f"{name}.json", said=said)
    assert sum(len(one.shapes) for one in found) >= 1
    assert any(one.level == "error" for one in said) is (name != "ok")


@pytest.mark.parametrize("name", ["coco_large_integer.json", "via_large_integer.json"])
def test_integers_that_no_image_has_are_named_as_errors(cases, name):
    said = []
    labels.read(cases / "labels" / name, images=cases / "labels" / "micro", said=said)
    assert [one.level for one in said] == ["error"]


@pytest.mark.parametrize("name", ["string_ids", "no_ann_id", "no_size", "nested_pairs"])
def test_unusual_coco_files_are_read(cases, name):
    path = cases / "labels" / "coco" / f"{name}.json"
    assert sum(len(one.shapes) for one in labels.read(path, images=cases / "labels" / "micro"))


@pytest.mark.parametrize(
    "name", ["labelme", "via3.json", "via_extra_image.json", "datumaro.json", "via.csv"]
)
def test_other_programs_labels_are_read(cases, name):
    found, _ = objects(cases / "labels" / name, images=cases / "labels" / "micro")
    assert found >= 1


def test_datumaro_and_via_csv_hold_the_shapes_that_were_drawn(cases):
    (found,) = labels.read(cases / "labels" / "datumaro.json")
    assert (found.name, found.width, found.height, found.classes) == ("a.png", 128, 128, ("p",))
    assert found.shapes[0].points.tolist() == [[10, 10], [10, 40], [40, 40]]
    (found,) = labels.read(cases / "labels" / "via.csv", images=cases / "labels" / "micro")
    assert found.shapes[0].points.tolist() == [[24, 24], [14, 14]]


def test_a_task_of_label_studio_with_nothing_in_it_is_an_image_without_shapes(cases):
    path = cases / "labels" / "labelstudio_native.json"
    (found,) = labels.read(path, images=cases / "labels" / "micro")
    assert (found.name, found.shapes) == ("a.png", ())


def test_a_card_that_is_a_list_is_refused(cases):
    with pytest.raises(ValueError, match=r"best\.json"):
        pretrained.find_trained(cases / "labels" / "card_is_a_list")


@pytest.mark.parametrize(
    ("name", "nm", "least", "most"),
    [
        ("imod_bytes_unsigned.mrc", None, 0, 255),
        ("imod_bytes_signed.mrc", None, -128, 127),
        ("stamp_no_map_zero_stamp.mrc", 0.5, 0, 250),
        ("stamp_serialem_old.mrc", 0.5, 0, 250),
        ("stamp_zero_stamp.mrc", 0.5, 0, 250),
        ("no_map.mrc", 0.5, 0, 254),
        ("stamp_old.mrc", 1.0, 0, 63),
        ("tilt.st", None, None, None),
        ("stack.ali", None, None, None),
        ("pyramid_pages.tif", 5.0, None, None),
        ("sis_two_pages.tif", 0.024, None, None),
        ("ome_nm.ome.tif", 5.0, None, None),
        ("n_m.emd", 0.5, None, None),
        ("jeol.tif", 5.0, None, None),
        ("hitachi.tif", 9.92, None, None),
        ("tescan.tif", 5.0, None, None),
        ("zeiss_screen_only.tif", 5.0, None, None),
    ],
)
def test_micrographs_have_their_pixels_and_nanometres(cases, name, nm, least, most):
    found = load_micrograph(cases / "micrographs" / name)
    if nm is not None:
        assert found.nm_per_pixel == pytest.approx((nm, nm), rel=0.01)
    if least is not None:
        assert (found.pixels.min(), found.pixels.max()) == (least, most)


def test_pages_that_are_no_image_are_no_frames(cases):
    folder = cases / "micrographs"
    assert count_frames(folder / "pyramid_pages.tif") == 1
    assert count_frames(folder / "sis_two_pages.tif") == 1
    assert load_micrograph(folder / "sis_two_pages.tif").pixels.dtype == np.uint16


def test_axes_that_ncempy_names_keep_their_place(cases):
    found = load_micrograph(cases / "micrographs" / "ncempy_axes.emd")
    assert found.pixels.shape == (48, 64)
    assert found.nm_per_pixel == pytest.approx((0.25, 0.5))


@pytest.mark.parametrize(
    "name",
    [
        "tiff_fewer_strips_than_header.tif",
        "png_48_of_480_rows.png",
        "jpeg_header_larger_than_data.jpg",
    ],
)
def test_pictures_with_less_than_their_header_says_are_refused(cases, name):
    with pytest.raises(ValueError, match=name):
        load_micrograph(cases / "micrographs" / name)


@pytest.mark.parametrize(
    ("name", "areas"),
    [
        ("mask.tif", [25, 25]),
        ("same_pixels_grey_lut.tif", [25, 25]),
        ("labels.tif", [12.5, 25, 25]),
    ],
)
def test_label_images_of_imagej_are_the_stored_numbers(cases, name, areas):
    folder = cases / "measure" / "imagej-mask-inverting-lut"
    table = temzoo.measure(load_instance_map(folder / name))
    assert sorted(table["area_nm2"]) == pytest.approx(areas)


def test_a_stack_of_label_images_is_refused(cases):
    with pytest.raises(ValueError, match=r"labels\.tif.*stack of 2"):
        load_instance_map(cases / "measure" / "label-stack" / "labels.tif")


@pytest.mark.parametrize(
    ("name", "perimeter"), [("one_to_one", 400), ("two_to_one", 200), ("four_to_one", 400)]
)
def test_squares_of_oblong_pixels_have_their_perimeter(cases, name, perimeter):
    path = cases / "measure" / "square-of-oblong-pixels" / f"{name}.tif"
    (found,) = temzoo.measure(load_instance_map(path))["perimeter_nm"]
    assert found == pytest.approx(perimeter, rel=0.02)
