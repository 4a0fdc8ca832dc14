"""``temzoo label-next``."""

import csv

import cv2
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.types import LabelledImage
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.zoo import pretrained

RUNNER = CliRunner()


def call(*arguments):
    result = RUNNER.invoke(cli.app, ["label-next", *map(str, arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run folder with the weights of a small untrained network."""
    folder, config = tmp_path_factory.mktemp("run"), {"filters": 2, "depth": 1, "classes": 2}
    model = temzoo.get_model("unet", compile=False, **config)
    pretrained.save(model, folder / pretrained.BEST)
    card = pretrained.WeightsCard("unet", config, ("particle",))
    pretrained.write_card(folder / pretrained.BEST, card)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data"), n=4, size=96, n_particles=3)


def table(folder):
    with (folder / "label_next.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_it_writes_a_list_and_a_sheet(run, data, tmp_path):
    images, _ = data
    said = call(run, images, "--count", 2, "--out", tmp_path, "--no-flips")
    rows = table(tmp_path)
    assert [row["rank"] for row in rows] == ["1", "2", "", ""]
    assert {row["image"] for row in rows} == {str(path) for path in images.iterdir()}
    assert all(row["disagreement"] == "" for row in rows)
    assert f"  1  uncertainty {float(rows[0]['uncertainty']):.3f}  {rows[0]['image']}" in said
    assert "2 of 4 micrographs" in said
    assert cv2.imread(str(tmp_path / "label_next.png")) is not None


def test_what_has_labels_is_left_out(run, data, tmp_path):
    """An image that is listed without a shape still waits for its labels."""
    images, labels = data
    entries = temzoo.labels.read(labels)
    first, second = entries[0], entries[1]
    some = [first, LabelledImage(second.name, second.width, second.height)]
    temzoo.labels.write(tmp_path / "some.xml", some, to="cvat")
    said = call(run, images, "--labels", tmp_path / "some.xml", "--out", tmp_path)
    names = {row["image"].rsplit("/", 1)[-1] for row in table(tmp_path)}
    assert names == {entry.name for entry in entries[1:]}
    assert "3 of 3 micrographs; 1 left out, which have labels" in said


def test_all_labelled_is_an_error(run, data, tmp_path):
    images, labels = data
    arguments = ["label-next", str(run), str(images), "--labels", str(labels), "--out", "x"]
    found = RUNNER.invoke(cli.app, arguments)
    told = "label-next orders micrographs without labels. Received: 4, which all have labels in"
    assert told in str(found.exception)


def test_unreadable_images_are_named_and_the_rest_is_ordered(run, data, tmp_path):
    images, _ = data
    good = sorted(images.iterdir())
    bad, gone = tmp_path / "bad.tif", tmp_path / "gone.tif"
    bad.write_bytes(good[0].read_bytes()[:30])
    out = tmp_path / "out"
    arguments = ["label-next", run, bad, *good, gone, "--out", out, "--no-flips"]
    found = RUNNER.invoke(cli.app, list(map(str, arguments)))
    assert found.exit_code == 1
    assert "4 of 6 micrographs" in found.output
    assert f"not read: {bad}: cannot be read as" in found.stderr
    assert f"not read: {gone}: there is no such file" in found.stderr
    rows = table(out)
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "", ""]
    assert [(row["image"], row["uncertainty"]) for row in rows[4:]] == [
        (str(bad), ""),
        (str(gone), ""),
    ]
    assert (out / "label_next.png").is_file()


def test_where_no_image_can_be_read_nothing_is_written(run, tmp_path):
    bad = tmp_path / "b.png"
    bad.write_bytes(b"\x89PNG\r\n\x1a\n")
    found = RUNNER.invoke(cli.app, ["label-next", str(run), str(bad), "--out", str(tmp_path / "x")])
    told = "at least one image that can be read. Received: 1, of which none can. The first: "
    assert f"{told}{bad}" in str(found.exception)
    assert not (tmp_path / "x").exists()
