"""The page says where the size of a pixel was read, also off a bar in the picture."""

import json

import cv2
import numpy as np
import pytest
from pages_of_tests import Reader, save_disks
from test_page_report import RUN, run, with_weights  # noqa: F401
from test_scale_bars import needs_reader, with_bar

from temzoo.core.types import Prediction
from temzoo.pages import write_report
from temzoo.store import predictions, sidecar


@needs_reader
def test_the_report_of_predictions_reads_the_bar_in_the_picture(tmp_path):
    """Of those that were made where no text could be read; its own bar is no second one there."""
    pixels = with_bar()
    found = np.zeros(pixels.shape[:2], np.int32)
    found[100:130, 100:130] = 1
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    origin = sidecar.Origin(tmp_path / "a.png", "unet", "runs/first", "0" * 64, {}, 1.5)
    one = Prediction(found.astype(np.uint8), found, class_names=("particle",), name="a.png")
    predictions.save(one, tmp_path / "p", origin=origin)
    page = Reader(write_report(tmp_path / "p"))
    assert "1.43 nm per pixel, read from the picture: 200 nm = 140 px" in page.text
    assert "no size of a pixel is known" not in page.text
    assert "stage own-bar" in [about.get("class") for _, about in page.tags]


@needs_reader
def test_the_report_of_a_run_reads_the_bar_in_the_picture(run, tmp_path):  # noqa: F811
    with_weights(run)
    (run / "run.json").write_text(json.dumps({**RUN, "class_names": ["1"]}))
    for name in ("images", "masks"):
        (tmp_path / name).mkdir()
    pixels = with_bar()
    mask = np.zeros(pixels.shape, np.uint8)
    mask[100:130, 100:130] = 1
    cv2.imwrite(str(tmp_path / "images" / "a.png"), pixels)
    cv2.imwrite(str(tmp_path / "masks" / "a.png"), mask)
    page = Reader(write_report(run, images=tmp_path / "images", labels=tmp_path / "masks"))
    assert "1.43 nm per pixel, read from the picture: 200 nm = 140 px" in page.text
    assert "no size of a pixel is known" not in page.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, "0.500 nm per pixel, TIFF header"),
        ({"nm_per_pixel": 2.0}, "0.500 nm per pixel, TIFF header"),
        ({"nm_per_pixel": 2.0, "override_calibration": True}, "2.00 nm per pixel, given by hand"),
    ],
)
def test_the_page_says_where_a_calibration_was_read(tmp_path, given, said):
    folder = save_disks(tmp_path / "found", tmp_path / "in", ["a.png"], nm_per_pixel=(0.5, 0.5))
    [path] = folder.glob("*.prediction.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "calibration": "TIFF header"}))
    assert said in Reader(write_report(folder, **given)).text
