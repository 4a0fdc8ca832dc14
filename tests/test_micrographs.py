"""Image files become micrographs: pixels as stored, calibrated only where a microscope said so."""

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo import micrographs
from temzoo.micrographs import (
    MicrographError,
    as_channels,
    count_frames,
    image_size,
    iter_frames,
    list_images,
    load_micrograph,
    to_grey,
)


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def _grey(rng, dtype=np.uint8):
    return rng.integers(0, np.iinfo(dtype).max, (24, 31), dtype=dtype, endpoint=True)


def _colour(rng, channels=3, dtype=np.uint8):
    return rng.integers(0, np.iinfo(dtype).max, (24, 31, channels), dtype=dtype, endpoint=True)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF", ".PNG"])
@pytest.mark.parametrize("channels", [0, 3])
def test_load_8_bit_returns_what_was_stored(tmp_path, rng, suffix, channels):
    pixels = _colour(rng) if channels else _grey(rng)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}")
    loaded = load_micrograph(tmp_path / f"a{suffix}")
    assert np.array_equal(loaded.pixels, pixels)
    assert loaded.pixels.dtype == np.uint8
    assert loaded.nm_per_pixel is None
    assert loaded.name == f"a{suffix}"


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg"])
def test_load_jpeg_is_close_to_what_was_stored(tmp_path, suffix):
    rows, cols = np.mgrid[:64, :80]
    pixels = (rows + cols).astype(np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"a{suffix}", quality=95)
    loaded = load_micrograph(tmp_path / f"a{suffix}").pixels
    assert loaded.shape == (64, 80)
    assert np.abs(loaded.astype(int) - pixels).max() <= 3


@pytest.mark.parametrize("channels", [0, 3, 4])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_load_16_bit_keeps_16_bit(tmp_path, rng, suffix, channels):
    pixels = _colour(rng, channels, np.uint16) if channels else _grey(rng, np.uint16)
    order = [2, 1, 0, 3][:channels]
    cv2.imwrite(str(tmp_path / f"a{suffix}"), pixels[..., order] if channels else pixels)
    loaded = load_micrograph(tmp_path / f"a{suffix}").pixels
    assert loaded.dtype == np.uint16
    assert np.array_equal(loaded, pixels[..., :3] if channels else pixels)


def test_load_16_bit_png_of_grey_and_alpha_keeps_the_grey(tmp_path, rng):
    # No writer at hand makes this kind (colour type 4, depth 16), so the chunks are put together.
    pixels = _grey(rng, np.uint16)
    rows = np.stack([pixels, np.full_like(pixels, 40_000)], axis=-1).astype(">u2")
    raw = b"".join(b"\0" + row.tobytes() for row in rows)

    def chunk(name, data):
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", 31, 24, 16, 4, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(raw)), chunk(b"IEND", b""))
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    assert np.array_equal(load_micrograph(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("order", ["<", ">"])
def test_load_tiff_keeps_the_dtype_in_native_order(tmp_path, rng, dtype, order):
    pixels = (100 * rng.random((24, 31))).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=order)
    loaded = load_micrograph(tmp_path / "a.tif").pixels
    assert loaded.dtype == np.dtype(dtype)
    assert loaded.dtype.isnative
    assert np.array_equal(loaded, pixels)


@pytest.mark.parametrize("compression", [None, "tiff_lzw", "packbits", "tiff_adobe_deflate"])
@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "I;16"])
def test_load_tiff_compressed_agrees_with_pillow(tmp_path, rng, compression, mode):
    source = Image.fromarray(_grey(rng, np.uint16)) if mode == "I;16" else (
        Image.fromarray(_colour(rng, 4)).convert("RGB" if mode in "P1" else mode).convert(mode)
    )  # fmt: skip
    source.save(tmp_path / "a.tif", compression=compression)
    expected = {"1": "L", "P": "RGB", "RGBA": "RGB"}.get(mode, mode)
    loaded = load_micrograph(tmp_path / "a.tif").pixels
    assert np.array_equal(loaded, np.asarray(source.convert(expected)))


