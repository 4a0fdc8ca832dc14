"""Trains on a GPU through Keras' JAX backend, without TensorFlow.

    python -m benchmarks gpu-train emps-unet
    python -m benchmarks gpu-speed             # beside the same network in PyTorch

Both want the extra ``gpu`` (and PyTorch), and run on a CPU too, slowly. ``gpu-train`` leaves a
folder with weights and their card, as a run has them, for ``python -m benchmarks ship``.
"""

from __future__ import annotations

import os
import platform
from typing import Any

from benchmarks.records import installed

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

    kind, system = jax.devices()[0].device_kind, platform.platform()
    hardware = {"processor": kind, "cores": os.cpu_count(), "system": system}
    return {"hardware": hardware, "versions": installed(PACKAGES)}
