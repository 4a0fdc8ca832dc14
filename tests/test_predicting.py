"""``temzoo predict``: which weights, which files, what is skipped, and what survives a kill."""

import csv
import functools
import importlib.util
import json
import math
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import mrcfile
import numpy as np
import pytest
import tifffile
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.cli import predicting
from temzoo.core import showing
from temzoo.data.synthetic.synthesize import write_dataset
from temzoo.labels.shapes import raster
from temzoo.micrographs import drawn_text, listing
from temzoo.store.predictions import list_predictions, load_prediction
from temzoo.store.sidecar import about
from temzoo.workflows import prediction_job
from temzoo.zoo import pretrained
from temzoo.zoo.built import built

RUNNER = CliRunner()
TRAINED = functools.cache(predicting.trained)


def call(*arguments, status=0):
    result = RUNNER.invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == status, result.output + repr(result.exception)
    return result.output


def refusal(*arguments):
    result = RUNNER.invoke(cli.app, [str(a) for a in arguments])
    assert result.exit_code == 1
    return str(result.exception)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    scene = {"size": 96, "n_particles": 4, "diameter_nm": (6.0, 16.0)}
    return write_dataset(tmp_path_factory.mktemp("data"), n=5, **scene)[0]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A network that is trained enough to have a card; it finds some regions or others."""
    import keras

    keras.utils.set_random_seed(1)
    folder = tmp_path_factory.mktemp("runs") / "first"
    model = temzoo.get_model("unet", filters=4, depth=2)
    path = folder / pretrained.BEST
    pretrained.save(model, path)
    config = dict(built(model).config)
    card = pretrained.WeightsCard("unet", config, class_names=("particle",))
    pretrained.write_card(path, card)
    return folder


@pytest.fixture(autouse=True)
def built_once(monkeypatch):
    """The network of ``run`` takes a second to build; tested is what is done with it."""
    monkeypatch.setattr(predicting, "trained", TRAINED)


def table(folder):
    with (folder / "predictions.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def contents(folder):
    """What a job wrote, without the times in it."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.name.endswith(".prediction.json"):
            told = about(path)
            for key in ("date", "seconds"):
                told.pop(key)
            found[path.name] = told
        elif path.name != "predictions.csv":
            found[path.name] = path.read_bytes()
    return found


def test_each_micrograph_gets_maps_an_overlay_and_a_sidecar(run, images, tmp_path):
    said = call("predict", run, images, "--out", tmp_path, "--probabilities")
    assert said.count("instances,") == 5
    assert "5 of 5 predictions are in" in said
    assert "next: temzoo measure" in said
    assert (tmp_path / "synthetic_0003_overlay.png").is_file()
    assert len(list(tmp_path.iterdir())) == 5 * 5 + 1
    rows = table(tmp_path)
    assert [row["image"] for row in rows] == [f"synthetic_{k:04d}.tif" for k in range(5)]
    found = [load_prediction(path) for path in list_predictions(tmp_path)]
    assert [int(row["instances"]) for row in rows] == [one.instances.max() for one in found]
    shares = [float(row["covered_share"]) for row in rows]
    assert shares == [(one.classes > 0).mean() for one in found]
    assert {row["status"] for row in rows} == {"predicted"}
    assert all(float(row["seconds"]) > 0 for row in rows)
    assert {(row["nm_per_pixel_row"], row["nm_per_pixel_col"]) for row in rows} == {("0.5", "0.5")}
    assert {row["calibration"] for row in rows} == {"TIFF header"}
    assert said.count("of the area; 0.5 nm per pixel (TIFF header)") == 5
    assert about(list_predictions(tmp_path)[0])["calibration"] == "TIFF header"
    call("predict", run, images, "--out", tmp_path, "--probabilities")  # kept, and known still
    assert {row["calibration"] for row in table(tmp_path)} == {"TIFF header"}
    assert {row["nm_per_pixel_col"] for row in table(tmp_path)} == {"0.5"}


def test_an_image_without_a_calibration_says_so(run, tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((40, 50), np.uint8))
    said = call("predict", run, tmp_path / "a.png", "--out", tmp_path / "out")
    assert "of the area; no calibration" in said
    [row] = table(tmp_path / "out")
    assert (row["nm_per_pixel_row"], row["calibration"]) == ("", "")


def test_the_function_writes_what_the_command_writes(run, images, tmp_path, capsys):
    call("predict", run, images, "--out", tmp_path / "command", "--format", "cvat,coco")
    capsys.readouterr()
    done = temzoo.predict_folder(
        str(run), images, tmp_path / "function", formats=["cvat", "coco"], progress=False
    )
    assert capsys.readouterr().out == ""
    assert contents(tmp_path / "function") == contents(tmp_path / "command")
    untimed = [{**row, "seconds": ""} for row in table(tmp_path / "command")]
    assert untimed == [{**row, "seconds": ""} for row in table(tmp_path / "function")]
    assert [row.image for row in done.rows] == [row["image"] for row in untimed]
    assert [str(row.instances) for row in done.rows] == [row["instances"] for row in untimed]
    assert (done.failed, done.earlier) == ((), ())
    assert done.table == tmp_path / "function" / "predictions.csv"
    assert {kind: path.name for kind, path in done.labels.items()} == {
        "cvat": "predictions.xml",
        "coco": "predictions.coco.json",
    }
    # What one finished, the other keeps.
    assert "skipping 5" in call("predict", run, images, "--out", tmp_path / "function")
    again = temzoo.predict_folder(run, images, tmp_path / "command", progress=False)
    assert {row.status for row in again.rows} == {"kept"}


