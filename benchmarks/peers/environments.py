"""Virtual environments for the peers, each made by pip alone, and why one could not be."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.peers.contestants import ENVIRONMENTS
from benchmarks.records import write_json
from benchmarks.timing import last_line

FOLDER = Path(os.environ.get("TEMZOO_PEERS", Path(__file__).resolve().parents[2] / ".peers"))
SCRIPTS = Path(__file__).parent / "scripts"
NEED_TORCHVISION = ("smp", "atomai")
MODULES = {
    "pytorch": "torch",
    "smp": "segmentation_models_pytorch",
    "atomai": "atomai",
    "stardist": "stardist.models",
    "sklearn": "sklearn.ensemble, skimage.feature",
}
LONGEST = 1000  # characters of what is said when something fails


def python_of(name: str, folder: Path = FOLDER) -> Path:
    """The interpreter of an environment; this one for temzoo's own, named ""."""
    return folder / name / "bin" / "python" if name else Path(sys.executable)


def set_up(
    names: Sequence[str], folder: Path = FOLDER, wanted: dict[str, Sequence[str]] | None = None
) -> dict[str, str]:
    """Makes environments that are not there; one that fails stops no other.

    Args:
        names: of ``ENVIRONMENTS``; none: all.
        folder: that holds them.
        wanted: packages by environment, in place of ``ENVIRONMENTS``.

    Returns:
        by name "ready" or why not; the reason is also kept for the tables.

    Raises:
        ValueError: a name is not one of an environment.
    """
    wanted = dict(wanted or ENVIRONMENTS)
    for name in names:
        if name not in wanted:
            raise ValueError(
                f"An environment is one of {', '.join(wanted)}. Received: {name!r}. Name those."
            )
    found = {}
    for name in names or wanted:
        if why_not(name, folder) is not None:
            _make(name, wanted[name], folder)
        found[name] = why_not(name, folder) or "ready"
    return found


def why_not(name: str, folder: Path = FOLDER) -> str | None:
    """None where an environment is whole; else what is the matter, with pip's last lines."""
    if not name or (folder / name / "ready.json").is_file():
        return None
    failed = folder / f"{name}.failed.json"
    if failed.is_file():
        return json.loads(failed.read_text(encoding="utf-8"))["error"]
    return f"not set up: python -m benchmarks peers --setup {name}"


def _make(name: str, packages: Sequence[str], folder: Path) -> None:
    home, failed = folder / name, folder / f"{name}.failed.json"
    shutil.rmtree(home, ignore_errors=True)
    failed.unlink(missing_ok=True)
    python = str(python_of(name, folder))
    # This pip serves all: an environment without one is made in a second.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    try:
        last_line([sys.executable, "-m", "venv", "--without-pip", home])
        last_line([*pip, "install", "--quiet", *packages])
        # What pip installs may still not start.
        last_line([python, "-c", _imports(name)], PYTHONPATH=str(SCRIPTS))
    except RuntimeError as error:
        write_json(failed, {"packages": list(packages), "error": str(error)[-LONGEST:]})
        shutil.rmtree(home, ignore_errors=True)
        return
    write_json(home / "ready.json", {"packages": list(packages)})


def _imports(name: str) -> str:
    """What must run in an environment."""
    first = "import torch_networks as t; t.ensure_torchvision(); " * (name in NEED_TORCHVISION)
    return f"{first}import {MODULES[name]}" if name in MODULES else "pass"
