"""The raw-pixel signature as an ONNX file and as OpenVINO's IR, for clients without TensorFlow.

Both take float32 ``images`` of any size and give what ``serving_default`` gives. They cannot refuse
an image, as that does: one with a pixel that is not finite gets NaN in place of all that is a
fraction, and 0 of all that is whole. On a CPU both are
as fast as TensorFlow in float32; OpenVINO is twice as fast in bfloat16, where the processor has it.
"""

from __future__ import annotations

import importlib.util
import logging
import math
from pathlib import Path

from temzoo.deploy.exporting.saved_model import ExportError, Signature, operations

OPSET = 18
LARGEST_PIXEL = 1e38
ONNX, OPENVINO = "onnx/model.onnx", "openvino/model.xml"
# Converted without a word, they answer otherwise.
UNFAITHFUL = {
    "CombinedNonMaxSuppression": "suppression by class, which ONNX has with other rules",
}
EXTRAS = {"onnx": ("tf2onnx", "onnxruntime"), "openvino": ("tf2onnx", "onnxruntime", "openvino")}


def check_installed(extra: str) -> None:
    """Raises ImportError, with the command, where the packages of an extra are missing."""
    missing = [name for name in EXTRAS[extra] if importlib.util.find_spec(name) is None]
    if missing:
        raise ImportError(
            f"This needs more packages. Received: no {', '.join(missing)}. Install them: pip"
            f" install 'temzoo[onnx{',openvino' if extra == 'openvino' else ''}]'."
        )


def check_convertible(signature: Signature) -> None:
    """Raises ExportError for an operation that ONNX and OpenVINO do otherwise."""
    used = operations(signature.function.graph.as_graph_def())
    for operation, reason in UNFAITHFUL.items():
        if operation in used:
            raise ExportError(
                "ONNX and OpenVINO must answer as the model does. Received: a model with"
                f" {operation}: {reason}. Serve its SavedModel, which has all of it."
            )


def write_onnx(signature: Signature, path: Path) -> None:
    """Writes a signature as an ONNX file; raises ExportError for what ONNX has no operation for."""
    import tensorflow as tf
    import tf2onnx

    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    path.parent.mkdir(parents=True, exist_ok=True)

    def answer(images):
        return _or_nan(tf, images, signature.function(images=images))

    asked = tf.function(answer, autograph=False)
    model, _ = tf2onnx.convert.from_function(
        asked, input_signature=list(signature.inputs.values()), opset=OPSET
    )
    foreign = sorted({node.op_type for node in model.graph.node} - _known())
    if foreign:
        raise ExportError(
            f"ONNX must have all operations of a model. Received: {', '.join(foreign)}, which it"
            " lacks. Serve the SavedModel, or write that layer in other keras.ops."
        )
    path.write_bytes(model.SerializeToString())


def _or_nan(tf, images, answers: dict) -> dict:
    """The answers; of an image with a pixel that is not finite NaN, and 0 of whole numbers."""
    # Of a comparison, which no format takes for always true; bfloat16 has no number nearer to inf.
    within = tf.cast(tf.abs(images) <= LARGEST_PIXEL, tf.float32)
    sound = tf.reduce_min(within, axis=[1, 2, 3]) > 0.5
    found = {}
    for name, answer in answers.items():
        other = tf.constant(math.nan if answer.dtype.is_floating else 0, answer.dtype)
        where = tf.reshape(sound, [-1, *[1] * (len(answer.shape) - 1)])
        found[name] = tf.where(where, answer, other)
    return found


def outputs_of(path: Path) -> list[str]:
    """The outputs of an ONNX file, in its order."""
    import onnx

    return [output.name for output in onnx.load(path).graph.output]


def _known() -> set[str]:
    """ONNX's own operations of this version."""
    import onnx

    schemas = onnx.defs.get_all_schemas_with_history()
    return {s.name for s in schemas if s.domain == "" and s.since_version <= OPSET}


def write_openvino(onnx_path: Path, path: Path) -> None:
    """Writes an ONNX file as OpenVINO's IR, ``model.xml`` and ``model.bin``, in float32."""
    import openvino

    path.parent.mkdir(parents=True, exist_ok=True)
    # ``convert_model`` would begin a session of usage statistics; the reader does not.
    model = openvino.Core().read_model(onnx_path)
    openvino.save_model(model, path, compress_to_fp16=False)