def test_a_model_that_is_given_predicts_every_image_again(images, tmp_path):
    for _ in range(2):  # it may have been trained in between
        done = temzoo.predict_folder(Bright(), [images / "synthetic_0000.tif"], tmp_path)
        assert [row.status for row in done.rows] == ["predicted"]


def test_what_a_machine_that_died_left_is_removed(images, tmp_path):
    """Of the files of this job alone; the names are those of ``core.files`` on another machine."""
    out = tmp_path / "out"
    out.mkdir()
    mine, other = (
        f".partial-7@node-2@pid:[1]@a_b8-{n}" for n in ("synthetic_0000_classes.png", "z")
    )
    for name in (mine, other):
        (out / name).touch()
    temzoo.predict_folder(Bright(), [images / "synthetic_0000.tif"], out)
    assert not (out / mine).exists()
    assert (out / other).exists()


def test_label_formats_that_are_not_there_are_refused_before_the_work(images, tmp_path):
    with pytest.raises(
        ValueError,
        match=r"formats must be of cvat, coco, yolo, imagej, qupath, cellpose\. Received: 'voc'\.",
    ):
        temzoo.predict_folder(Bright(), images, tmp_path / "out", formats=["voc"])
    assert not (tmp_path / "out").exists()


def test_images_that_would_share_a_label_file_are_refused_before_the_work(images, tmp_path):
    like = tmp_path / "like"
    like.mkdir()
    for name in ("a.tif", "a.tiff"):
        shutil.copy(images / "synthetic_0000.tif", like / name)
    with pytest.raises(ValueError, match=r"each image must .* 'a\.tif' and 'a\.tiff'"):
        temzoo.predict_folder(Bright(), like, tmp_path / "out", formats=["cvat", "yolo"])
    assert not (tmp_path / "out").exists()
    done = temzoo.predict_folder(Bright(), like, tmp_path / "out", formats=["cvat"])
    assert len(done.rows) == 2


def test_the_sidecar_leads_back_to_image_and_weights(run, images, tmp_path):
    call("predict", run, images / "synthetic_0001.tif", "--out", tmp_path, "--min-area-px", 7)
    (path,) = list_predictions(tmp_path)
    told = about(path)
    assert told["source"] == str(images / "synthetic_0001.tif")
    assert (told["model"], told["weights"]) == ("unet", str(run))
    assert told["weights_sha256"] == pretrained.sha256(run / pretrained.BEST)
    assert told["options"]["min_area_px"] == 7
    found = temzoo.predict(
        temzoo.get_model("unet", weights=run), images / "synthetic_0001.tif", min_area_px=7
    )
    again = load_prediction(path)
    np.testing.assert_array_equal(again.instances, found.instances)
    assert again.nm_per_pixel == pytest.approx(found.nm_per_pixel)
    assert again.class_names == ("particle",)


def test_a_scale_that_was_put_right_beside_a_micrograph_is_taken(run, images, tmp_path):
    path, text = tmp_path / "a.tif", tmp_path / "a.hdr"
    tifffile.imwrite(path, tifffile.imread(sorted(images.iterdir())[0]))
    for metres, size in (("5e-10", "0.5"), ("2.5e-10", "0.25"), (None, None)):
        if metres is not None:
            text.write_text(f"[MAIN]\nDevice=X\nPixelSizeX={metres}\nPixelSizeY={metres}\n")
        said = call("predict", run, path, "--out", tmp_path / "out")
        assert ("skipping 1 finished" in said) == (metres is None)
        assert metres is None or f"{size} nm per pixel (a.hdr beside it)" in said
    assert load_prediction(tmp_path / "out" / "a.prediction.json").nm_per_pixel == (0.25, 0.25)


def test_finished_predictions_are_skipped_until_something_differs(
    run, images, tmp_path, monkeypatch
):
    def said(*more):
        return call("predict", run, images, "--out", tmp_path, *more)

    said()
    before = contents(tmp_path)
    with monkeypatch.context() as without_model:
        without_model.setattr(predicting, "trained", None)  # nor is a network built in vain
        text = said()
    assert "skipping 5 finished; again=True (--again) redoes them" in text
    assert "instances," not in text
    assert contents(tmp_path) == before
    assert {row["status"] for row in table(tmp_path)} == {"kept"}
    assert all(float(row["seconds"]) > 0 for row in table(tmp_path))

    (tmp_path / "synthetic_0002_overlay.png").unlink()
    assert "skipping 4 finished" in said()
    assert contents(tmp_path) == before
    assert "skipping" not in said("--again")
    assert contents(tmp_path) == before
    assert "skipping" not in said("--min-area-px", 3)
    assert "skipping" not in said("--min-area-px", 3, "--instances", "watershed", "--neck", 0.7)
    assert "skipping 5" in said("--min-area-px", 3, "--instances", "watershed", "--neck", 0.7)


