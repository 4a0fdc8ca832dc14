"""temzoo: a Keras 3 model zoo for electron microscopy.

From CVAT labels and micrographs to a trained network, masks and pictures of both. Names are loaded
when they are first used: importing temzoo imports neither TensorFlow nor Keras.
"""

import importlib

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
    "load_dataset": "data.examples",
    "split": "data.splits",
    "split_by_names": "data.splits",
    "load_images": "data.pair_files",
    "load_pairs": "data.pair_files",
    "load_frames": "data.pair_files",
    "train": "workflows.training",
    "tune": "workflows.training",
    "evaluate": "evaluation.evaluate",
    "tune_instances": "evaluation.instance_tuning",
    "predict": "inference.predict",
    "predict_folder": "workflows.predict_folder",
    "load_prediction": "store.predictions",
    "list_predictions": "store.predictions",
    "labels_of": "annotation.prediction_labels",
    "connect": "deploy.serving",
    "measure": "measurement",
    "summarize": "measurement",
    "plot_sizes": "pictures.size_distribution",
    "write_report": "pages",
    "latent_report": "pages.latent_page",
    "export": "deploy.exporting",
    "accelerate": "deploy.engines",
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
    return sorted({*globals(), *__all__})
