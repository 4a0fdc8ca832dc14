"""The engines of one library: a process that runs temzoo's U-Net once whenever a line asks for it.

python engines.py FOLDER THREADS CONFIG LIBRARY

LIBRARY is pytorch (eager, channels last, compiled, bfloat16) or temzoo (the engines of
``temzoo.accelerate``; int8 is calibrated on the inputs, which are what is computed). Asked
``{"do": "prepare", "engine": …, "batch": …}`` it answers ``{}`` or ``{"left_out": why}``;
``{"do": "run", …}`` gives ``{"seconds": …}``, and with ``"save": PATH`` the output is written. One
line, one answer, on standard input and what was standard output; other words go to errors.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

OF_TEMZOO = {
    "temzoo TensorFlow": ("tensorflow", "float32"),
    "temzoo TensorFlow bfloat16": ("tensorflow", "bfloat16"),
    "temzoo ONNX Runtime": ("onnxruntime", "float32"),
    "temzoo ONNX Runtime int8": ("onnxruntime", "int8"),
    "temzoo OpenVINO": ("openvino", "float32"),
    "temzoo OpenVINO bfloat16": ("openvino", "bfloat16"),
    "temzoo OpenVINO int8": ("openvino", "int8"),
}


def of_pytorch(folder: Path, threads: int, config: dict) -> dict[str, Callable]:
    """By engine: takes (B, H, W, 1) normalised pixels, gives what computes probabilities."""
    import torch
    from torch_networks import UNet, load_keras

    torch.set_num_threads(threads)
    with np.load(folder / "weights.npz") as arrays:
        weights = dict(arrays)
    plain, last = torch.contiguous_format, torch.channels_last

    def runs(inputs, form=plain, compiled=False, bfloat16=False):
        net = UNet(**config)
        load_keras(net, weights)
        net = net.eval().to(memory_format=form)
        net = torch.compile(net) if compiled else net
        pixels = torch.from_numpy(inputs).permute(0, 3, 1, 2).contiguous(memory_format=form)

        def run():
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
                return net(pixels).float().softmax(dim=1).permute(0, 2, 3, 1).numpy()

        return run

    return {
        "PyTorch eager": runs,
        "PyTorch channels_last": partial(runs, form=last),
        "PyTorch compiled": partial(runs, form=last, compiled=True),
        "PyTorch bfloat16": partial(runs, form=last, bfloat16=True),
        "PyTorch compiled bfloat16": partial(runs, form=last, compiled=True, bfloat16=True),
    }


def of_temzoo(folder: Path, threads: int, config: dict) -> dict[str, Callable]:
    """The same; each engine is made once and takes every batch."""
    import tensorflow as tf

    import temzoo
    from temzoo.deploy.engines import AcceleratedModel
    from temzoo.deploy.engines.makers import check_installed
    from temzoo.deploy.engines.network import Network

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    model = temzoo.get_model("unet", compile=False, **config)
    with np.load(folder / "weights.npz") as arrays:
        for layer in model.layers:
            for variable in layer.weights:
                variable.assign(arrays[f"{layer.name}/{variable.name}"])
    network = Network(model)
    network.crops = list(np.load(folder / "inputs.npy")[:, None])
    made: dict[tuple[str, str], AcceleratedModel] = {}

    def run(key, inputs):
        check_installed(*key)
        if key not in made:
            made[key] = AcceleratedModel(network, *key, threads)
        return lambda: made[key].answer(inputs)

    return {name: partial(run, key) for name, key in OF_TEMZOO.items()}


def answer(makers: Mapping[str, Callable], inputs: np.ndarray) -> None:
    """Serves until its input ends; of the inputs smaller batches are the first images."""
    said = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not stand among the answers
    runs: dict[tuple[str, int], Callable] = {}
    for line in sys.stdin:
        said.write(json.dumps(_done(json.loads(line), makers, inputs, runs)) + "\n")
        said.flush()


def _done(asked: Mapping[str, Any], makers, inputs, runs) -> dict[str, Any]:
    key = (asked["engine"], asked["batch"])
    if asked["do"] == "prepare":
        try:
            runs[key] = makers[key[0]](inputs[: key[1]])
            runs[key]()
        except Exception as error:  # an engine that cannot is a row of the table
            return {"left_out": f"{type(error).__name__}: {error}"[-600:]}
        return {}
    began = time.perf_counter()
    found = runs[key]()
    seconds = time.perf_counter() - began
    if "save" in asked:
        np.save(asked["save"], found.astype(np.float32))
    return {"seconds": seconds}


if __name__ == "__main__":
    home, library = Path(sys.argv[1]), {"pytorch": of_pytorch, "temzoo": of_temzoo}[sys.argv[4]]
    answer(library(home, int(sys.argv[2]), json.loads(sys.argv[3])), np.load(home / "inputs.npy"))