def test_an_image_whose_objects_are_all_too_small_has_no_labels(images, tmp_path):
    done = temzoo.predict_folder(
        Bright(), images, tmp_path, formats=["cvat"], min_area_px=10**6, progress=False
    )
    assert not done.failed
    assert [len(one.shapes) for one in temzoo.labels.read(done.labels["cvat"])] == [0] * 5


def test_labels_without_instances_are_refused_before_the_work(images, tmp_path):
    with pytest.raises(ValueError, match=r"labels are of instances\. Received: instances=None"):
        temzoo.predict_folder(Bright(), images, tmp_path, formats=["cvat"], instances=None)
    assert not list(tmp_path.iterdir())


def test_labels_for_imagej_qupath_and_cellpose_are_folders_of_the_instances(images, tmp_path):
    formats = ["qupath", "cellpose"]
    formats += ["imagej"] if importlib.util.find_spec("roifile") else []
    done = temzoo.predict_folder(Bright(), images, tmp_path, formats=formats, progress=False)
    assert done.labels == {kind: tmp_path / f"predictions.{kind}" for kind in formats}
    for path in list_predictions(tmp_path):
        found, stem = load_prediction(path), path.name.partition(".")[0]
        seg = np.load(done.labels["cellpose"] / f"{stem}_seg.npy", allow_pickle=True).item()
        np.testing.assert_array_equal(seg["masks"], found.instances)
        drawn = json.loads((done.labels["qupath"] / f"{stem}.geojson").read_text())
        assert len(drawn["features"]) >= found.instances.max() > 0
        if "imagej" in done.labels:
            with zipfile.ZipFile(done.labels["imagej"] / f"{stem}.zip") as archive:
                assert len(archive.namelist()) >= found.instances.max()


def test_regions_of_imagej_without_roifile_are_refused_before_the_work(
    images, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "roifile", None)
    with pytest.raises(ImportError, match="regions of ImageJ need the package roifile"):
        temzoo.predict_folder(Bright(), images, tmp_path / "out", formats=["imagej"])
    assert not (tmp_path / "out").exists()


def test_labels_for_cvat_and_coco_hold_the_instances(run, images, tmp_path):
    formats = ("--format", "cvat,coco", "--format", "maps")
    said = call("predict", run, images, "--out", tmp_path, *formats, "--shapes", "masks")
    assert f"cvat: {tmp_path / 'predictions.xml'}, 5 images" in said
    found = [load_prediction(path) for path in list_predictions(tmp_path)]
    for name in ("predictions.xml", "predictions.coco.json"):
        labels = temzoo.labels.read(tmp_path / name)
        assert [image.name for image in labels] == [f"synthetic_{k:04d}.tif" for k in range(5)]
        for image, prediction in zip(labels, found, strict=True):
            np.testing.assert_array_equal(raster.instance_map(image), prediction.instances)
    again = call("predict", run, images, "--out", tmp_path, "--format", "cvat")
    assert "skipping 5 finished" in again  # another format costs no prediction
    kinds = {
        s.kind for image in temzoo.labels.read(tmp_path / "predictions.xml") for s in image.shapes
    }
    assert "polygon" in kinds


def test_images_are_named_as_in_the_folder_that_was_given(run, images, tmp_path):
    folder = tmp_path / "micrographs"
    (folder / "lot 3").mkdir(parents=True)
    (folder / "lot 3" / "a.tif").write_bytes((images / "synthetic_0000.tif").read_bytes())
    (folder / "b.tif").write_bytes((images / "synthetic_0001.tif").read_bytes())
    call("predict", run, folder, "--out", tmp_path / "out", "--format", "cvat")
    labels = temzoo.labels.read(tmp_path / "out" / "predictions.xml")
    assert [image.name for image in labels] == ["b.tif", "lot 3/a.tif"]
    examples = temzoo.load_dataset(images=folder, labels=tmp_path / "out" / "predictions.xml")
    assert len(examples) == 2
    alone = call(
        "predict", run, folder / "lot 3" / "a.tif", "--out", tmp_path / "two", "--format=coco"
    )
    assert "1 of 1" in alone
    (image,) = temzoo.labels.read(tmp_path / "two" / "predictions.coco.json")
    assert image.name == "a.tif"


