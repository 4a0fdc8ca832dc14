"""The plugin in napari: manifest, reader, writers, sample, and the widget with its threads.

Without a screen: Qt is offscreen, and the layers are in napari's own model of a viewer.
``make napari-test`` has an environment for it.
"""

import os
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import temzoo
from temzoo.core.types import Micrograph
from temzoo.core.writers import write_tiff
from temzoo.viewer import layers, particles

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
pytest.importorskip("napari", reason="needs napari: make napari-test")

PIXELS = np.full((64, 96), 200, np.uint8)
PIXELS[10:30, 10:30], PIXELS[40:56, 20:40], PIXELS[20:40, 70:92] = 60, 60, 60


@pytest.fixture(scope="module")
def application():
    from napari.qt import get_qapp

    return get_qapp()


@pytest.fixture(scope="module")
def plugin():
    """temzoo's manifest beside napari's own, as its entry point announces it."""
    import npe2
    from napari.plugins import _initialize_plugins

    _initialize_plugins()
    manager = npe2.PluginManager.instance()
    if "temzoo" not in manager:
        path = Path(temzoo.__file__).parent / "viewer" / "napari.yaml"
        manager.register(npe2.PluginManifest.from_file(path))
    return manager.get_manifest("temzoo")


@pytest.fixture
def viewer(application, plugin):
    from napari.components import ViewerModel

    return ViewerModel()


@pytest.fixture
def widget(viewer):
    from temzoo.viewer.widget import ParticlesWidget

    made = ParticlesWidget(viewer)
    yield made
    made._process.close()


def wait(until, seconds=400):
    """Lets Qt work until something is so."""
    from qtpy.QtWidgets import QApplication

    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "it takes too long"
        QApplication.processEvents()
        time.sleep(0.01)


def dark(batch):
    inside = (np.asarray(batch)[..., 0] < 128).astype(np.float32)
    return np.stack([1 - inside, inside], axis=-1)


def shown(viewer, name="a.tif", pixels=PIXELS):
    from napari.layers import Layer

    micrograph = Micrograph(pixels, (0.5, 0.5), name)
    return viewer.add_layer(Layer.create(*layers.image_layer(micrograph)))


def found(viewer, widget):
    """A labels layer, as the widget takes it from the other process."""
    shown(viewer)
    image = layers.image_layer(Micrograph(PIXELS, (0.5, 0.5), "a.tif"))
    widget._add(particles.found_in(image, dark))
    return viewer.layers[-1]


def test_every_command_of_the_manifest_is_there(plugin):
    from npe2 import PluginManager

    for command in plugin.contributions.commands:
        assert callable(PluginManager.instance().commands.get(command.id)), command.id