@pytest.mark.parametrize("suffix", [".png", ".bmp"])
def test_load_palette_becomes_rgb_and_one_bit_becomes_0_and_255(tmp_path, rng, suffix):
    palette = Image.fromarray(_colour(rng)).quantize(16)
    palette.save(tmp_path / f"p{suffix}")
    loaded = load_micrograph(tmp_path / f"p{suffix}").pixels
    assert np.array_equal(loaded, np.asarray(palette.convert("RGB")))
    mask = _grey(rng) > 128
    Image.fromarray(mask).save(tmp_path / f"m{suffix}")
    loaded = load_micrograph(tmp_path / f"m{suffix}").pixels
    assert loaded.dtype == np.uint8
    assert np.array_equal(to_grey(loaded), mask * np.uint8(255))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_load_png_drops_alpha_without_touching_the_colours(tmp_path, rng, mode):
    pixels = _colour(rng, len(mode))
    Image.fromarray(pixels, mode=None).save(tmp_path / "a.png")
    expected = pixels[..., :3] if mode == "RGBA" else pixels[..., 0]
    assert np.array_equal(load_micrograph(tmp_path / "a.png").pixels, expected)


def test_load_jpeg_turned_by_its_exif_tag_is_shown_upright(tmp_path):
    rows, cols = np.mgrid[:32, :64]
    image = Image.fromarray((2 * rows + cols).astype(np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    loaded = load_micrograph(tmp_path / "a.jpg").pixels
    assert loaded.shape == (64, 32)
    assert np.abs(loaded.astype(int) - np.rot90(image, -1).astype(int)).max() <= 3


TURNS = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("compression", [None, "tiff_lzw"])
@pytest.mark.parametrize("channels", [0, 3])
def test_load_tiff_is_turned_by_its_orientation(tmp_path, rng, turn, compression, channels):
    image = Image.fromarray(_colour(rng) if channels else _grey(rng))
    image.save(tmp_path / "a.tif", tiffinfo={274: turn}, compression=compression)
    expected = image if TURNS[turn] is None else image.transpose(TURNS[turn])
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, np.asarray(expected))


def test_load_calibration_is_turned_with_the_tiff(tmp_path, rng):
    tag = (274, "H", 1, 6, True)
    scales = {"resolution": (10, 5), "metadata": {"unit": "nm"}, "extratags": [tag]}
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), imagej=True, **scales)
    loaded = load_micrograph(tmp_path / "a.tif")
    assert loaded.pixels.shape == (31, 24)
    # 10 pixels per nm along the stored rows, which are shown as columns.
    assert loaded.nm_per_pixel == pytest.approx((0.1, 0.2))


def test_load_tiff_white_is_zero_is_turned_to_black_is_zero(tmp_path, rng):
    pixels = _grey(rng)
    tifffile.imwrite(tmp_path / "a.tif", ~pixels, photometric="miniswhite")
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, pixels)


@pytest.mark.parametrize(("dtype", "turned"), [("int16", np.invert), ("float32", np.negative)])
def test_load_tiff_white_is_zero_turns_signed_numbers_and_fractions_too(tmp_path, dtype, turned):
    pixels = np.arange(-8, 8).reshape(4, 4).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="miniswhite")
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, turned(pixels))


def _packed(path, pixels, bits, photometric=1):
    """A TIFF whose pixels have this many bits and lie close together, as cameras write them."""
    (height, width), rows = pixels.shape, []
    for row in pixels.tolist():
        text = "".join(f"{value:0{bits}b}" for value in row)
        text += "0" * (-len(text) % 8)
        rows.append(int(text, 2).to_bytes(len(text) // 8, "big"))
    raw = b"".join(rows)
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric), (273, 122)]
    tags += [(277, 1), (278, height), (279, len(raw))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(tags)) + entries + struct.pack("<I", 0)
    path.write_bytes(head + raw)


@pytest.mark.parametrize("bits", [2, 4, 10, 12, 14])
@pytest.mark.parametrize("photometric", [0, 1])
def test_load_tiff_of_packed_bits_has_the_numbers_of_the_camera(tmp_path, rng, bits, photometric):
    pixels = rng.integers(0, 2**bits, (9, 13))
    pixels[0, :2] = 0, 2**bits - 1
    _packed(
        tmp_path / "a.tif", 2**bits - 1 - pixels if photometric == 0 else pixels, bits, photometric
    )
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, pixels)


def test_load_tiff_of_bits_that_nobody_reads_says_how_to_save_it(tmp_path, rng):
    _packed(tmp_path / "a.tif", rng.integers(0, 64, (9, 13)), 6)
    with pytest.raises(MicrographError, match=r"usual number of bits\. Received: NONE of 6 bits\."):
        load_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize(("mode", "stored", "dtype"), [("L", 2, np.int8), ("I", 1, np.uint32)])
