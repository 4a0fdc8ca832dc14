"""Label images of other programs: measured and trained on by the numbers that are stored."""

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

import temzoo
from temzoo.labels.formats import masks
from temzoo.labels.shapes.raster import instance_map
from temzoo.measurement import load_instance_map
from temzoo.micrographs import MicrographError, load_micrograph, load_numbers

NUMBERS = np.zeros((20, 30), np.uint8)
NUMBERS[2:7, 3:8], NUMBERS[2:7, 8:13], NUMBERS[12:17, 20:22] = 1, 2, 3
IMAGEJ = {"imagej": True, "resolution": (2, 2), "metadata": {"unit": "nm"}}


def imagej_with_inverting_lut(path, pixels):
    tifffile.imwrite(path, pixels, **IMAGEJ)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[262].overwrite(0)


def palette(path, pixels):
    image = Image.fromarray(pixels).convert("P")
    image.putdata(pixels.ravel().tolist())
    image.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
    image.save(path)


def lzw_with_inverting_lut(path, pixels):
    Image.fromarray(pixels).save(path, compression="tiff_lzw")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages.first.tags[262].overwrite(0)


WRITERS = {
    "inverting.tif": imagej_with_inverting_lut,
    "palette.png": palette,
    "palette.tif": palette,
    "lzw.tif": lzw_with_inverting_lut,
    "plain.png": lambda path, pixels: Image.fromarray(pixels).save(path),
    "float.tif": lambda path, pixels: tifffile.imwrite(path, pixels.astype(np.float32)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_measuring_and_training_take_the_numbers_that_are_stored(tmp_path, name):
    WRITERS[name](tmp_path / name, NUMBERS)
    assert np.array_equal(load_numbers(tmp_path / name).pixels, NUMBERS)
    table = temzoo.measure(load_instance_map(tmp_path / name), nm_per_pixel=0.5)
    assert table["particle"].tolist() == [1, 2, 3]
    assert table["area_nm2"].tolist() == [6.25, 6.25, 2.5]
    (labelled,) = masks.read(tmp_path, values="instances")
    assert np.array_equal(instance_map(labelled), NUMBERS)


def test_a_mask_of_imagejs_inverting_lut_has_its_particles_and_not_the_background(tmp_path):
    imagej_with_inverting_lut(tmp_path / "mask.tif", np.uint8(255) * (NUMBERS > 1))
    assert load_micrograph(tmp_path / "mask.tif").pixels[0, 0] == 255  # as a picture is shown
    table = temzoo.measure(load_instance_map(tmp_path / "mask.tif"))
    assert table["area_nm2"].tolist() == [6.25, 2.5]
    assert not table["touches_border"].any()
    (labelled,) = masks.read(tmp_path)
    assert len(labelled.shapes) == 2


def test_a_mask_of_one_bit_is_a_mask_whatever_stands_for_black(tmp_path):
    for photometric in ("miniswhite", "minisblack"):
        tifffile.imwrite(tmp_path / "a.tif", NUMBERS > 0, photometric=photometric)
        assert np.array_equal(load_numbers(tmp_path / "a.tif").pixels, NUMBERS > 0)


def test_numbers_of_16_bits_that_others_decode_are_as_stored_too(tmp_path):
    numbers = NUMBERS.astype(np.uint16) * 300
    cv2.imwrite(str(tmp_path / "a.tif"), numbers)  # LZW
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        assert tiff.pages.first.compression == 5
        tiff.pages.first.tags[262].overwrite(0)
    assert np.array_equal(load_numbers(tmp_path / "a.tif").pixels, numbers)
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, ~numbers)


def test_a_stack_of_label_images_is_refused_by_both(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.stack([NUMBERS, NUMBERS]), photometric="minisblack")
    for read in (load_instance_map, load_numbers, lambda path: masks.read(path.parent)):
        with pytest.raises(
            MicrographError, match=r"a\.tif: .*Received: a stack of 2 images\. Save"
        ):
            read(tmp_path / "a.tif")


def test_numbers_are_turned_as_the_micrograph_is(tmp_path):
    Image.fromarray(NUMBERS).save(tmp_path / "a.tif", tiffinfo={274: 6})
    turned = load_micrograph(tmp_path / "a.tif").pixels
    assert turned.shape == (30, 20)
    assert np.array_equal(load_numbers(tmp_path / "a.tif").pixels, turned)


def test_a_jpeg_is_no_label_image(tmp_path):
    Image.fromarray(NUMBERS).save(tmp_path / "a.jpg")
    with pytest.raises(MicrographError, match=r"a\.jpg: .*Received: a JPEG, which blurs them"):
        load_instance_map(tmp_path / "a.jpg")
