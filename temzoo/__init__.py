"""temzoo: a Keras 3 model zoo for electron microscopy.

From CVAT labels and micrographs to a trained network, masks and pictures of both. Names are loaded
when they are first used: importing temzoo imports neither TensorFlow nor Keras.
"""

import importlib
import os
from typing import TYPE_CHECKING

from temzoo.core import showing as _showing

if TYPE_CHECKING:  # what type checkers and editors see; a test compares it with _HOMES
    from temzoo.annotation.label_next import label_next as label_next
    from temzoo.annotation.prediction_labels import labels_of as labels_of
    from temzoo.core.types import Detection as Detection
    from temzoo.core.types import Example as Example
    from temzoo.core.types import LabelledImage as LabelledImage
    from temzoo.core.types import Micrograph as Micrograph
    from temzoo.core.types import Prediction as Prediction
    from temzoo.core.types import Shape as Shape
    from temzoo.data.examples import load_dataset as load_dataset
    from temzoo.data.pair_files import load_frames as load_frames
    from temzoo.data.pair_files import load_images as load_images
    from temzoo.data.pair_files import load_pairs as load_pairs
    from temzoo.data.splits import split as split
    from temzoo.data.splits import split_by_names as split_by_names
    from temzoo.deploy.engines.accelerated import accelerate as accelerate
    from temzoo.deploy.exporting.export import export as export
    from temzoo.deploy.serving import connect as connect
    from temzoo.evaluation.classification import evaluate_classifier as evaluate_classifier
    from temzoo.evaluation.evaluate import evaluate as evaluate
    from temzoo.evaluation.instance_tuning import tune_instances as tune_instances
    from temzoo.evaluation.restoration import evaluate_restoration as evaluate_restoration
    from temzoo.inference.predict import predict as predict
    from temzoo.inference.regions import Watershed as Watershed
    from temzoo.inference.restore import restore as restore
    from temzoo.inference.signals import signal_of as signal_of
    from temzoo.measurement.summary import summarize as summarize
    from temzoo.measurement.table import measure as measure
    from temzoo.micrographs import count_frames as count_frames
    from temzoo.micrographs import iter_frames as iter_frames
    from temzoo.micrographs import load_micrograph as load_micrograph
    from temzoo.micrographs.annotations import annotations_drawn_in as annotations_drawn_in
    from temzoo.micrographs.scale_bar import ScaleBar as ScaleBar
    from temzoo.micrographs.scale_bar import read_scale_bar as read_scale_bar
    from temzoo.pages import write_report as write_report
    from temzoo.pages.latent_page import latent_report as latent_report
    from temzoo.particles.store import load_classes as load_classes
    from temzoo.pictures.size_distribution import plot_sizes as plot_sizes
    from temzoo.store.corrections import corrected as corrected
    from temzoo.store.corrections import read_corrections as read_corrections
    from temzoo.store.ome_zarr import save_ome_zarr as save_ome_zarr
    from temzoo.store.predictions import list_predictions as list_predictions
    from temzoo.store.predictions import load_prediction as load_prediction
    from temzoo.store.zspy import save_zspy as save_zspy
    from temzoo.tasks.classification import classify as classify
    from temzoo.workflows.predict_folder import predict_folder as predict_folder
    from temzoo.workflows.training import train as train
    from temzoo.workflows.training import tune as tune
    from temzoo.zoo.building import get_model as get_model
    from temzoo.zoo.cards import ModelCard as ModelCard
    from temzoo.zoo.cards import list_models as list_models
    from temzoo.zoo.cards import model_card as model_card
    from temzoo.zoo.cards import register as register
    from temzoo.zoo.task import Task as Task
    from temzoo.zoo.task import register_task as register_task

# Before TensorFlow is first imported: its notes on the processor are of no use to a reader.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

__version__ = "0.1.0"
_HOMES = {
    "get_model": "zoo.building",
    "list_models": "zoo.cards",
    "model_card": "zoo.cards",
    "register": "zoo.cards",
    "register_task": "zoo.task",
    "Task": "zoo.task",
    "ModelCard": "zoo.cards",
    "load_micrograph": "micrographs",
    "iter_frames": "micrographs",
    "count_frames": "micrographs",
    "read_scale_bar": "micrographs.scale_bar",
    "ScaleBar": "micrographs.scale_bar",
    "annotations_drawn_in": "micrographs.annotations",
    "load_dataset": "data.examples",
    "split": "data.splits",
    "split_by_names": "data.splits",
    "load_images": "data.pair_files",
    "load_pairs": "data.pair_files",
    "load_frames": "data.pair_files",
    "load_classes": "particles.store",
    "train": "workflows.training",
    "tune": "workflows.training",
    "evaluate": "evaluation.evaluate",
    "evaluate_classifier": "evaluation.classification",
    "classify": "tasks.classification",
    "tune_instances": "evaluation.instance_tuning",
    "predict": "inference.predict",
    "signal_of": "inference.signals",
    "predict_folder": "workflows.predict_folder",
    "load_prediction": "store.predictions",
    "list_predictions": "store.predictions",
    "read_corrections": "store.corrections",
    "corrected": "store.corrections",
    "save_ome_zarr": "store.ome_zarr",
    "save_zspy": "store.zspy",
    "labels_of": "annotation.prediction_labels",
    "connect": "deploy.serving",
    "measure": "measurement.table",
    "summarize": "measurement.summary",
    "plot_sizes": "pictures.size_distribution",
    "write_report": "pages",
    "latent_report": "pages.latent_page",
    "export": "deploy.exporting.export",
    "accelerate": "deploy.engines.accelerated",
    "restore": "inference.restore",
    "evaluate_restoration": "evaluation.restoration",
    "label_next": "annotation.label_next",
    "Watershed": "inference.regions",
    "Detection": "core.types",
    "Example": "core.types",
    "LabelledImage": "core.types",
    "Micrograph": "core.types",
    "Prediction": "core.types",
    "Shape": "core.types",
}
# Modules that are reached as ``temzoo.NAME``.
_MODULES = {
    "augment": "data.augment",
    "classical": "evaluation.baselines",
    "labels": "labels",
    "latent": "latent",
    "measurement": "measurement",
    "models": "models",
    "particles": "particles",
    "report": "pictures",
    "saved": "store",
    "synthetic": "data.synthetic",
    "tasks": "tasks",
}
__all__ = ["__version__", *_HOMES, *_MODULES]


def __getattr__(name: str):
    if name in _HOMES:
        value = getattr(importlib.import_module(f"temzoo.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"temzoo.{_MODULES[name]}")
    else:
        raise AttributeError(f"module 'temzoo' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*__all__, *(name for name in globals() if name.startswith("_"))})


_showing.drawn_by(lambda: importlib.import_module("temzoo.pictures.showing"))