def test_a_bad_file_does_not_end_the_job(run, images, tmp_path):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    for k in range(3):
        name = f"synthetic_{k:04d}.tif"
        (folder / name).write_bytes((images / name).read_bytes())
    (folder / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    np.save(folder / "holes.npy", np.full((64, 64), np.nan, np.float32))
    np.save(folder / "tiny.npy", np.zeros((1, 1), np.uint8))
    said = call("predict", run, folder, "--out", tmp_path / "out", "--format", "cvat", status=1)
    assert "temzoo: 2 of 6 images failed:" in said
    rows = {row["image"]: row for row in table(tmp_path / "out")}
    assert [name for name, row in rows.items() if row["status"] == "failed"] == [
        "damaged.png",
        "holes.npy",
    ]
    assert "damaged.png" in rows["damaged.png"]["message"]
    assert "must be finite" in rows["holes.npy"]["message"]
    assert len(list_predictions(tmp_path / "out")) == 4
    labels = temzoo.labels.read(tmp_path / "out" / "predictions.xml")
    assert len(labels) == 4  # what failed is not labelled as empty
    (folder / "damaged.png").unlink()
    (folder / "holes.npy").unlink()
    assert "skipping 4 finished" in call("predict", run, folder, "--out", tmp_path / "out")


def test_what_is_wrong_with_all_images_is_said_once(run, images, tmp_path):
    said = refusal("predict", run, images, "--out", tmp_path, "--tile", 102)
    assert said.startswith("no image could be predicted: tile must be a multiple of 4")


def test_what_is_wrong_with_the_only_image_is_the_error(run, images, tmp_path):
    image = images / "synthetic_0000.tif"
    said = refusal("predict", run, image, "--out", tmp_path, "--tile", 101)
    assert said.startswith("tile must be a multiple of 4")
    assert refusal("predict", run, tmp_path / "none.tif", "--out", tmp_path).startswith(
        str(tmp_path / "none.tif")
    )


def test_a_disk_that_is_full_ends_the_job(run, images, tmp_path, monkeypatch):
    written = []

    def fails_at_the_third(*args, **options):
        written.append(args)
        if len(written) > 2:
            raise OSError("No space left on device")
        return save_prediction(*args, **options)

    save_prediction = prediction_job.save_prediction
    monkeypatch.setattr("temzoo.workflows.prediction_job.save_prediction", fails_at_the_third)
    assert "No space left" in refusal("predict", run, images, "--out", tmp_path)
    assert len(list_predictions(tmp_path)) == 2
    assert len(written) == 3


@pytest.mark.parametrize(
    "bad", [MemoryError("too large"), ValueError("`max_denominator` should be at least 1")]
)
def test_a_prediction_that_cannot_be_written_does_not_end_the_job(
    run, images, tmp_path, monkeypatch, bad
):
    def fails_at_the_second(found, *args, **options):
        if found.name == "synthetic_0001.tif":
            raise bad
        return save_prediction(found, *args, **options)

    save_prediction = prediction_job.save_prediction
    monkeypatch.setattr("temzoo.workflows.prediction_job.save_prediction", fails_at_the_second)
    said = call("predict", run, images, "--out", tmp_path, status=1)
    assert "temzoo: 1 of 5 images failed:" in said
    assert [row["status"] for row in table(tmp_path)] == ["predicted", "failed"] + 3 * ["predicted"]
    assert table(tmp_path)[1]["message"] == str(bad)
    assert len(list_predictions(tmp_path)) == 4
    alone = refusal("predict", run, images / "synthetic_0001.tif", "--out", tmp_path)
    assert alone == str(bad)


def test_an_atomic_resolution_is_predicted_and_kept(run, images, tmp_path):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    for k, nm in enumerate((0.001, 0.4, 5000.0)):
        options = {"imagej": True, "resolution": (1 / nm, 1 / nm), "metadata": {"unit": "nm"}}
        pixels = temzoo.load_micrograph(images / f"synthetic_{k:04d}.tif").pixels
        tifffile.imwrite(folder / f"{k}.tif", pixels, **options)
    call("predict", run, folder, "--out", tmp_path / "out")
    for k, nm in enumerate((0.001, 0.4, 5000.0)):
        found = load_prediction(tmp_path / "out" / f"{k}.prediction.json")
        assert found.nm_per_pixel == pytest.approx((nm, nm))
        instances = temzoo.load_micrograph(tmp_path / "out" / f"{k}_instances.tif")
        assert instances.nm_per_pixel == pytest.approx((nm, nm))


class Bright:
    """In place of a server: what is brighter than the median is a particle."""

    class_names = ("particle",)

    def __init__(self, address="grpc://here:8500/unet/1", card=None):
        self.address, self.card = address, card or {}

    def predict_probabilities(self, pixels):
        bright = pixels > np.median(pixels)
        return np.stack([~bright, bright], axis=-1).astype(np.float32)


class Failing(Bright):
    def __init__(self, *answers):
        super().__init__()
        self.answers, self.asked = answers, 0

    def predict_probabilities(self, pixels):
        answer = self.answers[self.asked]
        self.asked += 1
        if answer is not None:
            raise answer
        return super().predict_probabilities(pixels)


SERVER = ("--server", "grpc://here:8500/unet")


@pytest.mark.parametrize(
    "error", [ConnectionError("no server at grpc://here"), TimeoutError("no answer in 6 tries")]
)
def test_a_server_that_is_gone_or_hangs_ends_the_job(images, tmp_path, monkeypatch, error):
    server = Failing(*5 * [error])
    monkeypatch.setattr(temzoo, "connect", lambda url: server)
    assert refusal("predict", images, *SERVER, "--out", tmp_path) == str(error)
    assert server.asked == 1


def test_three_failures_of_a_server_in_a_row_end_the_job(images, tmp_path, monkeypatch):
    error = RuntimeError("The server failed.")
    server = Failing(error, error, None, error, error)
    monkeypatch.setattr(temzoo, "connect", lambda url: server)
    assert "4 of 5 images failed" in call("predict", images, *SERVER, "--out", tmp_path, status=1)
    server = Failing(None, *4 * [error])
    monkeypatch.setattr(temzoo, "connect", lambda url: server)
    assert refusal("predict", images, *SERVER, "--again", "--out", tmp_path) == "The server failed."
    assert server.asked == 4


def test_a_file_that_a_network_drive_does_not_give_does_not_end_the_job(
    run, images, tmp_path, monkeypatch
):
    def load(path, **options):
        if path.name == "synthetic_0000.tif":
            raise TimeoutError("the drive does not answer")
        return load_micrograph(path, **options)

    load_micrograph = temzoo.load_micrograph
    monkeypatch.setattr(prediction_job, "load_micrograph", load)
    said = call("predict", run, images, "--out", tmp_path, status=1)
    assert "1 of 5 images failed" in said


def test_a_server_takes_images_alone(images, tmp_path, monkeypatch):
    urls = []
    monkeypatch.setattr(temzoo, "connect", lambda url: urls.append(url) or Bright())
    call("predict", images, *SERVER, "--out", tmp_path)
    assert urls == ["grpc://here:8500/unet"]
    told = about(list_predictions(tmp_path)[0])
    assert (told["weights"], told["weights_sha256"]) == ("grpc://here:8500/unet/1", "")
    assert "skipping 5" in call("predict", images, *SERVER, "--out", tmp_path)


def test_what_a_server_predicted_is_finished_until_its_model_changes(images, tmp_path, monkeypatch):
    def said(address, sha):
        card = {"model": "unet_mobilenet", "weights": {"sha256": sha} if sha else None}
        monkeypatch.setattr(temzoo, "connect", lambda url: Bright(address, card))
        return call("predict", images, *SERVER, "--out", tmp_path)

    first, second = "grpc://here:8500/unet/1", "grpc://here:8500/unet/2"
    assert "skipping" not in said(first, "ab12")
    told = about(list_predictions(tmp_path)[0])
    assert (told["model"], told["weights"]) == ("unet_mobilenet", first)
    assert told["weights_sha256"] == "ab12"
    assert "skipping 5" in said(first, "ab12")
    assert "skipping" not in said(second, "ab12")
    assert "skipping" not in said(second, "cd34")  # put in place of the other
    assert "skipping" not in said("grpc://there:8500/unet/2", None)


def test_each_frame_of_a_stack_is_predicted(run, images, tmp_path):
    folder = tmp_path / "micrographs"
    (folder / "lot 3").mkdir(parents=True)
    paths = sorted(images.iterdir())[:3]
    frames = [temzoo.load_micrograph(path).pixels for path in paths]
    with tifffile.TiffWriter(folder / "lot 3" / "stack.tif") as file:
        for pixels in frames:
            file.write(pixels, photometric="minisblack")
    said = call("predict", run, folder, "--out", tmp_path / "out", "--format", "cvat")
    assert "stack.tif: 3 images, all of them; frame=0 (--frame 0) takes the first alone" in said
    names = [f"stack_{k}.tif" for k in range(3)]
    stack = folder / "lot 3" / "stack.tif"
    assert [micrograph.name for micrograph in temzoo.iter_frames(stack)] == names
    model = temzoo.get_model("unet", weights=run)
    for k, sidecar in enumerate(list_predictions(tmp_path / "out")):
        told, found = about(sidecar), load_prediction(sidecar)
        assert (told["frame"], told["name"], told["source"]) == (k, names[k], str(stack))
        np.testing.assert_array_equal(found.classes, temzoo.predict(model, frames[k]).classes)
    labels = temzoo.labels.read(tmp_path / "out" / "predictions.xml")
    assert [image.name for image in labels] == [f"lot 3/{name}" for name in names]
    assert "skipping 3 finished" in call("predict", run, folder, "--out", tmp_path / "out")

    call("predict", run, stack, "--frame", 2, "--out", tmp_path / "third")
    (sidecar,) = list_predictions(tmp_path / "third")
    assert (about(sidecar)["frame"], about(sidecar)["name"]) == (2, "stack_2.tif")
    np.testing.assert_array_equal(
        load_prediction(sidecar).classes,
        load_prediction(tmp_path / "out" / sidecar.name).classes,
    )
    said = refusal("predict", run, stack, "--frame", 3, "--out", tmp_path / "out")
    assert "frame must be between 0 and 2" in said


def test_a_frame_and_a_file_of_one_name_are_refused(run, images, tmp_path):
    pixels = temzoo.load_micrograph(images / "synthetic_0000.tif").pixels
    tifffile.imwrite(tmp_path / "a.tif", np.stack([pixels] * 2), photometric="minisblack")
    cv2.imwrite(str(tmp_path / "a_1.png"), np.zeros((64, 64), np.uint8))
    said = refusal("predict", run, tmp_path, "--out", tmp_path / "out")
    assert "their names must differ" in said


def test_a_tiff_and_its_export_have_results_of_names_of_their_own(run, images, tmp_path):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    pixels = temzoo.load_micrograph(images / "synthetic_0000.tif").pixels
    tifffile.imwrite(folder / "a.tif", pixels)
    cv2.imwrite(str(folder / "a.png"), pixels)
    call("predict", run, folder, "--out", tmp_path / "out", "--format", "cvat")
    told = [about(path) for path in list_predictions(tmp_path / "out")]
    assert {(one["name"], one["image"]) for one in told} == {
        ("a.tif", "a.tif"),
        ("a_png.png", "a.png"),
    }
    labels = temzoo.labels.read(tmp_path / "out" / "predictions.xml")
    assert {image.name for image in labels} == {"a.tif", "a.png"}
    assert "skipping 2 finished" in call("predict", run, folder, "--out", tmp_path / "out")


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["a.png", "a.tif"], ["a_png.png", "a.tif"]),
        (["a.jpg", "a.png"], ["a.jpg", "a_png.png"]),
        (["a.TIF", "b/a.png"], ["a.TIF", "a.png"]),
        (["a.tif", "a.tif"], ["a.tif"]),
        (["A.png", "a.tif"], ["A_png.png", "a.tif"]),
    ],
)
def test_files_that_differ_in_their_ending_alone_get_it_into_their_names(files, names):
    own = listing.own_names([Path(file) for file in files])
    assert list(own.values()) == names


