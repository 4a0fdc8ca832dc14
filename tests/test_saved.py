"""Predictions on disk: whole, found again, equal when read, and distrusted when they come along."""

import dataclasses
import json
import os
import shutil

import cv2
import numpy as np
import pytest
import tifffile
from pycocotools import mask as coco_mask
from scipy import ndimage

import temzoo
from temzoo.core.types import Detection, Prediction
from temzoo.inference.objects import flattened
from temzoo.inference.regions import label_instances
from temzoo.store import maps, predictions
from temzoo.store.predictions import is_finished, list_predictions, load_prediction, save
from temzoo.store.sidecar import Origin, about


def blobs(height=50, width=60, *, seed=0):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(height, width)), 2)
    return (smooth > np.quantile(smooth, 0.6)).astype(np.uint8)


def segmented(name="x/a b.tif", **fields):
    """What a network gives of a micrograph of anisotropic pixels."""
    classes = blobs()
    instances = label_instances(classes)
    foreground = np.where(classes, 0.9, 0.2).astype(np.float32)
    values = {
        "classes": classes,
        "instances": instances,
        "probabilities": np.stack([1 - foreground, foreground], axis=-1),
        "scores": np.linspace(0.1, 0.9, instances.max()).astype(np.float32),
        "class_names": ("particle",),
        "nm_per_pixel": (0.1, 0.3),
        "name": name,
    }
    return Prediction(**{**values, **fields})


def detected(height=40, width=50):
    """A detector's objects: overlapping, with a hole, in two parts, and as high as the image."""
    ring = np.ones((12, 12), bool)
    ring[4:8, 4:8] = False
    parts = np.zeros((6, 20), bool)
    parts[:, :5] = parts[2:, 14:] = True
    found = [
        Detection(10, 10, ring, 1, 0.95),
        Detection(12, 14, np.ones((12, 12), bool), 2, 0.6),
        Detection(30, 0, parts, 1, 0.7),
        Detection(0, 46, np.ones((height, 4), bool), 1, 0.55),
        Detection(39, 30, np.ones((1, 1), bool), 2, 0.51),
        Detection(15, 16, np.ones((3, 3), bool), 2, 0.5),  # wholly under the second
    ]
    maps = flattened(found, (height, width))
    return dataclasses.replace(maps, class_names=("disc", "rod"), name="b.tif")


def require_equal(first, second):
    for name in ("classes", "instances", "scores", "probabilities"):
        one, other = getattr(first, name), getattr(second, name)
        assert (one is None) == (other is None), name
        if one is not None:
            np.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype, name
    for name in ("class_names", "nm_per_pixel", "name"):
        assert getattr(first, name) == getattr(second, name)
    assert (first.detections is None) == (second.detections is None)
    for one, other in zip(first.detections or (), second.detections or (), strict=True):
        np.testing.assert_array_equal(one.mask, other.mask)
        for name in ("top", "left", "class_id", "score"):
            assert getattr(one, name) == getattr(other, name)


@pytest.fixture
def sidecar(tmp_path):
    return save(segmented(), tmp_path / "out")["sidecar"]


def changed(path, **fields):
    told = json.loads(path.read_text())
    path.write_text(json.dumps({**told, **fields}))
    return path


def test_saved_maps_are_what_other_programs_open(tmp_path):
    result = segmented(nm_per_pixel=(0.5, 0.25))
    paths = save(result, tmp_path / "out", probabilities=True)
    assert paths["classes"].name == "a_b_classes.png"
    assert paths["sidecar"].name == "a_b.prediction.json"
    np.testing.assert_array_equal(cv2.imread(str(paths["classes"]), -1), result.classes)
    instances = tifffile.imread(paths["instances"])
    assert instances.dtype == np.uint16
    np.testing.assert_array_equal(instances, result.instances)
    pages = tifffile.imread(paths["probabilities"])
    np.testing.assert_array_equal(np.moveaxis(pages, 0, -1), result.probabilities)
    with tifffile.TiffFile(paths["instances"]) as tiff:
        across, along = (tiff.pages[0].tags[tag].value for tag in ("XResolution", "YResolution"))
        assert tiff.imagej_metadata["unit"] == "nm"  # what Fiji shows
    assert across[1] / across[0] == pytest.approx(0.25)
    assert along[1] / along[0] == pytest.approx(0.5)
    assert {*(tmp_path / "out").iterdir()} == {*paths.values()}