def test_files_open_in_nanometres(viewer, tmp_path):
    write_tiff(tmp_path / "a.tif", PIXELS, (0.5, 0.25))
    [layer] = viewer.open(tmp_path / "a.tif", plugin="temzoo")
    assert layer.scale.tolist() == pytest.approx([0.5, 0.25])
    assert [str(unit) for unit in layer.units] == ["nanometer", "nanometer"]
    stack = np.stack([PIXELS, PIXELS // 2])
    write_tiff(tmp_path / "s.TIF", stack, (0.5, 0.5), compressed=True)
    [layer] = viewer.open(tmp_path / "s.TIF", plugin="temzoo")
    assert layer.data.shape == stack.shape
    assert [str(unit) for unit in layer.units] == ["pixel", "nanometer", "nanometer"]
    np.testing.assert_array_equal(np.asarray(layer.data[1]), stack[1])


def test_a_folder_of_ome_zarr_opens(viewer, tmp_path):
    pytest.importorskip("zarr", reason="needs temzoo[zarr]")
    labels = (PIXELS < 128).astype(np.uint8)
    temzoo.save_ome_zarr(labels, tmp_path / "a.ome.zarr", nm_per_pixel=(0.5, 0.5))
    [layer] = viewer.open(tmp_path / "a.ome.zarr", plugin="temzoo")
    assert layer.scale.tolist() == pytest.approx([0.5, 0.5])


def test_the_sample_opens(viewer):
    [layer] = viewer.open_sample("temzoo", "drawn")
    assert layer.data.shape == (640, 800)


def test_labels_are_saved_and_read_again_also_by_napari(viewer, widget, tmp_path):
    labels = found(viewer, widget)
    [xml] = viewer.layers.save(str(tmp_path / "a.xml"), selected=True, plugin="temzoo")
    [image] = temzoo.labels.read(xml)
    assert (image.name, len(image.shapes)) == ("a.tif", 3)
    [tiff] = labels.save(str(tmp_path / "numbers.tif"), plugin="temzoo")
    [again] = viewer.open(tiff, plugin="napari", layer_type="labels")
    np.testing.assert_array_equal(again.data, labels.data)


def test_prediction_measures_and_features_belong_to_labels(viewer, widget):
    labels = found(viewer, widget)
    assert labels.name == "a.tif particles"
    assert [str(unit) for unit in labels.units] == ["nanometer", "nanometer"]
    assert widget.labels.currentText() == labels.name
    table = labels.features.set_index("index")
    assert table["area_nm2"].to_dict() == pytest.approx({1: 100.0, 2: 110.0, 3: 80.0})
    assert "diameter_nm: 11.3" in labels.get_status((6, 6), world=True)["value"]
    assert widget.summary.text().startswith("3 particles, 0 at the border\nD50 11.28 nm")
    assert widget.status.text() == "3 particles found"


def test_corrections_are_measured_and_undone_by_napari(viewer, widget):
    labels = found(viewer, widget)
    before = labels.data.copy()
    widget.numbers.setText("3, 2")
    widget.merge()
    assert sorted(labels.features["index"]) == [1, 3]
    assert widget.summary.text().startswith("2 particles")
    widget.numbers.setText("1")
    widget.delete()
    assert labels.features["index"].tolist() == [3]
    labels.undo()
    labels.undo()
    np.testing.assert_array_equal(labels.data, before)
    widget.measure()
    assert labels.features["index"].tolist() == [1, 2, 3]
    widget.numbers.setText("2")
    widget.kind.setText("gold")
    widget.set_class()
    assert labels.features.set_index("index")["class"].to_dict() == {1: "1", 2: "gold", 3: "1"}


def test_shift_click_collects_numbers(viewer, widget):
    found(viewer, widget)
    event = {"view_direction": None, "dims_displayed": [0, 1], "modifiers": ["Shift"]}
    for place in ((10, 10), (24, 15), (1, 1), (10, 10)):
        widget._pick(viewer, SimpleNamespace(position=place, **event))
    assert widget.numbers.text() == "3"
    widget._pick(viewer, SimpleNamespace(position=(10, 10), **{**event, "modifiers": []}))
    assert widget.numbers.text() == "3"


def test_what_cannot_be_done_is_said(viewer, widget, tmp_path):
    widget.predict()  # without an image
    labels = found(viewer, widget)
    widget.numbers.setText("99")
    widget.delete()
    assert "Received: 99, not in 'a.tif particles'" in widget.status.text()
    widget.kind.setText("")
    widget.numbers.setText("1")
    widget.set_class()
    assert "a class must have a name" in widget.status.text()
    widget.weights.addItem("nowhere")
    widget.weights.setCurrentText("nowhere")
    widget.predict()
    wait(lambda: not widget.busy)
    assert "Give a run folder" in widget.status.text()
    viewer.layers.remove("a.tif")
    viewer.layers.selection = {labels}
    widget.train(tmp_path / "run")
    assert "must lie on one image layer" in widget.status.text()
    assert not widget.busy


def test_the_image_is_predicted_in_another_process_and_cancelled_between_tiles(viewer, widget):
    [image] = viewer.open_sample("temzoo", "drawn")
    stack = viewer.add_image(np.stack([image.data[:128, :128]] * 400), name="stack")
    widget.weights.setCurrentText("unet/emps-fast")
    widget.image.setCurrentText(image.name)
    widget.predict()
    assert widget.stop.isEnabled()
    assert not widget.buttons[0].isEnabled()
    widget.predict()  # one job at a time
    wait(lambda: not widget.busy)
    labels = viewer.layers[-1]
    assert widget.status.text() == f"{len(labels.features)} particles found"
    assert len(labels.features) > 20
    assert labels.metadata["weights"] == "unet/emps-fast"
    assert [str(unit) for unit in labels.units] == ["nanometer", "nanometer"]
    widget.image.setCurrentText(stack.name)
    widget.predict()
    wait(lambda: "image 3 of 400" in widget.status.text())
    assert 0 < widget.bar.value() < 1000
    widget.cancel()
    wait(lambda: not widget.busy)
    assert widget.status.text() == "cancelled"
    assert [layer.name for layer in viewer.layers if "stack" in layer.name] == ["stack"]


def test_layers_are_exported_and_trained_on(viewer, widget, tmp_path):
    labels = found(viewer, widget)
    widget.export(tmp_path / "a.xml")
    assert widget.status.text() == f"1 layers written to {tmp_path / 'a.xml'}"
    widget.weights.setCurrentText("unet/emps-fast")
    widget.epochs.setValue(500)
    widget.settings = {"batch": 1, "crop": 32, "steps_per_epoch": 2}
    viewer.layers.selection = {labels}
    widget.train(tmp_path / "run")
    wait(lambda: "epoch 2 of 500" in widget.status.text())
    widget.cancel()
    wait(lambda: not widget.busy)
    assert widget.status.text().startswith("cancelled; best on validation: IoU 0.")
    assert widget.weights.currentText() == str(tmp_path / "run")
    widget.predict()
    wait(lambda: not widget.busy)
    assert viewer.layers[-1].metadata["weights"] == str(tmp_path / "run")
    widget.train(tmp_path / "run")  # which is there
    wait(lambda: not widget.busy)
    assert "holds a run already" in widget.status.text()
