"""Names of the files of a prediction."""

from __future__ import annotations

from pathlib import Path

from temzoo.core.files import file_stem

SUFFIX = ".prediction.json"
MAPS = {
    "classes": "_classes.png",
    "instances": "_instances.tif",
    "probabilities": "_probabilities.tif",
}


def sidecar_path(folder: str | Path, name: str) -> Path:
    """Where the sidecar of a micrograph of this name lies, or would lie."""
    return Path(folder) / f"{file_stem(name)}{SUFFIX}"


def _stem(sidecar: Path) -> str:
    return sidecar.name.removesuffix(SUFFIX)


def beside(sidecar: Path, what: str) -> Path:
    """The file of a prediction that holds a map, or shows a picture."""
    return sidecar.with_name(_stem(sidecar) + MAPS.get(what, f"_{what}.png"))