@pytest.mark.parametrize("side", [1e-6, 0.001, 0.0021, 0.21, 1000.5, 9e5])
def test_maps_carry_the_calibration_of_any_magnification(tmp_path, side):
    """Below 0.0023 nm, pixels per centimetre do not fit into the tags; above 1000 they are dpi."""
    paths = save(segmented(nm_per_pixel=(side, 1.1 * side)), tmp_path, probabilities=True)
    for what in ("instances", "probabilities"):
        found = temzoo.load_micrograph(paths[what]).nm_per_pixel
        assert found == pytest.approx((side, 1.1 * side), rel=1e-6)
    assert temzoo.count_frames(paths["probabilities"]) == 2
    again = load_prediction(paths["sidecar"], probabilities=True)
    assert again.nm_per_pixel == (side, 1.1 * side)


@pytest.mark.parametrize("side", [1e-13, 1e13])
def test_a_calibration_beyond_the_tags_is_in_the_sidecar_alone(tmp_path, side):
    paths = save(segmented(nm_per_pixel=(side, 1.0)), tmp_path)
    assert temzoo.load_micrograph(paths["instances"]).nm_per_pixel is None
    assert load_prediction(paths["sidecar"]).nm_per_pixel == (side, 1.0)


def test_a_segmentation_is_read_back_equal(tmp_path):
    before = segmented()
    path = save(before, tmp_path, probabilities=True)["sidecar"]
    require_equal(before, load_prediction(path, probabilities=True))
    assert load_prediction(path).probabilities is None


def test_bare_maps_are_read_back_equal(tmp_path):
    before = Prediction(blobs(), np.broadcast_to(np.int32(0), (50, 60)))
    path = save(before, tmp_path)["sidecar"]
    assert path.name == "micrograph.prediction.json"
    require_equal(before, load_prediction(path))


def test_detections_are_read_back_with_their_overlaps(tmp_path):
    before = detected()
    path = save(before, tmp_path)["sidecar"]
    after = load_prediction(path)
    require_equal(before, after)
    assert sum(one.mask.sum() for one in after.detections) > (after.instances > 0).sum()
    assert about(path)["instance_count"] == 6


def test_random_detections_are_read_back_equal(tmp_path):
    rng = np.random.default_rng(1)
    found = []
    for _ in range(60):
        height, width = rng.integers(1, [31, 23])
        mask = rng.random((height, width)) < rng.uniform(0.05, 1)
        mask[[0, -1]] |= mask[[0, -1]].sum() == 0
        mask[0, 0] = mask[-1, -1] = True
        top, left = rng.integers(0, [31 - height, 23 - width])
        found.append(Detection(int(top), int(left), mask, 1, float(rng.random())))
    before = flattened(found, (30, 22))
    require_equal(before, load_prediction(save(before, tmp_path)["sidecar"]))


def test_no_detection_is_read_back_as_none(tmp_path):
    before = flattened([], (20, 30))
    after = load_prediction(save(before, tmp_path)["sidecar"])
    assert after.detections == ()
    assert after.scores.shape == (0,)


def test_masks_of_detections_are_what_pycocotools_reads(tmp_path):
    before = detected()
    told = about(save(before, tmp_path)["sidecar"])
    for one, entry in zip(before.detections, told["detections"], strict=True):
        expected = np.zeros((40, 50), np.uint8)
        bottom, right = one.top + one.mask.shape[0], one.left + one.mask.shape[1]
        expected[one.top : bottom, one.left : right] = one.mask
        np.testing.assert_array_equal(coco_mask.decode(entry["segmentation"]), expected)


def test_many_instances_and_classes_are_read_back_equal(tmp_path):
    instances = np.arange(70_000, dtype=np.int32).reshape(350, 200)
    before = Prediction((instances % 300).astype(np.int32), instances)
    paths = save(before, tmp_path)
    assert tifffile.imread(paths["instances"]).dtype == np.uint32
    require_equal(before, load_prediction(paths["sidecar"]))


