"""Scale bars that are drawn into pictures are read, and nothing else is."""

import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
import tifffile

import temzoo
from temzoo.micrographs import MicrographError, drawn_text
from temzoo.micrographs.drawn_bars import Bar, find_bars
from temzoo.micrographs.drawn_text import Text, length_of, lengths_in
from temzoo.micrographs.scale_bar import pairs_of

try:
    import rapidocr_onnxruntime  # noqa: F401

    HAS_READER = True
except ImportError:
    HAS_READER = False
needs_reader = pytest.mark.skipif(
    not HAS_READER, reason="rapidocr-onnxruntime is absent: pip install temzoo[scalebar]"
)


def field(height=400, width=520, *, level=120, noise=12, seed=0):
    """A field of noise with a few round particles, without text."""
    rng = np.random.default_rng(seed)
    pixels = cv2.GaussianBlur(rng.normal(level, 3 * noise, (height, width)), (0, 0), 1.2)
    for row, col in rng.uniform((60, 60), (height - 170, width - 60), (6, 2)).astype(int):
        cv2.circle(pixels, (int(col), int(row)), 24, level - 60, -1, cv2.LINE_AA)
    return np.clip(pixels, 0, 255).astype(np.uint8)


def write(pixels, text, row, col, value, size=0.8):
    cv2.putText(
        pixels, text, (col, row), cv2.FONT_HERSHEY_SIMPLEX, size, int(value), 2, cv2.LINE_AA
    )


def with_bar(text="200 nm", *, left=300, right=440, row=360, value=255, thick=6, pixels=None):
    pixels = field() if pixels is None else pixels
    pixels[row : row + thick, left:right] = value
    write(pixels, text, row - 14, left, value)
    return pixels


def boxed(text="200 nm"):
    pixels = field()
    pixels[310:385, 280:480] = 255
    return with_bar(text, value=0, pixels=pixels)


def ticked():
    pixels = with_bar(thick=2)
    for col in (299, 439):
        pixels[352:370, col : col + 2] = 255
    return pixels


def outlined():
    pixels = field()
    pixels[357:369, 297:443] = 10
    return with_bar(pixels=pixels)


def broken_by_text():
    pixels = field()
    pixels[340:] = 20
    for first, last in ((240, 300), (400, 460)):
        pixels[364:366, first:last] = 240
    for col in (239, 459):
        pixels[356:374, col : col + 2] = 240
    write(pixels, "5 um", 372, 312, 240)
    return pixels


def ruler(ticks=11):
    pixels = field()
    pixels[350:] = 0
    for k in range(ticks):
        pixels[354:362, 300 + 20 * k : 302 + 20 * k] = 255
    write(pixels, "1.00um", 390, 400, 255, 0.7)
    return pixels


@needs_reader
@pytest.mark.parametrize(
    ("pixels", "nm", "length"),
    [
        (with_bar(value=255), 200, 140),
        (with_bar(value=0), 200, 140),
        (boxed(), 200, 140),
        (ticked(), 200, 140),
        (outlined(), 200, 141.5),
        (broken_by_text(), 5000, 220),
        (ruler(), 1000, 200),
    ],
    ids=["bright", "dark", "boxed", "ticks", "outlined", "broken by its text", "ruler"],
)
def test_bars_of_every_kind_are_read(pixels, nm, length):
    found = temzoo.read_scale_bar(pixels)
    assert found.length_px == pytest.approx(length, abs=1.6)
    assert found.nm_per_pixel == pytest.approx(nm / found.length_px)
    assert 0.7 <= found.confidence <= 1


@needs_reader
@pytest.mark.parametrize(
    ("text", "nm", "shown"),
    [
        ("50 nm", 50, "50 nm"),
        ("500nm", 500, "500 nm"),
        ("0.5 um", 500, "0.5 µm"),
        ("2 um", 2000, "2 µm"),
        ("25 nm", 25, "25 nm"),
    ],
)
def test_units_become_nanometres(text, nm, shown):
    found = temzoo.read_scale_bar(with_bar(text))
    assert found.nm_per_pixel == pytest.approx(nm / 140, rel=0.01)
    assert found.text == shown


