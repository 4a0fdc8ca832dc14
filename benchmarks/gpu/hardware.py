"""What ran: the device as JAX names it, and the versions of what computes."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
from typing import Any

PACKAGES = ("keras", "jax", "jaxlib", "optax", "torch", "numpy")


def told_of_run() -> dict[str, Any]:
    """Date, device, versions, and XLA's flags where there are any."""
    told = {"date": datetime.date.today().isoformat(), "device": device(), "versions": versions()}
    flags = os.environ.get("XLA_FLAGS")
    return told | ({"xla_flags": flags} if flags else {})


def device() -> dict[str, str | int]:
    """Name of the device, of its platform, and the number of processor cores beside it."""
    import jax

    first = jax.devices()[0]
    return {"name": first.device_kind, "platform": first.platform, "cores": os.cpu_count()}


def versions() -> dict[str, str]:
    """Of those of ``PACKAGES`` that are installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
