"""Files that a server decodes give the pixels that ``load_micrograph`` gives."""

import struct

import cv2
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import temzoo
from temzoo.deploy.exporting.image_files import pixels_of
from temzoo.micrographs import as_channels

WIDTH, HEIGHT = 31, 23


@pytest.fixture(scope="module")
def served():
    """The decoder in a graph, by channels."""
    graphs = {
        channels: tf.function(
            lambda files, channels=channels: pixels_of(files, (None, None, channels)),
            input_signature=[tf.TensorSpec([None], tf.string)],
        )
        for channels in (1, 3)
    }
    return lambda content, channels: graphs[channels](tf.constant([content] * 2)).numpy()[1]


def scene(*shape, dtype="uint8"):
    """Smooth, as JPEG likes it, with some noise."""
    rng, top = np.random.default_rng(1), np.iinfo(dtype).max
    rows, cols, *_ = np.mgrid[: shape[0], : shape[1]]
    smooth = (rows + 2 * cols).reshape(*rows.shape, *[1] * (len(shape) - 2)) / 100
    return (top * (0.8 * smooth + 0.2 * rng.random(shape))).astype(dtype)


GREY, COLOUR = scene(HEIGHT, WIDTH), scene(HEIGHT, WIDTH, 3)


def turned(how):
    exif = Image.Exif()
    exif[0x0110] = "a camera"
    exif[274] = how
    exif[0x0131] = "a program"
    return exif


def of_colours(pixels, entries):
    """With a palette of its own, which is no scale of greys."""
    image = Image.fromarray((pixels.astype(int) * entries // 256).astype("uint8"), "P")
    image.putpalette(np.random.default_rng(2).integers(0, 256, 3 * entries, "uint8").tobytes())
    return image


FILES = {
    "grey.png": (Image.fromarray(GREY), {}),
    "bits.png": (Image.fromarray(GREY > 99), {}),
    "colour.png": (Image.fromarray(COLOUR), {}),
    "alpha.png": (Image.fromarray(np.dstack([COLOUR, GREY])), {}),
    "grey_alpha.png": (Image.fromarray(np.stack([GREY, GREY], -1), "LA"), {}),
    "palette.png": (of_colours(GREY, 9), {}),
    "deep.png": (Image.fromarray(scene(HEIGHT, WIDTH, dtype="uint16")), {}),
    "deep_turned.png": (
        Image.fromarray(scene(HEIGHT, WIDTH, dtype="uint16")),
        {"exif": turned(6)},
    ),
    "grey.jpg": (Image.fromarray(GREY), {"quality": 90}),
    "colour.jpg": (Image.fromarray(COLOUR), {"quality": 90}),
    "subsampled.jpg": (Image.fromarray(COLOUR), {"quality": 60, "subsampling": 2}),
    "progressive.jpg": (Image.fromarray(GREY), {"progressive": True}),
    "commented.jpg": (Image.fromarray(GREY), {"comment": b"Exif", "exif": turned(8)}),
    "inks.jpg": (Image.fromarray(COLOUR).convert("CMYK"), {"quality": 90}),
    "grey.bmp": (Image.fromarray(GREY), {}),
    "colour.bmp": (Image.fromarray(COLOUR), {}),
    "bits.bmp": (Image.fromarray(GREY > 99), {}),
    "palette.bmp": (of_colours(GREY, 200), {}),
    "colour.gif": (Image.fromarray(GREY), {}),
    **{
        f"turned{how}.{kind}": (Image.fromarray(GREY), {"exif": turned(how)})
        for how in range(10)
        for kind in ("png", "jpg")
    },
}


def check(path, served, channels):
    if path.suffix == ".gif":  # which ``load_micrograph`` leaves to others
        with Image.open(path) as image:
            expected = np.array(image.convert("RGB"))
    else:
        expected = temzoo.load_micrograph(path).pixels
    found = served(path.read_bytes(), channels)
    np.testing.assert_array_equal(found, as_channels(expected, channels))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", list(FILES))
def test_files_are_decoded_as_load_micrograph_does(name, channels, tmp_path, served):
    image, how = FILES[name]
    image.save(tmp_path / name, **how)
    check(tmp_path / name, served, channels)


@pytest.mark.parametrize("bits", [1, 4, 8])
@pytest.mark.parametrize("downwards", [True, False])
def test_a_bmp_of_few_bits_has_its_palette(bits, downwards, tmp_path, served):
    rng, stride = np.random.default_rng(3), (WIDTH * bits + 31) // 32 * 4
    height = -HEIGHT if downwards else HEIGHT
    palette, pixels = rng.bytes(4 * 2**bits), rng.bytes(stride * HEIGHT)
    start = 54 + len(palette)
    head = struct.pack("<2sIHHI", b"BM", start + len(pixels), 0, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, WIDTH, height, 1, bits, 0, 0, 0, 0, 0, 0)
    path = tmp_path / "a.bmp"
    path.write_bytes(head + palette + pixels)
    check(path, served, 3)


def test_colours_of_16_bits_keep_them(tmp_path, served):
    path = tmp_path / "a.png"
    cv2.imwrite(str(path), scene(HEIGHT, WIDTH, 3, dtype="uint16"))
    for channels in (1, 3):
        check(path, served, channels)


@pytest.mark.parametrize(("dtype", "name"), [("uint8", "a.png"), ("uint16", "b.png")])
def test_in_unit_the_largest_number_is_one(dtype, name, tmp_path):
    path, pixels = tmp_path / name, scene(HEIGHT, WIDTH, dtype=dtype)
    Image.fromarray(pixels).save(path)
    found = pixels_of(tf.constant([path.read_bytes()]), (None, None, 1), unit=True)[0, ..., 0]
    np.testing.assert_allclose(found, pixels / np.iinfo(dtype).max, atol=1e-6)


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "of 20 bytes": lambda content: content[:20],
    "all 255 behind 20 bytes": lambda content: content[:20] + b"\xff" * 99,
    "all 0 behind 20 bytes": lambda content: content[:20] + b"\0" * 99,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", ["turned6.png", "turned6.jpg", "bits.bmp", "palette.bmp"])
def test_a_damaged_file_is_refused(name, damage, tmp_path, served):
    image, how = FILES[name]
    image.save(tmp_path / name, **how)
    with pytest.raises(tf.errors.InvalidArgumentError):
        served(DAMAGES[damage]((tmp_path / name).read_bytes()), 1)