@needs_reader
def test_box_holds_bar_and_text_and_half_open_ends():
    top, left, bottom, right = temzoo.read_scale_bar(with_bar()).box
    assert (left, bottom) == pytest.approx((300, 366), abs=8)
    assert 320 <= top <= 332
    assert 400 <= right <= 448


def twice(second):
    """The bar below, and another above it."""
    return with_bar(second, left=40, right=180, row=60, pixels=with_bar())


def rod_near_text():
    pixels = field()
    cv2.ellipse(pixels, (370, 360), (60, 9), 0, 0, 360, 20, -1, cv2.LINE_AA)
    write(pixels, "200 nm", 335, 310, 255)
    return pixels


def cut_off():
    pixels = field()
    pixels[360:366, 400:] = 255
    write(pixels, "200 nm", 346, 400, 255)
    return pixels


NOISE = np.random.default_rng(1).integers(0, 256, (300, 400), np.uint8)


@needs_reader
@pytest.mark.parametrize(
    "pixels",
    [
        with_bar("200"),
        with_bar("nm"),
        with_bar("Sample 3"),
        with_bar("173 nm"),
        twice("500 nm"),
        rod_near_text(),
        cut_off(),
        ruler(10),
        field(),
        NOISE,
        np.zeros((300, 400), np.uint8),
        np.zeros((8, 8), np.uint8),
        np.zeros((1, 700), np.uint8),
    ],
    ids=[
        *("no unit", "no number", "no length", "no round number", "two scales", "a rod", "cut off"),
        *("ten ticks", "no bar", "noise", "blank", "tiny", "one row"),
    ],
)
def test_doubt_is_refused(pixels):
    assert temzoo.read_scale_bar(pixels) is None


@needs_reader
def test_two_bars_that_agree_are_read():
    assert temzoo.read_scale_bar(twice("200 nm")).nm_per_pixel == pytest.approx(200 / 140, rel=0.01)


@needs_reader
@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: np.repeat(pixels[..., None], 3, axis=2),
        lambda pixels: pixels.astype(np.uint16) * 200,
        lambda pixels: pixels.astype(np.float32) / 255 - 3,
        lambda pixels: pixels.astype(np.float64) * 1e6,
    ],
    ids=["colour", "uint16", "float32", "float64"],
)
def test_any_dtype_is_read_alike(change):
    found, plain = temzoo.read_scale_bar(change(with_bar())), temzoo.read_scale_bar(with_bar())
    assert found.nm_per_pixel == pytest.approx(plain.nm_per_pixel, rel=0.005)


@needs_reader
def test_a_file_is_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", with_bar())
    found = temzoo.read_scale_bar(tmp_path / "a.tif")
    assert found == temzoo.read_scale_bar(str(tmp_path / "a.tif"))
    assert found.nm_per_pixel == pytest.approx(200 / 140, rel=0.01)


@needs_reader
def test_a_huge_image_is_read_in_a_smaller_copy_and_in_bounded_time():
    large = cv2.resize(with_bar(), None, fx=12, fy=12, interpolation=cv2.INTER_NEAREST)
    began = time.perf_counter()
    found = temzoo.read_scale_bar(large)
    assert time.perf_counter() - began < 30  # of 30 million pixels, on a busy machine
    assert found.nm_per_pixel == pytest.approx(200 / 140 / 12, rel=0.01)
    assert found.length_px == pytest.approx(140 * 12, rel=0.01)
    assert found.box[2] <= large.shape[0]


@needs_reader
def test_the_slowest_look_is_at_what_looked_like_text_alone(monkeypatch):
    asked = []

    def read(grey, region, zoom):
        asked.append((zoom, region))
        text = {1.0: "mm", 0.6: "", 1.6: "200 nm"}[zoom]
        return [Text(text, 0.99, (330, 300, 350, 380))] if text else []

    monkeypatch.setattr("temzoo.micrographs.scale_bar.read_text", read)
    assert temzoo.read_scale_bar(with_bar()).text == "200 nm"
    assert [zoom for zoom, _ in asked] == [1.0, 0.6, 1.6]
    assert asked[-1][1] == (290, 260, 390, 420)


