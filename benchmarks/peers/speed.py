"""One U-Net with the same weights in PyTorch and in temzoo's engines, in turns.

Each library has a process of its own; only one computes at a time. Inputs are normalised pixels
already in memory, answers are probabilities as an array, so that all do the same work.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import temzoo
from benchmarks.datasets import generated
from benchmarks.peers.contest import threads_of
from benchmarks.peers.environments import FOLDER, SCRIPTS, python_of, why_not
from benchmarks.throughput import timing
from benchmarks.timing import ratio

REFERENCE = "PyTorch eager"  # of ratios
ORIGINAL = "temzoo TensorFlow"  # of differences
ENVIRONMENT_OF = {"pytorch": "pytorch", "temzoo": ""}
ENGINES = {
    "pytorch": (
        REFERENCE,
        "PyTorch channels_last",
        "PyTorch compiled",
        "PyTorch bfloat16",
        "PyTorch compiled bfloat16",
    ),
    "temzoo": (
        ORIGINAL,
        "temzoo TensorFlow bfloat16",
        "temzoo ONNX Runtime",
        "temzoo ONNX Runtime int8",
        "temzoo OpenVINO",
        "temzoo OpenVINO bfloat16",
        "temzoo OpenVINO int8",
    ),
}
REST_S = 0.3  # threads that spin after their work must not slow the next


def measure(
    *,
    environments: Path = FOLDER,
    threads: int = 2,
    repetitions: int = 7,
    filters: int = 32,
    depth: int = 4,
    side: int = 256,
    batches: Sequence[int] = (1, 8),
    engines: Mapping[str, Sequence[str]] = ENGINES,
) -> dict[str, Any]:
    """Speed of every engine at every batch, its ratio to PyTorch eager, its difference.

    Args:
        environments: the folder of them.
        threads: of each engine.
        repetitions: after two calls to warm up.
        filters, depth: of the U-Net.
        side, batches: of the input.
        engines: names by library.

    Returns:
        what a record says.
    """
    config = {"filters": filters, "depth": depth, "classes": 2, "channels": 1}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        parameters = write_network(folder, config, side, max(batches))
        inputs = generated("random normalised pixels", np.load(folder / "inputs.npy"), seed=1)
        started = {each: _Process(each, folder, threads, config, environments) for each in engines}
        try:
            cells = [
                cell
                for batch in batches
                for cell in _in_turns(started, engines, batch, repetitions, folder)
            ]
        finally:
            for process in started.values():
                process.end()
    versions = {name: process.versions for name, process in started.items()}
    return {
        "about": f"U-Net, {filters} filters, depth {depth}, {parameters:,} parameters, random"
        f" weights, {side} x {side} px",
        "model": "unet",
        "config": config,
        "dataset": inputs,
        "settings": {"threads": threads, "versions_of": versions},
        "repetitions": repetitions,
        "figures": {"cells": cells},
    }


def write_network(folder: Path, config: Mapping[str, Any], side: int, batch: int) -> int:
    """Writes weights and inputs; gives the number of parameters.

    Statistics of batch normalisation are drawn, so that one mistaken for another would show.
    """
    keras.utils.set_random_seed(0)
    model = temzoo.get_model("unet", compile=False, **config)
    draw = np.random.default_rng(0).uniform
    arrays = {}
    for layer in model.layers:
        for variable in layer.weights:
            value = variable.numpy()
            if isinstance(layer, keras.layers.BatchNormalization):
                value = value + draw(-0.2, 0.2, value.shape).astype(np.float32)
            arrays[f"{layer.name}/{variable.name}"] = value
    np.savez(folder / "weights.npz", **arrays)
    inputs = np.random.default_rng(1).uniform(-1, 1, (batch, side, side, 1)).astype(np.float32)
    np.save(folder / "inputs.npy", inputs)
    return model.count_params()


class _Process:
    """A library's ``scripts/engines.py``, which waits for lines."""

    def __init__(self, library: str, folder: Path, threads: int, config, environments: Path):
        environment = ENVIRONMENT_OF[library]
        self.reason = why_not(environment, environments)
        self.versions: list[str] = []
        self._log = (folder / f"{library}.log").open("w+")
        if self.reason is None:
            python = python_of(environment, environments)
            self.versions = _versions(python)
            words = (folder, threads, json.dumps(config), library)
            command = [python, SCRIPTS / "engines.py", *words]
            self._run = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                text=True,
                env=os.environ | threads_of(threads),
            )

    def ask(self, **asked: Any) -> dict[str, Any]:
        """The answer; ``left_out`` where there is no process, or none any more."""
        if self.reason is None:
            try:
                self._run.stdin.write(json.dumps(asked) + "\n")
                self._run.stdin.flush()
                line = self._run.stdout.readline()
            except BrokenPipeError:
                line = ""
            if line:
                return json.loads(line)
            self._log.seek(0)
            self.reason = f"its process ended: {self._log.read()[-600:]}"
        return {"left_out": self.reason}

    def end(self) -> None:
        if hasattr(self, "_run"):
            self._run.stdin.close()
            self._run.wait()
            self._run.stdout.close()
        self._log.close()


def _versions(python: Path) -> list[str]:
    code = (
        "import importlib.metadata as m\n"
        "for d in m.distributions():\n"
        "    if d.name in ('torch','tensorflow','keras','onnxruntime','openvino','numpy'):\n"
        "        print(d.name, d.version)"
    )
    ran = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=True)
    return sorted(set(ran.stdout.splitlines()))


def _in_turns(
    started: Mapping[str, _Process],
    engines: Mapping[str, Sequence[str]],
    batch: int,
    repetitions: int,
    folder: Path,
) -> list[dict[str, Any]]:
    """A cell for each engine, at one batch."""
    cells = {name: {"engine": name, "batch": batch} for names in engines.values() for name in names}
    of = {name: started[library] for library, names in engines.items() for name in names}
    for name, cell in cells.items():
        cell |= of[name].ask(do="prepare", engine=name, batch=batch)
        if "left_out" not in cell:
            path = folder / f"{len(cells)}-{batch}-{name}.npy"
            cell |= of[name].ask(do="run", engine=name, batch=batch, save=str(path))
    ready = [name for name, cell in cells.items() if "left_out" not in cell]
    seconds: dict[str, list[float]] = {name: [] for name in ready}
    for _ in range(repetitions):
        for name in ready:
            time.sleep(REST_S)
            seconds[name].append(of[name].ask(do="run", engine=name, batch=batch)["seconds"])
    for name in ready:
        cells[name].pop("seconds", None)
        cells[name] |= timing(seconds[name], batch)
        if REFERENCE in seconds:
            cells[name]["ratio"] = ratio(seconds[REFERENCE], seconds[name])
        if ORIGINAL in ready:
            outputs = [np.load(folder / f"{len(cells)}-{batch}-{n}.npy") for n in (ORIGINAL, name)]
            cells[name]["difference"] = float(np.abs(outputs[0] - outputs[1]).max())
    return list(cells.values())
