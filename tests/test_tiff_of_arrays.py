"""TIFFs as tifffile writes arrays, with its own words in JSON or in pages that are no images."""

import json
import logging

import numpy as np
import pytest
import tifffile

from temzoo.micrographs import MicrographError, count_frames, load_micrograph

PIXELS = np.arange(64 * 96, dtype=np.uint16).reshape(64, 96)


@pytest.mark.parametrize(
    ("unit", "expected"), [("µm", (500, 250)), ("Å", (0.05, 0.025)), ("1/nm", None), ("px", None)]
)
def test_a_unit_beside_the_shape_of_an_array_is_that_of_the_resolution(tmp_path, unit, expected):
    # Nion Swift 16 exports so what ImageJ's ASCII has no letter for, and says inches in the tag.
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, resolution=(4, 2), metadata={"unit": unit})
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.tags[296].value == 2
    assert load_micrograph(path).nm_per_pixel == (expected and pytest.approx(expected))


def test_a_resolution_in_centimetres_goes_before_a_unit_beside_the_shape(tmp_path):
    how = {"resolution": (1e6, 1e6), "resolutionunit": "CENTIMETER"}
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, PIXELS, metadata={"unit": "nm"}, **how)
    assert load_micrograph(path).nm_per_pixel == pytest.approx((10, 10))


@pytest.mark.parametrize(("unit", "expected"), [("Å", (0.2, 0.05)), ("1/Å", None)])
def test_abtem_states_the_sampling_of_each_axis(tmp_path, unit, expected):
    # abTEM 1.0.11, whose resolution tags say 1 of no unit; axes before are those of a series.
    axes = [{"label": "thickness", "units": "Å"}]
    axes += [{"sampling": size, "units": unit} for size in (2.0, 0.5)]
    told = {"axes": {f"axis_{k}": axis for k, axis in enumerate(axes)}, "data_origin": "abTEM_v1"}
    path = tmp_path / "a.tif"
    how = {"resolution": (1, 1), "resolutionunit": "NONE", "metadata": None}
    tifffile.imwrite(path, PIXELS, description=json.dumps(told), **how)
    assert load_micrograph(path).nm_per_pixel == (expected and pytest.approx(expected))


@pytest.mark.parametrize(
    ("channels", "how"), [(1, {"metadata": None}), (1, {"ome": True}), (3, {"imagej": True})]
)
def test_pages_that_are_rows_of_an_image_are_refused(tmp_path, channels, how):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 10, channels), np.uint16), **how)
    with pytest.raises(
        MicrographError, match=r"8 of 10 x \d px, the rows of one image. Save it as"
    ):
        count_frames(tmp_path / "a.tif")


@pytest.mark.parametrize(("planes", "how"), [(3, "its planes are"), (4, "its first 3 planes are")])
def test_planes_that_are_colours_by_the_file_are_said_to_be_read_so(tmp_path, caplog, planes, how):
    stack = np.random.default_rng(0).integers(0, 900, (planes, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", stack, photometric="rgb", planarconfig="separate")
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        pixels = load_micrograph(tmp_path / "a.tif").pixels
    assert np.array_equal(pixels, np.moveaxis(stack[:3], 0, -1))
    assert f"{how} read as red, green and blue" in caplog.text
