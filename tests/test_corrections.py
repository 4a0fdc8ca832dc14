"""Corrections by hand: what they do to a prediction, its files, and its table."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

import temzoo
from temzoo import cli
from temzoo.core.files import new_folder
from temzoo.core.types import Detection, Prediction
from temzoo.store import predictions, sidecar
from temzoo.store.corrections import (
    Corrections,
    corrected,
    instances_sha256,
    read_corrections,
)

RUNNER = CliRunner()


def squares(name="a.png") -> Prediction:
    """Four squares: 1 and 2 touch, 3 and 4 lie apart; 4 is a rod. Pixel (19, 19) is of none."""
    instances, classes = np.zeros((20, 20), np.int32), np.zeros((20, 20), np.uint8)
    for number, (top, left, bottom, right) in enumerate(
        [(1, 1, 4, 4), (1, 4, 4, 8), (8, 2, 13, 6), (10, 12, 16, 18)], start=1
    ):
        instances[top:bottom, left:right] = number
        classes[top:bottom, left:right] = 2 if number == 4 else 1
    classes[19, 19] = 1
    return Prediction(
        classes,
        instances,
        scores=np.array([0.9, 0.8, 0.7, 0.6], np.float32),
        class_names=("dot", "rod"),
        nm_per_pixel=(0.5, 0.5),
        name=name,
    )


def by_hand(prediction, **more) -> Corrections:
    return Corrections(prediction.name, instances_sha256(prediction.instances), **more)


def areas(prediction) -> list[int]:
    return np.bincount(prediction.instances.ravel())[1:].tolist()


def test_an_excluded_particle_is_gone_from_all_maps():
    found = corrected(squares(), by_hand(squares(), exclude=[1, 3]))
    assert areas(found) == [12, 36]
    assert found.scores == pytest.approx([0.8, 0.6])
    assert not found.classes[2, 2]
    assert found.classes[2, 5] == 1
    assert found.classes[19, 19] == 1  # of no particle


@pytest.mark.parametrize(
    ("group", "left", "scores"),
    [([1, 2], [21, 20, 36], [0.8, 0.7, 0.6]), ([3, 1], [29, 12, 36], [0.7, 0.8, 0.6])],
    ids=["touching", "distant"],
)
def test_merged_particles_are_one_with_the_score_of_the_largest_part(group, left, scores):
    found = corrected(squares(), by_hand(squares(), merge=[group]))
    assert areas(found) == left
    assert found.scores == pytest.approx(scores)
    table = temzoo.measure(found)
    assert table["area_nm2"].tolist() == [area / 4 for area in left]


def test_a_merged_particle_has_the_class_of_its_largest_part_or_its_own():
    largest = corrected(squares(), by_hand(squares(), merge=[[1, 4]]))
    assert temzoo.measure(largest)["class"].tolist() == ["rod", "dot", "dot"]
    told = corrected(squares(), by_hand(squares(), merge=[[1, 4]], relabel={1: "dot"}))
    assert temzoo.measure(told)["class"].tolist() == ["dot", "dot", "dot"]


def test_relabelling_changes_the_class_map_alone():
    before = squares()
    found = corrected(before, by_hand(before, relabel={3: "rod"}))
    assert np.array_equal(found.instances, before.instances)
    assert (found.classes[before.instances == 3] == 2).all()
    assert (found.classes != before.classes).sum() == 20


def test_no_corrections_change_nothing():
    before = squares()
    assert corrected(before, by_hand(before)) is before
    nothing = replace(before, instances=np.zeros_like(before.instances))
    assert corrected(nothing, by_hand(nothing)) is nothing
    gone = corrected(before, by_hand(before, exclude=[1, 2, 3, 4]))
    assert (gone.instances.any(), len(gone.scores)) == (False, 0)


def detector() -> Prediction:
    """Three overlapping objects by falling score: 10 x 10, 10 x 10 under it, 4 x 4 under both."""
    boxes = [(2, 2, 10, 0.9), (7, 7, 10, 0.8), (8, 8, 4, 0.7)]
    found = tuple(Detection(t, left, np.ones((n, n), bool), 1, s) for t, left, n, s in boxes)
    instances = np.zeros((20, 20), np.int32)
    for number in (3, 2, 1):
        top, left, side, _ = boxes[number - 1]
        instances[top : top + side, left : left + side] = number
    scores = np.array([0.9, 0.8, 0.7], np.float32)
    maps = (instances > 0).astype(np.uint8), instances
    return Prediction(*maps, scores=scores, detections=found, class_names=("dot", "rod"), name="a")


def test_what_lay_under_an_excluded_object_of_a_detector_is_seen():
    found = corrected(detector(), by_hand(detector(), exclude=[1]))
    assert temzoo.measure(found)["area_px2"].tolist() == [100, 16]
    assert found.instances[7, 7] == 1
    assert not found.classes[2, 2]


def test_merged_objects_of_a_detector_count_what_they_share_once():
    given = by_hand(detector(), merge=[[2, 1]], relabel={3: "rod", 1: "rod"})
    found = corrected(detector(), given)
    assert temzoo.measure(found)["area_px2"].tolist() == [175, 16]
    assert [one.class_id for one in found.detections] == [2, 2]
    assert found.scores == pytest.approx([0.9, 0.7])


def test_merged_boxes_are_the_box_round_them():
    boxes = replace(detector(), box_shaped=True)
    found = corrected(boxes, by_hand(boxes, merge=[[1, 2]]))
    assert found.box_shaped
    assert [one.mask.sum() for one in found.detections] == [225, 16]
    assert temzoo.measure(found)["box_width_px"].tolist() == [15, 4]


def unsure(prediction) -> Prediction:
    """With doubtful objects: a dot of 4 px, number 5 of the squares, and a rod of 6 px."""
    doubtful = (
        Detection(14, 1, np.ones((2, 2), bool), 1, 0.3),
        Detection(17, 5, np.ones((1, 6), bool), 2, 0.25),
    )
    classes = prediction.classes.copy()
    classes[14:16, 1:3], classes[17, 5:11] = 1, 2
    return replace(prediction, classes=classes, doubtful=doubtful)


def test_a_doubtful_object_that_is_taken_in_counts():
    before = unsure(squares())
    found = corrected(before, by_hand(before, include={6: (17, 5, 18, 11)}, exclude=[2]))
    assert areas(found) == [9, 20, 36, 6]
    assert temzoo.measure(found)["class"].tolist() == ["dot", "dot", "rod", "rod"]
    assert found.scores == pytest.approx([0.9, 0.7, 0.6, 0.25])
    assert [one.top for one in found.doubtful] == [14]
    assert found.classes[14, 1] == 1  # as it was


def test_a_doubtful_object_is_merged_and_relabelled_once_it_is_taken_in():
    before = unsure(squares())
    boxes = {5: (14, 1, 16, 3), 6: (17, 5, 18, 11)}
    found = corrected(before, by_hand(before, include=boxes, merge=[[3, 5]], relabel={6: "dot"}))
    assert areas(found) == [9, 12, 24, 36, 6]
    assert temzoo.measure(found)["class"].tolist() == ["dot"] * 3 + ["rod", "dot"]
    assert found.doubtful == ()
    with pytest.raises(ValueError, match="particle 5 must be one of the prediction"):
        corrected(before, by_hand(before, merge=[[3, 5]]))


def test_a_doubtful_object_of_a_detector_is_taken_in():
    before = unsure(detector())
    found = corrected(before, by_hand(before, include={4: (14, 1, 16, 3)}, exclude=[2]))
    assert temzoo.measure(found)["area_px2"].tolist() == [100, 16, 4]
    assert [one.score for one in found.detections] == pytest.approx([0.9, 0.7, 0.3])
    assert [one.score for one in found.doubtful] == [0.25]
    assert found.instances[14, 1] == 3


@pytest.mark.parametrize("include", [{7: (1, 1, 2, 2)}, {4: (10, 12, 16, 18)}, {5: (14, 1, 16, 4)}])
def test_what_is_no_doubtful_object_is_not_taken_in(include):
    before = unsure(squares())
    text = r"must be a doubtful one of the prediction, in its box\. Received: .* of 2 from 5 on"
    with pytest.raises(ValueError, match=text):
        corrected(before, by_hand(before, include=include))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        (
            {"exclude": [9]},
            r"particle 9 must be one of the prediction\. Received: 9, which",
        ),
        ({"merge": [[1, 9]]}, "particle 9 must be one"),
        ({"relabel": {9: "dot"}}, "particle 9 must be one"),
        ({"exclude": [1, 1]}, "particle 1 can be excluded or merged once"),
        ({"exclude": [1], "merge": [[1, 2]]}, "particle 1 can be excluded or merged once"),
        ({"merge": [[1, 2], [2, 3]]}, "particle 2 can be excluded or merged once"),
        ({"exclude": [1], "relabel": {1: "rod"}}, "particle 1 .* relabelled if it stays"),
        ({"merge": [[1, 2]], "relabel": {2: "rod"}}, "by the lowest of its numbers"),
        ({"relabel": {1: "rood"}}, r"classes \['dot', 'rod'\]\. Received: 'rood'\. Did you mean"),
    ],
)
def test_what_cannot_be_corrected_is_said_with_the_particle(more, text):
    with pytest.raises(ValueError, match=text):
        corrected(squares(), by_hand(squares(), **more))


def test_corrections_of_another_prediction_are_refused():
    other = replace(squares(), instances=np.where(squares().instances == 1, 2, 0))
    with pytest.raises(ValueError, match=r"corrections are of one very prediction\. Received"):
        corrected(squares(), by_hand(other, exclude=[2]))


def test_the_hash_depends_on_numbers_and_shape_alone():
    one = squares().instances
    assert instances_sha256(one) == instances_sha256(np.asfortranarray(one.astype(np.uint16)))
    assert instances_sha256(one) != instances_sha256(one.reshape(10, 40))


# Files.


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        predictions.save(squares(name), tmp_path / "p")
    return tmp_path / "p"


def written(path, images, **more):
    path.write_text(json.dumps({"temzoo_corrections": 1, "images": images, **more}))
    return path


def entry(name="a.png", **more):
    return {"image": name, "instances_sha256": instances_sha256(squares().instances), **more}


def call(*arguments):
    result = RUNNER.invoke(cli.app, [*map(str, arguments)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.output


def refused(*arguments):
    result = RUNNER.invoke(cli.app, [*map(str, arguments)])
    assert result.exit_code == 1
    return result.exception


def some(path):
    more = {"exclude": [3], "merge": [[1, 2]], "relabel": {"4": "dot"}}
    return written(path, [entry(**more)])


def test_corrected_predictions_are_read_again_and_say_so(folder, tmp_path):
    file, out = some(tmp_path / "c.json"), tmp_path / "out"
    said = call("apply-corrections", folder, file, "--out", out)
    assert "1 of 2 predictions corrected: 1 excluded, 2 merged into 1, 1 relabelled" in said
    assert "next: temzoo measure " in said
    paths = predictions.list_predictions(out)
    assert [path.name for path in paths] == ["a.prediction.json", "b.prediction.json"]
    found = predictions.load_prediction(paths[0])
    assert areas(found) == [21, 36]
    assert set(found.classes[found.instances > 0]) == {1}
    [record] = sidecar.about(paths[0])["corrections"]
    assert record["sha256"] == read_corrections(file).sha256
    assert [record[name] for name in ("file", "excluded", "merged", "into", "relabelled")] == [
        "c.json", 1, 2, 1, 1,
    ]  # fmt: skip
    assert sidecar.about(paths[1])["corrections"] == []
    assert areas(predictions.load_prediction(paths[1])) == areas(squares())
    assert (out / "a_overlay.png").is_file()
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def test_measuring_with_corrections_and_measuring_what_was_corrected_agree(folder, tmp_path):
    file = some(tmp_path / "c.json")
    said = call("measure", folder, "--corrections", file, "--out", tmp_path / "m")
    assert "Corrected by hand: 1 excluded, 2 merged into 1, 1 relabelled" in said
    call("apply-corrections", folder, file, "--out", tmp_path / "out")
    again = call("measure", tmp_path / "out", "--out", tmp_path / "n")
    assert "Corrected by hand: 1 excluded" in again
    for name in ("particles.csv", "summary.csv"):
        assert (tmp_path / "m" / name).read_bytes() == (tmp_path / "n" / name).read_bytes()
    summary = pd.read_csv(tmp_path / "m" / "summary.csv")
    counts = ["particles", "excluded_by_hand", "merged_by_hand", "relabelled_by_hand"]
    whole = summary.groupby("image")[counts].agg(
        {"particles": "sum", **dict.fromkeys(counts[1:], "first")}
    )
    assert whole.loc["a.png"].tolist() == [2, 1, 2, 1]
    assert whole.loc["b.png"].tolist() == [4, 0, 0, 0]
    assert whole.loc["all"].tolist() == [6, 1, 2, 1]


@pytest.mark.parametrize("option", [("--overlays",), ("--classifier", "runs/x"), ("--lines", "a")])
def test_what_reads_the_maps_again_is_not_given_corrections(folder, tmp_path, option):
    file = some(tmp_path / "c.json")
    error = refused("measure", folder, "--corrections", file, *option, "--out", tmp_path / "m")
    assert f"Received: --corrections with {option[0]}. Write corrected maps first" in str(error)


def test_a_corrected_prediction_is_a_finished_one_for_the_same_weights(folder, tmp_path):
    origin = sidecar.Origin(model="unet", weights="runs/x", weights_sha256="0" * 64)
    predictions.save(squares(), folder, origin=origin)
    call("apply-corrections", folder, some(tmp_path / "c.json"), "--out", tmp_path / "out")
    files = ("classes", "instances", "overlay")
    assert predictions.is_finished(tmp_path / "out", "a.png", origin, files=files)


def test_what_was_taken_in_is_said(tmp_path):
    before = unsure(squares())
    predictions.save(before, tmp_path / "p")
    file = written(tmp_path / "c.json", [entry(include={"5": [14, 1, 16, 3]})])
    said = call("apply-corrections", tmp_path / "p", file, "--out", tmp_path / "out")
    assert "1 of 1 predictions corrected: 1 taken in" in said
    said = call("measure", tmp_path / "out", "--out", tmp_path / "m")
    assert "Corrected by hand: 1 taken in" in said
    call("measure", tmp_path / "p", "--corrections", file, "--out", tmp_path / "n")
    for folder in ("m", "n"):
        last = pd.read_csv(tmp_path / folder / "summary.csv").iloc[-1]
        assert (last["taken_in_by_hand"], last["doubtful"]) == (1, 1)


def test_sidecars_from_before_anything_could_be_taken_in_are_read(folder, tmp_path):
    call("apply-corrections", folder, some(tmp_path / "c.json"), "--out", tmp_path / "out")
    path = tmp_path / "out" / "a.prediction.json"
    told = json.loads(path.read_text())
    del told["corrections"][0]["taken_in"]
    path.write_text(json.dumps(told))
    said = call("measure", tmp_path / "out", "--out", tmp_path / "m")
    assert "Corrected by hand: 1 excluded, 2 merged into 1, 1 relabelled" in said


def test_what_was_corrected_twice_counts_both(folder, tmp_path):
    call("apply-corrections", folder, some(tmp_path / "c.json"), "--out", tmp_path / "one")
    first = predictions.load_prediction(tmp_path / "one" / "a.prediction.json")
    more = written(
        tmp_path / "d.json",
        [{"image": "a.png", "instances_sha256": instances_sha256(first.instances), "exclude": [1]}],
    )
    call("apply-corrections", tmp_path / "one", more, "--out", tmp_path / "two")
    said = call("measure", tmp_path / "two", "--out", tmp_path / "m")
    assert "Corrected by hand: 2 excluded, 2 merged into 1, 1 relabelled" in said


def test_corrections_of_another_prediction_leave_no_folder(folder, tmp_path):
    wrong = {"image": "b.png", "instances_sha256": "0" * 64, "exclude": [1]}
    file = written(tmp_path / "c.json", [entry(exclude=[1]), wrong])
    error = refused("apply-corrections", folder, file, "--out", tmp_path / "out")
    assert f"{file}, image 'b.png': corrections are of one very prediction" in str(error)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.json", "p"]
    error = refused("measure", folder, "--corrections", file, "--out", tmp_path / "m")
    assert "image 'b.png': corrections are of one" in str(error)
    file = written(tmp_path / "c.json", [entry("aa.png", exclude=[1])])
    for command in ("apply-corrections", folder, file), ("measure", folder, "--corrections", file):
        error = refused(*command, "--out", tmp_path / "out")
        assert "'aa.png', of which there is none. Did you mean a.png" in str(error)


def test_nothing_is_written_over(folder, tmp_path):
    before = {path: path.read_bytes() for path in folder.iterdir()}
    error = refused("apply-corrections", folder, some(tmp_path / "c.json"), "--out", folder)
    assert "The folder must be a new one, or empty" in str(error)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    (tmp_path / "empty").mkdir()
    error = refused("apply-corrections", tmp_path / "empty", tmp_path / "c.json", "--out", "x")
    assert "There are no predictions in" in str(error)


def test_a_new_folder_is_whole_or_not_there(tmp_path):
    def killed():
        with new_folder(tmp_path / "a" / "b") as folder:
            (folder / "x").write_text("x")
            raise KeyError

    with pytest.raises(KeyError):
        killed()
    assert not (tmp_path / "a").exists()
    left = tmp_path / ".b.partial-killed"
    left.mkdir()
    (tmp_path / "b").mkdir()
    with new_folder(tmp_path / "b") as folder:
        (folder / "x").write_text("x")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b" / "x").read_text() == "x"


@pytest.mark.parametrize(
    ("images", "text"),
    [
        ([7], r"c\.json, image 1: it must be an object\. Received: 7"),
        ([{}], "image must be a text. Received: no image"),
        ([{"image": "a"}], "instances_sha256 must be 64 hexadecimal digits. Received: no inst"),
        ([entry(exclude=[0])], r"exclude must be a list of whole numbers from 1 on\. .*=\[0\]"),
        ([entry(exclude=[True])], "exclude must be a list of whole numbers"),
        ([entry(merge=[[1]])], "merge must be a list of lists of two numbers or more"),
        ([entry(relabel={"x": "rod"})], "relabel must be an object of class names by number"),
        ([entry(relabel={"1": 2})], "relabel must be an object of class names"),
        ([entry(include={"5": [1, 2, 3]})], "include must be an object of boxes of four whole"),
        ([entry(), entry()], "image 2: an image must be there once. Received: 'a.png' again"),
    ],
)
def test_damaged_files_are_refused_with_file_and_image(tmp_path, images, text):
    with pytest.raises(ValueError, match=text) as refusal:
        read_corrections(written(tmp_path / "c.json", images))
    assert str(refusal.value).startswith(f"{tmp_path / 'c.json'}, image")


def test_other_files_are_refused(tmp_path):
    file = written(tmp_path / "c.json", [], temzoo_corrections=2)
    with pytest.raises(ValueError, match=r"temzoo_corrections must be 1\. Received: 2"):
        read_corrections(file)
    file.write_text('{"format": "temzoo prediction"}')
    with pytest.raises(ValueError, match="temzoo_corrections must be a whole number"):
        read_corrections(file)


def test_the_sidecar_is_checked(folder):
    path = folder / "a.prediction.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "corrections": [{"file": 1}]}))
    with pytest.raises(ValueError, match="corrections must be a list of files with their counts"):
        sidecar.about(path)
