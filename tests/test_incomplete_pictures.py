"""A picture with fewer rows than its header promises is refused, not filled up."""

import io
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from temzoo.labels.formats import masks
from temzoo.measurement import load_instance_map
from temzoo.micrographs import MicrographError, load_micrograph, opening


def _chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(path, width, height, raw, *, depth=8, colour=0, interlaced=0):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)
    parts = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(raw)) + _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


@pytest.mark.parametrize(("depth", "colour"), [(8, 0), (16, 0), (1, 0), (8, 2), (16, 2), (16, 6)])
@pytest.mark.parametrize("rows", [0, 5, 47, 48])
def test_png_of_fewer_rows_than_its_header_says_is_refused(tmp_path, depth, colour, rows):
    row = 1 + -(-64 * depth * {0: 1, 2: 3, 6: 4}[colour] // 8)
    png(tmp_path / "a.png", 64, 48, bytes(row * rows), depth=depth, colour=colour)
    if rows == 48:
        assert load_micrograph(tmp_path / "a.png").pixels.shape[:2] == (48, 64)
    else:
        with pytest.raises(MicrographError, match=rf"a\.png: .*about {rows} of its 48 rows"):
            load_micrograph(tmp_path / "a.png")


@pytest.mark.parametrize("size", [(1, 1), (5, 3), (8, 8), (33, 17)])
def test_interlaced_png_is_whole_with_the_rows_of_its_seven_passes(tmp_path, size):
    width, height = size
    passes = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2)]
    passes += [(0, 1, 2, 2), (1, 0, 2, 1)]
    counts = [
        (len(range(row, height, down)), len(range(col, width, along)))
        for row, col, down, along in passes
    ]
    raw = bytes(sum(rows * (1 + cols) for rows, cols in counts if cols))
    png(tmp_path / "a.png", width, height, raw, interlaced=1)
    assert load_micrograph(tmp_path / "a.png").pixels.shape == (height, width)
    png(tmp_path / "a.png", width, height, raw[:-1], interlaced=1)
    with pytest.raises(MicrographError, match="bytes of pixels and has"):
        load_micrograph(tmp_path / "a.png")


def test_label_images_of_too_few_rows_are_refused_too(tmp_path):
    png(tmp_path / "a.png", 64, 480, bytes(65 * 48))
    for read in (load_instance_map, lambda path: masks.read(path.parent)):
        with pytest.raises(MicrographError, match=r"a\.png: .*about 48 of its 480 rows"):
            read(tmp_path / "a.png")


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("seed", range(3))
def test_jpeg_whose_header_promises_more_rows_is_refused(tmp_path, colour, options, seed):
    shape = (48, 64, 3) if colour else (48, 64)
    pixels = np.random.default_rng(seed).integers(0, 255, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", **options)
    content = bytearray(file.getvalue())
    (tmp_path / "a.jpg").write_bytes(content)
    assert load_micrograph(tmp_path / "a.jpg").pixels.shape == shape
    frame = next(k for k in range(len(content)) if content[k : k + 2] in (b"\xff\xc0", b"\xff\xc2"))
    content[frame + 5 : frame + 7] = struct.pack(">H", 480)
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(MicrographError, match=r"a\.jpg: .*its data end at row \d+ of 480"):
        load_micrograph(tmp_path / "a.jpg")


@pytest.mark.parametrize("colour", [False, True])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("short", [3, 5, 12, 40])
def test_jpeg_that_ends_short_of_its_last_block_is_refused(tmp_path, colour, options, short):
    shape = (48, 64, 3) if colour else (48, 64)
    pixels = np.random.default_rng(short).integers(0, 255, shape, dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95, **options)
    content = file.getvalue()
    assert content.endswith(b"\xff\xd9")
    (tmp_path / "a.jpg").write_bytes(content[: -2 - short] + b"\xff\xd9")
    with pytest.raises(MicrographError, match=r"a\.jpg: .*its data end at row \d+ of 48"):
        load_micrograph(tmp_path / "a.jpg")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 4}])
@pytest.mark.parametrize("height", [48, 50])
def test_jpeg_that_ends_in_the_grey_of_what_is_missing_is_read(tmp_path, options, height):
    pixels = np.full((height, 70), 128, np.uint8)
    pixels[:16] = np.random.default_rng(0).integers(0, 255, (16, 70))
    Image.fromarray(pixels).save(tmp_path / "a.jpg", **options)
    assert (load_micrograph(tmp_path / "a.jpg").pixels[30:] == 128).all()


