"""Layers of napari as plain tuples: read, found, measured, corrected, written, learnt from."""

import configparser
import pickle
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml

import temzoo
from temzoo.core.types import Detection, Micrograph, Prediction
from temzoo.core.writers import write_tiff
from temzoo.micrographs.hdf5_file import SUFFIXES as HDF5_SUFFIXES
from temzoo.micrographs.opening import SUFFIXES
from temzoo.micrographs.zarr_file import SUFFIXES as ZARR_SUFFIXES
from temzoo.store import predictions
from temzoo.store.sidecar import Origin
from temzoo.viewer import layers, learning, particles, reading, samples, writing

PACKAGE = Path(temzoo.__file__).parent
HOW = "nanometer", "nanometer"
ERRORS = {"d50": {"mean": 0.0, "sd": 0.1}, "count": {"mean": 0.0, "sd": 0.1}, "images": 9}


def discs(*centres, size=(64, 96), radius=8):
    """Dark discs on a bright ground, uint8."""
    rows, cols = np.mgrid[: size[0], : size[1]]
    inside = [np.hypot(rows - row, cols - col) <= radius for row, col in centres]
    return np.where(np.any(inside, axis=0), 60, 200).astype(np.uint8)


PIXELS = discs((20, 20), (40, 70))


def dark(batch):
    """A model: what is below the middle level is of the one class."""
    inside = (np.asarray(batch)[..., 0] < 128).astype(np.float32)
    return np.stack([1 - inside, inside], axis=-1)


def image(pixels=PIXELS, nm=(0.5, 0.5), name="a.tif"):
    return layers.image_layer(Micrograph(pixels, nm, name))


def labels(data=None, kinds=None, **metadata):
    data = np.asarray(PIXELS < 128, np.int32) * 7 if data is None else data
    attributes = {"name": "drawn", **layers.place_of((0.5, 0.5)), "metadata": metadata}
    if kinds:
        attributes["features"] = pd.DataFrame({"index": list(kinds), "class": kinds.values()})
    return data, attributes, "labels"


def test_a_calibrated_file_becomes_a_layer_in_nanometres(tmp_path):
    path = tmp_path / "a.tif"
    write_tiff(path, PIXELS, (0.5, 0.25))
    [(data, attributes, kind)] = reading.reader_of(str(path))(str(path))
    np.testing.assert_array_equal(data, PIXELS)
    assert kind == "image"
    assert attributes["scale"] == pytest.approx((0.5, 0.25))
    assert attributes["units"] == ("nm", "nm")
    assert attributes["metadata"]["calibration"] == "TIFF header"


def test_without_calibration_the_units_are_pixels(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, PIXELS)
    [(_, attributes, _)] = reading.read_micrograph(str(path))
    assert (attributes["scale"], attributes["units"]) == ((1.0, 1.0), ("pixel", "pixel"))
    assert attributes["metadata"]["calibration"] == "none found"
    assert layers.nm_per_pixel_of(attributes) is None