def test_load_tiff_of_lzw_is_signed_or_not_as_it_says(tmp_path, rng, mode, stored, dtype):
    pixels = rng.integers(0, 2 ** (8 * dtype().itemsize), (24, 31)).astype(dtype)
    as_pillow_writes_it = pixels.view(np.uint8 if mode == "L" else np.int32)
    Image.fromarray(as_pillow_writes_it).save(
        tmp_path / "a.tif", compression="tiff_lzw", tiffinfo={339: 1 if mode == "L" else 2}
    )
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["SampleFormat"].overwrite(stored)
    loaded = load_micrograph(tmp_path / "a.tif").pixels
    assert loaded.dtype == dtype
    assert np.array_equal(loaded, pixels)


def test_load_tiff_planes_become_channels(tmp_path, rng):
    pixels = _colour(rng)
    planes = np.ascontiguousarray(np.moveaxis(pixels, -1, 0))
    tifffile.imwrite(tmp_path / "a.tif", planes, photometric="rgb", planarconfig="separate")
    assert np.array_equal(load_micrograph(tmp_path / "a.tif").pixels, pixels)


def test_load_tiff_gives_the_frame_that_is_asked_for(tmp_path, rng):
    frames = rng.integers(0, 255, (3, 20, 30), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", frames, photometric="minisblack")
    Image.fromarray(frames[0]).save(
        tmp_path / "b.tif",
        save_all=True,
        compression="tiff_lzw",
        append_images=[Image.fromarray(frame) for frame in frames[1:]],
    )
    for name in ("a.tif", "b.tif"):
        assert np.array_equal(load_micrograph(tmp_path / name).pixels, frames[0])
        assert np.array_equal(load_micrograph(tmp_path / name, frame=2).pixels, frames[2])
        with pytest.raises(MicrographError, match=r"between 0 and 2.*Received: frame=3"):
            load_micrograph(tmp_path / name, frame=3)


def _imagej_stack_of_one_page(path, frames, *, compression=1, images=None):
    """What ImageJ writes beyond 4 GB: one page with the first frame, the others behind it."""
    count = len(frames) if images is None else images
    text = f"ImageJ=1.54f\nimages={count}\nslices={count}\nunit=nm\n"
    with tifffile.TiffWriter(path, byteorder=">") as tiff:
        tiff.write(frames[0], description=text, resolution=(4, 2), resolutionunit=1, metadata=None)
    with path.open("ab") as file, tifffile.TiffFile(path) as tiff:
        page = tiff.pages.first
        assert tiff.is_imagej
        file.truncate(page.dataoffsets[0] + page.nbytes)
        file.write(b"".join(frame.astype(frame.dtype.newbyteorder(">")) for frame in frames[1:]))
    if compression != 1:
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            tiff.pages.first.tags["Compression"].overwrite(compression)


@pytest.mark.parametrize("shape", [(5, 7), (4, 6, 3)])
def test_load_imagej_stack_of_one_page_has_all_its_frames(tmp_path, rng, shape):
    frames = rng.integers(0, 2**8 if len(shape) > 2 else 2**16, (3, *shape))
    frames = frames.astype(np.uint8 if len(shape) > 2 else np.uint16)
    _imagej_stack_of_one_page(tmp_path / "a.tif", frames)
    assert count_frames(tmp_path / "a.tif") == 3
    for frame, micrograph in enumerate(iter_frames(tmp_path / "a.tif")):
        np.testing.assert_array_equal(micrograph.pixels, frames[frame])
        assert micrograph.pixels.dtype == frames.dtype
        assert micrograph.nm_per_pixel == (0.5, 0.25)
    assert image_size(tmp_path / "a.tif") == shape[:2]
    with pytest.raises(MicrographError, match="must be between 0 and 2"):
        load_micrograph(tmp_path / "a.tif", frame=3)


def test_load_imagej_stack_of_one_page_that_is_cut_short_is_refused(tmp_path, rng):
    frames = rng.integers(0, 2**16, (3, 5, 7)).astype(np.uint16)
    _imagej_stack_of_one_page(tmp_path / "a.tif", frames)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[:-3])
    np.testing.assert_array_equal(load_micrograph(tmp_path / "a.tif", frame=1).pixels, frames[1])
    with pytest.raises(MicrographError, match=r"a\.tif: .*frame 2 ends at byte [\d,]+ of [\d,]+"):
        load_micrograph(tmp_path / "a.tif", frame=2)