def test_a_score_that_is_none_stays_none(tmp_path):
    scores = np.full(segmented().instances.max(), np.nan, np.float32)
    scores[0] = 0.3
    path = save(segmented(scores=scores), tmp_path)["sidecar"]
    assert "NaN" not in path.read_text()
    np.testing.assert_array_equal(load_prediction(path).scores, scores)


def test_a_name_that_leaves_its_folder_is_written_as_its_last_part(tmp_path):
    for name, written in (("../day 1/g.tif", "g.tif"), ("C:\\x\\g.tif", "g.tif"), ("..", "_")):
        path = save(segmented(name=name), tmp_path)["sidecar"]
        assert path.parent == tmp_path
        assert load_prediction(path).name == written.replace("_", "micrograph")


def test_a_sidecar_says_how_it_was_made(tmp_path):
    source = tmp_path / "a.tif"
    source.write_bytes(b"pixels")
    origin = Origin(
        source,
        frame=3,
        image="../lot 3/a.tif",
        model="unet",
        weights="runs/first",
        weights_sha256="ab12",
        options={"tile": None},
        seconds=1.5,
    )
    told = about(save(segmented(), tmp_path, origin=origin)["sidecar"])
    assert told["source"] == str(source)
    assert (told["frame"], told["image"]) == (3, "a.tif")  # no name leaves its folder
    assert told["source_bytes"] == 6
    assert len(told["source_sha256"]) == 64
    assert (told["model"], told["weights"], told["weights_sha256"]) == (
        "unet",
        "runs/first",
        "ab12",
    )
    assert told["options"] == {"tile": None}
    assert told["seconds"] == 1.5
    assert told["temzoo"] == temzoo.__version__
    assert (told["height"], told["width"], told["nm_per_pixel"]) == (50, 60, [0.1, 0.3])
    assert told["covered_share"] == pytest.approx((segmented().classes > 0).mean())


def test_a_sidecar_of_before_stacks_were_told_apart_is_of_a_single_image(sidecar):
    told = json.loads(sidecar.read_text())
    del told["frame"], told["image"]
    sidecar.write_text(json.dumps(told))
    assert (about(sidecar)["frame"], about(sidecar)["image"]) == (0, "")


def test_a_prediction_is_whole_with_its_sidecar_and_maps(sidecar):
    assert predictions.about_whole(sidecar) == about(sidecar)
    sidecar.with_name("a_b_instances.tif").unlink()
    assert predictions.about_whole(sidecar) is None
    sidecar.write_text("{")
    assert predictions.about_whole(sidecar) is None


def test_pictures_lie_beside_the_maps(tmp_path):
    picture = np.zeros((5, 6, 3), np.uint8)
    picture[..., 0] = 200
    paths = save(segmented(), tmp_path, pictures={"overlay": picture})
    np.testing.assert_array_equal(cv2.imread(str(paths["overlay"]))[..., ::-1], picture)
    assert about(paths["sidecar"])["files"]["overlay"] == "a_b_overlay.png"


def test_the_sidecar_is_the_last_file_and_goes_first(tmp_path, monkeypatch):
    """Whenever writing stops, there is no sidecar beside maps that are not all its own."""
    picture = np.zeros((4, 4, 3), np.uint8)
    complete = save(segmented(), tmp_path, pictures={"overlay": picture})["sidecar"]
    real = os.replace
    for stop in range(4):
        renamed = []

        def replace(source, target, renamed=renamed, stop=stop):
            if len(renamed) == stop:
                raise OSError("the disk is full")
            real(source, target)
            renamed.append(target)

        monkeypatch.setattr(os, "replace", replace)
        with pytest.raises(OSError, match="the disk is full"):
            save(segmented(), tmp_path, pictures={"overlay": picture})
        assert list_predictions(tmp_path) == []
        assert not complete.exists()
        assert not [p for p in tmp_path.iterdir() if p.name.startswith(".partial")]
    monkeypatch.setattr(os, "replace", real)
    save(segmented(), tmp_path, pictures={"overlay": picture})
    assert list_predictions(tmp_path) == [complete]


