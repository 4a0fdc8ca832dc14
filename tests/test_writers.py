"""One writer each of PNG, TIFF and CSV: whole or not at all, and read back as they were."""

import csv
import math
import resource

import cv2
import numpy as np
import pytest
import tifffile

from temzoo.core.files import text_of_spreadsheet
from temzoo.core.writers import write_csv, write_png, write_tiff
from temzoo.micrographs import load_micrograph


def rows_of(path):
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_a_table_has_no_formulas_and_nan_is_an_empty_cell(tmp_path):
    row = ["=1+1.tif", 3, 1 / 3, math.nan, None, True]
    write_csv(tmp_path / "a.csv", ["name", "n", "share", "left", "none", "cut"], [row])
    heads, cells = rows_of(tmp_path / "a.csv")
    assert heads[0] == "name"
    assert cells == ["'=1+1.tif", "3", str(1 / 3), "", "", "True"]
    assert text_of_spreadsheet(cells[0]) == row[0]
    write_csv(tmp_path / "a.csv", ["x"], [[1 / 3], [np.float64(2)]], digits=3)
    assert rows_of(tmp_path / "a.csv")[1:] == [["0.333"], ["2"]]


@pytest.mark.parametrize("text", ["a.tif", "=a", "'a", "-1", "@a", ""])
def test_what_the_guard_adds_can_be_taken_away(tmp_path, text):
    write_csv(tmp_path / "a.csv", ["name", "other"], [[text, "x"]])
    assert text_of_spreadsheet(rows_of(tmp_path / "a.csv")[1][0]) == text


def test_a_table_that_breaks_off_leaves_the_old_one(tmp_path):
    write_csv(tmp_path / "a.csv", ["x"], [[1]])

    def rows():
        yield [2]
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more"):
        write_csv(tmp_path / "a.csv", ["x"], rows())
    assert rows_of(tmp_path / "a.csv") == [["x"], ["1"]]
    assert [path.name for path in tmp_path.iterdir()] == ["a.csv"]


def test_a_picture_is_red_green_blue_and_a_map_keeps_its_numbers(tmp_path):
    red = np.zeros((4, 5, 3), np.uint8)
    red[..., 0] = 200
    write_png(tmp_path / "red.png", red)
    np.testing.assert_array_equal(load_micrograph(tmp_path / "red.png").pixels, red)
    write_png(tmp_path / "map.png", np.full((4, 5), 300, np.int32))
    found = cv2.imread(str(tmp_path / "map.png"), cv2.IMREAD_UNCHANGED)
    assert (found.dtype, found.max()) == (np.uint16, 300)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_tiff_carries_rows_and_columns_of_the_calibration(tmp_path, compressed):
    pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    write_tiff(tmp_path / "a.tif", pixels, (0.25, 2.0), compressed=compressed)
    found = load_micrograph(tmp_path / "a.tif")
    assert found.nm_per_pixel == pytest.approx((0.25, 2.0))
    np.testing.assert_array_equal(found.pixels, pixels)
    write_tiff(tmp_path / "a.tif", pixels, (1e-9, 1e-9), compressed=compressed)
    assert load_micrograph(tmp_path / "a.tif").nm_per_pixel is None


def test_pages_are_written_one_below_the_other(tmp_path):
    pages = np.random.default_rng(0).random((3, 4, 5), np.float32)
    write_tiff(tmp_path / "a.tif", pages, (1.0, 1.0), compressed=True)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "a.tif"), pages)


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64)).astype(np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*a.png'"):
            write_png(tmp_path / "a.png", noise)
        with pytest.raises(OSError, match=r"a.tif must be written whole\. Received: .* written"):
            write_tiff(tmp_path / "a.tif", noise)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