def test_load_imagej_stack_of_one_page_that_is_compressed_is_refused(tmp_path, rng):
    frames = rng.integers(0, 2**16, (3, 5, 7)).astype(np.uint16)
    _imagej_stack_of_one_page(tmp_path / "a.tif", frames, compression=8)
    with pytest.raises(MicrographError, match=r"a compressed stack of one page: save its frames"):
        load_micrograph(tmp_path / "a.tif", frame=1)


def test_load_image_that_kept_the_description_of_its_stack_is_one_frame(tmp_path, rng):
    frames = rng.integers(0, 2**16, (1, 5, 7)).astype(np.uint16)
    _imagej_stack_of_one_page(tmp_path / "a.tif", frames, images=9)
    assert count_frames(tmp_path / "a.tif") == 1
    np.testing.assert_array_equal(load_micrograph(tmp_path / "a.tif").pixels, frames[0])


def test_load_png_has_one_frame(tmp_path, rng):
    Image.fromarray(_grey(rng)).save(tmp_path / "a.png")
    with pytest.raises(MicrographError, match=r"has 1 frame\(s\)\. Received: frame=-1"):
        load_micrograph(tmp_path / "a.png", frame=-1)


def test_load_npy_squeezes_drops_alpha_and_makes_native_uint8(tmp_path, rng):
    grey, rgba = _grey(rng), _colour(rng, 4)
    for stored, expected in (
        (grey[..., None], grey),
        (rgba, rgba[..., :3]),
        (grey > 99, (grey > 99) * np.uint8(255)),
        (grey.astype(">f4"), grey.astype(np.float32)),
        (np.asfortranarray(grey), grey),
    ):
        np.save(tmp_path / "a.npy", stored)
        loaded = load_micrograph(tmp_path / "a.npy").pixels
        assert np.array_equal(loaded, expected)
        assert loaded.dtype == expected.dtype
        assert loaded.dtype.isnative
        assert loaded.flags.c_contiguous
        assert loaded.flags.writeable


def test_load_file_named_as_another_format_is_read_as_what_it_is(tmp_path, rng):
    pixels = _grey(rng)
    tifffile.imwrite(tmp_path / "a.png", pixels)
    assert np.array_equal(load_micrograph(tmp_path / "a.png").pixels, pixels)


@pytest.mark.parametrize(
    ("unit", "nm"),
    [("nm", 1), ("micron", 1e3), ("\\u00B5m", 1e3), ("um", 1e3), ("Angstrom", 0.1), ("pm", 1e-3)],
)
def test_load_imagej_calibration_per_axis(tmp_path, rng, unit, nm):
    options = {"imagej": True, "metadata": {"unit": unit}, "resolution": (4.0, 2.0)}
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), **options)
    # 4 pixels per unit along x: a column is a quarter of it.
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel == pytest.approx((nm / 2, nm / 4))


@pytest.mark.parametrize(
    "metadata", [{}, {"unit": "pixel"}, {"unit": "1/nm"}, {"unit": "inch"}, {"unit": ""}]
)
def test_load_imagej_without_a_microscopes_unit_is_uncalibrated(tmp_path, rng, metadata):
    options = {"imagej": True, "metadata": metadata, "resolution": (300.0, 300.0)}
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), **options)
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel is None


@pytest.mark.parametrize("dpi", [72, 96, 300, 600, 4800])
def test_load_dots_per_inch_are_no_calibration(tmp_path, rng, dpi):
    image = Image.fromarray(_grey(rng))
    for suffix in (".png", ".tif", ".jpg", ".bmp"):
        image.save(tmp_path / f"a{suffix}", dpi=(dpi, dpi))
        assert load_micrograph(tmp_path / f"a{suffix}").nm_per_pixel is None


@pytest.mark.parametrize(
    ("unit", "per_unit", "expected"),
    [("CENTIMETER", 1e7 / 5, (5, 5)), ("INCH", 2.54e7 / 12, (12, 12)), ("NONE", 2e6, None)],
)
def test_load_tiff_resolution_finer_than_any_printer_is_a_calibration(
    tmp_path, rng, unit, per_unit, expected
):
    options = {"resolution": (per_unit, per_unit), "resolutionunit": unit}
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), **options)
    loaded = load_micrograph(tmp_path / "a.tif").nm_per_pixel
    assert loaded == (None if expected is None else pytest.approx(expected, rel=1e-4))