def test_predictions_are_listed_in_order_without_what_is_being_written(tmp_path):
    for name in ("b.tif", "a.tif"):
        save(segmented(name=name), tmp_path)
    shutil.copy(tmp_path / "a.prediction.json", tmp_path / ".partial-x-c.prediction.json")
    names = [path.name for path in temzoo.list_predictions(tmp_path)]
    assert names == ["a.prediction.json", "b.prediction.json"]
    with pytest.raises(NotADirectoryError, match=r"must be a folder.*which is not there"):
        list_predictions(tmp_path / "none")
    with pytest.raises(NotADirectoryError, match="which is a file"):
        list_predictions(tmp_path / "a.prediction.json")


def test_what_is_finished_is_told_from_what_is_not(tmp_path):
    source, out = tmp_path / "a.tif", tmp_path / "out"
    source.write_bytes(b"pixels")
    origin = Origin(
        source,
        model="unet",
        weights="runs/first",
        weights_sha256="ab12",
        options={"tile": None, "set": {"k": [1, 2]}},
        seconds=1.5,
    )
    save(segmented(name="a.tif"), out, origin=origin)

    def finished(files=("classes", "instances"), **changes):
        return is_finished(out, "a.tif", dataclasses.replace(origin, **changes), files=files)

    assert finished()
    assert finished(
        seconds=None, weights="moved/elsewhere", options={"set": {"k": (1, 2)}, "tile": None}
    )
    assert not finished(weights_sha256="cd34")
    assert not finished(model="unet_mobilenet")
    assert not finished(frame=1)
    assert not finished(options={"tile": 512})
    assert not finished(files=("classes", "overlay"))
    assert not finished(source=tmp_path / "gone.tif")
    assert not is_finished(out, "b.tif", origin, files=())
    os.utime(source, ns=(1, 1))
    assert finished()  # copied: its bytes are the same
    source.write_bytes(b"pixelz")
    assert not finished()
    source.write_bytes(b"pixels")
    (out / "a_instances.tif").unlink()
    assert not finished()


def test_a_servers_weights_are_known_by_its_address_alone(tmp_path):
    origin = Origin(weights="grpc://here:8500/unet")
    save(segmented(name="a.tif"), tmp_path, origin=origin)
    assert is_finished(tmp_path, "a.tif", origin, files=("classes",))
    elsewhere = dataclasses.replace(origin, weights="grpc://there:8500/unet")
    assert not is_finished(tmp_path, "a.tif", elsewhere, files=("classes",))


def test_a_servers_prediction_is_of_its_version_and_its_weights(tmp_path):
    origin = Origin(weights="grpc://here:8500/unet/1", weights_sha256="ab12")
    save(segmented(name="a.tif"), tmp_path, origin=origin)
    assert is_finished(tmp_path, "a.tif", origin, files=("classes",))
    for changes in ({"weights": "grpc://here:8500/unet/2"}, {"weights_sha256": "cd34"}):
        other = dataclasses.replace(origin, **changes)
        assert not is_finished(tmp_path, "a.tif", other, files=("classes",))