@needs_reader
def test_text_is_not_read_where_there_is_no_bar(monkeypatch):
    def fail(*_):
        raise AssertionError("text was read")

    monkeypatch.setattr("temzoo.micrographs.scale_bar.read_text", fail)
    assert temzoo.read_scale_bar(field()) is None


@needs_reader
def test_the_scale_bar_that_temzoo_draws_is_read():
    pixels = field(600, 800)
    with_bar("100 nm", left=80, right=280, row=540, pixels=pixels)
    assert temzoo.read_scale_bar(pixels).nm_per_pixel == pytest.approx(0.5, rel=0.01)


def test_bars_are_found_without_reading_text():
    [bar] = find_bars(with_bar("").astype(np.float32))
    assert (bar.left, bar.right) == pytest.approx((300, 440), abs=0.5)
    assert (bar.top, bar.bottom) == (360, 366)


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        ("200 nm", 200, "nm"),
        ("1.00um", 1, "µm"),
        ("0,5 μm", 0.5, "µm"),
        ("1,000 nm", 1000, "nm"),
        ("1OO nm", 100, "nm"),
        ("50 nrn", 50, "nm"),
        ("200nml", 200, "nm"),
        ("5 A", 5, "Å"),
        ("10 Å", 10, "Å"),
        ("500 pm", 500, "pm"),
        ("1 mm", 1, "mm"),
    ],
)
def test_lengths_and_misreadings_of_one_meaning(text, value, unit):
    found = length_of(Text(text, 0.99, (0, 0, 20, 90)))
    assert (found.value, found.unit) == (value, unit)


@pytest.mark.parametrize(
    "text",
    [
        *("10m", "l00 nm", "5O0", "S0 nm", "nm", "200", ".00um", "00 nm", "20.nm", "592 nm"),
        *(
            "11 nm",
            "15.0kV",
            "x25,000",
            "200 nm 3",
            "-5 nm",
            "1 cm",
            "",
            "5 ang",
            "0 nm",
            "3A",
            "5 a",
        ),
    ],
)
def test_what_has_no_one_meaning_is_no_length(text):
    assert length_of(Text(text, 0.99, (0, 0, 20, 90))) is None


def test_picometres_are_micrometres_only_where_they_cannot_be_picometres():
    bar = Bar(60, 66, 0, 100, 255, 1)
    for text, nm_per_pixel in (("1 pm", [10]), ("100 pm", [1000]), ("500 pm", [])):
        length = length_of(Text(text, 0.99, (30, 20, 50, 80)))
        assert [pair.nm_per_pixel for pair in pairs_of([bar], [length])] == nm_per_pixel


def test_doubtful_millimetres_are_no_length():
    assert length_of(Text("1 mm", 0.9, (0, 0, 20, 90))) is None


def test_number_and_unit_beside_each_other_are_one_length():
    number, unit = Text("0.5", 0.9, (10, 0, 30, 40)), Text("μm", 0.8, (11, 48, 31, 80))
    [found] = lengths_in([unit, number])
    assert (found.nm, found.text.score) == (500, 0.8)
    assert found.text.box == (10, 0, 31, 80)
    far = Text("μm", 0.8, (11, 148, 31, 180))
    assert lengths_in([number, far]) == []


def test_without_the_extra_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "rapidocr_onnxruntime", None)
    drawn_text._engine.cache_clear()
    message = r"Scale bars are read by RapidOCR.*`pip install 'temzoo\[scalebar\]'`"
    with pytest.raises(MicrographError, match=message):
        temzoo.read_scale_bar(field())


def test_rapidocr_is_imported_when_text_is_read_and_not_before():
    code = "import sys, temzoo; temzoo.read_scale_bar; print('rapidocr_onnxruntime' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