def _text_tag(code, text):
    return (code, "s", 0, text, True)


@pytest.mark.parametrize("code", [34680, 34682])
def test_load_fei_calibration(tmp_path, rng, code):
    text = "[User]\r\nUser=x\r\n[Scan]\r\nPixelWidth=1.5e-009\r\nPixelHeight=2.5e-009\r\n"
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), extratags=[_text_tag(code, text)])
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel == pytest.approx((2.5, 1.5))


def test_load_tvips_calibration(tmp_path, rng):
    first = np.zeros(1, dtype=tifffile.TIFF.TVIPS_HEADER_V1)
    second = np.zeros(1, dtype=tifffile.TIFF.TVIPS_HEADER_V2)
    first["Version"], second["Magic"] = 2, 0xAAAAAAAA
    second["PixelSizeX"], second["PixelSizeY"] = 0.75, 1.25  # nm
    header = first.tobytes() + second.tobytes()
    tag = (37706, "B", len(header), header, True)
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), extratags=[tag])
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel == pytest.approx((1.25, 0.75))


def test_load_zeiss_calibration(tmp_path, rng):
    text = "0\r\nAP_IMAGE_PIXEL_SIZE\r\nImage Pixel Size = 2.232 nm\r\n"
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), extratags=[_text_tag(34118, text)])
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel == pytest.approx((2.232, 2.232))


@pytest.mark.parametrize(("unit", "expected"), [("nm", (0.3, 0.2)), ("1/nm", None)])
def test_load_digital_micrograph_calibration(tmp_path, rng, unit, expected):
    tags = [
        _text_tag(65003, unit),
        _text_tag(65004, unit),
        (65009, "d", 1, 0.2, True),
        (65010, "d", 1, 0.3, True),
    ]
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), extratags=tags)
    loaded = load_micrograph(tmp_path / "a.tif").nm_per_pixel
    assert loaded == (None if expected is None else pytest.approx(expected))


def test_load_calibration_by_hand_overrides_the_files(tmp_path, rng):
    options = {"imagej": True, "metadata": {"unit": "nm"}, "resolution": (4.0, 4.0)}
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), **options)
    assert load_micrograph(tmp_path / "a.tif", nm_per_pixel=3).nm_per_pixel == (3.0, 3.0)
    assert load_micrograph(tmp_path / "a.tif", nm_per_pixel=(1, 2)).nm_per_pixel == (1.0, 2.0)


@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), (1, 0), (1, 2, 3)])
def test_load_refuses_an_impossible_calibration(tmp_path, value):
    with pytest.raises(ValueError, match=r"finite and greater than 0\. Received: nm_per_pixel="):
        load_micrograph(tmp_path / "a.tif", nm_per_pixel=value)


def test_load_missing_file_names_the_close_ones(tmp_path, rng):
    Image.fromarray(_grey(rng)).save(tmp_path / "grid_01.png")
    with pytest.raises(FileNotFoundError, match=r"grid_1\.png: .*Did you mean grid_01\.png\?"):
        load_micrograph(tmp_path / "grid_1.png")
    with pytest.raises(FileNotFoundError, match="nor is there a folder"):
        load_micrograph(tmp_path / "nowhere" / "a.png")


def test_load_folder_is_an_error(tmp_path):
    with pytest.raises(MicrographError, match=r"is a folder, not an image\. Use list_images"):
        load_micrograph(tmp_path)


def test_load_unknown_suffix_lists_the_supported(tmp_path):
    (tmp_path / "a.gif").write_bytes(b"GIF89a")
    with pytest.raises(MicrographError, match=r"\.png, \.jpg, .*\.nxs\. Received: '\.gif'"):
        load_micrograph(tmp_path / "a.gif")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>"])
def test_load_file_without_a_known_beginning_is_refused(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MicrographError, match=r"a\.png: does not begin like PNG.*Received: b'"):
        load_micrograph(tmp_path / "a.png")


KINDS = ("a.png", "a.jpg", "a.bmp", "a.tif", "a.npy", "deep.png", "lzw.tif", "deep_lzw.tif")