def test_a_damaged_sidecar_is_not_finished(sidecar):
    sidecar.write_text("{")
    assert not is_finished(sidecar.parent, "a b.tif", Origin(), files=())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"format": "cvat"}, r"must be a sidecar of `temzoo predict`.*Received: \[.binning"),
        ({"version": 2}, r"version must be 1\. Received: version=2"),
        ({"height": -5}, r"height must be a whole number\. Received: height='-5'"),
        ({"height": True}, r"height must be a whole number"),
        (
            {"height": 10**9, "width": 10**9},
            r"width and height must be at least 1 and span at most",
        ),
        ({"height": 0}, r"at least 1 .*height=0"),
        ({"height": 49}, r"a_b_classes\.png: a map must be of the size.*50 x 60 px instead of 49"),
        ({"name": "../../etc/passwd"}, r"without '\.\.'.*name='\.\./\.\./etc/passwd'"),
        ({"name": "/etc/passwd"}, r"name must be a file inside.*name='/etc/passwd'"),
        ({"name": 7}, r"name must be a text\. Received: name='7'"),
        ({"class_names": "particle"}, r"class_names must be a list of texts"),
        ({"nm_per_pixel": [0.1, -1]}, r"nm_per_pixel must be null or two numbers above 0"),
        ({"nm_per_pixel": [0.1, float("nan")]}, r"nm_per_pixel must be null or two numbers"),
        ({"nm_per_pixel": [10**400, 1]}, r"nm_per_pixel must be null or two numbers"),
        ({"nm_per_pixel": 0.1}, r"nm_per_pixel must be null or two numbers above 0"),
        ({"scores": ["high"]}, r"scores must be null or a list of numbers"),
        ({"scores": [0.5]}, r"a_b_instances\.tif: its numbers must be .*Received: \d+, 1 scores"),
        ({"detections": {}}, r"detections must be null or a list"),
        ({"detections": []}, r"as many scores as detections\. Received: \d+ scores, 0 detections"),
        ({"options": []}, r"options must be an object"),
        ({"frame": -1}, r"frame must be a whole number\. Received: frame='-1'"),
        ({"image": "../a.tif"}, r"without '\.\.'.*'\.\./a\.tif'"),
        ({"source_bytes": 1.5}, r"source_bytes must be null or a whole number"),
    ],
)
def test_a_sidecar_that_cannot_be_true_is_refused(sidecar, fields, message):
    with pytest.raises(ValueError, match=rf"(?s){message}") as refused:
        load_prediction(changed(sidecar, **fields))
    assert "a_b" in str(refused.value)


def test_a_sidecar_without_a_field_is_refused(sidecar):
    told = json.loads(sidecar.read_text())
    del told["width"]
    sidecar.write_text(json.dumps(told))
    with pytest.raises(
        ValueError, match=r"a_b\.prediction\.json: width must be .*Received: no width"
    ):
        load_prediction(sidecar)


@pytest.mark.parametrize("text", ["", "{", "[1, 2", "\x00", "[" * 100_000])
def test_a_sidecar_that_is_no_json_is_refused(sidecar, text):
    sidecar.write_text(text)
    with pytest.raises(ValueError, match=r"a_b\.prediction\.json: the file must be complete JSON"):
        load_prediction(sidecar)


def test_json_that_is_no_sidecar_is_refused(sidecar):
    sidecar.write_text("[1, 2]")
    with pytest.raises(ValueError, match=r"must be a sidecar of .*Received: list"):
        load_prediction(sidecar)


def test_another_file_is_refused(sidecar):
    with pytest.raises(ValueError, match=r"by its sidecar, whose name ends in \.prediction\.json"):
        load_prediction(sidecar.with_name("a_b_classes.png"))


@pytest.mark.parametrize("what", ["classes.png", "instances.tif"])
def test_a_missing_map_is_named(sidecar, what):
    sidecar.with_name(f"a_b_{what}").unlink()
    with pytest.raises(FileNotFoundError, match=rf"must lie beside it\. Received: no a_b_{what}"):
        load_prediction(sidecar)


@pytest.mark.parametrize("what", ["classes.png", "instances.tif"])
def test_a_damaged_map_is_named(sidecar, what):
    path = sidecar.with_name(f"a_b_{what}")
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(ValueError, match=rf"a_b_{what}"):
        load_prediction(sidecar)


def test_maps_of_another_kind_are_refused(sidecar):
    path = sidecar.with_name("a_b_instances.tif")
    tifffile.imwrite(path, np.zeros((50, 60), np.float32))
    with pytest.raises(ValueError, match=r"a_b_instances\.tif: a map must be one channel.*float32"):
        load_prediction(sidecar)
    tifffile.imwrite(path, np.zeros((50, 60, 3), np.uint8), photometric="rgb")
    with pytest.raises(ValueError, match=r"a_b_instances\.tif: a map must be one channel"):
        load_prediction(sidecar)


def test_a_class_without_a_name_is_refused(sidecar):
    cv2.imwrite(str(sidecar.with_name("a_b_classes.png")), segmented().classes * 3)
    with pytest.raises(ValueError, match=r"a_b_classes\.png: its numbers must be.*3, 1 names"):
        load_prediction(sidecar)


def test_probabilities_that_were_not_saved_are_refused(sidecar):
    with pytest.raises(ValueError, match=r"read where they were saved.*with --probabilities"):
        load_prediction(sidecar, probabilities=True)


