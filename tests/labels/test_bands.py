"""Polylines become bands that a network can learn."""

import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo.labels
from temzoo import cli
from temzoo.core.types import LabelledImage, Shape
from temzoo.labels.bands import as_bands
from temzoo.labels.shapes import raster

LINE = Shape("polyline", "line", np.array([[10.0, 5.0], [30.0, 45.0], [12.0, 70.0]]))
BOX = Shape("box", "particle", np.array([[2.0, 2.0], [8.0, 8.0]]))
OUTSIDE = Shape("polyline", "line", np.array([[100.0, 5.0], [100.0, 45.0]]))
IMAGE = LabelledImage("a.tif", 60, 40, (LINE, BOX, OUTSIDE), ("line", "particle"))


def test_a_band_has_the_pixels_of_its_line():
    (banded,) = as_bands([IMAGE], 6.0)
    assert [shape.kind for shape in banded.shapes] == ["mask", "box"]
    classes = ["line", "particle"]
    before = raster.class_map(IMAGE, classes, line_width=6.0)
    assert np.array_equal(raster.class_map(banded, classes), before)
    assert (before == 1).sum() > 200


def test_bands_are_converted_to_a_file_and_read_again(tmp_path):
    temzoo.labels.write(tmp_path / "a.xml", [IMAGE], to="cvat")
    arguments = ["labels", "convert", tmp_path / "a.xml", tmp_path / "b.xml", "--to", "cvat"]
    result = CliRunner().invoke(cli.app, [*map(str, arguments), "--line-width", "6"])
    assert result.exit_code == 0, result.output
    (read,) = temzoo.labels.read(tmp_path / "b.xml")
    (banded,) = as_bands([IMAGE], 6.0)
    assert np.array_equal(raster.class_map(read, ["line", "particle"]), raster.class_map(
        banded, ["line", "particle"]))  # fmt: skip


def test_a_width_that_is_none_is_refused():
    with pytest.raises(ValueError, match=r"line_width must be above 0 pixels\. Received: line_wi"):
        as_bands([IMAGE], 0.0)