def _write(kind, path, rng):
    if kind == "deep.png":
        cv2.imwrite(str(path), _colour(rng, 3, np.uint16))
    elif kind == "lzw.tif":
        Image.fromarray(_grey(rng)).save(path, compression="tiff_lzw")
    elif kind == "deep_lzw.tif":
        cv2.imwrite(str(path), _colour(rng, 3, np.uint16))
    elif kind == "a.npy":
        np.save(path, _grey(rng))
    else:
        Image.fromarray(_grey(rng)).save(path)


@pytest.mark.parametrize("kind", KINDS)
def test_load_truncated_file_never_passes_for_an_image(tmp_path, rng, kind):
    path = tmp_path / kind
    _write(kind, path, rng)
    content = path.read_bytes()
    load_micrograph(path)
    for part in (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97):
        path.write_bytes(content[: int(part * len(content))])
        with pytest.raises(MicrographError, match=kind.replace(".", r"\.")):
            load_micrograph(path)


def test_load_tiff_with_a_strip_never_written_is_refused(tmp_path, rng):
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng), compression="zlib", rowsperstrip=4)
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+") as tiff:
        counts = tiff.pages.first.tags["StripByteCounts"]
        counts.overwrite([*counts.value[:2], 0, *counts.value[3:]])
    with pytest.raises(MicrographError, match=r"a\.tif: .*1 of 6 strips or tiles are missing"):
        load_micrograph(tmp_path / "a.tif")


def test_load_damaged_file_names_the_file_and_the_format(tmp_path, rng):
    Image.fromarray(_grey(rng)).save(tmp_path / "a.png")
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[60:90] = bytes(30)
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MicrographError, match=r"a\.png: cannot be read as PNG, it is damaged"):
        load_micrograph(tmp_path / "a.png")


def test_load_16_bit_png_that_only_pillow_takes_is_refused(tmp_path, rng):
    cv2.imwrite(str(tmp_path / "a.png"), _colour(rng, 3, np.uint16))
    content = bytearray((tmp_path / "a.png").read_bytes())
    content[26] = 1  # of the header IHDR: a compression that PNG does not have
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(MicrographError, match=r"a\.png: .*PNG.*\(no 16-bit image inside\)\. Copy"):
        load_micrograph(tmp_path / "a.png")


def test_load_16_bit_tiff_of_damaged_lzw_says_so(tmp_path, rng):
    pixels = rng.integers(0, 60_000, (24, 31), np.uint16)
    Image.fromarray(pixels).save(tmp_path / "a.tif", compression="tiff_lzw")
    raw = bytearray((tmp_path / "a.tif").read_bytes())
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        page = tiff.pages.first
        begin, count = page.dataoffsets[0], page.databytecounts[0]
    raw[begin : begin + count] = bytes(count)
    (tmp_path / "a.tif").write_bytes(raw)
    with pytest.raises(MicrographError, match=r"a\.tif: .*its pixels cannot be decoded"):
        load_micrograph(tmp_path / "a.tif")


def test_load_16_bit_tiff_of_a_compression_that_nobody_reads_says_how_to_save_it(tmp_path, rng):
    jpeg_2000 = 34712
    tifffile.imwrite(tmp_path / "a.tif", _grey(rng, np.uint16))
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["Compression"].overwrite(jpeg_2000)
    message = r"a\.tif: pixels must be uncompressed, .*Received: JPEG2000 of 16 bits\. .*or save it"
    with pytest.raises(MicrographError, match=message):
        load_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.npy"])
def test_load_refuses_more_pixels_than_allowed(tmp_path, rng, kind):
    _write(kind, tmp_path / kind, rng)
    with pytest.raises(MicrographError, match=r"24 x 31 = 744\. .*pass max_pixels=744"):
        load_micrograph(tmp_path / kind, max_pixels=743)
    assert load_micrograph(tmp_path / kind, max_pixels=744).pixels.shape[:2] == (24, 31)


