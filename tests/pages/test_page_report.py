import base64
import hashlib
import json
import math
import re
from dataclasses import replace

import cv2
import numpy as np
import pytest
from pages_of_tests import HOSTILE, Reader, disks, save_disks

import temzoo
from temzoo.core.types import Detection
from temzoo.measurement.summary import summarize
from temzoo.measurement.table import measure
from temzoo.pages import write_report
from temzoo.pages.numbers import figure, interval
from temzoo.store import predictions, sidecar
from temzoo.zoo import pretrained
from temzoo.zoo.cards import score_texts

# An address that a browser would fetch; the SVG namespace is a name and is not among them.
FETCHED = re.compile(r"""(?:src|href|action|poster|data)\s*=\s*["']?(?!#|data:)[^"'\s>]+""", re.I)


@pytest.fixture
def folder(tmp_path):
    return save_disks(
        tmp_path / "day 1", tmp_path / "images", ["a.png", "b.png"], nm_per_pixel=(0.5, 0.5)
    )


def test_the_page_shows_what_was_measured(folder):
    page = Reader(write_report(folder))
    tables = [
        measure(predictions.load_prediction(path)) for path in predictions.list_predictions(folder)
    ]
    data = page.block("particles")
    assert len(data["rows"]) == sum(map(len, tables))
    place = data["keys"].index("diameter_nm")
    found = [row[place] for row in data["rows"]]
    assert found == pytest.approx([v for t in tables for v in t["diameter_nm"]], rel=1e-5)
    assert data["images"] == ["a.png", "b.png"]
    assert data["plates"] == [1, 2]
    assert (
        f"Particles in 2 micrographs {len(found)} particles in 2 micrographs, found by unet"
        " (weights first)." in page.text
    )


def test_the_page_says_how_many_objects_are_doubtful(folder):
    assert "doubtful" not in Reader(write_report(folder)).text
    path = predictions.list_predictions(folder)[0]
    found = predictions.load_prediction(path)
    one = Detection(0, 0, np.ones((3, 3), bool), 1, 0.3)
    predictions.save(replace(found, doubtful=(one, one)), folder)
    page = Reader(write_report(folder))
    assert "2 doubtful objects not counted." in page.text
    assert "doubtful, not counted" in page.text
    shown = [tag for tag, about in page.tags if about.get("data-layer") == "doubtful-on"]
    assert shown == ["button"]
    where = [about.get("class") for _, about in page.tags]
    assert where[where.index("doubtful") + 1] is None  # a path, as numbers stand in no group


def test_the_key_figures_are_those_of_summarize(folder):
    page = Reader(write_report(folder))
    tables = [
        measure(predictions.load_prediction(path)) for path in predictions.list_predictions(folder)
    ]
    import pandas as pd

    row = summarize(pd.concat(tables), by=None).iloc[0]
    d50, low, high = (row[f"diameter_d50{end}_nm"] for end in ("", "_low", "_high"))
    assert f"Median diameter, D50 {figure(d50)} nm 95 % interval" in page.text
    assert f"95 % interval {interval(low, high)}".replace("\u00a0", " ") in page.text
    assert f"{row['touching_border']} of them touch the border" in page.text


def test_every_particle_is_outlined_once_and_its_picture_is_within(folder):
    page = Reader(write_report(folder))
    per_image = [
        predictions.load_prediction(p).instances.max() for p in predictions.list_predictions(folder)
    ]
    drawn = [a["data-p"] for a in page.all("path") if "data-p" in a]
    assert drawn
    assert len(drawn) == sum(per_image)
    pictures = page.all("image")
    assert len(pictures) == 2
    for picture in pictures:
        data = base64.b64decode(picture["href"].removeprefix("data:image/jpeg;base64,"))
        assert cv2.imdecode(np.frombuffer(data, np.uint8), -1).shape == (160, 160)


