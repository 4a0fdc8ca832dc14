"""temzoo: a Keras 3 model zoo for electron microscopy.

From CVAT labels and micrographs to a trained network, masks and pictures of both. Names are loaded
when they are first used: importing temzoo imports neither TensorFlow nor Keras.
"""

import importlib

__version__ = "0.1.0"

_HOMES = {
    "get_model": "registry",
    "list_models": "registry",
    "model_card": "registry",
    "register": "registry",
    "ModelCard": "registry",
    "load_micrograph": "micrographs",
    "iter_frames": "micrographs",
    "count_frames": "micrographs",
    "load_dataset": "pipeline.examples",
    "split": "pipeline.splits",
    "split_by_names": "pipeline.splits",
    "load_images": "pipeline.pairs",
    "load_pairs": "pipeline.pairs",
    "load_frames": "pipeline.pairs",
    "train": "training",
    "tune": "tuning",
    "evaluate": "evaluation",
    "tune_instances": "instance_tuning",
    "predict": "prediction",
    "load_prediction": "saved",
    "list_predictions": "saved",
    "labels_of": "prelabels",
    "connect": "serving",
    "measure": "measurement",
    "summarize": "measurement",
    "plot_sizes": "measurement",
    "write_report": "pages",
    "export": "exporting",
    "accelerate": "engines",
    "restore": "restoration",
    "evaluate_restoration": "restoration",
    "label_next": "labelling_order",
    "Watershed": "prediction",
    "Detection": "types",
    "Example": "types",
    "LabelledImage": "types",
    "Micrograph": "types",
    "Prediction": "types",
    "Shape": "types",
}
_MODULES = (
    "labels",
    "models",
    "pipeline",
    "tasks",
    "synthetic",
    "classical",
    "report",
    "particles",
    "latent",
    "saved",
    "measurement",
)

__all__ = ["__version__", *_HOMES, *_MODULES]


def __getattr__(name: str):
    if name in _HOMES:
        value = getattr(importlib.import_module(f"temzoo.{_HOMES[name]}"), name)
    elif name in _MODULES:
        value = importlib.import_module(f"temzoo.{name}")
    else:
        raise AttributeError(f"module 'temzoo' has no attribute '{name}'")
    globals()[name] = value
    return value


def __dir__():
    return sorted({*globals(), *__all__})