@pytest.mark.parametrize(
    "layout", [{"rowsperstrip": 8}, {"tile": (16, 16)}, {"rowsperstrip": 8, "compression": "zlib"}]
)
def test_tiff_of_fewer_strips_or_tiles_than_its_header_says_is_refused(tmp_path, layout):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, **layout)
    needed = (64 // 16) * (48 // 16) if "tile" in layout else 64 // 8
    with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
        tiff.pages.first.tags["ImageLength"].overwrite(640)
    with pytest.raises(
        MicrographError, match=rf"{9 * needed} of {10 * needed} strips or tiles are missing"
    ):
        load_micrograph(tmp_path / "a.tif")


def test_tiff_whose_strip_holds_fewer_rows_is_refused(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (64, 48), dtype=np.uint8)
    for compression in ("zlib", None):
        tifffile.imwrite(tmp_path / "a.tif", pixels, compression=compression, rowsperstrip=64)
        with tifffile.TiffFile(tmp_path / "a.tif", mode="r+b") as tiff:
            for tag in ("ImageLength", "RowsPerStrip"):
                tiff.pages.first.tags[tag].overwrite(640)
        with pytest.raises(MicrographError, match=r"a\.tif: cannot be read as TIFF"):
            load_micrograph(tmp_path / "a.tif")


@pytest.mark.parametrize("kind", ["a.jpg", "a.bmp", "none.tif", "zlib.tif", "lzw.tif", "jpeg.tif"])
def test_a_small_file_that_claims_a_large_image_takes_no_memory(tmp_path, kind):
    small, path = np.zeros((8, 8), np.uint8), tmp_path / kind
    if kind.endswith(".tif"):
        compression = {"none": None, "zlib": "tiff_adobe_deflate"}.get(
            path.stem, f"tiff_{path.stem}" if path.stem == "lzw" else path.stem
        )
        Image.fromarray(small).save(path, compression=compression)
        with tifffile.TiffFile(path, mode="r+b") as tiff:
            for tag in ("ImageLength", "ImageWidth", "RowsPerStrip"):
                tiff.pages.first.tags[tag].overwrite(32_000)
    else:
        Image.fromarray(small).save(path)
        content = bytearray(path.read_bytes())
        if kind == "a.jpg":
            frame = content.index(b"\xff\xc0")
            content[frame + 5 : frame + 9] = struct.pack(">HH", 32_000, 32_000)
        else:
            content[18:26] = struct.pack("<ii", 32_000, 32_000)
        path.write_bytes(content)
    with pytest.raises(MicrographError, match=rf"{kind}: .*promises 1,024,000,000 bytes of pix"):
        load_micrograph(path)


@pytest.mark.parametrize("compression", ["zlib", "tiff_lzw", "packbits", "lzma"])
def test_a_strip_that_holds_more_than_the_header_says_takes_no_memory(tmp_path, compression):
    """In a process of its own, whose memory is what it has taken at the most."""
    large, path = np.zeros((2**13, 2**14), np.uint8), tmp_path / "a.tif"
    if compression in ("tiff_lzw", "packbits"):
        Image.fromarray(large).save(path, compression=compression, strip_size=large.size)
    else:
        tifffile.imwrite(path, large, compression=compression, rowsperstrip=len(large))
    del large
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for tag, size in (("ImageLength", 64), ("ImageWidth", 64), ("RowsPerStrip", 64)):
            tiff.pages.first.tags[tag].overwrite(size)
    code = (
        "import cv2, re, sys, tifffile, PIL.TiffImagePlugin\n"
        "from temzoo.micrographs import load_micrograph, tiff_file, whole_picture\n"
        "tiff_file.SPARE = whole_picture.SPARE = 2**20\n"
        # Not getrusage: its figure begins with that of the process that began this one.
        "most = lambda: int(re.search(r'VmHWM:\\s*(\\d+)', open('/proc/self/status').read())[1])\n"
        "before = most()\n"
        "try: load_micrograph(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
        "print((most() - before) // 1024)"
    )
    command = [sys.executable, "-c", code, str(path)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    *words, megabytes = said.splitlines()
    assert int(megabytes) < 60, said
    assert len(words) <= 1


def test_an_image_beyond_the_memory_is_an_error_with_words(tmp_path, monkeypatch):
    def without_memory(path):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((8, 8), np.uint8))
    monkeypatch.setitem(opening.OPENERS, "TIFF", without_memory)
    with pytest.raises(MicrographError, match=r"a\.tif: must fit in memory\. Received: more than"):
        load_micrograph(tmp_path / "a.tif")