def test_nothing_is_fetched_and_one_script_of_known_hash_may_run(folder):
    path = write_report(folder)
    page = Reader(path)
    assert FETCHED.findall(path.read_text(encoding="utf-8").split("<script>")[0]) == []
    assert not [a for _, a in page.tags for name in a if name.startswith("on")]
    (policy,) = [
        a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"
    ]
    running = [text for attributes, text in page.scripts if "type" not in attributes]
    assert len(running) == 1
    digest = base64.b64encode(hashlib.sha256(running[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")
    assert "connect-src" not in policy
    assert "\r" not in running[0]  # a browser would turn it into a line feed, with another hash


def test_text_from_files_stays_text(tmp_path):
    folder, images = tmp_path / "p", tmp_path / "i"
    save_disks(folder, images, [f"{HOSTILE}.png"], class_names=(HOSTILE,))
    (path,) = predictions.list_predictions(folder)
    told = json.loads(path.read_text(encoding="utf-8"))
    for key in ("model", "weights", "weights_sha256", "date"):
        told[key] = HOSTILE
    told["options"] = {HOSTILE: HOSTILE}
    path.write_text(json.dumps(told), encoding="utf-8")
    page = Reader(write_report(folder, title=HOSTILE))
    assert page.all("img") == []
    assert len(page.scripts) == 2
    assert HOSTILE in "".join(page.words)
    data = page.block("particles")
    assert data["images"] == [f"{HOSTILE}.png"]
    assert {row[data["keys"].index("class")] for row in data["rows"]} == {HOSTILE}


def test_names_with_surrogates_are_written(tmp_path):
    save_disks(tmp_path / "p", tmp_path / "i", ["x.png"])
    (path,) = predictions.list_predictions(tmp_path / "p")
    told = json.loads(path.read_text(encoding="utf-8"))
    told["name"] = "x\udcff.png"
    path.write_text(json.dumps(told), encoding="utf-8")
    page = Reader(write_report(tmp_path / "p"))
    assert "x?.png" in page.text
    assert page.block("particles")["images"] == ["x?.png"]


def test_intervals_hold_the_models_error_where_it_is_known_and_say_so(folder, monkeypatch):
    plain = Reader(write_report(folder)).text
    assert "The error of what found the particles is not known, or of too few" in plain
    assert "shaded; it is by sampling alone" in plain
    errors = {"d50": {"mean": 0.0, "sd": 0.2}, "count": {"mean": 0.0, "sd": 0.3}, "images": 30}
    monkeypatch.setattr(sidecar, "card_errors", lambda told: errors)
    known = Reader(write_report(folder)).text
    assert "own error, on the 30 validation images with six free particles or more: a" in known
    assert "factor of 1.22 in D50, of 1.35 in number" in known
    assert "by sampling, widened by the model's own factor of 1.22" in known


def test_uncalibrated_micrographs_are_summarised_apart_and_it_is_said(tmp_path):
    folder = save_disks(tmp_path / "p", tmp_path / "i", ["a.png"], nm_per_pixel=(0.5, 0.5))
    save_disks(folder, tmp_path / "i", ["b.png"])
    page = Reader(write_report(folder))
    data = page.block("particles")
    nm, px, image = (data["keys"].index(key) for key in ("diameter_nm", "diameter_px", "image"))
    known = {(row[image], row[nm] is None, row[px] is None) for row in data["rows"]}
    assert known == {(0, False, True), (1, True, False)}
    assert data["shown"][1:3] == ["diameter_nm", "diameter_px"]
    assert "Sizes of 1 micrograph are in pixels" in page.text
    for heading in ("Size distribution", "Summary by micrograph", "Median diameter, D50"):
        for kind in ("calibrated", "uncalibrated"):
            assert f"{heading}, {kind} micrographs" in page.text
    assert len(page.all("div", class_="bar")) == 1
    alone = Reader(write_report(folder / "b.prediction.json"))
    assert "diameter_nm" not in alone.block("particles")["keys"]
    assert "uncalibrated micrographs" not in alone.text
    given = Reader(write_report(folder, nm_per_pixel=0.25))
    assert "diameter_nm" in given.block("particles")["keys"]
    assert (
        "given by hand for 1 of 2 images: 0.25 nm. Another is stated by a.png 0.5 nm, which was"
        " kept; --override-calibration takes the given one for all." in given.text
    )
    assert len(given.all("div", class_="bar")) == 2


def given(folder, scale):
    return Reader(write_report(folder, nm_per_pixel=scale, override_calibration=True))


def test_a_calibration_given_by_hand_scales_the_sizes_of_all_where_asked_to(folder):
    data = [given(folder, s).block("particles") for s in (1.0, 2.0)]
    place = data[0]["keys"].index("area_nm2")
    one, two = ([row[place] for row in d["rows"]] for d in data)
    assert two == pytest.approx([4 * v for v in one], rel=1e-5)


def test_a_subset_is_pictured_all_are_measured_and_it_is_said(folder):
    page = Reader(write_report(folder, limit=1))
    assert len(page.all("article")) == 1
    data = page.block("particles")
    assert data["plates"] == [1, None]
    assert {row[0] for row in data["rows"]} == {0, 1}
    assert "The first 1 of 2 micrographs are pictured; all of them are measured." in page.text


def test_a_micrograph_that_is_gone_leaves_its_outlines_and_a_word(folder, tmp_path):
    (tmp_path / "images" / "a.png").unlink()
    page = Reader(write_report(folder))
    assert len(page.all("image")) == 1
    assert "not where it was when it was predicted, or has changed. Outlines alone." in page.text
    assert len(page.all("article")) == 2


def test_a_micrograph_that_was_moved_is_found_by_its_folder(folder, tmp_path):
    (tmp_path / "images").rename(tmp_path / "moved")
    assert Reader(write_report(folder)).all("image") == []
    assert len(Reader(write_report(folder, images=tmp_path / "moved")).all("image")) == 2


def test_a_file_that_was_changed_is_not_shown(folder, tmp_path):
    picture = tmp_path / "images" / "a.png"
    cv2.imwrite(str(picture), np.zeros((160, 160), np.uint8))
    page = Reader(write_report(folder))
    assert len(page.all("image")) == 1


def test_a_micrograph_that_was_moved_into_a_subfolder_is_found(folder, tmp_path):
    (tmp_path / "images").rename(tmp_path / "grid 1")
    (tmp_path / "all").mkdir()
    (tmp_path / "grid 1").rename(tmp_path / "all" / "grid 1")
    assert len(Reader(write_report(folder, images=tmp_path / "all")).all("image")) == 2


def test_no_folder_but_its_name_is_on_the_page(folder, tmp_path, monkeypatch):
    (path,) = predictions.list_predictions(folder)[:1]
    told = json.loads(path.read_text(encoding="utf-8"))
    told["weights"] = str(tmp_path / "runs" / "first")
    told["options"] = {"labels": str(tmp_path / "a.xml")}
    path.write_text(json.dumps(told), encoding="utf-8")
    (tmp_path / "images" / "a.png").write_bytes(b"damaged")
    status = (tmp_path / "images" / "a.png").stat()
    told |= {"source_bytes": status.st_size, "source_mtime_ns": status.st_mtime_ns}
    path.write_text(json.dumps(told), encoding="utf-8")
    out = tmp_path / "new" / "x.html"
    command = ["/usr/bin/temzoo", "report", str(folder), f"--out={out}", "--title", "Lot 7/8"]
    monkeypatch.setattr("sys.argv", command)
    page = Reader(write_report(folder, out=out, title="Lot 7/8"))
    assert str(tmp_path) not in out.read_text(encoding="utf-8")
    assert "temzoo report 'day 1' --out=x.html --title 'Lot 7/8'" in page.text
    assert "Micrographs from images" in page.text
    assert "Weights first" in page.text
    assert "labels='a.xml'" in page.text
    assert "could not be read: a.png" in page.text


def test_the_paths_of_a_run_are_names(run, tmp_path):
    told = json.loads((run / "run.json").read_text(encoding="utf-8"))
    told["settings"]["finetune"] = str(tmp_path / "old run")
    told["command"] = f"/opt/bin/temzoo train unet --images {tmp_path}/i --labels={tmp_path}/l.xml"
    (run / "run.json").write_text(json.dumps(told), encoding="utf-8")
    page = Reader(write_report(run))
    assert str(tmp_path) not in (run / "report.html").read_text(encoding="utf-8")
    assert "temzoo train unet --images i --labels=l.xml" in page.text
    assert "finetune='old run'" in page.text


def test_one_prediction_alone(folder):
    path = predictions.list_predictions(folder)[1]
    written = write_report(path)
    assert written == folder / "report.html"
    page = Reader(written)
    assert "Particles in b.png" in page.text
    assert not page.all("select")  # nothing to choose between


def test_nothing_found_is_a_page_too(tmp_path):
    prediction, _ = disks(nm_per_pixel=(1.0, 1.0))
    none = np.zeros_like(prediction.instances)
    predictions.save(replace(prediction, classes=none.astype(np.uint8), instances=none), tmp_path)
    page = Reader(write_report(tmp_path))
    assert "Particles in a.png 0 particles in 1 micrograph." in page.text
    assert all(a["id"] != "particles" for a, _ in page.scripts if "id" in a)
    assert "nan" not in page.text.lower()


def test_overlapping_detections_are_drawn_and_listed_whole(tmp_path):
    prediction, _ = disks()
    mask = np.ones((30, 30), bool)
    found = (Detection(10, 10, mask, 1, 0.9), Detection(25, 25, mask, 1, 0.75))
    classes = np.zeros((160, 160), np.uint8)
    instances = np.zeros((160, 160), np.int32)
    for k, one in reversed(list(enumerate(found, start=1))):
        window = np.s_[one.top : one.top + 30, one.left : one.left + 30]
        classes[window], instances[window] = 1, k
    predictions.save(
        replace(prediction, classes=classes, instances=instances, detections=found), tmp_path
    )
    data = Reader(write_report(tmp_path)).block("particles")
    area, score = (data["keys"].index(key) for key in ("area_px2", "score"))
    assert [(row[area], row[score]) for row in data["rows"]] == [(900, 0.9), (900, 0.75)]
    assert "score" in data["shown"]


def test_several_classes_have_distributions_of_their_own(tmp_path):
    prediction, _ = disks(class_names=("rod", "sphere"))
    classes = np.where(prediction.instances % 2, 2 * (prediction.instances > 0), prediction.classes)
    predictions.save(replace(prediction, classes=classes.astype(np.uint8)), tmp_path)
    page = Reader(write_report(tmp_path))
    assert "class" in page.block("particles")["shown"]
    headings = page.text.split("Size distribution", 2)[2].split("Summary by micrograph")[0]
    assert "rod" in headings
    assert "sphere" in headings


def test_the_weights_card_is_found_by_its_hash(tmp_path):
    name, card = next(iter(pretrained.available("unet_mobilenet").items()))
    prediction, _ = disks()
    origin = sidecar.Origin(None, "unet_mobilenet", name, card.sha256)
    predictions.save(prediction, tmp_path, origin=origin)
    text = Reader(write_report(tmp_path)).text
    scores = score_texts(card.scores)
    for part in (card.dataset, card.licence, card.command, card.sha256, scores[0]):
        assert part in text
    predictions.save(prediction, tmp_path, origin=replace(origin, weights_sha256="1" * 64))
    assert card.dataset not in Reader(write_report(tmp_path)).text


def test_the_fingerprint_is_that_of_the_micrographs(folder, tmp_path):
    def fingerprint():
        return re.search(r"Data fingerprint ([0-9a-f]{16})", Reader(write_report(folder)).text)[1]

    before = fingerprint()
    assert fingerprint() == before
    prediction, pixels = disks("a.png", radius=8, nm_per_pixel=(0.5, 0.5))
    source = tmp_path / "images" / "a.png"
    cv2.imwrite(str(source), 255 - pixels)
    predictions.save(prediction, folder, origin=sidecar.Origin(source))
    assert fingerprint() != before


def test_the_table_is_bounded_and_says_so(folder, monkeypatch):
    monkeypatch.setattr("temzoo.pages.report.MOST_ROWS", 5)
    page = Reader(write_report(folder))
    assert len(page.block("particles")["rows"]) == 5
    assert "The table holds the first 5 of" in page.text


def test_more_particles_than_can_be_drawn_are_not_drawn(folder, monkeypatch):
    monkeypatch.setattr("temzoo.pages.gallery.MOST_OUTLINES", 10)
    page = Reader(write_report(folder))
    assert [a for a in page.all("path") if "data-p" in a] == []
    assert "Too many particles in this report to outline these." in page.text


def test_outlines_are_simplified_where_they_would_take_too_much(folder, monkeypatch):
    def drawn() -> list[str]:
        return [a["d"] for a in Reader(write_report(folder)).all("path") if "data-p" in a]

    whole = drawn()
    most = sum(map(len, whole)) * 2 // 3
    monkeypatch.setattr("temzoo.pages.gallery.OUTLINE_BYTES", most)
    coarse = drawn()
    assert len(coarse) == len(whole)
    assert sum(map(len, coarse)) <= most


def test_a_page_that_fails_leaves_the_old_one(folder, monkeypatch):
    path = write_report(folder)
    before = path.read_bytes()
    monkeypatch.setattr("temzoo.pages.report.page", lambda *args, **more: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_report(folder)
    assert path.read_bytes() == before
    assert not list(folder.glob(".partial*"))


def test_what_is_no_source_is_refused(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match=r"which is not there. Give the folder"):
        write_report(tmp_path / "absent")
    with pytest.raises(ValueError, match=r"holds neither run.json nor \*.prediction.json"):
        write_report(tmp_path / "images")
    with pytest.raises(ValueError, match=r"limit must be at least 1. Received: limit=0"):
        write_report(folder, limit=0)
    with pytest.raises(ValueError, match=r"labels are for the report of a run"):
        write_report(folder, labels="a.xml")
    with pytest.raises(ValueError, match=r"nm_per_pixel must be one number or a pair"):
        write_report(folder, nm_per_pixel=-1)


RUN = {
    "model": "unet",
    "config": {"classes": 2, "filters": 4, "depth": 2},
    "class_names": ["particle"],
    "settings": {"epochs": 3, "seed": 0, "finetune": None},
    "data": {
        "train": {"images": 3, "shapes": 40, "fingerprint": "aa", "names": ["x.png"]},
        "val": {"images": 1, "shapes": 12, "fingerprint": "bb", "names": ["a.png"]},
    },
    "command": "temzoo train unet --out <run>",
    "date": "2026-11-20T21:20:05+00:00",
    "versions": {"python": "3.11.7"},
    "hardware": {"processor": "A & B", "cores": 2, "system": "Linux"},
}
HISTORY = "epoch,iou,loss,val_iou,val_loss,minutes\n1,0.2,1.5,,,0.5\n2,0.4,1.1,0.5,1.2,1.0\n"


@pytest.fixture
def run(tmp_path):
    """A run folder with weights that were never trained, as train leaves it otherwise."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(RUN))
    (folder / "history.csv").write_text(HISTORY)
    return folder


def with_weights(folder):
    model = temzoo.get_model("unet", **RUN["config"])
    path = folder / pretrained.BEST
    pretrained.save(model, path)
    card = pretrained.WeightsCard(
        model="unet",
        config=RUN["config"],
        class_names=("particle",),
        scores={"val_iou": 0.5, "epoch": 2},
    )
    pretrained.write_card(path, card)


def figures(value: float) -> dict:
    told = {"value": value, "low": value - 0.1, "high": None}
    row = {"name": "<a>.png", "iou": value, "instances_true": 3, "instances_predicted": 4}
    return {
        "images": 1,
        "per_image": {"iou": told, "count_error": {"value": 2.0, "low": -1.0, "high": 4.0}},
        "pooled": {"iou": told},
        "table": [row, {**row, "name": "b", "iou": None}],
    }


def test_a_run_shows_its_history_settings_and_command(run):
    page = Reader(write_report(run))
    assert "Trained on 3 micrographs, validated on 1. Class: particle." in page.text
    assert "temzoo train unet --out <run>" in page.text
    assert "A & B, Linux, 2 cores" in page.text
    assert "finetune" not in page.text  # it was not set
    charts = [a["aria-label"] for a in page.all("svg", class_="chart") if "aria-label" in a]
    assert charts == ["IoU over 2 epochs"] * 2 + ["Loss over 2 epochs"] * 2
    assert "Scores" not in page.text


def test_a_run_without_an_epoch_is_a_page_too(run):
    (run / "history.csv").unlink()
    page = Reader(write_report(run))
    assert not page.all("svg", class_="chart")
    assert "How it was made" in page.text


def test_the_newest_figures_of_an_evaluation_are_shown(run):
    import os

    for k, (place, value) in enumerate({"old": 0.61, "new": 0.73}.items()):
        (run / place).mkdir()
        path = run / place / "figures.json"
        path.write_text(json.dumps(figures(value)))
        os.utime(path, (1000 + k, 1000 + k))
    (run / "latent").mkdir()
    (run / "latent" / "figures.json").write_text('{"images": 3}')  # of something else
    page = Reader(write_report(run))
    assert "IoU, per image 0.730" in page.text
    assert "IoU, per image 0.730 95 % interval" not in page.text  # which has no upper limit
    assert "0.610" not in page.text
    assert "<a>.png" in page.text
    rows = page.text.split("Each micrograph")[-1]
    assert rows.index("<a>.png") < rows.index("b – ")  # what is not defined comes last


def test_a_damaged_run_is_named(run):
    (run / "run.json").write_text("{")
    with pytest.raises(ValueError, match=r"run.json is damaged: .*\. Write it again\."):
        write_report(run)
    (run / "run.json").write_text("[]")
    with pytest.raises(
        ValueError, match=r"must hold names and values. Received: list. Write it again\."
    ):
        write_report(run)
    (run / "run.json").write_text('{"model": "unet"}')
    with pytest.raises(ValueError, match=r"without config, data, settings"):
        write_report(run)


def test_a_run_takes_images_with_labels_alone(run):
    with pytest.raises(ValueError, match=r"shown with their labels. Received: images='x'"):
        write_report(run, images="x")


def labelled(folder):
    """Micrographs and masks of two images, of which the run was validated on one."""
    (folder / "masks").mkdir(parents=True)  # whose only class is called 1
    (folder / "images").mkdir()
    for name in ("a.png", "c.png"):
        prediction, pixels = disks(name)
        cv2.imwrite(str(folder / "images" / name), pixels)
        cv2.imwrite(str(folder / "masks" / name), prediction.instances.astype(np.uint16))
    return folder


def test_a_run_s_validation_images_are_predicted_scored_and_drawn(run, tmp_path):
    with_weights(run)
    (run / "run.json").write_text(json.dumps({**RUN, "class_names": ["1"]}))
    data = labelled(tmp_path / "data")
    page = Reader(write_report(run, images=data / "images", labels=data / "masks"))
    model = temzoo.get_model("unet", weights=run)
    examples = [
        e
        for e in temzoo.load_dataset(images=data / "images", labels=data / "masks")
        if e.name == "a.png"
    ]
    expected = temzoo.evaluate(model, examples, classes=["1"], ap=False)
    assert [a["id"] for a in page.all("article")] == ["plate-1"]
    assert f"IoU, per image {figure(expected.iou.value)}" in page.text
    truth = page.text.split("labelled")[0].rsplit(maxsplit=1)[-1]
    assert int(truth) == disks()[0].instances.max()
    assert page.all("g", class_="truth")


def test_a_run_s_labels_are_read_as_it_was_trained_unless_said_otherwise(run, tmp_path):
    with_weights(run)
    reading = {"values": "instances", "rename": {"1": "particle"}, "merge": {}}
    (run / "run.json").write_text(json.dumps({**RUN, "labels": reading}))
    data = labelled(tmp_path / "data")
    where = {"images": data / "images", "labels": data / "masks"}
    truth = Reader(write_report(run, **where)).text.split("labelled")[0].rsplit(maxsplit=1)[-1]
    assert int(truth) == disks()[0].instances.max()
    with pytest.raises(ValueError, match=r"every label must be one of .*'x'|class.*'x'"):
        write_report(run, **where, rename={"1": "x"})


def test_a_run_with_other_images_is_refused(run, tmp_path):
    data = labelled(tmp_path / "data")
    told = json.loads((run / "run.json").read_text())
    told["data"]["val"]["names"] = ["z.png"]
    (run / "run.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=r"without z.png and the rest"):
        write_report(run, images=data / "images", labels=data / "masks")


def test_matched_iou_is_one_to_one_within_a_class():
    from temzoo.pages.gallery import matched_iou

    mask = np.ones((10, 10), bool)
    true = (Detection(0, 0, mask, 1, 1.0), Detection(30, 0, mask, 2, 1.0))
    found = (
        Detection(0, 0, mask[:8], 1, 0.9),  # 80 of 100
        Detection(0, 0, mask, 1, 0.9),
        Detection(30, 0, mask, 1, 0.9),  # of the wrong class
    )
    assert matched_iou(true, found).tolist() == [0, 1, 0]
    assert matched_iou((), found).tolist() == [0, 0, 0]
    assert math.isclose(matched_iou(true, found[:1])[0], 0.8)
