import sys

import pytest
from pages_of_tests import Reader, save_disks
from typer.testing import CliRunner

from temzoo.cli import measuring
from temzoo.cli.common import app

RUNNER = CliRunner()


@pytest.fixture
def folder(tmp_path):
    return save_disks(tmp_path / "p", tmp_path / "i", ["a.png"])


def test_the_command_is_there():
    assert measuring.report in [command.callback for command in app.registered_commands]


def test_report_writes_the_page_and_says_where(folder):
    result = RUNNER.invoke(
        app, ["report", str(folder), "--nm-per-pixel", "0.5", "--title", "Lot 7"]
    )
    assert result.exit_code == 0, result.output
    assert f"report: {folder / 'report.html'}" in result.output.replace("\n", "")
    assert result.output.startswith("micrographs ")  # what the bar counts
    assert "Correct, beside the table, puts particles right by hand" in result.output
    page = Reader(folder / "report.html")
    assert "Lot 7" in page.text
    assert "given by hand for 1 of 1 images: 0.5 nm." in page.text


def test_a_scale_bar_and_pixels_that_are_not_square_are_options_as_in_measure(folder):
    for options, said in (
        (("--scale-bar", "980,100,980,300=50"), "1 of 1 images: 0.25 nm."),
        (("--nm-per-pixel", "0.3,0.4"), "1 of 1 images: 0.3 (rows) × 0.4 (columns) nm."),
    ):
        result = RUNNER.invoke(app, ["report", str(folder), *options])
        assert result.exit_code == 0, result.output
        assert f"given by hand for {said}" in Reader(folder / "report.html").text
    result = RUNNER.invoke(app, ["report", str(folder), "--override-calibration"])
    assert "Received: none. Give --nm-per-pixel or --scale-bar" in str(result.exception)


def test_out_names_the_file(folder, tmp_path):
    target = tmp_path / "new" / "x.html"
    assert RUNNER.invoke(app, ["report", str(folder), "--out", str(target)]).exit_code == 0
    assert target.is_file()
    assert not (folder / "report.html").exists()


def test_the_foot_states_the_command(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/temzoo", "report", "p", "--title", "a b"])
    RUNNER.invoke(app, ["report", str(folder)])
    assert "temzoo report p --title 'a b'" in Reader(folder / "report.html").text


def test_what_is_no_source_is_said(tmp_path):
    result = RUNNER.invoke(app, ["report", str(tmp_path)])
    assert isinstance(result.exception, ValueError)
    assert "holds neither run.json" in str(result.exception)