def test_a_microscopes_file_goes_before_the_export_beside_it(run, images, tmp_path, monkeypatch):
    folder = tmp_path / "micrographs"
    folder.mkdir()
    pixels = temzoo.load_micrograph(images / "synthetic_0000.tif").pixels
    with mrcfile.new(folder / "a.mrc") as file:
        file.set_data(pixels.astype(np.float32))
        file.voxel_size = 5.0  # Å
    cv2.imwrite(str(folder / "a.png"), pixels)
    cv2.imwrite(str(folder / "b.png"), pixels)
    said = call("predict", run, folder, "--out", tmp_path / "out")
    assert "using a.mrc, not a.png beside it" in said
    found = load_prediction(tmp_path / "out" / "a.prediction.json")
    assert (found.name, found.nm_per_pixel) == ("a.mrc", pytest.approx((0.5, 0.5)))
    assert [row["image"] for row in table(tmp_path / "out")] == ["a.mrc", "b.png"]

    assert listing.image_paths([folder], exports=True) == [folder / "a.png", folder / "b.png"]
    (folder / "a.mrc").write_bytes(b"MRC?")
    said = call("predict", run, folder, "--out", tmp_path / "without")
    assert "using a.png, not a.mrc beside it" in said
    assert [row["image"] for row in table(tmp_path / "without")] == ["a.png", "b.png"]


