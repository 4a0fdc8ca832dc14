"""MRC as programs really write it: bytes of either sign, old stamps, no stamps, many endings."""

import logging
import struct

import numpy as np
import pytest

from temzoo.micrographs import MicrographError, image_size, list_images, load_micrograph

RAMP = np.arange(12 * 64).reshape(12, 64)
IMOD = 1146047817
MODES = {"i1": 0, "u1": 0, "i2": 1, "f4": 2, "u2": 6}


def write(path, pixels, *, order="<", stamp=b"\x44\x44\0\0", word=b"MAP ", imod=(0, 0), **fields):
    """An MRC file of (sections, rows, columns) or one section, 5 ångström a pixel."""
    pixels = np.asarray(pixels)
    shape = pixels.shape if pixels.ndim == 3 else (1, *pixels.shape)
    header = bytearray(1024)

    def put(kind, offset, *values):
        struct.pack_into(f"{order}{len(values)}{kind}", header, offset, *values)

    put("i", 0, *shape[::-1], fields.get("mode", MODES[pixels.dtype.str[1:]]))
    put("i", 28, *shape[::-1])
    put("f", 40, *(5.0 * n for n in shape[::-1]))
    put("i", 64, *fields.get("axes", (1, 2, 3)))
    put("f", 76, *fields.get("limits", (0.0, 0.0)))
    put("i", 92, fields.get("extended", 0))
    put("i", 152, *imod)
    header[208:216] = word.ljust(4, b"\0") + stamp
    path.write_bytes(bytes(header) + pixels.astype(pixels.dtype.newbyteorder(order)).tobytes())
    return path


@pytest.mark.parametrize(
    ("options", "lowest", "why"),
    [
        ({"imod": (IMOD, 0)}, 0, "IMOD's flag"),
        ({"imod": (IMOD, 1)}, -128, "IMOD's flag"),
        ({"imod": (IMOD, 4)}, 0, "IMOD's flag"),  # another of its flags
        ({"limits": (0, 255)}, 0, "minimum 0 and maximum 255"),
        ({"limits": (-128, 127)}, -128, "MRC2014"),
        ({"limits": (0, 0)}, -128, "MRC2014"),
        ({"limits": (0, 255), "imod": (IMOD, 1)}, -128, "IMOD's flag"),
    ],
)
def test_bytes_are_signed_as_imods_flag_or_the_headers_range_says(
    tmp_path, caplog, options, lowest, why
):
    stored = np.arange(256, dtype=np.uint8).reshape(4, 64)
    write(tmp_path / "a.mrc", stored, **options)
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        pixels = load_micrograph(tmp_path / "a.mrc").pixels
    assert np.array_equal(pixels, stored.view(np.int8) if lowest else stored)
    assert (pixels.min(), pixels.max()) == (lowest, lowest + 255)
    assert f"bytes are {lowest} to {lowest + 255}, by " in caplog.text
    assert why in caplog.text


STAMPS = [b"\0\0\0\0", b"\x44   ", b"\x44\0\0\0", b"\x44\x44\0\0", b"\x44\x41\0\0", b"\x11\x11\0\0"]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("stamp", STAMPS)
@pytest.mark.parametrize("word", [b"MAP ", b""])
@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_the_byte_order_is_the_one_that_fits_the_file(tmp_path, caplog, order, stamp, word, dtype):
    write(tmp_path / "a.mrc", RAMP.astype(dtype), order=order, stamp=stamp, word=word)
    with caplog.at_level(logging.INFO, "temzoo.micrographs"):
        loaded = load_micrograph(tmp_path / "a.mrc")
    assert np.array_equal(loaded.pixels, RAMP)
    assert loaded.nm_per_pixel == pytest.approx((0.5, 0.5))
    honest = {b"\x44\x44\0\0": "<", b"\x44\x41\0\0": "<", b"\x11\x11\0\0": ">"}.get(stamp) == order
    assert ("-endian, by its size" in caplog.text) != honest


@pytest.mark.parametrize("suffix", [".mrc", ".mrcs", ".st", ".ali", ".rec", ".map", ".ST"])
@pytest.mark.parametrize("word", [b"MAP ", b""])
def test_an_mrc_file_may_have_any_of_its_names_also_in_a_folder(tmp_path, suffix, word):
    path = write(tmp_path / f"a{suffix}", RAMP.astype("i2"), word=word, stamp=b"\0\0\0\0")
    assert list_images(tmp_path) == [path]
    assert np.array_equal(load_micrograph(path).pixels, RAMP)


def test_other_programs_files_of_these_names_are_no_images_of_a_folder(tmp_path):
    for name in ("script.js.map", "sound.rec", "notes.st"):
        (tmp_path / name).write_text("{" + 2000 * " " + "}")
    assert list_images(tmp_path) == []
    with pytest.raises(MicrographError, match=r"notes\.st: does not begin like"):
        load_micrograph(tmp_path / "notes.st")


def test_without_the_word_a_file_is_no_mrc_unless_it_is_named_so(tmp_path):
    write(tmp_path / "a.tif", RAMP.astype("i2"), word=b"", stamp=b"\0\0\0\0")
    with pytest.raises(MicrographError, match="does not begin like"):
        load_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"extended": 10**9}, r"promises 1,024 \+ 1,000,000,000 bytes of headers and 1,536 of pix"),
        ({"extended": -4}, "promises"),
        ({"mode": 16}, "mode 16 is none of 0, 1, 2, 4, 6, 12, 101"),
    ],
)
def test_a_header_that_the_file_cannot_have_is_refused(tmp_path, options, message):
    write(tmp_path / "a.mrc", RAMP.astype("i2"), **options)
    for read in (load_micrograph, image_size):
        with pytest.raises(MicrographError, match=rf"a\.mrc: cannot be read as MRC.*{message}"):
            read(tmp_path / "a.mrc")


def test_a_file_shorter_than_its_header_is_refused(tmp_path):
    path = write(tmp_path / "a.mrc", RAMP.astype("i2"))
    path.write_bytes(path.read_bytes()[:700])
    for read in (load_micrograph, image_size):
        with pytest.raises(MicrographError, match="its header has 1,024 bytes, and it has 700 in"):
            read(path)


def test_axes_that_were_never_set_are_x_and_y(tmp_path):
    write(tmp_path / "a.mrc", RAMP.astype("i2"), axes=(0, 0, 0), word=b"")
    assert load_micrograph(tmp_path / "a.mrc").nm_per_pixel == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize("columns", [6, 7])
@pytest.mark.parametrize("sections", [1, 3])
def test_half_bytes_are_two_pixels_the_left_one_lower(tmp_path, columns, sections):
    frames = np.random.default_rng(0).integers(0, 16, (sections, 5, columns))
    even = np.pad(frames, ((0, 0), (0, 0), (0, columns % 2)))
    path = write(tmp_path / "a.mrc", (even[..., ::2] + 16 * even[..., 1::2]).astype(np.uint8))
    raw = bytearray(path.read_bytes())
    struct.pack_into("<4i", raw, 0, columns, 5, sections, 101)
    path.write_bytes(bytes(raw))
    assert image_size(path) == (5, columns)
    for k, frame in enumerate(frames):
        pixels = load_micrograph(path, frame=k).pixels
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, frame)
    path.write_bytes(bytes(raw[:-1]))
    with pytest.raises(MicrographError, match=r"a\.mrc: .*it promises"):
        load_micrograph(path)
