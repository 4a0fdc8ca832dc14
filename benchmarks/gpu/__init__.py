"""Trains and measures on a GPU through Keras' JAX backend, without TensorFlow.

    python -m benchmarks gpu-pack --to packed           # data, small, to travel
    python -m benchmarks gpu-train emps-unet --packed packed
    python -m benchmarks gpu-speed                      # beside the same network in PyTorch

``gpu-pack`` runs where the data and TensorFlow are; the others want keras, jax, optax, NumPy and
OpenCV (and PyTorch), and run on a CPU too, slowly. ``gpu-train`` leaves a folder with weights and
their card, as a run has them, for ``python -m benchmarks ship``.
"""

from __future__ import annotations

import contextlib
import os
import platform
from importlib import metadata
from typing import Any

PACKAGES = ("keras", "jax", "jaxlib", "optax", "torch", "numpy")


def use_jax() -> None:
    """Takes Keras' JAX backend where none was chosen.

    Raises:
        ValueError: another was.
    """
    chosen = os.environ.setdefault("KERAS_BACKEND", "jax")
    if chosen != "jax":
        raise ValueError(f"This command needs KERAS_BACKEND=jax. Received: {chosen}. Unset it.")


def device() -> dict[str, Any]:
    """Hardware and versions for a record: the device as JAX names it."""
    import jax

    found = {"processor": jax.devices()[0].device_kind, "cores": os.cpu_count()}
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return {"hardware": {**found, "system": platform.platform()}, "versions": versions}