def test_what_an_earlier_job_wrote_is_no_micrograph(run, images, tmp_path, capsys):
    shutil.copytree(images, tmp_path / "a", dirs_exist_ok=True)
    job = {"out": tmp_path / "a" / "predictions", "progress": True}
    first = temzoo.predict_folder(run, tmp_path, **job)
    capsys.readouterr()
    again = temzoo.predict_folder(run, tmp_path, **job)
    assert [row.image for row in again.rows] == [row.image for row in first.rows]
    assert {row.status for row in again.rows} == {"kept"}
    assert "passed over: 15 maps and pictures of predictions" in capsys.readouterr().out
    with pytest.raises(FileNotFoundError, match="Received: 15 maps and pictures of predictions"):
        temzoo.predict_folder(run, job["out"], tmp_path / "b", progress=False)
    named = tmp_path / "a" / "predictions" / "synthetic_0000_overlay.png"
    (row,) = temzoo.predict_folder(run, named, tmp_path / "b", progress=False).rows
    assert row.status == "predicted"  # who names it means it


def test_many_exports_that_are_passed_over_take_few_lines(tmp_path, capsys):
    for k in range(listing.MOST_LINES + 2):
        (tmp_path / f"{k:02d}.dm4").write_bytes(b"no such thing")
        (tmp_path / f"{k:02d}.png").write_bytes(b"")
    assert {path.suffix for path in listing.image_paths([tmp_path])} == {".png"}
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "using 00.png, not 00.dm4 beside it"
    assert said[listing.MOST_LINES :] == ["and so on with 2 more files"]


