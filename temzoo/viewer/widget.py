"""The dock widget: weights, prediction, measurement, correction, training and export.

What it does is done in ``particles``, ``learning`` and ``writing``; here are buttons. Predictions
and trainings are done in ``process``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari.layers import Image, Labels, Layer
from napari.utils.notifications import show_error
from qtpy import QtWidgets
from qtpy.QtCore import QObject, Qt, Signal

from temzoo.viewer import learning, particles, process, writing
from temzoo.viewer.layers import PARTICLE, PLACE, LayerData
from temzoo.viewer.process import EXPECTED, Process

if TYPE_CHECKING:
    from napari import Viewer

RUN_FOLDER = "run folder …"
TAKEN = ("name", "metadata", "rgb", "multiscale", "features", *PLACE)


class _Signals(QObject):
    """Brings what the other process says into the window's thread."""

    heard = Signal(object)


class ParticlesWidget(QtWidgets.QWidget):
    """Finds particles in image layers, measures and corrects labels layers, and learns from them.

    Args:
        napari_viewer: whose layers it works on; napari gives it.

    Attributes:
        settings: of ``temzoo.train``, beside the epochs, for those who know them.
    """

    def __init__(self, napari_viewer: Viewer):
        super().__init__()
        self.viewer = napari_viewer
        self.settings: dict[str, Any] = {}
        self._done: Callable[[Any], None] | None = None  # what to do with the result of a job
        self._signals = _Signals()
        self._signals.heard.connect(self._heard)
        self._process = Process(self._signals.heard.emit)
        self._build()
        events = self.viewer.layers.events
        for event in (events.inserted, events.removed, events.reordered):
            event.connect(self._list_layers)
        self.viewer.mouse_drag_callbacks.append(self._pick)
        self._list_layers()
        QtWidgets.QApplication.instance().aboutToQuit.connect(self._process.close)

    def _build(self) -> None:
        self.image, self.labels, self.weights = (
            QtWidgets.QComboBox(),
            QtWidgets.QComboBox(),
            QtWidgets.QComboBox(),
        )
        self.weights.addItems(particles.weights_to_choose())
        self.weights.setCurrentText(learning.START)
        self.summary = _text_line()
        self.numbers, self.kind = QtWidgets.QLineEdit(), QtWidgets.QLineEdit(PARTICLE)
        self.numbers.setPlaceholderText("shift-click particles")
        self.epochs = QtWidgets.QSpinBox()
        self.epochs.setRange(1, 1000)
        self.epochs.setValue(10)
        self.bar, self.status = QtWidgets.QProgressBar(), _text_line()
        self.bar.setRange(0, 1000)
        self.stop = _button("Cancel", self.cancel)
        correct = ("Delete", self.delete), ("Merge", self.merge), ("Set class", self.set_class)
        self.buttons = [
            _button("Predict", self.predict),
            _button("Measure", self.measure),
            *(_button(*each) for each in correct),
            _button("Train on selected labels layers …", self._ask_and_train),
            _button("Export selected labels layers to CVAT XML …", self._ask_and_export),
        ]
        predict, measure, *others, train, export = self.buttons
        column = QtWidgets.QVBoxLayout(self)
        column.addWidget(_group("Find", [
            ("Image", self.image),
            ("Weights", self.weights, _button("…", self._ask_run_folder)),
            (predict,),
        ]))  # fmt: skip
        column.addWidget(_group("Measure", [("Labels", self.labels), (measure,), (self.summary,)]))
        column.addWidget(
            _group("Correct", [("Numbers", self.numbers), ("Class", self.kind), tuple(others)])
        )
        column.addWidget(_group("Learn and export", [("Epochs", self.epochs), (train,), (export,)]))
        column.addWidget(_row(self.bar, self.stop))
        column.addWidget(self.status)
        column.addStretch()
        self._at_work(False)

    # What the buttons do.

    def predict(self) -> None:
        """Finds the particles of the chosen image, in another process, as a new labels layer."""
        image = self._layer(self.image, Image)
        weights = self.weights.currentText()
        if image is not None:
            self._start(self._add, process.found, _plain(image), weights)

    def measure(self) -> None:
        """Measures the chosen labels anew: their features, and the summary."""
        labels = self._layer(self.labels, Labels)
        if labels is not None:
            self._guarded(partial(self._measure, labels))

    def delete(self) -> None:
        """Deletes the particles of the numbers; napari's undo brings them back."""
        self._correct(lambda labels, numbers: self._set(labels, numbers, 0))

    def merge(self) -> None:
        """Makes one particle of those of the numbers, with the first of them."""
        self._correct(lambda labels, numbers: self._set(labels, numbers, numbers[0]))

    def set_class(self) -> None:
        """Gives the particles of the numbers the class that is written."""

        def set_it(labels: Labels, numbers: list[int]) -> None:
            particles.pixels_of(_plain(labels), numbers)
            kind = self.kind.text()
            table, names = particles.named(_plain(labels), numbers, kind)
            labels.features, labels.metadata["class_names"] = table, names

        self._correct(set_it)

    def train(self, out: str | Path) -> None:
        """Trains on the selected labels layers and their images; the new weights are chosen.

        Args:
            out: the new run folder.
        """
        images = [_plain(each) for each in self._all(Image)]
        chosen = [_plain(each) for each in self._selected()]

        def pairs() -> list[learning.Pair]:
            return [(learning.image_of(labels, images), labels) for labels in chosen]

        found = self._guarded(pairs)
        if found is not None:
            how = {"out": out, "start": self.weights.currentText(), "epochs": self.epochs.value()}
            how |= self.settings
            self._start(self._take_run, process.trained, found, how)

    def export(self, path: str | Path) -> None:
        """Writes the selected labels layers as CVAT XML."""
        layers = [_plain(each) for each in self._selected()]
        if self._guarded(partial(writing.write_cvat, path, layers)):
            self.status.setText(f"{len(layers)} layers written to {path}")

    def cancel(self) -> None:
        """Ends a prediction after its tile, a training after its step, with its best weights."""
        self._process.cancel()

    # The other process.

    @property
    def busy(self) -> bool:
        """Whether a job is being done."""
        return self._done is not None

    def _start(self, done: Callable[[Any], None], work: Callable, *arguments: Any) -> None:
        if self.busy:
            show_error("One job at a time: press Cancel, or wait.")
            return
        self._done = done
        self._at_work(True)
        try:
            self._process.ask(work, *arguments)
        except EXPECTED as error:
            self._heard(("failed", str(error)))

    def _heard(self, answer: tuple[Any, ...]) -> None:
        kind, *what = answer
        done = self._done
        if done is None:
            return
        if kind == "told":
            self._show_progress(*what)
            return
        self._done = None
        self._at_work(False)
        if kind == "ended":
            self._guarded(partial(done, *what))
        elif kind == "failed":
            self._say(*what)
        else:
            self.status.setText("cancelled")

    def _add(self, labels: Any) -> None:
        layer = self.viewer.add_layer(Layer.create(*labels))
        self.labels.setCurrentText(layer.name)
        self.status.setText(f"{len(layer.features)} particles found")
        self.summary.setText(layer.metadata["summary"])

    def _take_run(self, run: Any) -> None:
        if not run.epoch:
            self.status.setText("cancelled before an epoch was judged: there are no weights")
            return
        self._add_weights(str(run.folder))
        ended = "cancelled; " if run.interrupted else ""
        score = f"{run.score_name} {run.score:.3f} in epoch {run.epoch}"
        self.status.setText(f"{ended}best on validation: {score}. Weights in {run.folder}")

    # Layers.

    def _list_layers(self, event: Any = None) -> None:
        for box, kind in ((self.image, Image), (self.labels, Labels)):
            before = box.currentText()
            box.clear()
            box.addItems([layer.name for layer in self._all(kind)][::-1])
            box.setCurrentText(before)
        for layer in self.viewer.layers:
            layer.events.name.disconnect(self._list_layers)
            layer.events.name.connect(self._list_layers)

    def _all(self, kind: type) -> list[Any]:
        return [layer for layer in self.viewer.layers if isinstance(layer, kind)
                and isinstance(layer, Labels) == (kind is Labels)]  # fmt: skip

    def _selected(self) -> list[Labels]:
        """The labels layers that are selected in napari's list, else the chosen one."""
        chosen = [each for each in self._all(Labels) if each in self.viewer.layers.selection]
        one = self._layer(self.labels, Labels) if not chosen else None
        return chosen or ([] if one is None else [one])

    def _layer(self, box: QtWidgets.QComboBox, kind: type) -> Any:
        found = [layer for layer in self._all(kind) if layer.name == box.currentText()]
        if not found:
            what = "image" if kind is Image else "labels"
            show_error(f"There is no {what} layer. Open a micrograph, or add one.")
        return found[0] if found else None

    def _measure(self, labels: Labels) -> None:
        layer = _plain(labels)
        images = [_plain(each) for each in self._all(Image)]
        try:
            image = learning.image_of(layer, images)
        except ValueError:
            image = None  # without intensities
        found = particles.measured(layer, image)
        labels.features = found.features
        self.summary.setText(found.text)

    def _correct(self, change: Callable[[Labels, list[int]], None]) -> None:
        labels = self._layer(self.labels, Labels)
        if labels is None:
            return

        def corrected() -> None:
            change(labels, particles.numbers_of(self.numbers.text()))
            self.numbers.clear()
            self._measure(labels)

        self._guarded(corrected)

    def _set(self, labels: Labels, numbers: list[int], to: int) -> None:
        labels.data_setitem(particles.pixels_of(_plain(labels), numbers), to)

    def _pick(self, viewer: Any, event: Any) -> None:
        """Shift and a click put the number of a particle into the field, or take it out."""
        if "Shift" not in event.modifiers or not self.labels.currentText():
            return
        labels = self._layer(self.labels, Labels)
        where = {"view_direction": event.view_direction, "dims_displayed": event.dims_displayed}
        number = labels.get_value(event.position, world=True, **where)
        if number:
            written = self.numbers.text().split(", ") if self.numbers.text() else []
            one = str(int(number))
            written = [n for n in written if n != one] + [one] * (one not in written)
            self.numbers.setText(", ".join(written))

    # The window.

    def _guarded(self, work: Callable[[], Any]) -> Any:
        """What the work gives; None where it cannot be done, which is said."""
        try:
            return work()
        except EXPECTED as error:
            self._say(str(error))
            return None

    def _say(self, text: str) -> None:
        self.status.setText(text)
        show_error(text)

    def _show_progress(self, share: float, text: str) -> None:
        self.bar.setValue(round(1000 * share))
        self.status.setText(text)

    def _at_work(self, at_work: bool) -> None:
        for button in self.buttons:
            button.setEnabled(not at_work)
        self.stop.setEnabled(at_work)
        self.bar.setValue(0)

    def _add_weights(self, folder: str) -> None:
        if self.weights.findText(folder) < 0:
            self.weights.addItem(folder)
        self.weights.setCurrentText(folder)

    def _ask_run_folder(self) -> None:
        if folder := QtWidgets.QFileDialog.getExistingDirectory(self, "Run folder of temzoo train"):
            self._add_weights(folder)

    def _ask_and_train(self) -> None:
        if folder := QtWidgets.QFileDialog.getSaveFileName(self, "New run folder", "run")[0]:
            self.train(folder)

    def _ask_and_export(self) -> None:
        title, which = "Export to CVAT", "CVAT XML (*.xml)"
        if path := QtWidgets.QFileDialog.getSaveFileName(self, title, "annotations.xml", which)[0]:
            self.export(path)


