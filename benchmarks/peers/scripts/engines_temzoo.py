"""temzoo's U-Net in the engines of ``temzoo.accelerate``, as ``temzoo predict --engine`` has them.

python engines_temzoo.py FOLDER THREADS CONFIG

int8 is calibrated on the inputs, which are what is computed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf
from turns import answer

import temzoo
from temzoo.deploy.engines import AcceleratedModel
from temzoo.deploy.engines.makers import check_installed
from temzoo.deploy.engines.network import Network

ENGINES = {
    "temzoo TensorFlow": ("tensorflow", "float32"),
    "temzoo TensorFlow bfloat16": ("tensorflow", "bfloat16"),
    "temzoo ONNX Runtime": ("onnxruntime", "float32"),
    "temzoo ONNX Runtime int8": ("onnxruntime", "int8"),
    "temzoo OpenVINO": ("openvino", "float32"),
    "temzoo OpenVINO bfloat16": ("openvino", "bfloat16"),
    "temzoo OpenVINO int8": ("openvino", "int8"),
}


def makers(folder: Path, threads: int, config: dict) -> dict[str, Callable]:
    """By name, of the weights in ``folder``; each engine is made once and takes every batch."""
    model = temzoo.get_model("unet", compile=False, **config)
    put_weights(model, folder / "weights.npz")
    network = Network(model)
    network.crops = list(np.load(folder / "inputs.npy")[:, None])
    made: dict[tuple[str, str], AcceleratedModel] = {}

    def run(key, inputs):
        check_installed(*key)
        if key not in made:
            made[key] = AcceleratedModel(network, *key, threads)
        return lambda: made[key].answer(inputs)

    return {name: partial(run, key) for name, key in ENGINES.items()}


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