def test_labels_of_earlier_jobs_stay(run, images, tmp_path):
    def labelled():
        return [image.name for image in temzoo.labels.read(tmp_path / "predictions.xml")]

    formats = ("--format", "cvat", "--out", tmp_path)
    call("predict", run, images, *formats)
    before = (tmp_path / "predictions.xml").read_bytes()
    names = [f"synthetic_{k:04d}.tif" for k in range(5)]
    # Of one image again: it and the other four.
    said = call("predict", run, images / "synthetic_0003.tif", *formats, "--again")
    assert "with 4 of earlier jobs, in label files too" in said
    assert sorted(labelled()) == names
    rows = {row["image"]: row["status"] for row in table(tmp_path)}
    assert sorted(rows) == names
    assert [name for name, status in rows.items() if status == "predicted"] == [names[3]]
    # Nothing could be predicted: what is there stays.
    call("predict", run, images, *formats)
    refusal("predict", run, images, *formats, "--tile", 102)
    assert (tmp_path / "predictions.xml").read_bytes() == before
    # An earlier prediction that has lost its maps is none.
    (tmp_path / "synthetic_0004_instances.tif").unlink()
    call("predict", run, images / "synthetic_0000.tif", *formats)
    assert sorted(labelled()) == names[:4]


def test_earlier_labels_keep_the_folders_in_their_names(run, images, tmp_path):
    folder, out = tmp_path / "micrographs", tmp_path / "out"
    (folder / "lot 3").mkdir(parents=True)
    (folder / "lot 3" / "a.tif").write_bytes((images / "synthetic_0000.tif").read_bytes())
    call("predict", run, folder, "--out", out)
    call("predict", run, images / "synthetic_0001.tif", "--out", out, "--format", "coco")
    labels = temzoo.labels.read(out / "predictions.coco.json")
    assert sorted(image.name for image in labels) == ["lot 3/a.tif", "synthetic_0001.tif"]


def test_names_in_the_table_are_no_formulas(run, images, tmp_path):
    path = tmp_path / "=HYPERLINK(1).tif"
    path.write_bytes((images / "synthetic_0000.tif").read_bytes())
    call("predict", run, path, "--out", tmp_path / "out")
    assert [row["image"] for row in table(tmp_path / "out")] == ["'=HYPERLINK(1).tif"]


def test_objects_of_a_detector_are_labels_too(tmp_path, monkeypatch, run, finder):
    pixels = np.zeros((64, 64), np.uint8)
    pixels[5:25, 5:25], pixels[30:50, 40:60] = 180, 120
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    monkeypatch.setattr(predicting, "trained", lambda *words: finder)
    formats = ("--format", "cvat", "--min-score", 0.2)
    call("predict", run, tmp_path / "a.png", "--out", tmp_path / "out", *formats)
    found = load_prediction(tmp_path / "out" / "a.prediction.json")
    assert [round(one.score, 2) for one in found.detections] == [0.9, 0.6]
    (image,) = temzoo.labels.read(tmp_path / "out" / "predictions.xml")
    assert [shape.attributes["score"] for shape in image.shapes] == ["0.600", "0.900"]
    assert [row["instances"] for row in table(tmp_path / "out")] == ["2"]


def test_a_server_is_given_no_weights(run, images, tmp_path):
    server = ("--server", "grpc://here:8500/unet", "--out", tmp_path)
    assert "a server has weights of its own" in refusal("predict", run, images, *server)
    said = refusal("predict", images, *server, "--set", "max_detections=800")
    assert "--set changes weights that are here, not a server's" in said


def test_weights_are_told_from_images(run, images, tmp_path, monkeypatch):
    tell = predicting.weights_and_images
    image, file = str(images / "synthetic_0000.tif"), str(run / pretrained.BEST)
    for weights in (str(run), file, "unet_mobilenet/emps-frozen", "autoencoder/emps-denoise"):
        assert tell([weights, image], None) == (weights, [images / "synthetic_0000.tif"])
    for words in ([image], [str(images)], [str(images), image]):
        weights, places = tell(words, None)
        assert weights == pretrained.GENERAL
        assert [str(place) for place in places] == words
    assert tell([image], "grpc://here")[0] is None


def test_words_that_are_neither_weights_nor_images_are_refused(run, tmp_path):
    assert "Give a run folder, a .weights.h5 file, or MODEL/NAME" in refusal(
        "predict", "no/run", "a"
    )
    assert "name micrographs, or folders of them. Received: " in refusal("predict", run)
    (tmp_path / "run.json").write_text("{}")
    said = refusal("predict", tmp_path, "a.tif")
    assert "has weights from its first validation on" in said
    assert "--resume" in said


