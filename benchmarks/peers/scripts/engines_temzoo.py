"""temzoo's U-Net in TensorFlow, ONNX Runtime and OpenVINO.

python engines_temzoo.py FOLDER THREADS CONFIG
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from turns import answer

import temzoo
from temzoo.exporting.other_formats import write_onnx, write_openvino
from temzoo.exporting.signatures import Signature
from temzoo.tasks.endpoints import normalized_alone


def makers(folder: Path, threads: int, config: dict) -> dict:
    """By name, of the weights in ``folder``."""

    def network(policy: str = "float32"):
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(policy)
        try:
            model = temzoo.get_model("unet", compile=False, **config)
        finally:
            keras.config.set_dtype_policy(before)
        put_weights(model, folder / "weights.npz")
        return normalized_alone(model)

    def traced(inputs, policy="float32") -> Signature:
        core = network(policy)
        spec = tf.TensorSpec(inputs.shape, tf.float32, name="images")
        asked = tf.function(lambda images: {"probabilities": core(images, training=False)})
        return Signature(None, {"images": spec}, asked.get_concrete_function(images=spec))

    def tensorflow(inputs, policy="float32"):
        function, pixels = traced(inputs, policy).function, tf.constant(inputs)
        return lambda: function(images=pixels)["probabilities"].numpy()

    def onnx(inputs) -> Path:
        path = folder / f"unet-{len(inputs)}.onnx"
        if not path.is_file():
            write_onnx(traced(inputs), path)
        return path

    def onnxruntime(inputs):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        session = onnxruntime.InferenceSession(
            onnx(inputs), options, providers=["CPUExecutionProvider"]
        )
        return lambda: session.run(None, {session.get_inputs()[0].name: inputs})[0]

    def openvino(inputs, precision):
        import openvino

        path = folder / f"unet-{len(inputs)}.xml"
        if not path.is_file():
            write_openvino(onnx(inputs), path)
        hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": threads}
        compiled = openvino.Core().compile_model(path, "CPU", hints)
        return lambda: compiled([inputs])[0].copy()

    return {
        "temzoo TensorFlow": tensorflow,
        "temzoo TensorFlow bfloat16": lambda x: tensorflow(x, "mixed_bfloat16"),
        "temzoo ONNX Runtime": onnxruntime,
        "temzoo OpenVINO": lambda x: openvino(x, "f32"),
        "temzoo OpenVINO bfloat16": lambda x: openvino(x, "bf16"),
    }


def put_weights(model, path: Path) -> None:
    """Sets the variables that ``benchmarks.peers.speed`` wrote, by layer and name."""
    with np.load(path) as arrays:
        for layer in model.layers:
            for variable in layer.weights:
                variable.assign(arrays[f"{layer.name}/{variable.name}"])


if __name__ == "__main__":
    home, cores = Path(sys.argv[1]), int(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(cores)
    answer(makers(home, cores, json.loads(sys.argv[3])), np.load(home / "inputs.npy"))