def _plain(layer: Any) -> LayerData:
    """What temzoo takes of a layer, as any process can read it."""
    data, attributes, kind = layer.as_layer_data_tuple()
    told = {name: attributes[name] for name in TAKEN if name in attributes}
    return data, told | {"units": tuple(map(str, layer.units))}, kind


def _text_line() -> QtWidgets.QLabel:
    label = QtWidgets.QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return label


def _button(text: str, pressed: Callable[[], None]) -> QtWidgets.QPushButton:
    button = QtWidgets.QPushButton(text)
    button.clicked.connect(lambda: pressed())
    return button


def _row(*parts: QtWidgets.QWidget) -> QtWidgets.QWidget:
    row = QtWidgets.QWidget()
    layout = QtWidgets.QHBoxLayout(row)
    layout.setContentsMargins(0, 0, 0, 0)
    for part in parts:
        layout.addWidget(part)
    return row


def _group(title: str, rows: list[tuple[Any, ...]]) -> QtWidgets.QGroupBox:
    """A box of rows: widgets side by side, behind a text where the first is one."""
    box = QtWidgets.QGroupBox(title)
    form = QtWidgets.QFormLayout(box)
    for first, *others in rows:
        if isinstance(first, str):
            form.addRow(first, others[0] if len(others) == 1 else _row(*others))
        else:
            form.addRow(first if not others else _row(first, *others))
    return box
