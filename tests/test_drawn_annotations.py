"""Info bars, scale bars and panel letters are found as boxes, and particles are not."""

import numpy as np
import pytest
from test_scale_bars import boxed, field, needs_reader, with_bar, write

from temzoo.micrographs.annotations import annotations_drawn_in
from temzoo.micrographs.info_bar import find_info_bar


def with_info_bar(value=0, *, rows=40, top=False, pixels=None):
    pixels = field() if pixels is None else pixels
    strip = slice(rows) if top else slice(-rows, None)
    pixels[strip] = value
    row = 26 if top else pixels.shape[0] - 14
    write(pixels, "15.0kV x30.0k SE WD 7.8mm", row, 20, 255 - value, 0.7)
    return pixels


def with_letter(text="(a)", value=255, *, row=40, col=14):
    pixels = field()
    write(pixels, text, row, col, value, 1.1)
    return pixels


@pytest.mark.parametrize("value", [0, 255, 60])
def test_info_bar_below_is_found_by_its_pixels(value):
    pixels = with_info_bar(value)
    found = annotations_drawn_in(pixels, read_text=False)
    assert found.info_bar == (360, 0, 400, 520)
    assert found.boxes == (found.info_bar,)
    assert (found.scale_bar, found.letters) == (None, ())


def test_info_bar_above_is_found():
    assert find_info_bar(with_info_bar(top=True).astype(np.float32)) == (0, 0, 40, 520)


@pytest.mark.parametrize("size", [(400, 520), (8, 8), (1, 700)])
def test_no_info_bar_in_a_field_a_flat_image_or_a_tiny_one(size):
    for pixels in (np.zeros(size, np.float32), np.full(size, 255, np.float32)):
        assert find_info_bar(pixels) is None
    assert find_info_bar(field().astype(np.float32)) is None


def test_a_strip_without_text_is_no_info_bar():
    pixels = field().astype(np.float32)
    pixels[-40:] = 0
    assert find_info_bar(pixels) is None


def test_mask_is_true_inside_the_boxes_alone():
    found = annotations_drawn_in(with_info_bar(), read_text=False)
    mask = found.mask((400, 520, 3))
    assert mask.shape == (400, 520)
    assert mask[360:].all()
    assert not mask[:360].any()


@needs_reader
@pytest.mark.parametrize(("text", "value"), [("(a)", 255), ("a", 0), ("A)", 255), ("b2", 0)])
def test_panel_letters_are_found(text, value):
    found = annotations_drawn_in(with_letter(text, value))
    [(top, left, bottom, right)] = found.letters
    assert top <= 24
    assert bottom >= 40
    assert left <= 16
    assert 30 <= right <= 110
    clean = np.abs(with_letter(text, value).astype(int) - field()) > 30
    assert not (clean & ~found.mask(clean.shape)).any()


@needs_reader
def test_words_in_a_corner_are_no_panel_letters():
    assert annotations_drawn_in(with_letter("Fe3O4 sample")).letters == ()


@needs_reader
def test_a_unit_that_a_corner_cuts_through_is_no_panel_letter():
    found = annotations_drawn_in(with_bar(left=288, right=388))
    assert found.scale_bar.text == "200 nm"
    assert found.letters == ()


@needs_reader
def test_a_field_of_particles_has_no_annotations():
    assert annotations_drawn_in(field()).boxes == ()


@needs_reader
def test_bar_text_and_label_are_left_out_together():
    found = annotations_drawn_in(boxed())
    [(top, left, bottom, right)] = found.boxes
    assert (top, left, bottom, right) == pytest.approx((310, 280, 385, 480), abs=3)
    plain = annotations_drawn_in(with_bar())
    drawn = np.abs(with_bar().astype(int) - field()) > 30
    assert not (drawn & ~plain.mask(drawn.shape)).any()