def test_probabilities_of_another_kind_are_refused(tmp_path):
    paths = save(segmented(), tmp_path, probabilities=True)
    tifffile.imwrite(paths["probabilities"], np.zeros((2, 50, 60), np.uint16))
    with pytest.raises(ValueError, match=r"a page of float32 for each class.*of uint16"):
        load_prediction(paths["sidecar"], probabilities=True)


def runs(*counts):
    return {"size": [40, 50], "counts": coded(counts)}


def coded(counts):
    return coco_mask.frPyObjects({"size": [40, 50], "counts": list(counts)}, 40, 50)[
        "counts"
    ].decode()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"class_id": 0}, r"class_id that is named.*class_id=0"),
        ({"class_id": 3}, r"class_id=3"),
        ({"score": "high"}, r"score='high'"),
        ({"segmentation": {"size": [4, 5], "counts": "52203"}}, r"size=\[4, 5\]"),
        ({"segmentation": [1, 2]}, r"size=None"),
        ({"segmentation": {"size": [40, 50], "counts": [1, 2]}}, r"counts must be a text"),
        ({"segmentation": {"size": [40, 50], "counts": "~~~"}}, r"compressed run-length string"),
        ({"segmentation": {"size": [40, 50], "counts": "52203"}}, r"sum to height x width"),
        ({"segmentation": runs(2000)}, r"a mask must have a pixel\. Received: none"),
    ],
)
def test_a_detection_that_cannot_be_true_is_refused(tmp_path, fields, message):
    path = save(detected(), tmp_path)["sidecar"]
    entries = about(path)["detections"]
    entries[1] |= fields
    with pytest.raises(ValueError, match=rf"b\.prediction\.json, detection 2: .*{message}"):
        load_prediction(changed(path, detections=entries))


def test_masks_that_would_fill_the_memory_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(maps, "MOST_MASK_PX", 0)
    path = save(detected(), tmp_path)["sidecar"]
    entry = about(path)["detections"][0] | {"segmentation": runs(0, 2000)}
    scores = [0.5] * 17
    load_prediction(changed(path, detections=[entry] * 16, scores=scores[:16]))
    with pytest.raises(ValueError, match=r"detection 17: the masks of all.*at most 16 times"):
        load_prediction(changed(path, detections=[entry] * 17, scores=scores))


def test_a_png_that_cannot_be_written_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(cv2, "imencode", lambda kind, pixels: (False, None))
    maps = Prediction(np.zeros((4, 5), np.uint8), np.zeros((4, 5), np.int32), name="a.tif")
    with pytest.raises(OSError, match=r"could not make a PNG.*a_classes\.png'?, shape=\(4, 5\)"):
        save(maps, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_saving_probabilities_that_were_not_kept_is_refused(tmp_path):
    with pytest.raises(ValueError, match="must hold probabilities"):
        save(segmented(probabilities=None), tmp_path, probabilities=True)


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("damage", ["cut", "zeros", "noise", "another page"])
def test_damaged_probabilities_are_named(tmp_path, compression, damage):
    paths = save(segmented(), tmp_path, probabilities=True)
    path, pages = paths["probabilities"], tifffile.imread(paths["probabilities"])
    with tifffile.TiffWriter(path) as tiff:
        for page in pages if damage != "another page" else (pages[0], pages[1][:9]):
            tiff.write(page, compression=compression, contiguous=False)
    whole = path.read_bytes()
    with tifffile.TiffFile(path) as tiff:
        (start, *_), (size, *_) = tiff.pages[1].dataoffsets, tiff.pages[1].databytecounts
    noise = np.random.default_rng(0).bytes(size)
    if damage in ("zeros", "noise"):
        if compression is None:
            return  # they would be probabilities
        middle = bytes(size) if damage == "zeros" else noise
        path.write_bytes(whole[:start] + middle + whole[start + size :])
    elif damage == "cut":
        path.write_bytes(whole[: start + size // 2])
    with pytest.raises(ValueError, match=r"_probabilities\.tif: ") as raised:
        load_prediction(paths["sidecar"], probabilities=True)
    assert "\n" not in str(raised.value)
