"""``temzoo info``: what a file is, in words."""

import logging

import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

from temzoo import cli
from temzoo.micrographs import MicrographError
from temzoo.micrographs.source import LOG

PIXELS = np.arange(12, dtype=np.uint16).reshape(3, 4)


def told(*paths):
    result = CliRunner().invoke(cli.app, ["info", *map(str, paths)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return [line.strip() for line in result.output.splitlines()]


def test_a_stack_with_oblong_pixels(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif",
        np.stack([PIXELS, PIXELS]),
        imagej=True,
        resolution=(4, 2),
        metadata={"unit": "nm"},
    )
    assert told(tmp_path / "a.tif") == [
        str(tmp_path / "a.tif"),
        "format  TIFF",
        "size    3 x 4 px (rows x columns)",
        "values  uint16, from 0 to 11",
        "frames  2, of which this is the first",
        "pixel   0.5 x 0.25 nm (row x column) (TIFF header)",
        "note    pixel size from ImageJ's description",
    ]


def test_what_was_ignored_is_told(tmp_path):
    colours = np.zeros((3, 4, 3), np.uint8)
    dpi = {"resolution": (300, 300), "resolutionunit": "INCH"}
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb", metadata=None, **dpi)
    lines = told(tmp_path / "a.tif")
    assert "size    3 x 4 px (rows x columns), 3 colours" in lines
    assert "pixel   no calibration" in lines
    print_size = "note    the resolution tags: 84,667 nm, a print size, which is no size of a pixel"
    assert print_size in lines


def test_several_files_are_told_of_in_turn_and_the_log_is_as_before(tmp_path):
    for name in ("a.npy", "b.npy"):
        np.save(tmp_path / name, PIXELS)
    before = LOG.level, list(LOG.handlers)
    lines = told(tmp_path / "a.npy", tmp_path / "b.npy")
    assert [line for line in lines if line.endswith(".npy")] == [
        str(tmp_path / "a.npy"),
        str(tmp_path / "b.npy"),
    ]
    assert (LOG.level, list(LOG.handlers)) == before
    assert logging.getLogger("temzoo.micrographs") is LOG


def test_a_file_that_cannot_be_read_is_an_error_that_names_it(tmp_path):
    (tmp_path / "a.tif").write_bytes(b"II*\0")
    result = CliRunner().invoke(cli.app, ["info", str(tmp_path / "a.tif")])
    assert isinstance(result.exception, MicrographError)
    with pytest.raises(MicrographError, match=r"a\.tif: cannot be read as TIFF"):
        raise result.exception