def test_the_general_weights_are_used_and_named(run, images, tmp_path, monkeypatch):
    model, _, name = pretrained.GENERAL.partition("/")
    assert name in pretrained.available(model)
    asked = []
    built = temzoo.get_model("unet", weights=run)
    monkeypatch.setattr(predicting, "trained", lambda *words: asked.append(words) or built)
    said = call("predict", images, "--out", tmp_path)
    assert asked == [(pretrained.GENERAL, None)]
    assert f"using {pretrained.GENERAL}: F1 0.9" in said
    assert "on 73 validation images" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "maps,voc"), "qupath, cellpose. Received: 'voc'"),
        (
            ("--format", "cvat", "--shapes", "boxes"),
            "shapes must be polygons or masks. Received: 'boxes'",
        ),
        (
            ("--format", "cvat", "--polygon-error", "-1"),
            "the polygons' error must be 0 px or more. Received: -1.0",
        ),
        (
            ("--neck", "0.5", "--instances", "components"),
            "--neck and --threshold are settings of the watershed",
        ),
    ],
)
def test_options_out_of_range_are_refused_before_the_work(run, images, tmp_path, options, message):
    assert message in refusal("predict", run, images, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_the_text_reader_leaves_its_memory_to_the_network_of_a_single_image(run, images, tmp_path):
    pytest.importorskip("rapidocr_onnxruntime")
    drawn_text.require_text_reader()
    single = sorted(images.iterdir())[0]
    call("predict", run, single, "--out", tmp_path / "one")
    assert not drawn_text._engine.cache_info().currsize
    call("predict", run, images, "--out", tmp_path / "several")
    assert drawn_text._engine.cache_info().currsize


def test_what_does_not_fit_beside_others_waits_until_it_is_alone():
    room, inside, most = prediction_job.Room(10), [], []

    def work(size):
        with room.taken(size):
            inside.append(min(size, 10))
            most.append(sum(inside))
            time.sleep(0.002)
            inside.remove(min(size, 10))

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, [4, 3, 100, 5, 2, math.inf, 1, 9] * 5))
    assert len(most) == 40
    assert max(most) == 10
    assert any(4 < total < 10 for total in most)  # small ones share it


def test_a_large_file_is_neither_read_ahead_nor_written_behind(run, images, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction_job, "AHEAD_BYTES", 0)
    call("predict", run, images, "--out", tmp_path / "large")
    monkeypatch.setattr(prediction_job, "AHEAD_BYTES", 2**28)
    call("predict", run, images, "--out", tmp_path / "small")
    assert contents(tmp_path / "large") == contents(tmp_path / "small")


KILLED = """
import os, signal, sys
real, left = os.replace, int(sys.argv[1])
def replace(*paths):
    global left
    left -= 1
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    real(*paths)
os.replace = replace
sys.argv = ["temzoo", *sys.argv[2:]]
from temzoo.cli import main
main()
"""


def test_a_killed_job_leaves_whole_files_and_goes_on(run, images, tmp_path):
    arguments = ["predict", str(run), str(images), "--format", "cvat", "--out"]
    # Each image is four files: the job dies within the third, before its instance map.
    command = [sys.executable, "-c", KILLED, "9", *arguments, str(tmp_path / "killed")]
    job = subprocess.run(command, capture_output=True, timeout=120, check=False)
    assert job.returncode == -signal.SIGKILL, job.stderr
    left = {path.name for path in (tmp_path / "killed").iterdir()}
    final = {name for name in left if not name.startswith(".")}
    ends = "_classes.png", "_instances.tif", "_overlay.png", ".prediction.json"
    whole = [path.name.removesuffix(ends[-1]) for path in list_predictions(tmp_path / "killed")]
    (begun,) = final - {stem + end for stem in whole for end in ends}
    assert len(whole) == 2
    assert len(final) == 2 * len(ends) + 1
    assert begun.endswith("_classes.png")
    assert len(left - final) == 1  # the file that was being written, under another name
    for path in list_predictions(tmp_path / "killed"):
        assert load_prediction(path).classes.shape == (96, 96)
    assert cv2.imread(str(tmp_path / "killed" / begun), -1) is not None

    assert "skipping 2 finished" in call(*arguments, tmp_path / "killed")
    call(*arguments, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    statuses = sorted(row["status"] for row in table(tmp_path / "killed"))
    assert statuses == ["kept"] * 2 + ["predicted"] * 3


def test_objects_that_touch_are_cut_and_specks_dropped_unless_told_otherwise(run, images, tmp_path):
    call("predict", run, images, "--out", tmp_path / "usual")
    options = ("--instances", "watershed", "--min-area-px", 10)
    call("predict", run, images, "--out", tmp_path / "said", *options)
    usual, said = (
        [load_prediction(path).instances for path in list_predictions(tmp_path / folder)]
        for folder in ("usual", "said")
    )
    for ours, theirs in zip(usual, said, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_where_nothing_is_found_the_way_on_is_told(run, images, tmp_path):
    ask = ("predict", run, images, "--out", tmp_path / "none", "--min-area-px", 100_000)
    told = call(*ask)
    assert "Nothing was found in 5 of 5, first in synthetic_0000.tif." in told
    assert "train further with temzoo train." in " ".join(told.split())
    assert "Nothing was found" not in call("predict", run, images, "--out", tmp_path / "some")


def test_a_support_in_place_of_particles_is_pointed_to():
    rows = [
        prediction_job.Row("a.tif", "predicted", 1, 0.8),
        prediction_job.Row("b.tif", "predicted", 4, 0.9),
        prediction_job.Row("c.tif", "failed"),
    ]
    assert [round(row.object_share, 3) for row in rows] == [0.8, 0.225, 0]
    text = showing.support_text(["a.tif"], 3, predicting.WIDE)
    assert "In 1 of 3, first in a.tif, objects cover 40% of the picture and more." in text
    assert "temzoo predict particles/supported" in text
    assert "supported" in pretrained.available("particles")
