"""A model as others can use it: a SavedModel for TensorFlow Serving, ONNX, OpenVINO, packages.

saved_model.py      what can be asked, as graphs with named inputs and outputs, and the SavedModel
assets.py           the card, the golden picture and the warm-up requests in it
scenes.py           pictures to try an export with
verify.py           asks it in a fresh process: loader.py, which knows no Keras
other_formats.py    ONNX and OpenVINO
bioimage_package.py a ZIP for the BioImage Model Zoo
model_folder.py     weights with a model card, as Hugging Face's hub takes them
readme.py           the README of both
versions.py         whole or not at all
deployment.py       the server's configuration, a guide, client.py as an example
"""

from temzoo.deploy.exporting.export import export
from temzoo.deploy.exporting.saved_model import ExportError

__all__ = ["ExportError", "export"]
