"""``temzoo predict``: which weights, which files, what is skipped, and what survives a kill."""

import csv
import functools
import signal
import subprocess
import sys

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli, pretrained
from temzoo.cli import predicting
from temzoo.labels import raster
from temzoo.saved import about, list_predictions, load_prediction
from temzoo.synthetic import write_dataset

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
    config = dict(temzoo.registry.built(model).config)
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
    assert "skipping 5 finished; --again redoes them" in text
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

    save_prediction = temzoo.report.save_prediction
    monkeypatch.setattr("temzoo.report.save_prediction", fails_at_the_third)
    assert "No space left" in refusal("predict", run, images, "--out", tmp_path)
    assert len(list_predictions(tmp_path)) == 2
    assert len(written) == 3


def test_a_server_that_is_gone_ends_the_job(images, tmp_path, monkeypatch):
    asked = []

    class Gone:
        def predict_probabilities(self, pixels):
            asked.append(pixels)
            raise ConnectionError("no server at grpc://here:8500")

    monkeypatch.setattr(predicting, "served", lambda url: Gone())
    server = ("--server", "grpc://here:8500/unet")
    assert "no server at" in refusal("predict", images, *server, "--out", tmp_path)
    assert len(asked) == 1


def test_a_server_takes_images_alone(images, tmp_path, monkeypatch):
    class Bright:
        class_names = ("particle",)

        def predict_probabilities(self, pixels):
            bright = pixels > np.median(pixels)
            return np.stack([~bright, bright], axis=-1).astype(np.float32)

    urls = []
    monkeypatch.setattr(predicting, "served", lambda url: urls.append(url) or Bright())
    server = ("--server", "grpc://here:8500/unet")
    call("predict", images, *server, "--out", tmp_path)
    assert urls == ["grpc://here:8500/unet"]
    told = about(list_predictions(tmp_path)[0])
    assert (told["weights"], told["weights_sha256"]) == ("grpc://here:8500/unet", "")
    assert "skipping 5" in call("predict", images, *server, "--out", tmp_path)
    there = ("--server", "grpc://there:8500/unet")
    assert "skipping" not in call("predict", images, *there, "--out", tmp_path)


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
    assert pretrained.GENERAL.partition("/")[2] in pretrained.available("unet_mobilenet")
    asked = []
    model = temzoo.get_model("unet", weights=run)
    monkeypatch.setattr(predicting, "trained", lambda *words: asked.append(words) or model)
    said = call("predict", images, "--out", tmp_path)
    assert asked == [(pretrained.GENERAL, None)]
    assert f"using {pretrained.GENERAL}, IoU 0.8" in said
    assert "on 73 validation images" in said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "maps,voc"), "--format must be of maps, cvat, coco. Received: 'voc'"),
        (("--shapes", "boxes"), "--shapes must be polygons or masks. Received: 'boxes'"),
        (("--polygon-error", "-1"), "--polygon-error must be 0 px or more. Received: -1.0"),
        (("--neck", "0.5"), "--neck and --threshold are settings of the watershed"),
    ],
)
def test_options_out_of_range_are_refused_before_the_work(run, images, tmp_path, options, message):
    assert message in refusal("predict", run, images, "--out", tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_a_large_file_is_neither_read_ahead_nor_written_behind(run, images, tmp_path, monkeypatch):
    monkeypatch.setattr(predicting, "AHEAD_BYTES", 0)
    call("predict", run, images, "--out", tmp_path / "large")
    monkeypatch.setattr(predicting, "AHEAD_BYTES", 2**28)
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
    assert final == {
        *(f"synthetic_000{k}{end}" for k in (0, 1) for end in (
            "_classes.png", "_instances.tif", "_overlay.png", ".prediction.json")),
        "synthetic_0002_classes.png",
    }  # fmt: skip
    assert len(left - final) == 1  # the file that was being written, under another name
    for path in list_predictions(tmp_path / "killed"):
        assert load_prediction(path).classes.shape == (96, 96)
    assert cv2.imread(str(tmp_path / "killed" / "synthetic_0002_classes.png"), -1) is not None

    assert "skipping 2 finished" in call(*arguments, tmp_path / "killed")
    call(*arguments, tmp_path / "whole")
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    statuses = [row["status"] for row in table(tmp_path / "killed")]
    assert statuses == ["kept"] * 2 + ["predicted"] * 3