def test_a_stack_is_read_plane_by_plane(tmp_path):
    pytest.importorskip("dask", reason="stacks are read by dask, which napari brings")
    path = tmp_path / "stack.tif"
    write_tiff(path, np.stack([PIXELS, PIXELS // 2, PIXELS // 4]), (0.5, 0.5), compressed=True)
    [(data, attributes, _)] = reading.read_micrograph(str(path))
    assert data.shape == (3, *PIXELS.shape)
    assert (attributes["scale"], attributes["units"]) == ((1, 0.5, 0.5), ("pixel", "nm", "nm"))
    assert attributes["contrast_limits"] == (60, 200)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(data))[2].compute(), PIXELS // 4)
    found = list(layers.micrographs_in((data, attributes, "image")))
    assert [one.name for one in found] == ["stack_0.tif", "stack_1.tif", "stack_2.tif"]
    assert found[1].nm_per_pixel == pytest.approx((0.5, 0.5))


def test_images_of_several_sizes_become_a_layer_each(tmp_path):
    path = tmp_path / "both.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS)
        file.write(PIXELS[:32])
    found = reading.read_micrograph(str(path))
    assert [each[0].shape for each in found] == [(64, 96), (32, 96)]
    assert [each[1]["name"] for each in found] == ["both_0.tif", "both_1.tif"]


def test_a_plane_unlike_the_first_is_refused(tmp_path):
    dask = pytest.importorskip("dask", reason="stacks are read by dask, which napari brings")
    path = tmp_path / "both.tif"
    with tifffile.TiffWriter(path) as file:
        file.write(PIXELS)
        file.write(PIXELS.astype(np.uint16))
    [(data, _, _)] = reading.read_micrograph(str(path))
    with (
        dask.config.set(scheduler="synchronous"),
        pytest.raises(ValueError, match=r"images of a stack must be alike\. Received: image 1 of"),
    ):
        data[1].compute()


def test_what_temzoo_does_not_read_is_left_to_others(tmp_path):
    assert reading.reader_of(str(tmp_path)) is None
    assert reading.reader_of("a.txt") is None
    assert reading.reader_of(["a.tif", "b.tif"]) is None


def test_the_manifest_names_what_is_read():
    manifest = yaml.safe_load((PACKAGE / "viewer/napari.yaml").read_text(encoding="utf-8"))
    [reader] = manifest["contributions"]["readers"]
    named = {pattern.removeprefix("*") for pattern in reader["filename_patterns"]}
    assert named == {*SUFFIXES, *HDF5_SUFFIXES, ".prediction.json"} - {*ZARR_SUFFIXES}
    assert reader["accepts_directories"]  # of OME-Zarr


def test_the_manifest_is_installed_and_announced():
    parser = configparser.ConfigParser()
    parser.read(PACKAGE.parent / "setup.cfg", encoding="utf-8")
    announced = parser["options.entry_points"]["napari.manifest"].strip()
    assert announced == "temzoo = temzoo.viewer:napari.yaml"
    assert parser["options.package_data"]["temzoo.viewer"].strip() == "napari.yaml"


def test_only_the_widget_imports_napari_and_qt():
    imported = re.compile(r"^\s*(from|import) (napari|qtpy|npe2|magicgui)\b", re.MULTILINE)
    files = [path for path in PACKAGE.rglob("*.py") if imported.search(path.read_text("utf-8"))]
    users = {path.relative_to(PACKAGE).as_posix() for path in files}
    assert users == {"viewer/widget.py"}


@pytest.mark.parametrize(
    ("scale", "units", "nm"),
    [
        ((0.5, 0.25), HOW, (0.5, 0.25)),
        ((3, 0.0005, 0.0005), ("pixel", "micrometer", "micrometer"), (0.5, 0.5)),
        ((0.5, 0.5), ("pixel", "pixel"), None),
        ((0.5, 0.5), None, None),
        ((0.5, 0.5), "nm", (0.5, 0.5)),
        ((0.5, 0.5), ("second", "second"), None),
    ],
)
def test_only_lengths_are_a_calibration(scale, units, nm):
    found = layers.nm_per_pixel_of({"scale": scale, "units": units})
    assert found == (nm if nm is None else pytest.approx(nm))


def test_found_particles_lie_on_their_image_and_are_measured():
    told = []
    tell = lambda share, text: told.append((share, text))  # noqa: E731
    shown = image()
    shown[1]["translate"] = (10.0, 20.0)
    data, attributes, kind = particles.found_in(shown, dark, tell=tell)
    assert (kind, data.dtype, data.max()) == ("labels", np.int32, 2)
    for name in ("scale", "units", "translate"):
        assert attributes[name] == shown[1][name]
    table = attributes["features"]
    assert table["index"].tolist() == [1, 2]
    alone = temzoo.measure(temzoo.predict(dark, Micrograph(PIXELS, (0.5, 0.5))), PIXELS)
    for column in ("diameter_nm", "mean_intensity", "morphology"):
        assert table[column].tolist() == alone[column].tolist()
    assert told == [(1.0, "tile 1 of 1")]


def test_objects_of_a_stack_have_numbers_of_their_own():
    pixels = np.stack([PIXELS, discs((30, 30)), np.full_like(PIXELS, 200)])
    told = []
    shown = pixels, image(pixels)[1] | layers.place_of((0.5, 0.5), stack=True), "image"
    shown[1]["rgb"] = False
    found = particles.found_in(shown, dark, tell=lambda *one: told.append(one))
    assert [np.unique(plane).tolist() for plane in found[0]] == [[0, 1, 2], [0, 3], [0]]
    assert found[1]["features"][["index", "frame"]].to_numpy().tolist() == [[1, 0], [2, 0], [3, 1]]
    assert told[1] == (pytest.approx(2 / 3), "image 2 of 3, tile 1 of 1")
    text = particles.measured(found, shown).text
    assert text.startswith("3 particles, 0 at the border")


def test_summary_says_what_summarize_says():
    shown = image()
    data, attributes, _ = particles.found_in(shown, dark)
    found = particles.measured((data, attributes, "labels"))
    table = temzoo.measure(temzoo.predict(dark, Micrograph(PIXELS, (0.5, 0.5), "a.tif")))
    row = temzoo.summarize(table, by=None).iloc[0]
    lines = found.text.splitlines()
    assert lines[0] == "2 particles, 0 at the border"
    assert lines[1] == f"D50 {row['diameter_d50_nm']:.4g} nm"
    low, high = row["density_per_um2_low"], row["density_per_um2_high"]
    assert lines[2] == f"{row['density_per_um2']:.4g} per µm² ({low:.4g} to {high:.4g})"
    assert lines[-1] == "95 % intervals of sampling alone"
    attributes["metadata"]["errors"] = ERRORS
    with_model = particles.measured((data, attributes, "labels")).text
    assert with_model.endswith("of sampling and model")
    assert "not known, in px" in particles.measured((data * 0, {"name": "none"}, "labels")).text


def test_a_layer_that_was_painted_is_measured_too():
    data, attributes, _ = labels()
    data[2:5, 2:12] = 900_000
    found = particles.measured((data, attributes, "labels"))
    assert found.features["index"].tolist() == [7, 900_000]
    assert found.features["class"].tolist() == ["particle", "particle"]
    assert found.features["area_nm2"].tolist()[1] == pytest.approx(30 * 0.25)


def test_scores_stay_with_their_particles():
    data, attributes, _ = labels(kinds={7: "gold", 9: "gold"})
    attributes["features"] = attributes["features"].assign(score=[0.9, 0.4], confidence=[0.9, 0.4])
    data[2:5, 2:12] = 3
    table = particles.measured((data, attributes, "labels")).features
    assert table["index"].tolist() == [3, 7]
    assert table["class"].tolist() == ["gold", "gold"]
    np.testing.assert_array_equal(table["confidence"], [np.nan, 0.9])


def test_of_several_classes_each_particle_needs_one():
    data, attributes, _ = labels(kinds={7: "gold"}, class_names=("gold", "silver"))
    data[2:5, 2:12] = 3
    layer = data, attributes, "labels"
    with pytest.raises(ValueError, match=r"one of gold, silver\. Received: number 3 of 'drawn'"):
        particles.measured(layer)
    table, names = particles.named(layer, [3], " copper ")
    assert names == ("gold", "silver", "copper")
    attributes |= {"features": table, "metadata": {"class_names": names}}
    assert particles.measured(layer).features["class"].tolist() == ["copper", "gold"]
    with pytest.raises(ValueError, match=r"a class must have a name\. Received: ''"):
        particles.named(layer, [3], " ")


def test_numbers_are_read_as_they_are_written():
    assert particles.numbers_of(" 3, 17 18;3 ") == [3, 17, 18]
    for text in ("", "3, x", "0", "-2"):
        with pytest.raises(ValueError, match=r"by their numbers, such as 3, 17\. Received: "):
            particles.numbers_of(text)


def test_pixels_of_particles_are_those_of_their_numbers():
    layer = labels()
    rows, cols = particles.pixels_of(layer, [7])
    assert len(rows) == np.count_nonzero(layer[0])
    assert (layer[0][rows, cols] == 7).all()
    with pytest.raises(ValueError, match=r"must be in the layer\. Received: 8, 9, not in 'drawn'"):
        particles.pixels_of(layer, [9, 7, 8])


def test_boxes_and_too_many_axes_are_refused():
    box = Detection(2, 2, np.ones((4, 4), bool), 1, 0.9)
    found = Prediction(PIXELS * 0, np.zeros(PIXELS.shape, np.int32), detections=(box,))
    boxes = Prediction(**{**vars(found), "box_shaped": True, "name": "a.tif"})
    with pytest.raises(ValueError, match=r"holds outlines\. Received: boxes, found in 'a\.tif'"):
        layers.labels_layer(image(), [boxes])
    with pytest.raises(ValueError, match=r"a stack of them\. Received: labels layer 'drawn' of sh"):
        particles.measured(labels(np.zeros((2, 2, 8, 8), np.int32)))
    with pytest.raises(ValueError, match=r"as many planes\. Received: 2 and 1\. Choose the image"):
        particles.measured(labels(np.stack([PIXELS, PIXELS])), image())


def test_the_shipped_weights_to_choose_find_outlines():
    names = particles.weights_to_choose()
    assert learning.START in names
    assert "mask_rcnn/emps" in names
    assert not {"yolo/emps", "vae/particles", "autoencoder/emps-denoise"} & {*names}


def test_cvat_xml_of_layers_reads_back(tmp_path):
    found = particles.found_in(image(), dark)
    second = labels(kinds={7: "gold"}, file="b.tif")
    path = tmp_path / "annotations.xml"
    assert writing.write_cvat(str(path), [found, second]) == [str(path)]
    first, other = temzoo.labels.read(path)
    assert (first.name, other.name) == ("a.tif", "b.tif")
    assert (len(first.shapes), {shape.label for shape in other.shapes}) == (2, {"gold"})
    drawn = temzoo.labels.raster.instance_map(first) > 0
    true = PIXELS < 128
    assert (drawn & true).sum() / (drawn | true).sum() > 0.95
    with pytest.raises(ValueError, match=r"labels in one layer\. Received: two of 'a\.tif'"):
        writing.write_cvat(path, [found, found])
    with pytest.raises(ValueError, match=r"written of labels layers\. Received: none\. Select"):
        writing.write_cvat(path, [])


def test_numbers_are_written_with_their_calibration(tmp_path):
    data, attributes, _ = labels()
    path = tmp_path / "numbers.tif"
    assert writing.write_numbers(str(path), data, attributes) == [str(path)]
    read = temzoo.measurement.load_instance_map(path)
    assert read.nm_per_pixel == pytest.approx((0.5, 0.5))
    np.testing.assert_array_equal(tifffile.imread(path), data)
    with pytest.raises(ValueError, match=r"from 0 to 2,147,483,647 in a TIFF\. Received: -3 to 7"):
        writing.write_numbers(path, np.array([[-3, 7]]), attributes)


def test_a_saved_prediction_is_read_with_its_micrograph(tmp_path):
    source = tmp_path / "a.tif"
    write_tiff(source, PIXELS, (0.5, 0.5))
    prediction = temzoo.predict(dark, source)
    origin = Origin(source, image="lot3/a.tif", calibration="TIFF header")
    sidecar = str(predictions.save(prediction, tmp_path / "p", origin=origin)["sidecar"])
    shown, found = reading.reader_of(sidecar)(sidecar)
    np.testing.assert_array_equal(shown[0], PIXELS)
    np.testing.assert_array_equal(found[0], prediction.instances)
    assert found[1]["scale"] == shown[1]["scale"] == pytest.approx((0.5, 0.5))
    assert shown[1]["metadata"]["calibration"] == "TIFF header"
    assert [one.name for one in particles.labelled_images([found])] == ["lot3/a.tif"]
    source.unlink()
    with pytest.warns(UserWarning, match=r"a\.tif: The micrograph is not where it was"):
        [alone] = reading.read_prediction(sidecar)
    assert alone[2] == "labels"
    assert particles.measured(alone).features["diameter_nm"].notna().all()


def test_the_sample_is_the_micrograph_of_the_quickstart():
    [(data, attributes, kind)] = samples.drawn_micrograph()
    assert (kind, data.shape, attributes["units"]) == ("image", (640, 800), ("nm", "nm"))