@pytest.fixture
def bomb(tmp_path):
    """A PNG of a few bytes whose header promises 2**18 x 2**17 pixels (height x width)."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 2**17, 2**18, 8, 0, 0, 0, 0)
    content = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk
    content += struct.pack(">I", zlib.crc32(chunk)) + struct.pack(">I", 0) + b"IDAT"
    (tmp_path / "a.png").write_bytes(content + struct.pack(">I", zlib.crc32(b"IDAT")))
    return tmp_path / "a.png"


def test_load_bomb_is_refused_by_its_header_alone(bomb):
    with pytest.raises(MicrographError, match=r"at most 1,073,741,824 pixels"):
        load_micrograph(bomb)


def test_image_size_reads_no_more_than_the_header(bomb):
    assert image_size(bomb) == (2**18, 2**17)


@pytest.mark.parametrize("kind", KINDS)
def test_image_size_is_that_of_the_loaded_pixels(tmp_path, rng, kind):
    _write(kind, tmp_path / kind, rng)
    assert image_size(tmp_path / kind) == load_micrograph(tmp_path / kind).pixels.shape[:2]


@pytest.mark.parametrize("turn", TURNS)
@pytest.mark.parametrize("kind", ["a.png", "a.jpg", "a.tif", "lzw.tif"])
def test_image_size_follows_the_orientation_as_loading_does(tmp_path, rng, kind, turn):
    exif = Image.Exif()
    exif[0x0112] = turn
    compression = {"compression": "tiff_lzw"} if kind == "lzw.tif" else {}
    Image.fromarray(_grey(rng)).save(tmp_path / kind, exif=exif, **compression)
    assert image_size(tmp_path / kind) == load_micrograph(tmp_path / kind).pixels.shape[:2]


def test_image_size_of_what_cannot_be_loaded_is_refused(tmp_path, rng):
    with pytest.raises(FileNotFoundError, match=r"a\.png: there is no such file"):
        image_size(tmp_path / "a.png")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\0" * 20)
    with pytest.raises(MicrographError, match=r"a\.png: cannot be read as PNG"):
        image_size(tmp_path / "a.png")
    (tmp_path / "a.tif").write_bytes(b"no image at all")
    with pytest.raises(MicrographError, match=r"a\.tif: does not begin like"):
        image_size(tmp_path / "a.tif")
    np.save(tmp_path / "a.npy", np.zeros(5))
    with pytest.raises(MicrographError, match=r"a\.npy: cannot be read as NumPy"):
        image_size(tmp_path / "a.npy")


def test_load_image_beyond_pillows_own_limit(tmp_path):
    # Pillow warns above 89 million pixels and refuses twice that.
    Image.new("1", (9_500, 9_500)).save(tmp_path / "a.png")
    assert load_micrograph(tmp_path / "a.png").pixels.shape == (9_500, 9_500)


@pytest.mark.parametrize("suffix", [".npy", ".tif"])
def test_load_values_that_are_not_finite_are_counted_and_located(tmp_path, suffix):
    pixels = np.ones((10, 12), dtype=np.float32)
    pixels[3, 7], pixels[5, 1] = np.nan, np.inf
    if suffix == ".npy":
        np.save(tmp_path / "a.npy", pixels)
    else:
        tifffile.imwrite(tmp_path / "a.tif", pixels)
    message = r"Received: 2 NaN or infinite values of 120, the first at row 3, column 7"
    with pytest.raises(MicrographError, match=message):
        load_micrograph(tmp_path / f"a{suffix}")


@pytest.mark.parametrize("dtype", ["complex64", "U3", "datetime64[s]"])
def test_load_refuses_what_is_no_real_number(tmp_path, dtype):
    np.save(tmp_path / "a.npy", np.zeros((4, 4), dtype=dtype))
    with pytest.raises(MicrographError, match=r"must be real numbers\. Received: dtype="):
        load_micrograph(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(5,), (4, 5, 2), (4, 5, 7), (2, 4, 5, 3), (0, 5)])
def test_load_refuses_what_is_no_image(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.uint8))
    message = (
        rf"a\.npy: an image must be \(H, W\).* not empty\. Received: shape={re.escape(f'{shape}')}"
    )
    with pytest.raises(MicrographError, match=message):
        load_micrograph(tmp_path / "a.npy")


def test_load_npy_never_unpickles(tmp_path):
    np.save(tmp_path / "a.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(
        MicrographError, match=r"a\.npy: .*of Python objects, as Cellpose's _seg\.npy"
    ):
        load_micrograph(tmp_path / "a.npy")


def test_list_images_leaves_out_what_cellpose_writes_beside_them(tmp_path, rng):
    np.save(tmp_path / "a.npy", _grey(rng))
    np.save(tmp_path / "a_seg.npy", {"masks": _grey(rng), "filename": "a.npy"}, allow_pickle=True)
    assert [path.name for path in list_images(tmp_path)] == ["a.npy"]


def test_to_grey_is_bt601_luma_in_the_stored_dtype(rng):
    for dtype in (np.uint8, np.uint16):
        pixels = _colour(rng, 3, dtype)
        grey = to_grey(pixels)
        exact = pixels @ np.array([0.299, 0.587, 0.114])
        assert grey.dtype == dtype
        assert np.abs(grey - exact).max() <= 0.5 + 1e-6
    reference = cv2.cvtColor(_colour(np.random.default_rng(3)), cv2.COLOR_RGB2GRAY)
    ours = to_grey(_colour(np.random.default_rng(3)))
    assert np.abs(reference.astype(int) - ours).max() <= 1
    assert to_grey(np.full((2, 2, 3), 0.25, np.float32)).dtype == np.float32


def test_to_grey_of_equal_channels_is_one_of_them_exactly(rng):
    grey = rng.random((9, 9), dtype=np.float32)
    assert np.array_equal(to_grey(np.repeat(grey[..., None], 3, axis=2)), grey)
    assert np.array_equal(to_grey(grey[..., None]), grey)
    assert to_grey(grey) is grey
    white = np.full((2, 2, 3), 65535, np.uint16)
    white[0, 0, 2] = 65534
    assert to_grey(white)[1, 1] == 65535


def test_as_channels_replicates_grey_and_reduces_colour(rng):
    grey, colour = _grey(rng), _colour(rng)
    assert as_channels(grey, 1).shape == (24, 31, 1)
    assert np.array_equal(as_channels(grey, 3), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(as_channels(grey[..., None], 3), np.stack([grey] * 3, axis=-1))
    assert np.array_equal(as_channels(colour, 3), colour)
    assert np.array_equal(as_channels(colour, 1)[..., 0], to_grey(colour))


@pytest.mark.parametrize("channels", [0, 2, 4])
def test_as_channels_refuses_other_counts(rng, channels):
    with pytest.raises(
        ValueError, match=rf"1 \(grey\) or 3 \(colour\)\. Received: channels={channels}"
    ):
        as_channels(_grey(rng), channels)


@pytest.mark.parametrize("shape", [(4,), (4, 4, 2), (4, 4, 5), (1, 4, 4, 3)])
def test_to_grey_refuses_what_is_no_image(shape):
    with pytest.raises(ValueError, match=r"pixels must be \(H, W\).*Received: shape="):
        to_grey(np.zeros(shape))


def test_list_images_is_sorted_recursive_and_skips_hidden_files(tmp_path, rng):
    for name in ("b.png", "a.TIF", "lot/c.jpg", ".hidden.png", ".cache/d.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    found = [path.relative_to(tmp_path).as_posix() for path in list_images(tmp_path)]
    assert found == ["a.TIF", "b.png", "lot/c.jpg"]
    with pytest.raises(NotADirectoryError, match=r"must be a folder of images\. .*a file\. Give"):
        list_images(tmp_path / "b.png")


def test_import_is_light():
    code = (
        "import sys; import temzoo.micrographs;"
        "heavy = {'tensorflow', 'keras', 'cv2', 'scipy', 'PIL', 'tifffile'};"
        "heavy |= {'mrcfile', 'h5py', 'rsciio'};"
        "heavy &= set(sys.modules);"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, cwd=Path(micrographs.__file__).parents[2]
    )


@pytest.mark.shared
def test_load_real_calibrated_tiff_of_digital_micrograph_and_imagej(shared):
    # One image, 0.16867 um per pixel, that two programs saved.
    saved = [
        load_micrograph(shared / "data/microscope" / f"test_loading_image_saved_with_{program}.tif")
        for program in ("DM", "imageJ")
    ]
    for micrograph in saved:
        assert micrograph.nm_per_pixel == pytest.approx((168.6747, 168.6747), rel=1e-5)
        assert micrograph.pixels.shape == (68, 68)
        assert micrograph.pixels.dtype.isnative
    assert np.array_equal(saved[0].pixels, np.rint(saved[1].pixels))


@pytest.mark.shared
def test_load_every_real_png_with_its_pixels_as_opencv_reads_them(shared):
    paths = list_images(shared / "data/loops/images") + list_images(shared / "data/super1")
    assert len(paths) >= 40
    for path in paths:
        loaded = load_micrograph(path)
        expected = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        expected = expected if expected.ndim == 2 else expected[..., 2::-1]
        assert np.array_equal(loaded.pixels, expected)
        assert loaded.nm_per_pixel is None
